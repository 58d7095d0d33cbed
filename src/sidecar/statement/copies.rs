//! The statements that are prepared on one server connection.

use std::collections::HashMap;
use std::rc::Rc;

use super::{Description, Spare, Statement};
use crate::sidecar::fault::{Fault, planted};

/// Bytes of texts that may be prepared on a connection; PostgreSQL takes some ten times as much for their plans.
const PREPARED_MAX: usize = 256 * 1024;

/// A statement on a server connection.
#[derive(Debug)]
struct Copy {
    /// In its name.
    number: u32,
    statement: Rc<Statement>,
    /// None until the server has described it.
    description: Option<Rc<Description>>,
    used: u64,
}

/// See the module. A statement has several copies where the server has described it differently at different times.
#[derive(Debug, Default)]
pub struct Copies {
    /// By the number of the statement.
    by_statement: HashMap<u32, Vec<Copy>>,
    /// Numbers of copies that nobody will use any more.
    retired: Vec<u32>,
    count: usize,
    bytes: usize,
    clock: u64,
    /// Which Parse its unnamed statement comes from; none if it has none.
    unnamed: Option<u64>,
    /// [`Spare::Empty`] exists, and [`Spare::Drop`].
    spare: bool,
    drop_spare: bool,
    /// Our own statements exist.
    tools: bool,
}

impl Copies {
    /// The number of the copy of `statement` that answers as `told`, which counts as used now.
    pub fn find(&mut self, statement: u32, told: &Rc<Description>) -> Option<u32> {
        self.clock += 1;
        let same =
            |copy: &&mut Copy| copy.description.as_ref().is_some_and(|found| Rc::ptr_eq(found, told) || found == told);
        let copy = self.by_statement.get_mut(&statement)?.iter_mut().find(same)?;
        copy.used = self.clock;
        Some(copy.number)
    }

    /// The number of the copy of `statement` that was made last.
    pub fn newest(&self, statement: u32) -> Option<u32> {
        self.by_statement.get(&statement)?.last().map(|copy| copy.number)
    }

    /// A statement was prepared.
    pub fn insert(&mut self, number: u32, statement: &Rc<Statement>) {
        self.clock += 1;
        self.count += 1;
        self.bytes += statement.size();
        let copy = Copy { number, description: None, used: self.clock, statement: Rc::clone(statement) };
        self.by_statement.entry(statement.id).or_default().push(copy);
    }

    /// The server has described it. An older copy that answers the same is not needed any more.
    pub fn describe(&mut self, number: u32, statement: u32, description: &Rc<Description>) {
        let Some(copies) = self.by_statement.get_mut(&statement) else { return };
        copies.retain(|copy| {
            let same = copy.number != number && copy.description.as_ref().is_some_and(|found| found == description);
            if same {
                self.retired.push(copy.number);
                self.count -= 1;
                self.bytes -= copy.statement.size();
            }
            !same
        });
        if let Some(copy) = copies.iter_mut().find(|copy| copy.number == number) {
            copy.description = Some(Rc::clone(description));
        }
    }

    /// It is still there, but nobody will use it any more.
    pub fn retire(&mut self, number: u32) {
        self.retired.push(number);
    }

    /// It is gone.
    pub fn remove(&mut self, number: u32) {
        self.by_statement.retain(|_, copies| {
            copies.retain(|copy| {
                if copy.number == number {
                    self.count -= 1;
                    self.bytes -= copy.statement.size();
                }
                copy.number != number
            });
            !copies.is_empty()
        });
    }

    /// All are gone but the unnamed one.
    pub fn clear(&mut self) {
        self.by_statement.clear();
        self.retired.clear();
        (self.count, self.bytes) = (0, 0);
        (self.spare, self.drop_spare, self.tools) = (false, false, false);
    }

    /// A copy that must go before one of `size` bytes is prepared, no more to be found from now on: one that is not needed, or the one
    /// that was not used for longest. None that `spared` names, and none whose text is not kept.
    pub fn surplus(&mut self, size: usize, spared: impl Fn(u32) -> bool) -> Option<u32> {
        if let Some(number) = self.retired.pop() {
            return Some(number);
        }
        let eager = planted(Fault::EvictedWhileInUse);
        if !eager && self.bytes + size <= PREPARED_MAX {
            return None;
        }
        let copies = self.by_statement.values().flatten();
        let may_go = copies.filter(|copy| copy.statement.is_kept() && !spared(copy.number) && copy.used < u64::MAX);
        let number = may_go.min_by_key(|copy| copy.used)?.number;
        if eager {
            self.by_statement
                .values_mut()
                .flatten()
                .filter(|copy| copy.number == number)
                .for_each(|copy| copy.used = u64::MAX);
            return Some(number);
        }
        self.remove(number);
        Some(number)
    }

    /// Which Parse its unnamed statement comes from.
    pub fn unnamed(&self) -> Option<u64> {
        self.unnamed
    }

    /// Its unnamed statement is another.
    pub fn set_unnamed(&mut self, parse: Option<u64>) {
        self.unnamed = parse;
    }

    /// Whether a spare statement exists.
    pub fn has_spare(&self, spare: Spare) -> bool {
        match spare {
            Spare::Empty => self.spare,
            Spare::Drop => self.drop_spare,
        }
    }

    /// It exists from now on, or does not.
    pub fn set_spare(&mut self, spare: Spare, exists: bool) {
        match spare {
            Spare::Empty => self.spare = exists,
            Spare::Drop => self.drop_spare = exists,
        }
    }

    /// Whether our own statements exist.
    pub fn has_tools(&self) -> bool {
        self.tools
    }

    /// They exist from now on.
    pub fn set_tools(&mut self) {
        self.tools = true;
    }

    /// How many there are, and the bytes of their texts.
    pub fn size(&self) -> (usize, usize) {
        (self.count, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Texts;
    use super::*;

    fn told(types: &[u32]) -> Rc<Description> {
        Rc::new(Description::of_types(types))
    }

    #[test]
    fn the_one_that_was_not_used_for_longest_goes_first() {
        let (mut texts, mut copies) = (Texts::default(), Copies::default());
        let text = |n: u32| [format!("{n}").as_bytes(), &vec![b' '; 60_000], b"\0\0\0"].concat();
        let statements: Vec<_> = (0..4).map(|n| texts.of(&Rc::default(), &text(n))).collect();
        for (n, statement) in (10..).zip(&statements) {
            copies.insert(n, statement);
            copies.describe(n, statement.id, &told(&[n]));
        }
        assert_eq!(copies.surplus(10_000, |_| false), None);
        assert_eq!(copies.find(statements[0].id, &told(&[10])), Some(10));
        assert_eq!(copies.surplus(60_000, |spared| spared == 11), Some(12));
        assert_eq!(copies.surplus(60_000, |_| false), None);
        assert_eq!(copies.surplus(100_000, |_| false), Some(11));
        assert_eq!(copies.size(), (2, 2 * 60_004));
        assert_eq!(copies.find(statements[2].id, &told(&[12])), None);
    }

    #[test]
    fn each_answer_has_its_own_copy_and_an_equal_one_replaces_the_older() {
        let (mut texts, mut copies) = (Texts::default(), Copies::default());
        let statement = texts.of(&Rc::default(), b"select 1\0\0\0");
        for (number, types) in [(1, [23]), (2, [25]), (3, [23])] {
            copies.insert(number, &statement);
            copies.describe(number, statement.id, &told(&types));
        }
        assert_eq!(copies.find(statement.id, &told(&[23])), Some(3));
        assert_eq!(copies.find(statement.id, &told(&[25])), Some(2));
        assert_eq!(copies.newest(statement.id), Some(3));
        assert_eq!((copies.surplus(0, |_| false), copies.surplus(0, |_| false)), (Some(1), None));
        copies.remove(3);
        assert_eq!((copies.find(statement.id, &told(&[23])), copies.size().0), (None, 1));
    }
}
