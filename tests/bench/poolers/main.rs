//! `make bench`, first part: the sidecar beside PgBouncer, under the same loads in the same rounds.
//!
//! CPU time is what the kernel says (`/proc/PID/task/*/schedstat`, nanoseconds), over pgbench's own count of transactions. The targets
//! take turns, and what is judged is the median of the ratios to PgBouncer of the same round: on a machine that does other things, only
//! that is worth something. Where it is not, `make bench-syscalls` counts what does not depend on the machine.

#[path = "../client.rs"]
mod client;
mod count;
mod doorman;
mod forwarder;
mod load;
mod pgbouncer;
#[path = "../../it/support/postgres.rs"]
mod postgres;
mod process;
mod ratio;
mod read;
mod report;
mod resident;
mod scenario;
#[path = "../shipped.rs"]
mod shipped;
#[path = "../../it/support/sidecar.rs"]
mod sidecar;
mod target;
mod weir;
mod world;

use std::env;

use report::{Report, Sample, Samples};
use scenario::{Measure, SCENARIOS, Scenario, Work};
use target::{Kind, Running};
use world::World;

/// A round of these takes seconds whatever is asked for, and hardly varies.
const ROUNDS_AT_REST: u32 = 6;
/// Of each client, before the first round.
const WARM_UP: u32 = 20;

fn main() {
    // `cargo test --all-targets` starts benchmarks too, without this argument.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let selected = selected();
    let (rounds, seconds) = (number("ROUNDS", 15), number("SECONDS", 2));
    let world = World::new();
    let notes = world.notes();
    for note in &notes {
        eprintln!("{note}");
    }
    if env::args().any(|argument| argument == "--counts") {
        return count::all(&world, &selected);
    }
    let mut report = Report::create(&shipped::target().join("bench"));
    for scenario in selected {
        run(&world, scenario, rounds, seconds, &mut report);
    }
    report.finish(&[&notes[..], &[legend(rounds, seconds)]].concat());
}

fn legend(rounds: u32, seconds: u32) -> String {
    format!(
        "{rounds} rounds of {seconds} s, targets by turns. ratio: median of the ratios to PgBouncer of the same round; 95 %: interval of that \
         median by order statistics (with fewer than 6 rounds: all that was seen); ?: the bar is within it, or \
         rounds are too few. weir, pgbouncer: medians.\n\
         32 clients over 8 connections; unqueued: 8 over 8. transaction: begin, 3 queries, commit; row: of 100 kB; pipeline: of 20 queries; \
         connect: once for each transaction; unix: the client's side; tls: PostgreSQL's side; rate: 4,000 tps offered; two-threads: two \
         PgBouncers with 4 connections each, two threads of pg_doorman, Weir as ever.\n\
         written to target/bench/poolers.jsonl (every round) and poolers-ratios.jsonl (this table)"
    )
}

/// What SCENARIOS names, in the table's order; everything where it is not set.
fn selected() -> Vec<&'static Scenario> {
    let wanted = env::var("SCENARIOS").unwrap_or_default();
    let wanted: Vec<_> = wanted.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    for name in &wanted {
        let known = SCENARIOS.iter().map(|scenario| scenario.name).collect::<Vec<_>>();
        assert!(known.contains(name), "SCENARIOS: no {name:?} among {}", known.join(", "));
    }
    SCENARIOS.iter().filter(|scenario| wanted.is_empty() || wanted.contains(&scenario.name)).collect()
}

fn number(variable: &str, default: u32) -> u32 {
    match env::var(variable) {
        Ok(text) if !text.is_empty() => {
            text.parse().ok().filter(|&number| number > 0).expect("ROUNDS and SECONDS are numbers above 0")
        }
        _ => default,
    }
}

/// All rounds of a scenario. A target that fails is left out from there on, and the table says why.
fn run(world: &World, scenario: &Scenario, rounds: u32, seconds: u32, report: &mut Report) {
    let load = matches!(scenario.work, Work::Load { .. });
    let rounds = if load { rounds } else { rounds.min(ROUNDS_AT_REST) };
    let mut missing = vec![];
    let mut targets = vec![];
    let _tls = world.tls(scenario.wiring);
    for kind in world.kinds() {
        match world
            .supports(kind, scenario)
            .and_then(|()| if load { warm(world, kind, scenario).map(Some) } else { Ok(None) })
        {
            Ok(running) => targets.push((kind, running)),
            Err(why) => missing.push((kind, why)),
        }
    }
    let mut samples = Samples::new();
    for round in 0..rounds {
        eprint!("{} {}/{rounds}:", scenario.name, round + 1);
        // Whoever is first in a round is another one each time, so that a drift of the machine favours nobody.
        let first = round as usize % targets.len().max(1);
        targets.rotate_left(first);
        let mut failed = vec![];
        for (kind, running) in &mut targets {
            match measure(world, *kind, running.as_mut(), scenario, seconds) {
                Ok(sample) => {
                    eprint!(" {}{}", kind.name(), sample.brief(scenario.measures[0].0));
                    report.sample(scenario, *kind, round, &sample);
                    samples.insert((*kind, round), sample);
                }
                Err(why) => failed.push((*kind, why)),
            }
        }
        targets.rotate_right(first);
        eprintln!();
        for (kind, why) in failed {
            eprintln!("{}: {why}", kind.name());
            targets.retain(|(target, _)| *target != kind);
            missing.push((kind, why));
        }
    }
    report.rows(scenario, &samples, &missing);
}

/// Starts a target for all rounds of a load, with its connections open and its caches filled.
fn warm(world: &World, kind: Kind, scenario: &Scenario) -> Result<Running, String> {
    let running = world.start(kind, scenario, None)?;
    world.load().run(&running, &scenario.work, load::Length::Transactions(WARM_UP), false)?;
    world.encrypted(scenario.wiring)?;
    Ok(running)
}

fn measure(
    world: &World,
    kind: Kind,
    running: Option<&mut Running>,
    scenario: &Scenario,
    seconds: u32,
) -> Result<Sample, String> {
    if let Some(running) = running {
        let sample = world.load().measure(running, &scenario.work, seconds)?;
        running.alive()?;
        return Ok(sample);
    }
    let mut running = world.start(kind, scenario, None)?;
    let sample = match scenario.work {
        Work::Crowd(clients) => resident::crowd(kind, &running, &world.database, clients),
        Work::Start => resident::ready(&running),
        _ => resident::rest(&running, &world.database),
    };
    running.alive()?;
    Ok(sample)
}

impl Sample {
    /// For the line of progress.
    fn brief(&self, measure: Measure) -> String {
        self.get(measure).map_or_else(String::new, |value| format!(" {value:.1} {}", measure.label()))
    }
}
