//! The loop allocates nothing for a query: as much for four hundred rounds of queries as for a hundred.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[path = "support/pooler.rs"]
#[allow(dead_code, reason = "shared with other test binaries")]
mod pooler;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/raw.rs"]
#[allow(dead_code, reason = "shared with other test binaries")]
mod raw;

use std::sync::mpsc;
use std::time::Duration;

use pooler::{Pooler, limits};
use raw::{Raw, extended, message, query};
use weir::sidecar::drive;
use weir::sidecar::pool::Release;

const SYNC: [u8; 5] = [b'S', 0, 0, 0, 4];
/// Until all buffers have their size.
const BEFORE: usize = 100;

fn parse(name: &str, sql: &str) -> Vec<u8> {
    [message(b'P', format!("{name}\0{sql}\0\0\0").as_bytes()), SYNC.to_vec()].concat()
}

fn run(name: &str) -> Vec<u8> {
    let bind = message(b'B', &[b"\0", name.as_bytes(), &[0, 0, 0, 0, 0, 0, 0]].concat());
    [bind, message(b'E', &[0; 5]), SYNC.to_vec()].concat()
}

/// What each client sends in a round, and how many ReadyForQuery it gets for that.
fn round() -> Vec<(Vec<u8>, usize)> {
    let unnamed = |sql: &str| [extended(sql), SYNC.to_vec()].concat();
    vec![
        (query("SELECT 1"), 1),
        (unnamed("SELECT 2"), 1),
        (unnamed("SELECT 3 FROM generate_series(1, 10)"), 1),
        (run("s"), 1),
        (run("t"), 1),
        ([query("BEGIN"), run("s"), query("COMMIT")].concat(), 3),
        ([run("s"), run("t"), query("SELECT repeat('x', 200000)"), unnamed("SELECT 4")].concat(), 4),
    ]
}

/// What the loop's thread allocates while clients that share one connection run so many rounds.
fn allocations(release: Release, rounds: usize) -> u64 {
    let database = postgres::database();
    let (tell, told) = mpsc::channel();
    let pooler = Pooler::start_within(&database.url(), limits(1, 1), release, move |start| {
        let mut end = None;
        let counted = allocation_counter::measure(|| end = Some(drive::run(start).unwrap()));
        tell.send(counted.count_total).unwrap();
        end.unwrap()
    });
    let count = if release == Release::AtReadyForQuery { 3 } else { 1 };
    let mut clients: Vec<_> = (0..count).map(|_| Raw::log_in(pooler.port, &database.name, &[]).unwrap()).collect();
    for client in &mut clients {
        client.send(&[parse("s", "SELECT 's'"), parse("t", "SELECT 't'")].concat());
        client.read_to(b'Z');
        client.read_to(b'Z');
    }
    for _ in 0..rounds {
        for (part, answers) in round() {
            // All but the first wait in the queue.
            for client in &mut clients {
                client.send(&part);
            }
            for client in &mut clients {
                (0..answers).for_each(|_| drop(client.read_to(b'Z')));
            }
        }
    }
    drop(clients);
    pooler.stop(Duration::ZERO);
    told.recv().unwrap()
}

#[test]
fn nothing_is_allocated_for_a_query() {
    for release in [Release::AtReadyForQuery, Release::AtDisconnect] {
        let few = allocations(release, BEFORE);
        let many = allocations(release, BEFORE * 4);
        assert!(few > 0, "nothing was counted");
        // What is due by time allocates, some ten times a second; three hundred more rounds are above ten thousand queries.
        assert!(
            many.saturating_sub(few) <= 500,
            "{release:?}: {few} allocations for {BEFORE} rounds, {many} for four times as many"
        );
    }
}
