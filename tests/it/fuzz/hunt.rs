//! Runs scripts, one seed after the other, for a time.
//!
//! `FUZZ_SEED=7` runs one seed, `FUZZ_SEED=0-31` several with the same poolers, `FUZZ_SCRIPT=<file>` a script as it is printed.
//! `FUZZ_SECONDS` is how long, `FUZZ_FROM` the first seed, `FUZZ_WORKERS` how many threads, `FUZZ_WITHOUT=ddl,role` what kinds are
//! not written.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::play::{Difference, PATIENCE, Unfit};
use crate::script::Script;
use crate::shrink::{differs, shrink};
use crate::world::{Other, World};

/// Scripts that share their poolers.
const TOGETHER: u64 = 32;

/// Time to make a script that fails shorter.
const SHRINKING: Duration = Duration::from_mins(1);

/// What was done.
#[derive(Debug, Default)]
pub struct Tally {
    pub scripts: AtomicU64,
    pub steps: AtomicU64,
    pub messages: AtomicU64,
    /// Scripts that came to a point with more than one outcome.
    pub unfit: AtomicU64,
}

/// A seed whose script differs, those before it with the same poolers, and how.
#[derive(Debug)]
pub struct Found {
    pub seeds: RangeInclusive<u64>,
    pub script: Script,
    pub difference: Difference,
}

pub fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is not a number")))
}

/// Runs seeds with the same poolers up to the first that differs, or until `end`.
pub fn together(world: &mut World, seeds: RangeInclusive<u64>, end: Instant, tally: &Tally) -> Option<Found> {
    world.renew();
    for seed in seeds.clone() {
        if Instant::now() > end {
            return None;
        }
        let recording = match world.write(seed, PATIENCE) {
            Ok(recording) => recording,
            Err(Unfit::Step(_)) => {
                tally.unfit.fetch_add(1, Ordering::Relaxed);
                world.clean();
                continue;
            }
            Err(unfit) => panic!("seed {seed}: {unfit}"),
        };
        let script = recording.script.clone();
        let messages: usize = script.steps.iter().filter_map(|step| Some(step.sending()?.messages.len())).sum();
        for (count, more) in [(&tally.scripts, 1), (&tally.steps, script.steps.len()), (&tally.messages, messages)] {
            count.fetch_add(more as u64, Ordering::Relaxed);
        }
        if let Err(difference) = world.compare(&recording, PATIENCE) {
            return Some(Found { seeds: *seeds.start()..=seed, script, difference });
        }
    }
    None
}

/// Runs all seeds from `first` on for a time, in several threads.
pub fn search(other: Other, first: u64, time: Duration, workers: u64) -> (Tally, Option<Found>) {
    let (tally, found) = (Tally::default(), Mutex::new(None));
    let next = AtomicU64::new(first);
    let end = Instant::now() + time;
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut world = World::new(other);
                while Instant::now() < end && found.lock().unwrap().is_none() {
                    let from = next.fetch_add(TOGETHER, Ordering::Relaxed);
                    if let Some(one) = together(&mut world, from..=from + TOGETHER - 1, end, &tally) {
                        found.lock().unwrap().get_or_insert(one);
                    }
                }
            });
        }
    });
    (tally, found.into_inner().unwrap())
}

/// How many of so many fresh seeds lead to a difference, each within the time.
#[cfg_attr(not(feature = "faults"), expect(dead_code, reason = "needs a planted fault"))]
pub fn finds(other: Other, seeds: u64, time: Duration) -> u64 {
    let begun = Instant::now();
    let found = |seed: &u64| {
        let (tally, found) = search(other, seed * 1_000_000, time, 1);
        let scripts = tally.scripts.load(Ordering::Relaxed);
        println!("seed {seed}: {} after {scripts} scripts, {} s", found.is_some(), begun.elapsed().as_secs());
        found.is_some()
    };
    (1..=seeds).filter(found).count() as u64
}

/// A script that has once differed.
pub fn case(other: Other, name: &str, script: &str) {
    let script: Script = script.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut world = World::new(other);
    let recording = world.record(&script, PATIENCE).unwrap_or_else(|unfit| panic!("{name}: {unfit}"));
    if let Err(Difference { step, client, expected, got }) = world.compare(&recording, PATIENCE) {
        panic!("{name}: client {client} was told {got} instead of {expected} at step {step}");
    }
}

/// Runs what the environment says, else seeds for a time, and fails with the shortest script that differs.
pub fn run(other: Other, seconds: u64) {
    let begun = Instant::now();
    let far = begun + Duration::from_hours(24);
    let (tally, found) = if let Ok(path) = std::env::var("FUZZ_SCRIPT") {
        let script: Script = std::fs::read_to_string(path).unwrap().parse().unwrap();
        let difference = differs(&mut World::new(other), &script);
        (Tally::default(), difference.map(|difference| Found { seeds: 0..=0, script, difference }))
    } else if let Ok(seeds) = std::env::var("FUZZ_SEED") {
        let (first, last) = seeds.split_once('-').unwrap_or((&seeds, &seeds));
        let tally = Tally::default();
        let seeds = first.parse().unwrap()..=last.parse().unwrap();
        let found = together(&mut World::new(other), seeds, far, &tally);
        (tally, found)
    } else {
        let time = Duration::from_secs(variable("FUZZ_SECONDS").unwrap_or(seconds));
        search(other, variable("FUZZ_FROM").unwrap_or(0), time, variable("FUZZ_WORKERS").unwrap_or(1))
    };
    println!("{tally:?} in {} s", begun.elapsed().as_secs());
    let (scripts, unfit) = (tally.scripts.load(Ordering::Relaxed), tally.unfit.load(Ordering::Relaxed));
    assert!(unfit <= 5 + scripts / 10, "the author writes what can't be judged: {unfit} beside {scripts} scripts");
    if let Some(found) = found {
        panic!("{}", report(other, &found));
    }
}

/// The shortest script, where it differs, and how to see it again.
fn report(other: Other, found: &Found) -> String {
    let mut world = World::new(other);
    let mut out = String::new();
    let (seeds, seed) = (&found.seeds, found.seeds.end());
    let shortest = shrink(&mut world, &found.script, SHRINKING);
    let (script, difference) = if let Some((script, difference)) = &shortest {
        writeln!(out, "FUZZ_SEED={seed} differs; the shortest script that does:\n\n{script}").unwrap();
        (script, difference)
    } else {
        let again = format!("FUZZ_SEED={}-{seed}", seeds.start());
        writeln!(out, "{again} differs at {seed}, which alone does not:\n\n{}", found.script).unwrap();
        (&found.script, &found.difference)
    };
    let Difference { step, client, expected, got } = difference;
    let at = script.steps.get(*step).map_or_else(|| "the end".to_owned(), ToString::to_string);
    let who = char::from(b'a' + u8::try_from(*client).unwrap());
    write!(out, "at step {}: {at}\n{who} was told\n  {got}\ninstead of\n  {expected}\n", step + 1).unwrap();
    out
}
