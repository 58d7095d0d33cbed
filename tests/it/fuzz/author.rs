//! Writes scripts: who acts next, and what it does, from a seed and from what PostgreSQL has answered so far.
//!
//! # What it does not write
//!
//! What a pool can't give back as PostgreSQL alone would, by design:
//!
//! | not written | why |
//! | --- | --- |
//! | functions that call `set_config`, lock, listen or create temporary tables inside | neither tag nor text shows it |
//! | `lastval()`, `currval()` in another transaction than `nextval()` | no view shows it |
//! | `setseed()`, LOAD, variables of procedural languages | no view shows it |
//! | NULL or empty, of a custom parameter that was not set | another client may have set it on the same connection |
//! | names in `pg_prepared_statements`; SQL EXECUTE of a protocol statement | it has another name there |
//! | RESET ALL, DISCARD ALL, RESET of a start-up parameter inside a transaction or before other messages | the connection's own start-up value shows until the pool has asked |
//! | a temporary table that hides another of its name from a statement that exists | only a connection's first temporary table makes PostgreSQL look again |
//! | `pg_my_temp_schema()`, `source` and `reset_val` in `pg_settings`, `pg_backend_pid()`, transaction ids | they are the connection's |
//!
//! What has more than one outcome at PostgreSQL itself:
//!
//! | not written | why |
//! | --- | --- |
//! | waiting for a lock for longer than `lock_timeout`; shared rows, notifications and DDL in steps that are not awaited | the order with other clients' steps |
//! | a cancel of what is not known to run, or not known to rest | it may come too late |
//! | leaving with writes that nobody awaited | they may be carried out or not |
//! | a COPY that fails after a Sync in advance | how many Syncs are answered depends on when the server notices; the client keeps its connection then |
//! | other messages while copying | PostgreSQL ends the session |
//! | `client_min_messages`, `lock_timeout`, time-outs | they change what the script itself waits for |
//! | Execute or Describe of an unnamed portal that was not bound in the same step | where a simple query has failed in a transaction, PostgreSQL reads freed memory; 18.4 crashes |
//! | a Query into a batch without Sync, from PostgreSQL 18 on | it fails the statement after the batch |

#[path = "author/extended.rs"]
mod extended;
#[path = "author/others.rs"]
mod others;
#[path = "author/pen.rs"]
mod pen;
#[path = "author/session.rs"]
mod session;
#[path = "author/simple.rs"]
mod simple;
#[path = "author/stories.rs"]
mod stories;
#[path = "author/texts.rs"]
mod texts;

use std::collections::VecDeque;

pub use texts::PROBE;

use self::pen::{Fits, Mind, Pen};
use self::stories::Plan;
use crate::dice::Dice;
use crate::hold::{DISCARD, Hold, UNPINS, ends_unanswered, settled};
use crate::play::{Scene, Source};
use crate::say::Say;
use crate::script::{Act, Leave, Sending, Step, Until};
use crate::stage::Client;

/// What a piece of a step may be, how often, and where.
type Kind = (&'static str, usize, Fits, fn(&mut Pen<'_>));

pub struct Author {
    dice: Dice,
    kinds: Vec<Kind>,
    minds: Vec<Mind>,
    /// Steps until everybody finishes.
    left: usize,
    planned: VecDeque<Step>,
    /// A Query may come into a batch without Sync.
    mixed: bool,
    /// Sessions until now, of all scripts: no two have a number in common.
    sessions: u64,
}

impl Author {
    /// `without`: names of kinds that are not to be written. Also returns how many clients and server connections there are.
    pub fn new(seed: u64, mixed: bool, without: &str) -> (Self, usize, usize) {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.roll(2);
        }
        let (clients, servers) = (2 + dice.roll(5), 1 + dice.roll(3));
        let all = [simple::KINDS, extended::KINDS, session::KINDS, others::KINDS].concat();
        let mut kinds: Vec<_> =
            all.into_iter().filter(|(name, ..)| !without.split(',').any(|not| not == *name)).collect();
        // Some scripts are about few things, so that these meet.
        for kind in &mut kinds {
            kind.1 *= [1, 1, 2, 8][dice.roll(4)];
        }
        let left = 10 + dice.roll(40);
        let minds = (0..clients).map(|_| Mind::default()).collect();
        (
            Self { dice, kinds, minds, left, planned: VecDeque::new(), mixed, sessions: seed % 1_000_000 * 1000 },
            clients,
            servers.min(clients - 1),
        )
    }

    fn login(&mut self, who: usize) -> Step {
        let mut parameters = Vec::new();
        for (name, value) in texts::START_UP {
            if self.dice.roll(5) == 0 && !parameters.iter().any(|(known, _)| known == name) {
                parameters.push((name.to_string(), value.to_string()));
            }
        }
        self.sessions += 1;
        let start_up = parameters.iter().map(|(name, _)| name.clone()).collect();
        self.minds[who] = Mind { start_up, own: self.sessions, ..Mind::default() };
        Step { client: who, act: Act::Login(parameters) }
    }

    fn write(&mut self, who: usize, client: &Client, hold: &Hold) -> Step {
        let at_rest = settled(client) && !hold.busy();
        let mut pen = Pen::new(&mut self.dice, &mut self.minds[who], who, client.owed.open());
        if client.owed.copying() {
            others::copy_on(&mut pen, !client.owed.must_not_fail());
        } else {
            if pen.is_open() && pen.one_in(2) {
                pen.out.push(Say::Sync);
            }
            for _ in 0..=pen.dice.roll(3) {
                let open = pen.is_open() && !(self.mixed && pen.one_in(8));
                let fits = |fits: Fits| match fits {
                    Fits::Anywhere => true,
                    Fits::OutsideOfABatch => !open,
                    Fits::Alone => at_rest && pen.out.is_empty(),
                };
                let kinds: Vec<_> = self.kinds.iter().filter(|(_, _, where_to, _)| fits(*where_to)).collect();
                let mut at = pen.dice.roll(kinds.iter().map(|(_, weight, ..)| weight).sum());
                let kind = kinds.iter().find(|(_, weight, ..)| {
                    let found = at < *weight;
                    at = at.wrapping_sub(*weight);
                    found
                });
                let (_, _, where_to, piece) = kind.expect("some kind fits anywhere");
                piece(&mut pen);
                if *where_to == Fits::Alone || pen.done {
                    return owed(who, pen.out);
                }
            }
        }
        let messages = pen.out;
        let cuts = match self.dice.roll(5) {
            0 => vec![1],
            1 => (0..=self.dice.roll(5)).map(|_| 1 + self.dice.roll(30)).collect(),
            _ => Vec::new(),
        };
        let kept = if self.dice.roll(12) == 0 { 1 + self.dice.roll(12) } else { 0 };
        let until = if self.dice.roll(3) == 0 { Until::Nothing } else { Until::Owed };
        Step { client: who, act: Act::Send(Sending { messages, cuts, kept }, until) }
    }

    /// What brings a client nearer to having no server connection.
    fn release(&mut self, who: usize, client: &Client, hold: &Hold) -> Step {
        let owed_to = &client.owed;
        let mut messages = Vec::new();
        if owed_to.copying() {
            let end = if owed_to.must_not_fail() { Say::CopyDone } else { Say::CopyFail("given up".to_owned()) };
            messages.push(end);
        }
        if owed_to.open() || owed_to.copying() {
            messages.push(Say::Sync);
        } else if owed_to.status != b'I' {
            messages.push(Say::Query(self.dice.pick(&["ROLLBACK", "COMMIT", "END"]).to_owned()));
        } else if let Some(pin) = hold.pinned().next().filter(|_| settled(client) && !hold.busy()) {
            let unpin = UNPINS.into_iter().find(|(name, _)| *name == pin).filter(|_| self.dice.roll(4) > 0);
            if unpin.is_none() && self.dice.roll(2) == 0 {
                return Step { client: who, act: Act::Leave(Sending::default(), Leave::Goodbye) };
            }
            let mut pen = Pen::new(&mut self.dice, &mut self.minds[who], who, false);
            pen.query(unpin.map_or(DISCARD, |(_, unpin)| unpin));
            messages = pen.out;
        }
        owed(who, messages)
    }

    fn leave(&mut self, who: usize) -> Step {
        let how = [Leave::Goodbye, Leave::Close, Leave::Reset][self.dice.roll(3)];
        let messages = others::last_words(&mut Pen::new(&mut self.dice, &mut self.minds[who], who, false));
        let kept = if self.dice.roll(5) == 0 { 1 + self.dice.roll(20) } else { 0 };
        let cuts = if self.dice.roll(4) == 0 { vec![1 + self.dice.roll(9)] } else { Vec::new() };
        Step { client: who, act: Act::Leave(Sending { messages, cuts, kept }, how) }
    }

    /// Everybody comes to rest, shows its session, and goes; first those who hold a connection.
    fn finish(&mut self, scene: &Scene<'_>) -> Option<Step> {
        let clients = 0..self.minds.len();
        let here = |who: &usize| scene.client(*who).is_some();
        let who = clients.clone().find(|who| scene.holds(*who)).or_else(|| clients.clone().find(here))?;
        let client = scene.client(who)?;
        if client.ended() {
            return Some(gone(who));
        }
        if !settled(client) || scene.holds[who].busy() {
            return Some(self.release(who, client, &scene.holds[who]));
        }
        if !std::mem::replace(&mut self.minds[who].probed, true) {
            return Some(owed(who, vec![Say::Query("{probe}".to_owned())]));
        }
        Some(Step { client: who, act: Act::Leave(Sending::default(), Leave::Goodbye) })
    }

    fn choose(&mut self, scene: &Scene<'_>) -> Step {
        let who = self.dice.roll(self.minds.len());
        let Some(client) = scene.client(who) else { return self.login(who) };
        if client.ended() {
            return gone(who);
        }
        let hold = &scene.holds[who];
        match self.dice.roll(40) {
            0 => return self.leave(who),
            1 => return Step { client: who, act: Act::Cancel(self.dice.roll(self.minds.len())) },
            2 | 3 if settled(client) && !hold.busy() => {
                let other = self.dice.roll(self.minds.len());
                let story = stories::STORIES[self.dice.roll(stories::STORIES.len())];
                self.planned = story(&mut Plan { dice: &mut self.dice, minds: &mut self.minds, who, other });
                return self.planned.pop_front().expect("several steps");
            }
            // What is pinned stays so for a while.
            4..=8 if scene.holds(who) => return self.release(who, client, hold),
            9..=11 if !hold.busy() => return owed(who, texts::probe(&mut self.dice)),
            _ => {}
        }
        self.write(who, client, hold)
    }
}

/// PostgreSQL has ended the session.
fn gone(who: usize) -> Step {
    Step { client: who, act: Act::Leave(Sending::default(), Leave::Close) }
}

/// The same, carried out completely before the next step.
fn awaited(mut step: Step) -> Step {
    if let Act::Send(sending, until) = &mut step.act {
        (*until, sending.kept) = (Until::Owed, 0);
        if ends_unanswered(sending) {
            sending.messages.push(Say::Flush);
        }
    }
    step
}

fn owed(who: usize, messages: Vec<Say>) -> Step {
    Step { client: who, act: Act::Send(Sending { messages, ..Sending::default() }, Until::Owed) }
}

impl Source for Author {
    fn next(&mut self, scene: &Scene<'_>) -> Option<Step> {
        if let Some(step) = self.planned.pop_front().filter(|step| scene.allows(step)) {
            return Some(step);
        }
        self.planned.clear();
        while self.left > 0 {
            self.left -= 1;
            let mut step = self.choose(scene);
            if !scene.allows(&step) && self.planned.is_empty() {
                step = awaited(step);
            }
            if scene.allows(&step) {
                return Some(step);
            }
            self.planned.clear();
            // Nobody else can act: one of those who hold a connection goes on.
            let holders: Vec<_> = (0..self.minds.len()).filter(|who| scene.holds(*who)).collect();
            if let Some(who) = holders.get(self.dice.roll(holders.len().max(1)))
                && let Some(client) = scene.client(*who)
            {
                let step = match self.dice.roll(2) {
                    0 => self.release(*who, client, &scene.holds[*who]),
                    _ => awaited(self.write(*who, client, &scene.holds[*who])),
                };
                if scene.allows(&step) {
                    return Some(step);
                }
            }
        }
        self.finish(scene)
    }
}
