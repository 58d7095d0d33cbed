//! What messages on their way will change, in the order of their answers.

use std::collections::VecDeque;
use std::rc::Rc;

use super::{Copies, Entry, Names, Spare, Statement, Unnamed, key};

/// What a message changes once it is answered.
#[derive(Debug)]
pub enum Of {
    /// A client's Parse of a name: the name, and the server's copy.
    Named(Rc<Entry>),
    /// A client's Parse of the unnamed statement.
    Unnamed(Unnamed),
    /// A client's Close of a name.
    Close(Rc<[u8]>),
    /// A client's Close of the unnamed statement, or a Query: there is none then, on either side.
    Nameless,
    /// Our Parse, under this number.
    Copy(u32, Rc<Statement>),
    /// Our Parse of a spare one.
    Spare(Spare),
    /// Our Close of a copy.
    Uncopy(u32),
    /// Our Close of the server's unnamed statement.
    Clean,
}

/// A change on its way.
#[derive(Debug)]
pub struct Change {
    /// The segment that its message is in: between two Syncs.
    segment: u32,
    of: Of,
}

/// What the changes on their way say of one thing, to a message in the present segment.
#[derive(Debug)]
pub enum Pending<T> {
    /// Nothing: what is confirmed holds.
    Nothing,
    /// It will be this, unless the segment fails, and this message with it.
    Here(T),
    /// Whether it will be is not known before an answer has come.
    Unknown,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Changes(VecDeque<Change>);

impl Changes {
    /// No change is on its way.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A message passes that changes something.
    pub fn push(&mut self, segment: u32, of: Of) {
        self.0.push_back(Change { segment, of });
    }

    /// What becomes of a client's name.
    pub fn named(&self, name: &[u8], segment: u32) -> Pending<Option<&Rc<Entry>>> {
        self.find(segment, |of| match of {
            Of::Named(entry) if key(&entry.name) == key(name) => Some(Some(entry)),
            Of::Close(closed) if key(closed) == key(name) => Some(None),
            _ => None,
        })
    }

    /// What becomes of a client's unnamed statement.
    pub fn unnamed(&self, segment: u32) -> Pending<Option<&Unnamed>> {
        self.find(segment, |of| match of {
            Of::Unnamed(unnamed) => Some(Some(unnamed)),
            Of::Nameless => Some(None),
            _ => None,
        })
    }

    /// Whether we are making a copy of the statement `id`.
    pub fn copies(&self, id: u32) -> bool {
        self.0.iter().any(|change| matches!(&change.of, Of::Copy(_, statement) if statement.id == id))
    }

    /// Whether a copy of this number is on its way.
    pub fn makes(&self, number: u32) -> bool {
        self.0.iter().any(|change| match &change.of {
            Of::Named(entry) => entry.number == number,
            Of::Copy(made, _) => *made == number,
            _ => false,
        })
    }

    /// Whether a spare statement is on its way, in an earlier segment or in this one.
    pub fn spare(&self, spare: Spare, segment: u32) -> Pending<()> {
        self.find(segment, |of| matches!(of, Of::Spare(made) if *made == spare).then_some(()))
    }

    fn find<'a, T>(&'a self, segment: u32, tells: impl Fn(&'a Of) -> Option<T>) -> Pending<T> {
        for change in self.0.iter().rev() {
            if let Some(told) = tells(&change.of) {
                return if change.segment == segment { Pending::Here(told) } else { Pending::Unknown };
            }
        }
        Pending::Nothing
    }

    /// The first is answered: it holds.
    pub fn confirm(&mut self, names: &mut Names, copies: &mut Copies) {
        match self.0.pop_front().map(|change| change.of) {
            Some(Of::Named(entry)) => {
                copies.insert(entry.number, &entry.statement);
                names.insert(entry);
            }
            Some(Of::Unnamed(unnamed)) => {
                copies.set_unnamed(Some(unnamed.parse));
                names.set_unnamed(Some(unnamed));
            }
            Some(Of::Close(name)) => names.remove(&name),
            Some(Of::Nameless) => {
                copies.set_unnamed(None);
                names.set_unnamed(None);
            }
            Some(Of::Copy(number, statement)) => copies.insert(number, &statement),
            Some(Of::Spare(spare)) => copies.set_spare(spare, true),
            Some(Of::Uncopy(id)) => copies.remove(id),
            Some(Of::Clean) => copies.set_unnamed(None),
            None => {}
        }
    }

    /// The message of the first has failed.
    pub fn fail(&mut self, names: &mut Names, copies: &mut Copies) {
        // PostgreSQL drops the unnamed statement before it looks at the new one (`exec_parse_message`).
        if let Some(Of::Unnamed(_)) = self.0.pop_front().map(|change| change.of) {
            copies.set_unnamed(None);
            names.set_unnamed(None);
        }
    }

    /// The message of the first was ignored.
    pub fn ignore(&mut self, copies: &mut Copies) {
        if let Some(Of::Uncopy(number)) = self.0.pop_front().map(|change| change.of) {
            copies.retire(number);
        }
    }

    /// Forgets everything; the room stays.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
