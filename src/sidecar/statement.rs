//! Prepared statements of clients that change their server connections: which exist for a client, and which on a server.
//!
//! `docs/transactions.md` is the argument: rules R3 to R6. A client's names lead to entries ([`Names`]); a server connection has copies
//! ([`Copies`]) under names of ours. What was sent and not yet answered is [`Changes`]: a message reads both with the changes of its
//! own segment on top. No I/O.

mod changes;
mod copies;
mod deallocate;
mod description;
mod names;
mod texts;

use std::cell::RefCell;
use std::rc::Rc;

use super::state::Hints;
use super::wire::Parameters;

pub use changes::{Change, Changes, Of, Pending};
pub use copies::Copies;
pub use deallocate::deallocated;
pub use description::{Describing, Description};
pub use names::{Names, Unnamed, key};
pub use texts::Texts;

/// A Parse longer than this is not kept: its client keeps the server connection instead.
pub const TEXT_MAX: usize = 64 * 1024;

/// What our names of statements begin with.
pub const PREFIX: &str = "weir_";
/// The number of a name that never exists: numbers begin with 1.
pub const NEVER: u32 = 0;

/// A statement of our own that is made on a server where a client's message needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spare {
    /// Of no text: there for sure, and may be dropped.
    Empty,
    /// Drops [`Spare::Empty`].
    Drop,
}

impl Spare {
    /// Its name on servers.
    pub const fn name(self) -> &'static [u8] {
        match self {
            Self::Empty => b"weir_spare",
            Self::Drop => b"weir_drop",
        }
    }

    /// Its text, which PostgreSQL takes also in a transaction that has failed where it is none.
    pub const fn text(self) -> &'static [u8] {
        match self {
            Self::Empty => b"",
            Self::Drop => b"DEALLOCATE weir_spare",
        }
    }
}

/// A text with its declared parameter types, of clients that parse under the same settings.
#[derive(Debug)]
pub struct Statement {
    /// Tells it from others.
    pub id: u32,
    /// What its parsing depends on.
    settings: Rc<Parameters>,
    /// What of the session it may change when it runs.
    pub hints: Hints,
    /// The name of the statement that it drops, if that is all it does.
    pub deallocates: Option<Box<[u8]>>,
    /// Names of custom parameters that it may set.
    pub custom: Box<[Box<[u8]>]>,
    /// The last description of it by any server, so that equal ones are one.
    described: RefCell<Option<Rc<Description>>>,
    /// As in Parse: the text, a zero byte, and the types. None where it was too long to be kept.
    body: Option<Rc<[u8]>>,
}

impl Statement {
    /// What it may take of a server's memory, by its own.
    pub fn size(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.len())
    }

    /// Whether it can be parsed again.
    pub fn is_kept(&self) -> bool {
        self.body.is_some()
    }

    /// The text and its zero byte.
    pub fn text(&self) -> &[u8] {
        let body = self.body.as_deref().unwrap_or_default();
        body.iter().position(|byte| *byte == 0).and_then(|end| body.get(..=end)).unwrap_or_default()
    }

    /// The declared types as they stand in Parse, their number first.
    pub fn declared(&self) -> &[u8] {
        let body = self.body.as_deref().unwrap_or_default();
        body.get(self.text().len()..).unwrap_or_default()
    }

    /// Whether it is what a Parse with this body means.
    pub fn is(&self, settings: &Rc<Parameters>, body: &[u8]) -> bool {
        self.body.as_deref() == Some(body) && Rc::ptr_eq(&self.settings, settings)
    }

    /// Whether PostgreSQL refuses to run it once its columns would be others. It does not for utility statements, FETCH for one.
    pub fn has_fixed_columns(&self) -> bool {
        let text = self.text().trim_ascii_start();
        let word = text.split(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
        let utility = [&b"fetch"[..], b"execute", b"show", b"explain", b"move", b"copy", b"declare", b"call"];
        !utility.iter().any(|utility| word.eq_ignore_ascii_case(utility))
    }
}

/// Our name of the copy `number`.
pub fn name_of(number: u32, room: &mut [u8; 16]) -> &[u8] {
    let mut left = &mut room[..];
    let written = std::io::Write::write_fmt(&mut left, format_args!("{PREFIX}{number}")).is_ok();
    let len = 16 - left.len();
    room.get(..len).filter(|_| written).unwrap_or_default()
}

/// The same, appended.
pub fn write_name(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(name_of(number, &mut [0; 16]));
}

/// A text up to its zero byte.
fn up_to_zero(text: &[u8]) -> &[u8] {
    text.iter().position(|byte| *byte == 0).and_then(|end| text.get(..end)).unwrap_or(text)
}

/// One name of one client, from its Parse to its Close.
#[derive(Debug)]
pub struct Entry {
    /// As the client wrote it.
    pub name: Rc<[u8]>,
    /// Of the copy that the client's own Parse has made.
    pub number: u32,
    /// What it stands for.
    pub statement: Rc<Statement>,
    /// What the client's own Parse gave; none before it is told.
    pub description: RefCell<Option<Rc<Description>>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbered() {
        for id in [0, 1, 9, 10, 4711, u32::MAX] {
            let mut out = Vec::new();
            write_name(id, &mut out);
            assert_eq!(out, format!("weir_{id}").into_bytes());
        }
        assert_eq!(name_of(NEVER, &mut [0; 16]), b"weir_0");
    }
}
