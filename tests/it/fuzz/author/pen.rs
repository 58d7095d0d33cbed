//! What pieces are written with: chance, and what the client has said before.

use std::collections::BTreeMap;

use crate::dice::Dice;
use crate::say::Say;

/// Where a piece may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fits {
    Anywhere,
    /// Not where extended messages wait for their Sync.
    OutsideOfABatch,
    /// A step of its own, of a client that is at rest.
    Alone,
}

/// What is known of a session.
#[derive(Default)]
pub struct Mind {
    /// Statements that may exist, and their numbers of parameters; there is an unnamed one until the next simple query.
    pub statements: BTreeMap<String, usize>,
    pub start_up: Vec<String>,
    /// Of its locks, which nobody else has, nor had before it.
    pub own: u64,
    /// It has shown its session for the last time.
    pub probed: bool,
}

pub struct Pen<'a> {
    pub dice: &'a mut Dice,
    pub mind: &'a mut Mind,
    /// The client's own number: its values are told apart by it.
    pub who: usize,
    pub out: Vec<Say>,
    /// A batch of an earlier step waits for its Sync.
    open: bool,
    /// Nothing may follow in this step.
    pub done: bool,
}

impl<'a> Pen<'a> {
    pub fn new(dice: &'a mut Dice, mind: &'a mut Mind, who: usize, open: bool) -> Self {
        Self { dice, mind, who, out: Vec::new(), open, done: false }
    }

    pub fn one_in(&mut self, times: usize) -> bool {
        self.dice.roll(times) == 0
    }

    pub fn query(&mut self, sql: impl Into<String>) {
        let sql = sql.into();
        self.mind.statements.remove("");
        if ["DISCARD ALL", "DEALLOCATE ALL"].contains(&&*sql) {
            self.mind.statements.clear();
        }
        self.out.push(Say::Query(sql));
    }

    /// A simple query of one of these.
    pub fn query_of(&mut self, texts: &[&str]) {
        let sql = self.dice.pick(texts);
        self.query(sql);
    }

    /// Of these, simple or as an unnamed statement.
    pub fn run(&mut self, texts: &[&str]) {
        if self.one_in(3) && !self.is_open() {
            return self.query_of(texts);
        }
        let sql = self.dice.pick(texts);
        self.parse("", sql, 0, &[]);
        self.out.push(bind("", "", Vec::new()));
        self.out.push(Say::Execute { portal: String::new(), rows: 0 });
        self.end();
    }

    /// Most batches have their Sync.
    pub fn end(&mut self) {
        match self.dice.roll(10) {
            0 => self.out.push(Say::Flush),
            1 => {}
            2 => self.out.extend([Say::Sync, Say::Sync]),
            _ => self.out.push(Say::Sync),
        }
    }

    pub fn parse(&mut self, name: &str, sql: &str, parameters: usize, types: &[u32]) {
        self.mind.statements.insert(name.to_owned(), parameters);
        self.out.push(Say::Parse { name: name.to_owned(), types: types.to_vec(), sql: sql.to_owned() });
    }

    /// Whether something waits for a Sync.
    pub fn is_open(&self) -> bool {
        let last = self.out.iter().rev().find(|message| !matches!(message, Say::Flush | Say::CopyData(_)));
        last.map_or(self.open, |message| matches!(message.letter(), b'P' | b'B' | b'D' | b'C' | b'E'))
    }
}

pub fn bind(portal: &str, statement: &str, values: Vec<Option<String>>) -> Say {
    Say::Bind { portal: portal.to_owned(), statement: statement.to_owned(), binary: false, values }
}
