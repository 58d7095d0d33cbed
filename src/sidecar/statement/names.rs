//! The statements that exist for one client, as PostgreSQL would have them in its session.

use std::collections::HashMap;
use std::rc::Rc;

use super::{Description, Entry, Statement};

/// PostgreSQL tells names apart by so many bytes (NAMEDATALEN - 1; prepared statements are in a hash table with such keys).
const NAME_MAX: usize = 63;

/// The part of a name that counts.
pub fn key(name: &[u8]) -> &[u8] {
    name.get(..NAME_MAX).unwrap_or(name)
}

type Entries = HashMap<Rc<[u8]>, Rc<Entry>>;

/// The unnamed statement.
#[derive(Clone, Debug)]
pub struct Unnamed {
    /// Which Parse it comes from, of all that were ever passed on. A server's unnamed statement is this one only if it has the same.
    pub parse: u64,
    /// What it is.
    pub statement: Rc<Statement>,
    /// What its client was told, if it asked.
    pub description: Option<Rc<Description>>,
}

/// See the module. Most clients have no name, and 10,000 idle ones should stay small.
#[derive(Debug, Default)]
pub struct Names {
    unnamed: Option<Unnamed>,
    named: Option<Box<Entries>>,
    /// Those whose text was too long to be kept.
    unkept: u32,
}

impl Names {
    /// The unnamed statement.
    pub fn unnamed(&self) -> Option<&Unnamed> {
        self.unnamed.as_ref()
    }

    /// The same, to note its description.
    pub fn unnamed_mut(&mut self) -> Option<&mut Unnamed> {
        self.unnamed.as_mut()
    }

    /// What `name` stands for.
    pub fn get(&self, name: &[u8]) -> Option<&Rc<Entry>> {
        self.named.as_ref()?.get(key(name))
    }

    /// Whether there is a statement that only its present server has.
    pub fn pins(&self) -> bool {
        self.unkept > 0
    }

    /// Replaces the unnamed statement.
    pub fn set_unnamed(&mut self, unnamed: Option<Unnamed>) {
        let unkept = |unnamed: &Option<Unnamed>| unnamed.as_ref().is_some_and(|unnamed| !unnamed.statement.is_kept());
        self.unkept += u32::from(unkept(&unnamed));
        self.unkept -= u32::from(unkept(&self.unnamed));
        self.unnamed = unnamed;
    }

    /// A name comes to be.
    pub fn insert(&mut self, entry: Rc<Entry>) {
        self.unkept += u32::from(!entry.statement.is_kept());
        let old = self.named.get_or_insert_default().insert(key(&entry.name).into(), entry);
        self.unkept -= u32::from(old.is_some_and(|old| !old.statement.is_kept()));
    }

    /// A name ends.
    pub fn remove(&mut self, name: &[u8]) {
        let Some(named) = &mut self.named else { return };
        let old = named.remove(key(name));
        self.unkept -= u32::from(old.is_some_and(|old| !old.statement.is_kept()));
        if named.is_empty() {
            self.named = None;
        }
    }

    /// All names end, as by DEALLOCATE ALL; the unnamed statement stays.
    pub fn clear(&mut self) {
        self.named = None;
        self.unkept = u32::from(self.unnamed.as_ref().is_some_and(|unnamed| !unnamed.statement.is_kept()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Texts;
    use super::*;
    use std::cell::RefCell;

    fn entry(name: &[u8], statement: Rc<Statement>) -> Rc<Entry> {
        Rc::new(Entry { name: name.into(), number: 1, statement, description: RefCell::default() })
    }

    #[test]
    fn names_are_told_apart_by_their_first_63_bytes() {
        let mut texts = Texts::default();
        let (statement, mut names) = (texts.of(&Rc::default(), b"select 1\0\0\0"), Names::default());
        names.insert(entry(&[b'a'; 70], statement));
        assert!(names.get(&[b'a'; 63]).is_some() && names.get(&[b'a'; 64]).is_some());
        assert!(names.get(&[b'a'; 62]).is_none());
        names.remove(&[b'a'; 90]);
        assert!(names.get(&[b'a'; 63]).is_none() && names.named.is_none());
    }

    #[test]
    fn texts_that_are_not_kept_pin_until_they_are_gone() {
        let mut texts = Texts::default();
        let mut names = Names::default();
        names.insert(entry(b"a", texts.unkept()));
        names.insert(entry(b"b", texts.unkept()));
        names.set_unnamed(Some(Unnamed { parse: 1, statement: texts.unkept(), description: None }));
        assert!(names.pins());
        names.remove(b"a");
        names.clear();
        assert!(names.pins());
        names.set_unnamed(None);
        assert!(!names.pins());
    }
}
