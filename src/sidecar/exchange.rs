//! Follows both directions of one server connection while a client uses it, so that it is known when nothing is owed; and gives the
//! client's prepared statements the names that they have on that server ([`super::statement`]).
//!
//! No I/O. Only headers are read, and of the messages about statements their names; the bytes pass from where they were read. What
//! must be changed goes through a buffer of the caller's ([`Fed::bytes`]).

mod incoming;
mod naming;
mod outgoing;
mod owed;
mod passing;
mod put_back;
mod resolve;

use std::rc::Rc;

use super::fault::{Fault, planted};
use super::state::Hints;
use super::statement::{Changes, Copies, Describing, Names, Texts};
use super::wire::{Malformed, Parameters, message};

pub use owed::{About, Item, Owed, Queue};

/// Answers that may be outstanding before the client is no longer read. A full read of the smallest messages may come on top.
const OWED_MAX: usize = 16 * 1024;
/// Bytes of changed messages that are put together before they are sent.
const OUT_MAX: usize = 256 * 1024;

/// How far a piece of a stream may be passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// What comes before is in the buffer, where it was changed.
    from: usize,
    /// Pass on the bytes before; the rest is an incomplete header, or a message that must be seen whole: hold it for the next read.
    pub to: usize,
    /// The rest must wait for an answer of the server, and be looked at again then.
    pub wait: bool,
    /// Nothing behind [`Fed::to`] counts any more.
    pub stop: Option<Stop>,
}

impl Fed {
    /// What is to be sent, of the `data` that was fed and the buffer that was given along.
    pub fn bytes<'a>(&self, data: &'a [u8], out: &'a mut Vec<u8>) -> &'a [u8] {
        let rest = data.get(self.from..self.to).unwrap_or_default();
        if out.is_empty() {
            return rest;
        }
        out.extend_from_slice(rest);
        out
    }

    /// What was passed so far goes to the buffer, since something else follows it.
    fn flush(&mut self, data: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(data.get(self.from..self.to).unwrap_or_default());
        self.from = self.to;
    }

    /// Leaves out the next `n` bytes.
    fn skip(&mut self, n: usize) {
        self.to += n;
        self.from = self.to;
    }
}

/// What a server's stream shows, beside what is passed on of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A parameter has this name and this value from now on.
    Parameter(&'a [u8], &'a [u8]),
    /// An error with this SQLSTATE was passed on. Empty where the message broke off before it.
    Error(&'a [u8]),
    /// A client's statement was prepared once more, here.
    Prepared,
    /// A client was told that the columns of its statement have changed.
    Stale,
}

/// Why a client's stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Terminate.
    Goodbye,
    /// It is not the protocol's.
    Malformed(Malformed),
}

/// Whose statements are followed; without it, all pass as they are.
#[derive(Debug)]
pub struct Tracked<'a> {
    /// The client's.
    pub names: &'a mut Names,
    /// The server connection's.
    pub copies: &'a mut Copies,
    /// Everybody's.
    pub texts: &'a mut Texts,
    /// What the client's parsing depends on.
    pub settings: &'a Rc<Parameters>,
    /// The client has a right to notifications.
    pub listens: bool,
}

/// See the module. The bytes themselves are not kept: a caller passes them on as far as [`Fed`] says.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each may hold with each")]
pub struct Exchange {
    queue: Queue,
    changes: Changes,
    /// Bytes of the client's current message that are still to come.
    to_server: u32,
    /// The same for the server's.
    to_client: u32,
    /// The server's current message is an answer to one of ours.
    swallowing: bool,
    /// Of which type it is, and what it describes, where that is wanted.
    listening: Option<(u8, About)>,
    describing: Describing,
    /// Syncs that were passed on.
    segment: u32,
    /// The statement that was parsed again for the message that waits.
    retried: Option<u32>,
    /// What of the session may be another than it was known to be, and names of custom parameters that may have been set.
    hints: Hints,
    custom: Vec<Box<[u8]>>,
    /// Of the text of the last Bind.
    bound: Hints,
    /// A portal with a name was bound, so that Execute need not run what was bound last.
    named_portals: bool,
    /// A message on its way may drop all statements, or this one.
    drops: bool,
    deallocating: Option<Box<[u8]>>,
    /// Something that leaves a trace was sent since the last ReadyForQuery: after Parse and Flush nothing is owed, but the batch is
    /// open until its Sync.
    open: bool,
    /// An Execute has come to its end since the last ReadyForQuery.
    executed: bool,
    /// See [`Exchange::mixed`].
    mixed: bool,
    /// A statement of ours was gone that nobody was seen to drop.
    lost: bool,
    /// Transaction status of the last ReadyForQuery: `I`, `T` or `E`.
    status: u8,
    /// ReadyForQuery messages that have come.
    answered: u32,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            queue: Queue::default(),
            changes: Changes::default(),
            to_server: 0,
            to_client: 0,
            swallowing: false,
            listening: None,
            describing: Describing::default(),
            segment: 0,
            retried: None,
            hints: Hints::NONE,
            custom: Vec::new(),
            bound: Hints::NONE,
            named_portals: false,
            drops: false,
            deallocating: None,
            open: false,
            executed: false,
            mixed: false,
            lost: false,
            status: b'I',
            answered: 0,
        }
    }
}

impl Exchange {
    /// Forgets everything for the next client; the room stays.
    pub fn reset(&mut self) {
        let (mut queue, mut changes) = (std::mem::take(&mut self.queue), std::mem::take(&mut self.changes));
        queue.reset();
        changes.clear();
        *self = Self { queue, changes, ..Self::default() };
    }

    /// What of the session may be another than it was known to be.
    pub fn hints(&self) -> Hints {
        self.hints
    }

    /// Names of custom parameters that may have been set.
    pub fn custom(&self) -> &[Box<[u8]>] {
        &self.custom
    }

    /// Nothing of the session is known.
    pub fn unknown(&mut self) {
        self.hints = Hints::EVERYTHING;
    }

    /// The session is known again.
    pub fn known(&mut self) {
        self.hints = Hints::NONE;
        self.custom.clear();
    }

    /// Whether the server could serve someone else: its last word was ReadyForQuery outside of a transaction, nothing was sent
    /// since, and both sides are at a message border.
    #[inline]
    pub fn free(&self) -> bool {
        let early = planted(Fault::ReleasedOneSyncEarly) && self.queue.len() == 1 && self.queue.ends_ready();
        (early || !self.open && self.queue.is_empty()) && self.status == b'I' && self.settled()
    }

    /// As [`Exchange::free`], but possibly inside of a transaction: our own statements may be sent.
    pub fn quiet(&self) -> bool {
        !self.open && self.queue.is_empty() && self.settled()
    }

    fn settled(&self) -> bool {
        self.to_server == 0 && self.to_client == 0 && !self.queue.doubt()
    }

    /// Whether the server works, or waits for a client that copies: then a cancel request has a meaning.
    pub fn active(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether the client's last message was passed on completely.
    pub fn client_at_border(&self) -> bool {
        self.to_server == 0
    }

    /// Whether the client waits too long with reading its answers to be read itself.
    pub fn full(&self) -> bool {
        self.queue.len() >= OWED_MAX
    }

    /// Bytes of the server's current message that are still to come.
    #[inline]
    pub fn missing(&self) -> usize {
        self.to_client as usize
    }

    /// Whether a part of a message was passed on to the client: nothing else may come before the rest.
    pub fn midway(&self) -> bool {
        self.to_client > 0 && !self.swallowing
    }

    /// Who has to act next.
    pub fn awaits(&self) -> Awaited {
        // What the client has begun to send, the server does not work on yet.
        let begun = usize::from(self.to_server > 0);
        if self.queue.len() > begun && !self.queue.copying() {
            Awaited::Server(self.answered)
        } else if self.status == b'I' && !self.open {
            Awaited::Nobody
        } else {
            Awaited::Client
        }
    }

    /// Whether a Query came into a batch that had executed something and had no Sync yet. PostgreSQL 18 leaves the batch's
    /// transaction open then, though ReadyForQuery says `I` at the Sync: it keeps its locks, and the next statement, whoever sends it,
    /// ends it with an error (`StartTransactionCommand: unexpected state STARTED`). Seen with 18.4; 12 to 17 end it at the Query.
    pub fn mixed(&self) -> bool {
        self.mixed
    }

    /// Whether a prepared statement of ours was gone, which only a function of the client's can have dropped: what else is prepared
    /// there is not known either.
    pub fn lost(&self) -> bool {
        self.lost
    }

    /// Transaction status of the last ReadyForQuery.
    pub fn status(&self) -> u8 {
        self.status
    }

    /// What would bring a server to ReadyForQuery whose client is gone.
    pub fn abandon(&self) -> Abandoned {
        if self.to_server > 0 || self.queue.doubt() || self.queue.copying() {
            Abandoned::Close
        } else if self.quiet() {
            Abandoned::Ready
        } else if self.queue.ends_ready() {
            Abandoned::Wait
        } else {
            Abandoned::Sync
        }
    }

    /// Appends what ends the exchange of a client that is gone: a Sync, and before it what fails. A batch without a Sync is rolled back
    /// when its client is gone; a Sync of ours alone would commit it.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        message(out, b'E', |out| out.extend_from_slice(b"weir/gone\0\0\0\0\0"));
        message(out, b'S', |_| ());
        self.ask(Owed::Execute);
        self.ask(Owed::Sync);
    }

    #[inline]
    fn ask(&mut self, item: impl Into<Item>) {
        let item = item.into();
        if item.owed == Owed::Sync {
            self.segment = self.segment.wrapping_add(1);
        }
        self.queue.ask(item);
        self.open = true;
    }
}

/// Who has to act next in an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Awaited {
    /// The server could serve someone else.
    #[default]
    Nobody,
    /// The server owes an answer, after so many ReadyForQuery.
    Server(u32),
    /// The client has left a transaction open, a batch without its Sync included, or copies in, or is in the middle of a message.
    Client,
}

/// What is to be done with a server connection whose client is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// It is at ReadyForQuery already.
    Ready,
    /// A ReadyForQuery will come.
    Wait,
    /// [`Exchange::end`] brings it.
    Sync,
    /// Nothing sure does.
    Close,
}

/// Goes on by what is missing of the current message; how many bytes that are.
#[inline]
fn pass(rest: &[u8], missing: &mut u32) -> usize {
    let n = u32::try_from(rest.len()).map_or(*missing, |len| len.min(*missing));
    *missing -= n;
    n as usize
}

#[cfg(test)]
mod tests;
