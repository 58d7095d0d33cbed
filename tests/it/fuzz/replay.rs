//! Does again what was recorded, where everybody must hear the same.

use std::time::Duration;

use crate::play::{Difference, Mark, Recording, SILENCE, Take};
use crate::say::Say;
use crate::script::{Act, Leave, Sending, Step, Until};
use crate::stage::{Client, END, Stage};

/// A client that was told something else, what it should have been told, and what it was.
type Parted = (usize, String, String);

struct Replay<'a> {
    recording: &'a Recording,
    stage: &'a mut Stage,
    /// The session that each client has, by its number in the recording.
    current: Vec<usize>,
    patience: Duration,
}

/// Does `recording` at `stage`, up to the first difference.
pub fn replay(recording: &Recording, stage: &mut Stage, patience: Duration) -> Result<(), Difference> {
    let current = vec![0; stage.seats.len()];
    let mut replay = Replay { recording, stage, current, patience };
    for (number, (step, mark)) in recording.script.steps.iter().zip(&recording.marks).enumerate() {
        let done = replay.step(step, mark);
        done.map_err(|(client, expected, got)| Difference { step: number, client, expected, got })?;
    }
    Ok(())
}

impl Replay<'_> {
    fn step(&mut self, step: &Step, mark: &Mark) -> Result<(), Parted> {
        let who = step.client;
        match &step.act {
            Act::Login(parameters) => {
                let refused = |message| (who, "a login".to_owned(), format!("{message:?}"));
                self.stage.log_in(who, parameters).map_err(refused)?;
                self.current[who] = mark.take;
            }
            Act::Send(sending, until) => self.send(who, sending, *until, mark)?,
            Act::Leave(sending, how) => self.leave(who, sending, *how)?,
            Act::Cancel(whom) => self.stage.cancel(*whom),
        }
        if let Some(parted) = part(self.recording, self.stage, &self.current) {
            return Err(parted);
        }
        let client = self.stage.seats[who].client.as_ref();
        match client.and_then(|client| part_aside(&self.recording.takes[mark.take], step, mark, client)) {
            Some((expected, got)) => Err((who, expected, got)),
            None => Ok(()),
        }
    }

    /// As many messages as PostgreSQL sent until then must come.
    fn send(&mut self, who: usize, sending: &Sending, until: Until, mark: &Mark) -> Result<(), Parted> {
        self.stage.send(who, sending);
        if until == Until::Nothing {
            return Ok(());
        }
        let mut parted = None;
        let done = |stage: &Stage| {
            parted = part(self.recording, stage, &self.current);
            let client = stage.seats[who].client.as_ref();
            parted.is_some() || client.is_none_or(|client| client.said.len() >= mark.said)
        };
        let waited = self.stage.until(self.patience, done);
        if let Some(parted) = parted {
            return Err(parted);
        }
        waited.map_err(|_| {
            let heard = self.stage.seats[who].client.as_ref().map_or(0, |client| client.said.len());
            let expected = self.recording.takes[mark.take].said.get(heard).cloned();
            (who, expected.unwrap_or_default(), format!("{SILENCE} {} s", self.patience.as_secs()))
        })
    }

    fn leave(&mut self, who: usize, sending: &Sending, how: Leave) -> Result<(), Parted> {
        self.stage.send(who, sending);
        let take = &self.recording.takes[self.current[who]];
        let gone = self.stage.leave(who, how, self.patience);
        let Some(mut client) = gone.map_err(|_| (who, END.to_owned(), "none".to_owned()))? else { return Ok(()) };
        take.strip(&mut client.said);
        part_of(take, &client).map_or(Ok(()), |(expected, got)| Err((who, expected, got)))
    }
}

/// The first message, of anybody, that is another.
fn part(recording: &Recording, stage: &Stage, current: &[usize]) -> Option<Parted> {
    stage.seats.iter().enumerate().find_map(|(who, seat)| {
        let client = seat.client.as_ref()?;
        let (expected, got) = part_of(&recording.takes[current[who]], client)?;
        Some((who, expected, got))
    })
}

fn part_of(take: &Take, client: &Client) -> Option<(String, String)> {
    if let Some((expected, got)) = take.said.iter().zip(&client.said).find(|(expected, got)| expected != got) {
        return Some((expected.clone(), got.clone()));
    }
    let more = client.said.get(take.said.len()).filter(|_| take.whole);
    more.map(|got| ("nothing more".to_owned(), got.clone()))
}

/// What has no place among the answers: parameters and notifications.
fn part_aside(take: &Take, step: &Step, mark: &Mark, client: &Client) -> Option<(String, String)> {
    if client.said.len() != mark.said {
        return None;
    }
    if let Some(expected) = &mark.statuses {
        let excepted = |name: &String| loose(step) && (name == "application_name" || take.start_up.contains(name));
        let names = expected.keys().chain(client.statuses.keys()).filter(|name| !excepted(name));
        for name in names {
            let (expected, got) = (expected.get(name), client.statuses.get(name));
            if expected != got {
                return Some((format!("{name} = {expected:?}"), format!("{name} = {got:?}")));
            }
        }
    }
    let expected = mark.notified.as_ref().filter(|expected| **expected != client.notified)?;
    Some((format!("notified of {expected:?}"), format!("{:?}", client.notified)))
}

/// Whether a server connection's own start-up values may show for a moment: the client goes back to its.
fn loose(step: &Step) -> bool {
    let messages = step.sending().map_or(&[][..], |sending| &sending.messages);
    messages.iter().filter_map(Say::sql).any(|sql| {
        let upper = sql.to_uppercase();
        ["RESET", "DISCARD", "DEFAULT"].iter().any(|word| upper.contains(word))
    })
}
