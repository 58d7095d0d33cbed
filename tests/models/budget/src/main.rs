//! `make test-model`, `make model`: the argument of docs/budget.md, checked on the code that keeps it.
//!
//! A state is a PostgreSQL server with its backends, the ledger in the API server, leaders, pods with journal and process, and every
//! signed message that was ever sent. A step is one act of one of them, by the functions that the binaries call. Any message can be
//! delivered at any time, as often as its receiver takes it, or never; so loss, duplication, reordering and delay past a change of
//! leader need no steps of their own, nor do a stopped leader, a partition, a force deletion or a changed label: they are steps that
//! don't happen. What is sent is pruned by what pods really have: a question that can teach nothing is not asked.
//!
//! A pod takes a message, journals it and answers at once, or is killed before it answers (a kill), or answers later, when more has
//! happened, or never (a late answer).
//!
//! In every state there are at most as many backends as the ledger's effective budget, which rose only where the spec's did; pods are
//! within what is held for them; what leaders count is within the ledger's total. Then each planted fault is to be found at the bounds
//! at which nothing else was.
//!
//! # States that are left out
//!
//! Each of these has one that is searched and at which as much goes wrong, or more:
//!
//! - a pod that was killed and does not run yet: one that runs and does nothing;
//! - one of the backends whose sockets are gone ends: nobody learns of it but the judge, and it clears the dead when none is left;
//! - that of two sockets of a pod the other one ends: they are alike;
//! - a pod that has not said hello: each hello of a boot is the same here, so it said it when it started;
//! - where both pods are alike at the start, that the first message goes to the second: the mirror image of a path is one;
//! - what differs only in what can't have an effect any more: messages below a fence or to an earlier boot, writes for a version that
//!   was overwritten, answers that nobody waits for.
//!
//! What the bounds leave out is not: each search has so many messages, attempts and writes, see [`bounds`].
//!
//! Not reached: doubt, damaged journals, pods that are found late, failover, looks by pods (what was lost stays charged), a store that
//! fails, the judge's times, three leaders at once, a third pod.
//!
//! `--large` searches further. `FAULTS=1` leaves the clean searches out, `ONLY=Fence` or `ONLY="Kill Stop"` all lines of the table that
//! don't have that, `TRACES=1` prints every trace.

mod bounds;
mod cached;
mod fair;
mod leader;
mod moves;
mod pod;
mod steps;
mod world;

use std::time::{Duration, Instant};

use crate::bounds::{Bounds, Size};
use crate::moves::Move;
use crate::world::World;
use stateright::{Checker as _, HasDiscoveries, Model};
use weir::policy::budget::fault::{Fault, plant};

/// A search that makes more is none that has seen everything, and fails.
const STATES_MAX: usize = 400_000_000;

fn main() {
    let asked = |option| std::env::args().any(|argument| argument == option);
    if asked("--fair") {
        assert!(!fair::run(), "what must come to be does not: see the table");
        return;
    }
    let size = if asked("--large") { Size::Large } else { Size::Small };
    let faults = Bounds::planted(size).into_iter().map(|(fault, bounds)| (Some(fault), bounds));
    let clean = Bounds::clean(size).into_iter().map(|bounds| (None, bounds));
    let clean = clean.filter(|_| std::env::var_os("FAULTS").is_none());
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut wrong = false;
    let mut all = (0, Duration::ZERO);
    println!("{}", line("model", "with", &Bounds::HEADER, "states", "depth", "time", "found"));
    for (fault, bounds) in clean.chain(faults) {
        let name = fault.map_or_else(|| "clean".to_owned(), |fault| format!("{fault:?}"));
        let with = format!("{:?} {:?}", bounds.trouble[0], bounds.trouble[1]);
        if format!("{name} {with}").contains(&only) {
            wrong |= check(&name, &with, bounds, fault, &mut all);
        }
    }
    println!("{} states in {:.0} s", all.0, all.1.as_secs_f64());
    assert!(!wrong, "the model does not show what it must: see the table");
}

fn line(
    name: &str,
    with: &str,
    bounds: &[impl std::fmt::Display; 3],
    states: impl std::fmt::Display,
    depth: impl std::fmt::Display,
    time: &str,
    found: &str,
) -> String {
    let [messages, attempts, writes] = bounds;
    format!("{name:<26} {with:<22} {messages:>13} {attempts:>8} {writes:>6} {states:>9} {depth:>5} {time:>7}  {found}")
}

/// Prints a line of the table. Whether it is not as it must be.
fn check(name: &str, with: &str, bounds: Bounds, fault: Option<Fault>, all: &mut (usize, Duration)) -> bool {
    plant(fault);
    cached::forget();
    let began = Instant::now();
    let checker = bounds.checker().threads(2).target_state_count(STATES_MAX).finish_when(HasDiscoveries::Any);
    let checker = checker.spawn_bfs().join();
    let found = checker.discoveries();
    let cut = checker.state_count() >= STATES_MAX;
    let (states, depth, time) = (checker.unique_state_count(), checker.max_depth(), began.elapsed());
    *all = (all.0 + states, all.1 + time);
    let trace = found.values().next().map(|path| path.clone().into_actions());
    let word = match &trace {
        Some(trace) => format!("{} steps", trace.len()),
        None if cut => "not all".to_owned(),
        None => "nothing".to_owned(),
    };
    println!("{}", line(name, with, &bounds.columns(), states, depth, &format!("{:.1} s", time.as_secs_f64()), &word));
    let wrong = trace.is_some() != fault.is_some() || (cut && fault.is_none());
    if wrong || std::env::var_os("TRACES").is_some() {
        for (property, path) in &found {
            println!("  {property}");
            for step in path.clone().into_actions() {
                println!("    {step:?}");
            }
        }
    }
    plant(None);
    cached::forget();
    wrong
}

impl Model for Bounds {
    type State = World;
    type Action = Move;

    fn init_states(&self) -> Vec<World> {
        self.worlds()
    }

    fn actions(&self, world: &World, moves: &mut Vec<Move>) {
        moves::possible(self, world, moves);
    }

    fn next_state(&self, world: &World, step: Move) -> Option<World> {
        let next = world.after(self, &step)?;
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        vec![
            stateright::Property::always("backends <= effective budget", |_, world: &World| world.is_within()),
            stateright::Property::always("the effective budget rises by the spec alone", |_, world: &World| {
                !world.rose
            }),
            stateright::Property::always("pods are within what is held for them", |_, world: &World| world.is_held()),
            stateright::Property::always("what is counted is within the total", |_, world: &World| world.is_counted()),
        ]
    }
}
