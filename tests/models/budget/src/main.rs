//! `make model`: the argument of docs/budget.md, checked on the code that keeps it.
//!
//! A state is a PostgreSQL server with its backends, the ledger in the API server, leaders, pods with journal and process, and every
//! signed message that was ever sent. A step is one act of one of them, by the functions that the binaries call. Any message can be
//! delivered at any time, as often as its receiver takes it, or never; so loss, duplication, reordering and delay past a change of
//! leader need no steps of their own, nor do a stopped leader, a partition, a force deletion or a changed label: they are steps that
//! don't happen. What is sent is pruned by what pods really have: a question that can teach nothing is not asked.
//!
//! In every state there are at most as many backends as the ledger's effective budget, which rose only where the spec's did; pods are
//! within what is held for them; what leaders count is within the ledger's total. Then each planted fault is to be found at the bounds
//! at which nothing else was.
//!
//! Not reached: doubt, damaged journals, pods that are found late, failover, a store that fails, the judge's times, a third leader. A
//! pod takes a message and answers it in one step.
//!
//! `FAULTS=1` leaves the clean searches out, `ONLY=Fence` searches for the faults of that name, `TRACES=1` prints every trace.

mod bounds;
mod cached;
mod fair;
mod leader;
mod moves;
mod pod;
mod world;

use std::time::Instant;

use crate::bounds::Bounds;
use crate::world::{Move, World};
use stateright::{Checker as _, Model};
use weir::policy::budget::fault::{Fault, plant};

/// A search that makes more is none that has seen everything, and fails.
const STATES_MAX: usize = 40_000_000;

fn main() {
    if std::env::args().any(|argument| argument == "--fair") {
        assert!(!fair::run(), "what must come to be does not: see the table");
        return;
    }
    let mut wrong = false;
    println!("{:<34} {:<24} {:>10} {:>6} {:>8}  found", "model", "with", "states", "depth", "time");
    for bounds in Bounds::clean().into_iter().filter(|_| std::env::var_os("FAULTS").is_none()) {
        wrong |= check("clean", bounds, None);
    }
    let only = std::env::var("ONLY").ok();
    for (fault, bounds) in Bounds::planted()
        .into_iter()
        .filter(|(fault, _)| only.as_ref().is_none_or(|only| format!("{fault:?}").contains(only.as_str())))
    {
        wrong |= check(&format!("{fault:?}"), bounds, Some(fault));
    }
    assert!(!wrong, "the model does not show what it must: see the table");
}

/// Prints a line of the table. Whether it is not as it must be.
fn check(name: &str, bounds: Bounds, fault: Option<Fault>) -> bool {
    plant(fault);
    let began = Instant::now();
    let checker = bounds.checker().threads(2).target_state_count(STATES_MAX).spawn_bfs().join();
    let found = checker.discoveries();
    let cut = checker.state_count() >= STATES_MAX;
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    let trace = found.values().next().map(|path| path.clone().into_actions());
    let word = trace.as_ref().map_or_else(|| "nothing".to_owned(), |trace| format!("{} steps", trace.len()));
    let with = format!("{:?} {:?}", bounds.trouble[0], bounds.trouble[1]);
    println!("{name:<34} {with:<24} {states:>10} {depth:>6} {:>6.1} s  {word}", began.elapsed().as_secs_f64());
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
