//! Who may hold a server connection, told from what was sent: never too few, so that nobody in a script waits for ever.
//!
//! A pool with `n` connections can't answer another client while `n` clients are in transactions, in the middle of something, or
//! pinned. So a step whose answers are awaited needs a place among the `n`; a step that ends by itself and is not awaited needs none.

use std::collections::BTreeSet;

use crate::say::{Say, expand};
use crate::script::{Act, Sending, Step, Until};
use crate::stage::Client;

/// Session state that pins a client, and what is in every text that makes it.
const PINS: [(&str, &str); 9] = [
    ("listen", "LISTEN "),
    ("temp", "TEMP"),
    ("cursor", "WITH HOLD"),
    ("lock", "ADVISORY_LOCK"),
    ("prepare", "PREPARE "),
    ("role", "SET ROLE"),
    ("role", "LOCAL ROLE"),
    ("role", "SESSION AUTHORIZATION"),
    ("cursor", "FOR HOLD"),
];

/// What ends it where it succeeds, alone and outside of a transaction.
pub const UNPINS: [(&str, &str); 6] = [
    ("listen", "UNLISTEN *"),
    ("temp", "DISCARD TEMP"),
    ("cursor", "CLOSE ALL"),
    ("lock", "SELECT pg_advisory_unlock_all()"),
    ("prepare", "DEALLOCATE ALL"),
    ("role", "RESET ROLE"),
];

/// Ends all of it.
pub const DISCARD: &str = "DISCARD ALL";

/// What keeps the connection beyond its own message.
const OPENING: [&str; 4] = ["BEGIN", "START TRANSACTION", "AND CHAIN", "FROM STDIN"];

/// A Parse that is longer may pin.
const LONG: usize = 60_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Busy {
    /// All its answers have come.
    #[default]
    No,
    /// It was not waited for, and ends by itself.
    Light,
    /// It has told by a notice that it runs.
    Running,
    Heavy,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each may hold with each")]
pub struct Hold {
    busy: Busy,
    pins: BTreeSet<&'static str>,
    /// Pinned until it leaves or discards all.
    sticky: bool,
    /// Settings may have been changed in a transaction that is not ended.
    settings: bool,
    /// Names of statements with a text that is not light.
    wild: BTreeSet<String>,
    /// It has named what others change, or changed it.
    shared: bool,
    /// It has named the table whose content is compared in the end.
    writes: bool,
}

/// What others see or are seen by. Where the order with their steps matters, all answers are awaited.
const SHARED: [&str; 5] = ["PUBLIC.M", "PUBLIC.COUNTER", "NOTIFY", "LISTEN", "XACT_LOCK(7)"];

const WRITTEN: &str = "PUBLIC.SINK";

fn shared(sql: &str) -> bool {
    let upper = sql.to_uppercase();
    SHARED.iter().any(|word| upper.contains(word))
}

fn pins(sql: &str) -> impl Iterator<Item = &'static str> {
    let sql = sql.to_uppercase().replace("UNLISTEN", "");
    PINS.into_iter().filter(move |(_, word)| sql.contains(word)).map(|(pin, _)| pin)
}

fn wild(sql: &str) -> bool {
    let upper = sql.to_uppercase();
    pins(sql).next().is_some() || OPENING.iter().any(|word| upper.contains(word))
}

fn sets(sql: &str) -> bool {
    let upper = sql.to_uppercase();
    ["SET ", "SET_CONFIG", "RESET", "DISCARD"].iter().any(|word| upper.contains(word))
}

impl Hold {
    /// Whether the client may be keeping a server connection.
    pub fn holds(&self, client: &Client) -> bool {
        let pinned = self.sticky || !self.pins.is_empty();
        !client.ended()
            && (pinned
                || matches!(self.busy, Busy::Running | Busy::Heavy)
                || (self.busy == Busy::No && !settled(client)))
    }

    /// Whether a step is over by itself, whatever others do: nobody has to have a place for it.
    pub fn is_light(&self, step: &Step, client: &Client) -> bool {
        let Act::Send(sending, Until::Nothing) = &step.act else { return !matches!(step.act, Act::Send(..)) };
        let mut parsed = BTreeSet::new();
        let light = sending.messages.iter().all(|message| match message {
            Say::Query(sql) => !wild(sql) && (!sets(sql) || sending.messages.len() == 1),
            Say::Parse { name, sql, .. } => {
                parsed.insert(name);
                !wild(sql) && !sets(sql) && sql.len() < LONG && expand(sql).len() < LONG
            }
            Say::Bind { statement, .. } => !self.wild.contains(statement),
            _ => true,
        });
        let ends = matches!(sending.messages.last(), Some(Say::Query(_) | Say::Sync | Say::Call { .. }));
        let before = self.busy == Busy::Light || settled(client);
        light && ends && sending.kept == 0 && before && !self.holds(client)
    }

    /// A step is about to be done.
    pub fn before(&mut self, step: &Step, client: &Client) {
        let light = self.is_light(step, client);
        let Act::Send(sending, until) = &step.act else { return };
        let mut open = !settled(client) || self.busy();
        for message in &sending.messages {
            match message {
                Say::Query(sql) => {
                    self.pins.extend(pins(sql));
                    open |= wild(sql);
                    self.settings |= open && sets(sql);
                }
                Say::Parse { name, sql, .. } => {
                    self.sticky |= self.settings || pins(sql).next().is_some() || expand(sql).len() > LONG;
                    self.settings |= sets(sql);
                    if wild(sql) || sets(sql) {
                        self.wild.insert(name.clone());
                    }
                }
                Say::Bind { statement, .. } => self.settings |= self.wild.contains(statement),
                _ => {}
            }
        }
        self.busy = match until {
            Until::Owed => Busy::No,
            Until::Nothing if light => Busy::Light,
            Until::Nothing => Busy::Heavy,
            Until::Notice => Busy::Running,
        };
        for sql in sending.messages.iter().filter_map(Say::sql) {
            self.shared |= shared(sql);
            self.writes |= sql.to_uppercase().contains(WRITTEN);
        }
    }

    /// Whether a step has one outcome, whatever the clocks do.
    pub fn is_sure(&self, step: &Step, client: &Client) -> bool {
        let sharing = |sending: &Sending| sending.messages.iter().filter_map(Say::sql).any(shared);
        if step.sending().is_some_and(uses_what_was_not_bound) {
            return false;
        }
        match &step.act {
            Act::Send(sending, until) => {
                let awaited = *until == Until::Owed && sending.kept == 0 && !ends_unanswered(sending);
                awaited || !(self.shared || sharing(sending))
            }
            Act::Leave(sending, _) => {
                let at_rest = settled(client) && !self.busy();
                // What it has written must not be committed by its last words.
                let committing = !settled(client) && !sending.messages.is_empty();
                let writing = self.writes && (self.busy() || client.halfway() || committing);
                let undone = !sharing(sending) && sending.messages.iter().all(|message| self.is_undone(message));
                client.ended() || ((at_rest || !self.shared) && !writing && undone)
            }
            Act::Login(_) | Act::Cancel(_) => true,
        }
    }

    /// Whether a message leaves nothing where its sender vanishes, also if it is carried out.
    fn is_undone(&self, message: &Say) -> bool {
        match message {
            Say::Query(sql) => {
                let upper = sql.to_uppercase();
                let ends = upper.contains("COMMIT") || upper.starts_with("END");
                !ends && (!upper.contains(WRITTEN) || upper.starts_with("BEGIN"))
            }
            Say::Parse { sql, .. } => !sql.to_uppercase().contains(WRITTEN) && !wild(sql),
            Say::Bind { .. } => !self.writes && !self.shared,
            _ => true,
        }
    }

    /// Whether it is known what a cancel request meets.
    pub fn can_be_cancelled(&self, client: &Client) -> bool {
        let owed = &client.owed;
        let idle = !owed.open() && !owed.owes() && !owed.copying() && !client.halfway();
        self.busy == Busy::Running || (!self.busy() && idle)
    }

    /// A step was done, and its answers are those after `said`; the client was settled before.
    pub fn after(&mut self, step: &Step, client: &Client, said: usize, before: bool) {
        if !matches!(step.act, Act::Send(_, Until::Owed)) || !settled(client) {
            return;
        }
        self.settings = false;
        let failed = client.said[said..].iter().any(|said| said.starts_with("ErrorResponse"));
        let messages = step.sending().map_or(&[][..], |sending| &sending.messages);
        let ([Say::Query(sql)], true, false) = (messages, before, failed) else { return };
        if sql == DISCARD {
            *self = Self::default();
        }
        for (pin, unpin) in UNPINS {
            if sql == unpin {
                self.pins.remove(pin);
            }
        }
    }

    /// Whether not all answers of its steps were awaited.
    pub fn busy(&self) -> bool {
        self.busy != Busy::No
    }

    pub fn pinned(&self) -> impl Iterator<Item = &'static str> {
        self.pins.iter().copied().chain(self.sticky.then_some("sticky"))
    }
}

/// Whether an unnamed portal of an earlier step is used.
fn uses_what_was_not_bound(sending: &Sending) -> bool {
    let mut bound = false;
    sending.messages.iter().any(|message| match message {
        Say::Bind { portal, .. } => {
            bound |= portal.is_empty();
            false
        }
        Say::Query(_) => {
            bound = false;
            false
        }
        Say::Execute { portal: name, .. } | Say::Describe { kind: 'P', name } => name.is_empty() && !bound,
        _ => false,
    })
}

/// Whether it may not be carried out yet once everything that is owed has come.
pub fn ends_unanswered(sending: &Sending) -> bool {
    sending.messages.last().is_some_and(|last| matches!(last.letter(), b'P' | b'B' | b'D' | b'C' | b'E'))
}

/// Whether nothing of the client is open anywhere.
pub fn settled(client: &Client) -> bool {
    let owed = &client.owed;
    owed.status == b'I' && !owed.open() && !owed.owes() && !owed.copying() && !client.halfway()
}
