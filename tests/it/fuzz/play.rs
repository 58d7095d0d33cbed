//! A script is done at PostgreSQL, which is recorded ([`record`](crate::record)), and then anywhere else, where the same must be
//! heard ([`replay`](crate::replay)).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::hold::Hold;
use crate::raw::Message;
use crate::script::{Act, Script, Step};
use crate::stage::{Client, END, Stage};

/// How long what is owed may take at the server that is judged.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// What is told instead of an answer that did not come.
pub const SILENCE: &str = "nothing for";

/// What is known when the next step is chosen.
pub struct Scene<'a> {
    pub stage: &'a Stage,
    pub holds: &'a [Hold],
    pub servers: usize,
}

impl Scene<'_> {
    pub fn client(&self, who: usize) -> Option<&Client> {
        self.stage.seats[who].client.as_ref()
    }

    pub fn holds(&self, who: usize) -> bool {
        self.client(who).is_some_and(|client| self.holds[who].holds(client))
    }

    /// Whether the client has a server connection, or there is one for it.
    pub fn has_place(&self, who: usize) -> bool {
        self.holds(who) || (0..self.holds.len()).filter(|other| self.holds(*other)).count() < self.servers
    }

    /// Whether a step can be done, and has one outcome.
    pub fn allows(&self, step: &Step) -> bool {
        let client = self.client(step.client);
        match step.act {
            Act::Login(_) => client.is_none(),
            Act::Cancel(whom) => self.client(whom).is_none_or(|target| self.holds[whom].can_be_cancelled(target)),
            Act::Send(..) | Act::Leave(..) => client.is_some_and(|client| {
                let hold = &self.holds[step.client];
                hold.is_sure(step, client) && (hold.is_light(step, client) || self.has_place(step.client))
            }),
        }
    }
}

/// Where steps come from: an author who sees what happens, or a script.
pub trait Source {
    fn next(&mut self, scene: &Scene<'_>) -> Option<Step>;
}

/// A script as it was written.
pub struct Written<'a>(pub std::slice::Iter<'a, Step>);

impl Source for Written<'_> {
    fn next(&mut self, _: &Scene<'_>) -> Option<Step> {
        self.0.next().cloned()
    }
}

/// What was there once a step's answers had come.
#[derive(Debug, Default)]
pub struct Mark {
    /// Which session.
    pub take: usize,
    /// Messages until then.
    pub said: usize,
    pub statuses: Option<BTreeMap<String, String>>,
    pub notified: Option<Vec<String>>,
}

/// What one session heard.
pub struct Take {
    pub said: Vec<String>,
    /// It was awaited to its end.
    pub whole: bool,
    pub start_up: Vec<String>,
}

impl Take {
    /// Whether the end was seen of a session that was left without waiting for it is by chance.
    pub fn strip(&self, said: &mut Vec<String>) {
        said.retain(|said| self.whole || said != END);
    }
}

pub struct Recording {
    pub script: Script,
    pub takes: Vec<Take>,
    pub marks: Vec<Mark>,
}

/// A script that can't be judged.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("there is no client for the last step, or no server connection, or more than one outcome:\n{0}")]
    Step(Script),
    #[error("PostgreSQL refuses a login: {0:?}")]
    Login(Message),
    #[error("PostgreSQL did not answer the last step:\n{0}")]
    Silent(Script),
}

/// Where the two parted.
#[derive(Debug)]
pub struct Difference {
    pub step: usize,
    pub client: usize,
    pub expected: String,
    pub got: String,
}
