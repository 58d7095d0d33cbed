//! `make simulate`: division at the size of a large cluster, in virtual time, with the code that the operator runs.
//!
//! Only the cost of a round is measured in real time. Everything else is counted in rounds, of one virtual second each: instances do at
//! once what they are told, and a ledger grants nothing before it is free, as the real one must.

#[path = "simulate/pool.rs"]
mod pool;

use std::time::{Duration, Instant};

use pool::{Pool, Random, idle};
use weir::policy::budget::division::Demand;

/// What a round over [`POOLS`] may take.
const BOUND: Duration = Duration::from_millis(50);
const POOLS: u32 = 1000;
const LARGEST: u32 = 10_000;

fn main() {
    // `cargo test --all-targets` starts benchmarks too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    large_cluster();
    skewed_load();
    fleet_sizes();
    turns();
}

/// A thousand pools, one of them with ten thousand instances: the cost of a round, and the statements at rest.
fn large_cluster() {
    let mut random = Random(1);
    let mut pools: Vec<Pool> = (0..POOLS)
        .map(|number| {
            let size = if number == 0 { LARGEST } else { 3 + random.below(20) };
            let mut pool = Pool::new(size * 12, vec![idle(20, 5); size as usize]);
            pool.vary(&mut random, 15);
            pool
        })
        .collect();
    let instances: usize = pools.iter().map(|pool| pool.pods.len()).sum();
    println!("{POOLS} pools, {instances} instances, {LARGEST} of them in one pool; budget 12 per instance, limit 20\n");

    let round = |pools: &mut [Pool]| pools.iter_mut().map(Pool::round).sum::<u32>();
    let settled = (1..=60).filter(|_| round(&mut pools) > 0).count();
    println!("{:<66}{settled:>10}", "rounds with statements, from nothing, steady load");
    let steady: u32 = (0..60).map(|_| round(&mut pools)).sum();
    println!("{:<66}{:>10.2}", "statements per round at rest", f64::from(steady) / 60.0);
    for (noise, name) in [(9, "a ninth"), (3, "a third")] {
        for _ in 0..60 {
            for pool in &mut pools {
                pool.shake(&mut random, noise);
            }
            round(&mut pools);
        }
        let mut statements = 0;
        for _ in 0..60 {
            for pool in &mut pools {
                pool.shake(&mut random, noise);
            }
            statements += round(&mut pools);
        }
        let name = format!("statements per round while every load is down by up to {name}");
        println!("{name:<66}{:>10.2}", f64::from(statements) / 60.0);
    }

    let mut times: Vec<Duration> = (0..51)
        .map(|_| {
            for pool in &mut pools {
                pool.vary(&mut random, 15);
            }
            // The division alone; the ledger here is not the real one.
            let start = Instant::now();
            for pool in &pools {
                std::hint::black_box(pool.divide());
            }
            let time = start.elapsed();
            round(&mut pools);
            time
        })
        .collect();
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    let verdict = if median < BOUND { "met" } else { "MISSED" };
    println!(
        "{:<66}{:>7.2} ms (worst of 51: {:.2} ms; bound {} ms: {verdict})",
        "a round over all, every load changed",
        milliseconds(median),
        milliseconds(worst),
        BOUND.as_millis(),
    );
}

/// One instance becomes busy while all others idle.
fn skewed_load() {
    println!("\nskewed load: one busy among idle ones, until it has 80 % of what the floors of the others leave\n");
    println!("{:>10} {:>10} {:>10} {:>10} {:>10}", "budget", "instances", "from", "to", "seconds");
    for (budget, instances) in [(20, 3), (80, 4), (400, 40), (2000, 10), (5000, 200), (20_000, 1000)] {
        let mut pool = Pool::new(budget, vec![idle(budget, 1); instances as usize]);
        pool.settle();
        let before = pool.pods[0].outstanding.get();
        pool.pods[0].demand = Demand { active: before, waiting: budget, waited: Duration::from_millis(100) };
        let goal = (budget - instances) * 4 / 5;
        // The first round is at once: an exchange is answered when waiting starts.
        let rounds = (0_u32..60).find(|_| {
            pool.round();
            pool.pods[0].outstanding.get() >= goal
        });
        let seconds = rounds.map_or_else(|| "never".to_owned(), |rounds| rounds.to_string());
        let verdict = if rounds.is_some_and(|rounds| rounds <= 5) { "met" } else { "MISSED" };
        let after = pool.pods[0].outstanding;
        println!("{budget:>10} {instances:>10} {before:>10} {after:>10} {seconds:>10}  (bound 5 s: {verdict})");
    }
}

/// How long fleets of each size take to come to rest.
fn fleet_sizes() {
    println!(
        "\nuntil the last statement, in rounds (and statements per instance); budget 12 per instance, limit 20, min 5\n"
    );
    println!(
        "{:>10} {:>16} {:>16} {:>16} {:>16} {:>16} {:>12}",
        "instances", "from nothing", "half get busy", "half go idle", "rollout of all", "budget halved", "one round"
    );
    for size in [10_u32, 100, 1000, 10_000] {
        let mut pool = Pool::new(size * 12, vec![idle(20, 5); size as usize]);
        let mut cells = vec![pool.settle()];
        let half = size as usize / 2;
        pool.pods[..half]
            .iter_mut()
            .for_each(|pod| pod.demand = Demand { active: 12, waiting: 8, ..Demand::default() });
        cells.push(pool.settle());
        pool.pods[..half].iter_mut().for_each(|pod| pod.demand = Demand::default());
        cells.push(pool.settle());
        // As many new ones as old ones; then the old ones confirm that they are gone.
        pool.pods.extend(vec![idle(20, 5); size as usize]);
        let (surge, more) = pool.settle();
        pool.pods.drain(..size as usize);
        let (drain, even_more) = pool.settle();
        cells.push((surge + drain, more + even_more));
        pool.budget /= 2;
        cells.push(pool.settle());
        let start = Instant::now();
        std::hint::black_box(pool.divide());
        let time = milliseconds(start.elapsed());
        let cells = cells.iter().map(|(rounds, statements)| {
            format!("{:>16}", format!("{rounds} ({:.1})", f64::from(*statements) / f64::from(size)))
        });
        println!("{size:>10} {} {time:>9.3} ms", cells.collect::<Vec<_>>().join(" "));
    }
}

/// More instances than connections, all of them waiting.
fn turns() {
    println!("\nturns: 100 instances that all wait, until each has had one, in seconds\n");
    println!("{:>10} {:>10}", "free", "seconds");
    for free in [1_u32, 10, 50, 99] {
        let waits = Demand { waiting: 1, ..Demand::default() };
        let mut pool = Pool::new(free + 1, vec![idle(20, 5); 100]);
        pool.pods.iter_mut().for_each(|pod| pod.demand = waits);
        let mut had = [false; 100];
        let rounds = (1_u32..1000).find(|_| {
            pool.round();
            had.iter_mut().zip(&pool.pods).for_each(|(had, pod)| *had |= pod.outstanding.get() > 0);
            had.iter().all(|had| *had)
        });
        println!("{free:>10} {:>10}", rounds.map_or_else(|| "never".to_owned(), |rounds| rounds.to_string()));
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
