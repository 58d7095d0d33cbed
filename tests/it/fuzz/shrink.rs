//! Makes a script that fails shorter, as long as it fails: without a client, without steps, without messages, without cuts.

use std::time::{Duration, Instant};

use crate::play::Difference;
use crate::script::Script;
use crate::world::World;

/// For what can't be waited for: a candidate that hangs costs this.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where it still differs, with new poolers.
pub fn differs(world: &mut World, script: &Script) -> Option<Difference> {
    world.renew();
    let Ok(recording) = world.record(script, PATIENCE) else {
        world.clean();
        return None;
    };
    world.compare(&recording, PATIENCE * 2).err()
}

/// The shortest that is found in the time, and where it differs; `None` where the script alone does not.
pub fn shrink(world: &mut World, script: &Script, time: Duration) -> Option<(Script, Difference)> {
    let end = Instant::now() + time;
    let difference = differs(world, script)?;
    let mut best = (script.clone(), difference);
    // Nothing behind it matters.
    best.0.steps.truncate(best.1.step + 1);
    match differs(world, &best.0) {
        Some(difference) => best.1 = difference,
        None => best.0 = script.clone(),
    }
    loop {
        let before = best.0.clone();
        for pass in [clients, steps, messages, plain] {
            let mut at = 0;
            while let Some(candidate) = pass(&best.0, at) {
                if Instant::now() > end {
                    return Some(best);
                }
                match Some(candidate).filter(|candidate| *candidate != best.0).and_then(|shorter| {
                    let difference = differs(world, &shorter)?;
                    Some((shorter, difference))
                }) {
                    Some(shorter) => best = shorter,
                    None => at += 1,
                }
            }
        }
        if best.0 == before {
            return Some(best);
        }
    }
}

/// Without the client of this number.
fn clients(script: &Script, at: usize) -> Option<Script> {
    let mut shorter = script.clone();
    shorter.steps.retain(|step| step.client != at);
    (at < script.clients()).then_some(shorter)
}

/// Without a part of the steps: first large ones, at last each alone.
fn steps(script: &Script, at: usize) -> Option<Script> {
    let parts = (1..).map(|halvings| 1_usize << halvings).take_while(|parts| *parts <= script.steps.len());
    let ranges = parts.flat_map(|parts| {
        let length = script.steps.len() / parts;
        (0..parts).map(move |part| (part * length, length))
    });
    let single = (0..script.steps.len()).map(|step| (step, 1));
    let (from, length) = ranges.chain(single).nth(at)?;
    let mut shorter = script.clone();
    shorter.steps.drain(from..from + length);
    Some(shorter)
}

fn messages(script: &Script, at: usize) -> Option<Script> {
    let count = |step: usize| script.steps[step].sending().map_or(0, |sending| sending.messages.len());
    let all = (0..script.steps.len()).flat_map(|step| (0..count(step)).map(move |message| (step, message)));
    let (step, message) = { all }.nth(at)?;
    let mut shorter = script.clone();
    shorter.steps[step].sending_mut()?.messages.remove(message);
    Some(shorter)
}

/// A step without cuts, or without anything kept.
fn plain(script: &Script, at: usize) -> Option<Script> {
    let mut shorter = script.clone();
    if let Some(sending) = shorter.steps.get_mut(at / 2)?.sending_mut() {
        if at.is_multiple_of(2) {
            sending.cuts.clear();
        } else {
            sending.kept = 0;
        }
    }
    Some(shorter)
}
