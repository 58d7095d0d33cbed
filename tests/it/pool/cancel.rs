//! A cancel request reaches the client's own current query and nothing else.

use std::time::{Duration, Instant};

use weir::sidecar::pool::Release;

use crate::pooler::{PATIENCE, Pooler, eventually, limits};
use crate::postgres;
use crate::raw::{Raw, field, query};

#[test]
fn a_running_query_is_cancelled_and_the_connection_stays_usable() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 2), Release::AtDisconnect);
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    for _ in 0..5 {
        client.send(&query("SELECT pg_sleep(600)"));
        let running = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND wait_event = 'PgSleep'",
            database.name
        );
        eventually("the query to run", || database.sql(&running) == "1");
        client.cancel(pooler.port);
        let answer = client.read_to(b'Z');
        let error = answer.iter().find(|message| message.kind == b'E').unwrap();
        assert_eq!(field(error, b'C'), "57014");
        assert_eq!(client.value("SELECT 1"), "1");
    }
    assert_eq!(pooler.count(|figures| &figures.cancels), 5);
}

#[test]
fn a_wrong_key_and_a_client_without_a_query_cancel_nothing() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 2), Release::AtDisconnect);
    let mut sleeper = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    sleeper.send(&query("SELECT pg_sleep(0.5)"));
    let mut idle = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    idle.cancel(pooler.port);
    assert_eq!(idle.value("SELECT 1"), "1");
    idle.cancel(pooler.port);
    for at in 0..8 {
        let mut key = sleeper.key.clone();
        key[at] ^= 0x40;
        let wrong = Raw { stream: Raw::connect(pooler.port), key, parameters: vec![] };
        wrong.cancel(pooler.port);
    }
    let answer = sleeper.read_to(b'Z');
    assert!(answer.iter().all(|message| message.kind != b'E'), "{answer:?}");
    assert_eq!(pooler.count(|figures| &figures.cancels), 0);
}

/// Clients on one connection, each of which cancels at a random moment around the end of its query: nobody else's is hit.
#[test]
fn a_late_cancel_does_not_reach_the_next_client_of_the_connection() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtReadyForQuery);
    let until = Instant::now() + PATIENCE;
    std::thread::scope(|scope| {
        for worker in 0..4_u64 {
            let (pooler, database) = (&pooler, &database);
            scope.spawn(move || {
                let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
                let mut round = worker;
                while pooler.count(|figures| &figures.cancels) < 60 && Instant::now() < until {
                    round += 1;
                    client.send(&query("SELECT pg_sleep(0.001)"));
                    let cancels = worker < 2;
                    if cancels {
                        std::thread::sleep(Duration::from_micros(round * 331 % 9000));
                        client.cancel(pooler.port);
                    }
                    let answer = client.read_to(b'Z');
                    assert!(
                        cancels || answer.iter().all(|message| message.kind != b'E'),
                        "someone else's cancel: {answer:?}"
                    );
                }
            });
        }
    });
    assert!(pooler.count(|figures| &figures.cancels) >= 60);
}
