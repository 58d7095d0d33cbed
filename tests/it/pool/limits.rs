//! Never more than max, min kept warm, and what those are told who wait too long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use weir::policy::limits::Limits;
use weir::sidecar::figures::Command;
use weir::sidecar::pool::Release;

use crate::pooler::{Pooler, eventually, limits};
use crate::postgres;
use crate::raw::{Raw, field, query};

#[test]
fn min_is_kept_warm_and_idle_connections_above_it_are_closed() {
    let database = postgres::database();
    let limits = Limits { idle_timeout: Duration::from_secs(1), ..limits(2, 6) };
    let pooler = Pooler::start(&database.url(), limits, Release::AtDisconnect);
    pooler.until(|figures| &figures.idle, 2);
    let mut clients: Vec<_> = (0..5).map(|_| Raw::log_in(pooler.port, &database.name, &[]).unwrap()).collect();
    for client in &mut clients {
        assert_eq!(client.value("SELECT 1"), "1");
    }
    assert_eq!(database.connections(), 5);
    clients.into_iter().for_each(Raw::goodbye);
    pooler.until(|figures| &figures.idle, 2);
    pooler.until(|figures| &figures.charged, 2);
    assert_eq!(database.connections(), 2);
    // One of the warm ones is ended by someone else: it is replaced.
    database.sql(&format!(
        "SELECT pg_terminate_backend(min(pid)) FROM pg_stat_activity WHERE usename = '{}'",
        database.name
    ));
    pooler.until(|figures| &figures.idle, 2);
    eventually("both to be there", || database.connections() == 2);
}

#[test]
fn old_connections_are_replaced() {
    let database = postgres::database();
    let limits = Limits { max_lifetime: Duration::from_secs(1), ..limits(2, 2) };
    let pooler = Pooler::start(&database.url(), limits, Release::AtDisconnect);
    pooler.until(|figures| &figures.idle, 2);
    let pids = format!(
        "SELECT string_agg(pid::text, ',' ORDER BY pid) FROM pg_stat_activity WHERE usename = '{}'",
        database.name
    );
    let first = database.sql(&pids);
    eventually("other backends", || {
        let now = database.sql(&pids);
        now.split(',').count() == 2 && now.split(',').all(|pid| !first.contains(pid))
    });
}

/// Its client keeps the old one until the other is there.
#[test]
fn a_successor_is_there_before_an_old_connection_ends() {
    let database = postgres::database();
    let backend = "SELECT pg_backend_pid()";
    for release in [Release::AtDisconnect, Release::AtReadyForQuery] {
        let limits = Limits { max_lifetime: Duration::from_secs(3), ..limits(1, 2) };
        let pooler = Pooler::start(&database.url(), limits, release);
        let mut holder = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        holder.send(&query("BEGIN"));
        holder.read_to(b'Z');
        let old = holder.value(backend);
        pooler.until(|figures| &figures.idle, 1);
        assert_eq!(database.connections(), 2, "{release:?}");
        assert_eq!(holder.value(backend), old, "{release:?}");
        let mut next = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        let successor = next.value(backend);
        next.goodbye();
        holder.send(&query("COMMIT"));
        holder.read_to(b'Z');
        holder.goodbye();
        let ended = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {old}");
        eventually("the old one to be gone", || database.sql(&ended) == "0");
        assert_ne!(successor, old, "{release:?}");
    }
}

#[test]
fn who_waits_longer_than_connection_timeout_is_told_why() {
    let database = postgres::database();
    let limits = Limits { connection_timeout: Duration::from_secs(1), ..limits(1, 1) };
    let pooler = Pooler::start(&database.url(), limits, Release::AtDisconnect);
    let mut holder = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(holder.value("SELECT 1"), "1");
    let mut waiting: Vec<_> = (0..3).map(|_| Raw::log_in(pooler.port, &database.name, &[]).unwrap()).collect();
    let begun = Instant::now();
    for (n, client) in waiting.iter_mut().enumerate() {
        client.send(&query("SELECT 1"));
        pooler.until(|figures| &figures.waiting, u32::try_from(n).unwrap() + 1);
    }
    for (n, client) in waiting.iter_mut().enumerate() {
        let messages = client.read_to_end();
        let [error] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!(field(error, b'S'), "FATAL");
        assert_eq!(field(error, b'C'), "53300");
        let message = field(error, b'M');
        let waited = message.strip_prefix("no server connection became free: waited ").unwrap();
        let waited = waited.strip_suffix(" ms, the pool's connectionTimeout").unwrap();
        assert!((1000..2000).contains(&waited.parse::<u32>().unwrap()), "{message}");
        let detail =
            format!("All 1 server connections of this instance were in use, and {n} clients were ahead in the queue.");
        assert_eq!(field(error, b'D'), detail);
        assert!(field(error, b'H').contains("spec.limits.max"));
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(pooler.count(|figures| &figures.timed_out), 3);
    assert_eq!(pooler.count(|figures| &figures.waits.buckets[13]), 3, "over 1 s, up to 2.5 s");
    assert_eq!(holder.value("SELECT 2"), "2");
    holder.goodbye();
    let mut next = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(next.value("SELECT 3"), "3");
}

#[test]
fn every_wait_is_counted_once_however_it_ends() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    pooler.until(|figures| &figures.idle, 1);
    let waits = || pooler.figures.waits.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum::<u64>();
    let log_in = || Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let mut holder = log_in();
    assert_eq!(holder.value("SELECT 1"), "1");
    assert_eq!(waits(), 1, "it was free, or nearly");
    let before = pooler.count(|figures| &figures.waits.micros);
    let (mut served, mut refused) = (log_in(), log_in());
    served.send(&query("SELECT 2"));
    pooler.until(|figures| &figures.waiting, 1);
    refused.send(&query("SELECT 3"));
    pooler.until(|figures| &figures.waiting, 2);
    holder.goodbye();
    served.read_to(b'Z');
    assert_eq!((waits(), pooler.count(|figures| &figures.acquired)), (2, 2));
    pooler.send(Command::Drain { grace: Duration::ZERO });
    assert_eq!(field(refused.read_to_end().last().unwrap(), b'C'), "57P01");
    assert_eq!((waits(), pooler.count(|figures| &figures.acquired)), (3, 2));
    assert!(pooler.count(|figures| &figures.waits.micros) > before);
}

#[test]
fn clients_are_served_in_their_order() {
    let database = postgres::database();
    database.sql("CREATE TABLE served (n serial, who int); GRANT ALL ON ALL TABLES IN SCHEMA public TO public; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO public");
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    let mut holder = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(holder.value("SELECT 1"), "1");
    let mut clients = Vec::new();
    for who in 0..10 {
        let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        client.send(&query(&format!("INSERT INTO served (who) VALUES ({who})")));
        pooler.until(|figures| &figures.waiting, who + 1);
        clients.push(client);
    }
    holder.goodbye();
    for mut client in clients {
        client.read_to(b'Z');
        client.goodbye();
    }
    assert_eq!(database.sql("SELECT string_agg(who::text, ' ' ORDER BY n) FROM served"), "0 1 2 3 4 5 6 7 8 9");
}

#[test]
fn postgresql_never_sees_more_than_max_while_clients_come_and_go() {
    let database = postgres::database();
    let limits = Limits { idle_timeout: Duration::from_secs(1), max_lifetime: Duration::from_secs(1), ..limits(1, 4) };
    let pooler = Pooler::start(&database.url(), limits, Release::AtDisconnect);
    let done = AtomicBool::new(false);
    let mut most = 0;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..10_u32)
            .map(|worker| {
                let (pooler, database) = (&pooler, &database);
                scope.spawn(move || {
                    for round in 0..60 {
                        let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
                        match (worker + round) % 5 {
                            0 => {
                                client.send(&query("SELECT pg_sleep(600)"));
                                client.vanish();
                            }
                            1 => {
                                client.send(&query("SELECT pg_terminate_backend(pg_backend_pid())"));
                                client.read_to_end();
                            }
                            _ => {
                                assert_eq!(client.value("SELECT 1"), "1");
                                client.goodbye();
                            }
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            for worker in workers {
                worker.join().unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut judge = Raw::log_in(database.server.port(), postgres::SUPERUSER, &[]).unwrap();
        let count = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'", database.name);
        while !done.load(Ordering::Relaxed) {
            most = most.max(judge.value(&count).parse::<u32>().unwrap());
        }
    });
    assert!((2..=4).contains(&most), "{most}");
    pooler.until(|figures| &figures.active, 0);
    pooler.until(|figures| &figures.unconfirmed, 0);
    eventually("the charge to be what is open", || {
        database.connections() == pooler.figures.charged.load(Ordering::Relaxed)
    });
}

#[test]
fn a_smaller_maximum_closes_idle_connections_and_then_those_in_use() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(4, 4), Release::AtDisconnect);
    pooler.until(|figures| &figures.idle, 4);
    let mut clients: Vec<_> = (0..3).map(|_| Raw::log_in(pooler.port, &database.name, &[]).unwrap()).collect();
    for client in &mut clients {
        assert_eq!(client.value("SELECT 1"), "1");
    }
    pooler.send(Command::Limits(limits(1, 1)));
    pooler.until(|figures| &figures.charged, 3);
    for client in &mut clients {
        assert_eq!(client.value("SELECT 2"), "2");
    }
    clients.into_iter().for_each(Raw::goodbye);
    pooler.until(|figures| &figures.charged, 1);
    assert_eq!(database.connections(), 1);
    pooler.send(Command::Limits(limits(3, 5)));
    pooler.until(|figures| &figures.idle, 3);
}

#[test]
fn an_idle_pool_causes_no_wakeups() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(2, 4), Release::AtDisconnect);
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(client.value("SELECT 1"), "1");
    pooler.until(|figures| &figures.idle, 1);
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/self/task/{}/status", pooler.thread_id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap().to_owned();
        line.split_whitespace().last().unwrap().parse::<u64>().unwrap()
    };
    // Time must pass for nothing to happen in it; at first what was begun may still end.
    eventually("a second without a wakeup", || {
        let before = switches();
        std::thread::sleep(Duration::from_secs(1));
        switches() == before
    });
}
