//! Does a script at PostgreSQL itself, and writes down what everybody hears.

use std::time::Duration;

use crate::hold::{Hold, settled};
use crate::play::{Mark, Recording, Scene, Source, Take, Unfit};
use crate::script::{Act, Script, Sending, Step, Until};
use crate::stage::{Client, END, Stage};

/// A client before a step.
#[derive(Clone, Copy)]
struct Before {
    said: usize,
    settled: bool,
    notices: usize,
}

impl Before {
    fn of(client: &Client) -> Self {
        Self { said: client.said.len(), settled: settled(client), notices: client.owed.notices() }
    }
}

/// Does at `stage`, PostgreSQL itself, what `source` says.
pub fn record(
    source: &mut dyn Source,
    mut stage: Stage,
    servers: usize,
    patience: Duration,
) -> Result<Recording, Unfit> {
    let mut holds: Vec<Hold> = stage.seats.iter().map(|_| Hold::default()).collect();
    let mut current = vec![0; holds.len()];
    let mut recording =
        Recording { script: Script { servers, steps: Vec::new() }, takes: Vec::new(), marks: Vec::new() };
    while let Some(step) = source.next(&Scene { stage: &stage, holds: &holds, servers }) {
        let who = step.client;
        if !(Scene { stage: &stage, holds: &holds, servers }).allows(&step) {
            recording.script.steps.push(step);
            return Err(Unfit::Step(recording.script));
        }
        recording.script.steps.push(step.clone());
        let before = stage.seats[who].client.as_ref().map(Before::of);
        if let Some(client) = &stage.seats[who].client {
            holds[who].before(&step, client);
        }
        match &step.act {
            Act::Login(parameters) => {
                stage.log_in(who, parameters).map_err(Unfit::Login)?;
                holds[who] = Hold::default();
                current[who] = recording.takes.len();
                let start_up = parameters.iter().map(|(name, _)| name.clone()).collect();
                recording.takes.push(Take { said: Vec::new(), whole: false, start_up });
            }
            Act::Send(sending, until) => {
                stage.send(who, sending);
                let notices = before.map_or(0, |before| before.notices);
                let done = |stage: &Stage| {
                    stage.seats[who].client.as_ref().is_none_or(|client| has_come(client, *until, notices))
                };
                if stage.until(patience, done).is_err() {
                    return Err(Unfit::Silent(recording.script));
                }
            }
            Act::Leave(sending, how) => {
                stage.send(who, sending);
                let Ok(gone) = stage.leave(who, *how, patience) else { return Err(Unfit::Silent(recording.script)) };
                if let Some(client) = gone {
                    end(&mut recording.takes[current[who]], sending, client);
                }
                holds[who] = Hold::default();
            }
            Act::Cancel(whom) => stage.cancel(*whom),
        }
        let mut mark = Mark { take: current[who], ..Mark::default() };
        if let (Some(client), Some(before)) = (&stage.seats[who].client, before) {
            holds[who].after(&step, client, before.said, before.settled);
            mark = see(&step, client, before.said, mark);
            if client.owed.doubt() {
                return Err(Unfit::Step(recording.script));
            }
        }
        recording.marks.push(mark);
    }
    for (who, seat) in stage.seats.iter_mut().enumerate() {
        if let Some(client) = seat.client.take() {
            recording.takes[current[who]].said = client.said;
        }
    }
    Ok(recording)
}

/// Parameters and notifications have an order with the answers only where something was asked and everything is at rest.
fn see(step: &Step, client: &Client, before: usize, mark: Mark) -> Mark {
    let said = client.said.len();
    let ready = said > before && client.said.last().is_some_and(|last| last.starts_with("ReadyForQuery"));
    if !matches!(step.act, Act::Send(_, Until::Owed)) || !ready || client.owed.open() {
        return Mark { said, ..mark };
    }
    let notified = (client.owed.status == b'I').then(|| client.notified.clone());
    Mark { said, statuses: Some(client.statuses.clone()), notified, ..mark }
}

fn has_come(client: &Client, until: Until, notices: usize) -> bool {
    match until {
        Until::Nothing => true,
        Until::Owed => client.ended() || !client.owed.owes(),
        Until::Notice => client.ended() || client.owed.notices() > notices || !client.owed.owes(),
    }
}

/// The client of a session has left.
fn end(take: &mut Take, last: &Sending, client: Client) {
    take.whole = last.messages.is_empty() && settled(&client) && client.said.last().is_some_and(|last| last == END);
    let mut said = client.said;
    take.strip(&mut said);
    take.said = said;
}
