//! The texts of statements, each kept once for all clients and servers that have it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::{Statement, deallocated};
use crate::sidecar::state::{Hints, hints_of_text};
use crate::sidecar::wire::Parameters;

/// Bytes of texts beyond which those that nobody has any more are forgotten.
const KEPT: usize = 1024 * 1024;

/// All statements that anybody has.
#[derive(Debug, Default)]
pub struct Texts {
    /// By the settings that parsing depends on: nearly always one.
    groups: Vec<Group>,
    last: u32,
    parses: u64,
    bytes: usize,
    /// Look again for what nobody has at this size.
    limit: usize,
}

#[derive(Debug)]
struct Group {
    settings: Rc<Parameters>,
    statements: HashMap<Rc<[u8]>, Rc<Statement>>,
}

impl Texts {
    /// The statement with this body of a Parse, of a client that parses under `settings`: of those that are one `Rc`.
    pub fn of(&mut self, settings: &Rc<Parameters>, body: &[u8]) -> Rc<Statement> {
        let at = self.groups.iter().position(|group| Rc::ptr_eq(&group.settings, settings));
        if let Some(known) = at.and_then(|at| self.groups.get(at)).and_then(|group| group.statements.get(body)) {
            return Rc::clone(known);
        }
        if self.bytes + body.len() > self.limit.max(KEPT) {
            self.forget();
        }
        let body: Rc<[u8]> = body.into();
        self.bytes += body.len();
        let statement = self.make(settings, Some(Rc::clone(&body)));
        let known = Rc::clone(&statement);
        match self.groups.iter_mut().find(|group| Rc::ptr_eq(&group.settings, settings)) {
            Some(group) => drop(group.statements.insert(body, known)),
            None => {
                self.groups.push(Group { settings: Rc::clone(settings), statements: HashMap::from([(body, known)]) });
            }
        }
        statement
    }

    /// One that is too long to be kept.
    pub fn unkept(&mut self) -> Rc<Statement> {
        self.make(&Rc::default(), None)
    }

    /// A number for a statement or a copy. Wraps around only after four billion, when the first are long gone.
    pub fn number(&mut self) -> u32 {
        self.last = self.last.checked_add(1).unwrap_or(1);
        self.last
    }

    /// A number for a Parse of an unnamed statement.
    pub fn parse(&mut self) -> u64 {
        self.parses += 1;
        self.parses
    }

    /// How many are known, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        (self.groups.iter().map(|group| group.statements.len()).sum(), self.bytes)
    }

    fn make(&mut self, settings: &Rc<Parameters>, body: Option<Rc<[u8]>>) -> Rc<Statement> {
        let mut custom = Vec::new();
        let hints = body.as_deref().map_or(Hints::EVERYTHING | Hints::DROPS_STATEMENTS, |body| {
            hints_of_text(super::up_to_zero(body), &mut |name: &[u8]| custom.push(name.into()))
        });
        let (settings, custom) = (Rc::clone(settings), custom.into());
        let drops = body.as_deref().filter(|_| hints.contains(Hints::DROPS_STATEMENTS));
        let deallocates = drops.and_then(|body| deallocated(super::up_to_zero(body))).map(Into::into);
        Rc::new(Statement {
            id: self.number(),
            settings,
            hints,
            deallocates,
            custom,
            described: RefCell::default(),
            body,
        })
    }

    fn forget(&mut self) {
        for group in &mut self.groups {
            group.statements.retain(|_, statement| Rc::strong_count(statement) > 1);
        }
        self.groups.retain(|group| !group.statements.is_empty());
        let sizes = self.groups.iter().flat_map(|group| group.statements.keys());
        self.bytes = sizes.map(|body| body.len()).sum();
        self.limit = self.bytes * 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_under_equal_settings_are_one_statement() {
        let mut texts = Texts::default();
        let (a, b) = (Rc::new(Parameters::default()), Rc::new(Parameters::default()));
        let first = texts.of(&a, b"select 1\0\0\0");
        assert!(Rc::ptr_eq(&first, &texts.of(&a, b"select 1\0\0\0")));
        assert!(!Rc::ptr_eq(&first, &texts.of(&a, b"select 2\0\0\0")));
        assert!(!Rc::ptr_eq(&first, &texts.of(&b, b"select 1\0\0\0")));
        assert_eq!(first.text(), b"select 1\0");
        assert_eq!(texts.size().0, 3);
    }

    #[test]
    fn what_nobody_has_is_forgotten_and_what_somebody_has_is_not() {
        let mut texts = Texts::default();
        let settings = Rc::new(Parameters::default());
        let kept: Vec<_> = (0..10).map(|n| texts.of(&settings, format!("keep {n}\0\0\0").as_bytes())).collect();
        for n in 0..100_000 {
            texts.of(&settings, format!("select {n}, {n}, {n}, {n}, {n}\0\0\0").as_bytes());
        }
        assert!(texts.size().1 <= KEPT);
        for (n, statement) in kept.iter().enumerate() {
            assert!(Rc::ptr_eq(statement, &texts.of(&settings, format!("keep {n}\0\0\0").as_bytes())));
        }
    }
}
