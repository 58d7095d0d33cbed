//! The answers that a server owes, in the order of the requests.
//!
//! The rules are those of PostgreSQL's main loop (`src/backend/tcop/postgres.c`) and of its COPY (`commands/copyfromparse.c`): after
//! an error in an extended-query message everything up to the next Sync is ignored, also a simple Query; and while it copies in,
//! a server ignores Sync.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::sidecar::state::Hints;
use crate::sidecar::statement::{Entry, Statement};

/// One message that has an answer, or [`Owed::CopyEnd`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    /// Query or FunctionCall: ends with ReadyForQuery.
    Query,
    /// Ends with ReadyForQuery.
    Sync,
    /// Owes ParseComplete.
    Parse,
    /// Owes BindComplete.
    Bind,
    /// Owes CloseComplete.
    Close,
    /// Owes RowDescription or NoData.
    Describe,
    /// Owes CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute,
    /// CopyDone or CopyFail that was sent before the server said CopyInResponse. Owes nothing: it marks where the Syncs that the
    /// server will ignore end.
    CopyEnd,
    /// A Parse of ours: as all of ours, its answer is not the client's.
    OurParse,
    /// A Describe of ours.
    OurDescribe,
    /// A Close of ours.
    OurClose,
}

impl Owed {
    /// What a client's message of type `kind` is owed.
    pub fn to(kind: u8) -> Option<Self> {
        Some(match kind {
            b'Q' | b'F' => Self::Query,
            b'S' => Self::Sync,
            b'P' => Self::Parse,
            b'B' => Self::Bind,
            b'D' => Self::Describe,
            b'E' => Self::Execute,
            b'C' => Self::Close,
            _ => return None,
        })
    }

    /// Whether the message is ours.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::OurParse | Self::OurDescribe | Self::OurClose)
    }
}

/// Which statement a message is about, where its answer needs that.
#[derive(Clone, Debug, Default)]
pub enum About {
    /// It does not.
    #[default]
    Nothing,
    /// A client's name.
    Entry(Rc<Entry>),
    /// The same, through the copy of this number.
    Copied(u32, Rc<Entry>),
    /// A client's unnamed statement, through the copy of this number.
    Unnamed(u32),
    /// The unnamed statement of this Parse, as it is.
    Verbatim(u64),
    /// A copy that we make, and whose name it is for: none for the unnamed one.
    Copy(u32, Rc<Statement>, Option<Rc<Entry>>),
    /// A client's name that exists already: it was sent under that of the spare one.
    Taken(Rc<[u8]>),
    /// A client's name that was sent under one that never exists.
    Never(Rc<[u8]>),
    /// The same, because its columns have changed.
    Stale(Rc<[u8]>),
}

/// A message that has an answer.
#[derive(Clone, Debug)]
pub struct Item {
    /// Which answer.
    pub owed: Owed,
    /// What for.
    pub about: About,
    /// What of the session it may change, by its text.
    pub hints: Hints,
    /// It is the first of [`Changes`](crate::sidecar::statement::Changes) by then.
    pub changes: bool,
}

impl Item {
    /// One about a statement.
    pub fn about(owed: Owed, about: About) -> Self {
        Self { about, ..owed.into() }
    }

    /// One that changes something.
    pub fn change(owed: Owed, about: About) -> Self {
        Self { about, changes: true, ..owed.into() }
    }
}

impl From<Owed> for Item {
    fn from(owed: Owed) -> Self {
        Self { owed, about: About::Nothing, hints: Hints::NONE, changes: false }
    }
}

/// Messages for which a queue keeps room.
const ROOM: usize = 64;

/// See the module.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each may hold with each")]
pub struct Queue {
    owed: VecDeque<Item>,
    /// The server copies in, and the client's end of it has not passed yet.
    copying: bool,
    /// Syncs were dropped from the queue because of the COPY that runs. If it fails, whether one of them is answered after all
    /// depends on when the server noticed.
    dropped: bool,
    /// The server ignores everything up to the next Sync, which is not in the queue yet.
    skipping: bool,
    /// The answers did not match the queue, or can't be told.
    doubt: bool,
}

impl Queue {
    /// Answers that are outstanding.
    pub fn len(&self) -> usize {
        self.owed.len()
    }

    /// Nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// Whether the server copies in and waits for the client.
    pub fn copying(&self) -> bool {
        self.copying
    }

    /// Whether the end of an exchange can no longer be told from the stream: the connection must not serve anyone else.
    pub fn doubt(&self) -> bool {
        self.doubt
    }

    /// Whether the last message asked for a ReadyForQuery, so that one will end everything that is owed. A Query does so also with the
    /// end of its COPY behind it; a Sync before such an end may be ignored.
    pub fn ends_ready(&self) -> bool {
        let mut last = self.owed.iter().rev().map(|item| item.owed);
        match last.next() {
            Some(Owed::CopyEnd) => last.find(|owed| *owed != Owed::CopyEnd) == Some(Owed::Query),
            last => matches!(last, Some(Owed::Query | Owed::Sync)),
        }
    }

    /// Whether the server ignores what it gets, up to the next Sync.
    pub fn skipping(&self) -> bool {
        self.skipping
    }

    /// Whose answer comes next.
    pub fn front(&self) -> Option<&Item> {
        self.owed.front()
    }

    fn nth(&self, at: usize) -> Option<Owed> {
        self.owed.get(at).map(|item| item.owed)
    }

    /// Forgets everything; the room stays, unless it is large.
    pub fn reset(&mut self) {
        let mut owed = std::mem::take(&mut self.owed);
        owed.clear();
        owed.shrink_to(ROOM);
        *self = Self { owed, ..Self::default() };
    }

    /// A message passes.
    pub fn ask(&mut self, item: impl Into<Item>) {
        let item = item.into();
        match item.owed {
            Owed::Sync if self.copying => self.dropped = true,
            Owed::Sync => {
                self.skipping = false;
                self.owed.push_back(item);
            }
            _ if self.skipping => {}
            Owed::CopyEnd if self.copying => self.copying = false,
            // Outside of COPY the server ignores it.
            Owed::CopyEnd if self.owed.is_empty() => {}
            _ => self.owed.push_back(item),
        }
    }

    /// An answer of the server passes that ends what `kind` is for. Returns what it ends, if that ends here.
    pub fn answer(&mut self, kind: u8) -> Option<Item> {
        match (kind, self.nth(0)) {
            (b'1', Some(Owed::Parse | Owed::OurParse))
            | (b'2', Some(Owed::Bind))
            | (b'3', Some(Owed::Close | Owed::OurClose))
            | (b'T' | b'n', Some(Owed::Describe | Owed::OurDescribe))
            | (b's', Some(Owed::Execute)) => return self.pop(),
            (b'C' | b'I', Some(Owed::Execute)) => {
                self.end_copy();
                return self.pop();
            }
            (b'C', Some(Owed::Query)) => self.end_copy(),
            (b'T' | b'I', Some(Owed::Query)) => {}
            _ => self.doubt = true,
        }
        None
    }

    /// The answers can't be told any more.
    pub fn be_in_doubt(&mut self) {
        self.doubt = true;
    }

    /// CopyInResponse: Syncs that are on their way already will not be answered, up to the end of the COPY.
    pub fn copy_in(&mut self) {
        self.doubt |= !matches!(self.nth(0), Some(Owed::Query | Owed::Execute));
        while self.nth(1) == Some(Owed::Sync) {
            self.owed.remove(1);
            self.dropped = true;
        }
        match self.nth(1) {
            None => self.copying = true,
            Some(Owed::CopyEnd) => drop(self.owed.remove(1)),
            // The server will call that a violation of the protocol.
            Some(_) => self.doubt = true,
        }
    }

    /// ErrorResponse. What fails by it, and then what the server ignores because of that, goes to `gone`.
    pub fn error(&mut self, mut gone: impl FnMut(Item)) {
        self.doubt |= self.dropped;
        self.end_copy();
        if matches!(self.nth(0), None | Some(Owed::Query | Owed::Sync)) {
            return;
        }
        while let Some(item) = self.owed.pop_front_if(|item| item.owed != Owed::Sync) {
            gone(item);
        }
        self.skipping = self.owed.is_empty();
    }

    /// ReadyForQuery. Returns what it is for.
    pub fn ready(&mut self) -> Option<Item> {
        self.end_copy();
        let ended = loop {
            let item = self.owed.pop_front();
            match item.as_ref().map(|item| item.owed) {
                Some(Owed::Query | Owed::Sync) => break item,
                Some(Owed::CopyEnd) => {}
                Some(_) => self.doubt = true,
                None => {
                    self.doubt = true;
                    break None;
                }
            }
        };
        self.drop_marks();
        ended
    }

    fn end_copy(&mut self) {
        (self.copying, self.dropped) = (false, false);
    }

    fn pop(&mut self) -> Option<Item> {
        let ended = self.owed.pop_front();
        self.drop_marks();
        ended
    }

    fn drop_marks(&mut self) {
        while self.nth(0) == Some(Owed::CopyEnd) {
            self.owed.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(asked: &[Owed]) -> Queue {
        let mut queue = Queue::default();
        for owed in asked {
            queue.ask(*owed);
        }
        queue
    }

    fn left(queue: &Queue) -> Vec<Owed> {
        queue.owed.iter().map(|item| item.owed).collect()
    }

    #[test]
    fn an_error_drops_everything_to_the_next_sync_even_a_query() {
        let mut queue = queue(&[Owed::Parse, Owed::Bind, Owed::Query, Owed::Sync, Owed::Query]);
        queue.error(|_| ());
        assert_eq!(left(&queue), [Owed::Sync, Owed::Query]);
        queue.ready();
        queue.ready();
        assert!(queue.is_empty() && !queue.doubt());
    }

    #[test]
    fn without_a_sync_everything_is_ignored_until_one_comes() {
        let mut queue = queue(&[Owed::Parse, Owed::Query]);
        queue.error(|_| ());
        queue.ask(Owed::Bind);
        queue.ask(Owed::Query);
        assert!(queue.is_empty());
        queue.ask(Owed::Sync);
        queue.ask(Owed::Query);
        assert_eq!(left(&queue), [Owed::Sync, Owed::Query]);
    }

    #[test]
    fn an_error_of_a_query_or_of_a_commit_is_followed_by_its_ready_for_query() {
        for owed in [Owed::Query, Owed::Sync] {
            let mut queue = queue(&[owed, Owed::Parse]);
            queue.error(|_| ());
            assert_eq!(left(&queue), [owed, Owed::Parse]);
        }
    }

    #[test]
    fn copy_ignores_syncs_sent_before_its_end() {
        // libpq: Execute and Sync at once, then the data, CopyDone, Sync.
        let mut late = queue(&[Owed::Execute, Owed::Sync]);
        late.copy_in();
        assert!(late.copying());
        late.ask(Owed::CopyEnd);
        late.ask(Owed::Sync);
        assert_eq!(left(&late), [Owed::Execute, Owed::Sync]);
        late.answer(b'C');
        late.ready();
        assert!(late.is_empty() && !late.doubt());

        // All of it before the server has said anything, twice.
        let one = [Owed::Execute, Owed::Sync, Owed::CopyEnd];
        let mut early = queue(&[one, one].concat());
        early.ask(Owed::Sync);
        early.copy_in();
        early.answer(b'C');
        early.copy_in();
        early.answer(b'C');
        assert_eq!(left(&early), [Owed::Sync]);
        early.ready();
        assert!(early.is_empty() && !early.doubt());
    }

    #[test]
    fn a_copy_that_was_sent_to_its_end_ends_ready_by_a_query_only() {
        assert!(queue(&[Owed::Query, Owed::CopyEnd]).ends_ready());
        assert!(!queue(&[Owed::Execute, Owed::Sync, Owed::CopyEnd]).ends_ready());
        assert!(queue(&[Owed::Execute, Owed::Sync, Owed::CopyEnd, Owed::Sync]).ends_ready());
        assert!(!queue(&[Owed::CopyEnd]).ends_ready());
    }

    #[test]
    fn a_failed_copy_whose_sync_was_ignored_leaves_a_doubt() {
        let mut queue = queue(&[Owed::Execute, Owed::Sync]);
        queue.copy_in();
        queue.error(|_| ());
        assert!(queue.doubt());
    }

    #[test]
    fn copy_data_after_a_failed_copy_owes_nothing() {
        let mut queue = queue(&[Owed::Query]);
        queue.copy_in();
        queue.error(|_| ());
        queue.ask(Owed::CopyEnd);
        queue.ready();
        assert!(queue.is_empty() && !queue.doubt());
        queue.ask(Owed::CopyEnd);
        assert!(queue.is_empty());
    }

    #[test]
    fn an_answer_that_nobody_asked_for_leaves_a_doubt() {
        for kind in [b'1', b'2', b'3', b'C', b'T', b's'] {
            let mut queue = Queue::default();
            queue.answer(kind);
            assert!(queue.doubt());
        }
        let mut queue = Queue::default();
        queue.ready();
        assert!(queue.doubt());
    }
}
