//! Liveness by fair simulation: `weir-budget-model --fair`.
//!
//! Fleets of random size, demand and budget suffer faults for some rounds of a second each. Then the faults end and fairness holds:
//! each living pod is asked in each round, each message is delivered, backends of closed sockets end, the judge looks. The invariant is
//! checked at every step; what must come to be is checked once the bound is over, and must stay.

mod leader;
mod pod;
mod random;
mod rest;
mod scenarios;
mod server;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use scenarios::{BOUND, RECOVERS, SERVED, Scenario};
use world::World;

/// Where there are more pods than connections: the rounds of one turn and its handover, for each pod.
pub const TURN_ROUNDS: u64 = 8;
/// All rounds after the faults, at most: those to rest, and then some more.
const REST: u64 = 10;

/// Division moves a connection now and then, since what a pod waits depends on what it was given: so many rounds at a time.
const SPELL: u64 = 5;

struct Tally {
    worst: u64,
    frozen: BTreeMap<&'static str, Vec<(u64, String)>>,
    failures: Vec<(u64, String, Vec<String>)>,
}

/// Runs all scenarios and prints their table. Whether something is not as it must be.
pub fn run() -> bool {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(10_000);
    let only = std::env::var("ONLY").unwrap_or_default();
    let first = std::env::var("FIRST").ok().and_then(|first| first.parse().ok()).unwrap_or(0);
    let mut wrong = false;
    println!("{:<40} {:>7} {:>7} {:>7} {:>7}", "scenario", "seeds", "worst", "bound", "failed");
    for scenario in Scenario::ALL.into_iter().filter(|scenario| format!("{scenario:?}").contains(&only)) {
        let tally = all_seeds(scenario, first, seeds);
        let failed = tally.failures.len();
        println!("{:<40} {seeds:>7} {:>7} {BOUND:>7} {failed:>7}", scenario.name(), tally.worst);
        wrong |= failed > 0;
        for (freeze, of) in &tally.frozen {
            let first = of.first().map(|(seed, why)| format!("seed {seed}: {why}"));
            println!("  {} frozen: {freeze}", of.len());
            if std::env::var_os("TRACES").is_some() {
                println!("    {}", first.unwrap_or_default());
            }
        }
        for (seed, why, trace) in tally.failures.iter().take(3) {
            println!("  seed {seed}: {why}");
            if std::env::var_os("TRACES").is_some() {
                trace.iter().for_each(|line| println!("    {line}"));
            }
        }
    }
    wrong
}

fn all_seeds(scenario: Scenario, first: u64, seeds: u64) -> Tally {
    let next = AtomicU64::new(first);
    let tally = Mutex::new(Tally { worst: 0, frozen: BTreeMap::new(), failures: Vec::new() });
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    let mut world = scenario.prepare(seed);
                    let outcome = converge(&mut world);
                    let mut tally = tally.lock().expect("nobody panics with it");
                    match outcome {
                        Ok(rounds) => tally.worst = tally.worst.max(rounds),
                        Err(why) => match world.known_freeze().filter(|_| world.wrong.is_none()) {
                            Some(freeze) => tally.frozen.entry(freeze).or_default().push((seed, why)),
                            None => tally.failures.push((seed, why, world.trace)),
                        },
                    }
                }
            });
        }
    });
    tally.into_inner().expect("nobody panics with it")
}

/// The rounds until everything was at rest, and stayed so.
fn converge(world: &mut World) -> Result<u64, String> {
    world.calm();
    let (mut rounds, mut spell, mut since) = (0, 0, None);
    let mut why = String::new();
    // Who starves is known only after everybody's turn.
    let least = world.living() as u64 * TURN_ROUNDS + REST;
    while rounds < BOUND.max(least) + REST {
        world.step();
        rounds += 1;
        if let Some(wrong) = &world.wrong {
            return Err(wrong.clone());
        }
        if rounds == SERVED + RECOVERS * world.living() as u64
            && let Some(pod) = world.unserved()
        {
            return Err(format!("{pod} is not served; {}", world.figures()));
        }
        match world.unsettled() {
            None => (since, spell) = (since.or(Some(rounds)), 0),
            Some(reason) => {
                (spell, why) = (spell + 1, reason);
                since = since.filter(|_| spell <= SPELL);
            }
        }
        if rounds >= least && since.is_some_and(|since| rounds >= since + REST) {
            break;
        }
    }
    since.filter(|since| *since <= BOUND).ok_or_else(|| format!("{why}; {}", world.figures()))
}
