//! A cancel request reaches the client's own current query and nothing else.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
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

/// Passes connections on to PostgreSQL; of a cancel request, it says when PostgreSQL has ended it, and passes the end on when told.
struct Gate {
    port: u16,
    ended: Receiver<()>,
    open: SyncSender<()>,
}

impl Gate {
    fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ((end, ended), (open, opened)) = (sync_channel(1), sync_channel(1));
        let opened = Arc::new(Mutex::new(opened));
        thread::spawn(move || {
            for near in listener.incoming() {
                let (end, opened) = (end.clone(), Arc::clone(&opened));
                thread::spawn(move || pass(&near.unwrap(), to, &end, &opened));
            }
        });
        Self { port, ended, open }
    }
}

fn pass(near: &TcpStream, to: u16, end: &SyncSender<()>, opened: &Mutex<Receiver<()>>) {
    let far = TcpStream::connect(("127.0.0.1", to)).unwrap();
    let mut head = [0; 8];
    (&mut &*near).read_exact(&mut head).unwrap();
    (&far).write_all(&head).unwrap();
    let canceling = head[4..] == [4, 0xd2, 0x16, 0x2e];
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::copy(&mut &*near, &mut &far);
            let _ = far.shutdown(Shutdown::Write);
        });
        let _ = std::io::copy(&mut &far, &mut &*near);
        if canceling {
            let _ = end.send(());
            let _ = opened.lock().unwrap().recv();
        }
        let _ = near.shutdown(Shutdown::Both);
    });
}

/// A client that waits for the end of its cancel request, as libpq does, knows that no later statement of its own is hit.
#[test]
fn a_cancel_request_of_a_client_ends_when_postgresql_has_ended_it() {
    let database = postgres::database();
    let gate = Gate::start(database.server.port());
    // Nothing comes before a request then.
    let url = format!("{}?sslmode=disable", database.url());
    let url = url.replace(&database.server.port().to_string(), &gate.port.to_string());
    let pooler = Pooler::start(&url, limits(1, 2), Release::AtDisconnect);
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let mut other = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    client.send(&query("SELECT pg_sleep(600)"));
    let running =
        format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND wait_event = 'PgSleep'", database.name);
    eventually("the query to run", || database.sql(&running) == "1");
    let passed_on = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            client.cancel(pooler.port);
            assert!(passed_on.load(Ordering::Relaxed), "PostgreSQL had not ended it");
        });
        gate.ended.recv_timeout(PATIENCE).unwrap();
        // The pool goes on meanwhile.
        assert_eq!(other.value("SELECT 1"), "1");
        passed_on.store(true, Ordering::Relaxed);
        gate.open.send(()).unwrap();
    });
    let answer = client.read_to(b'Z');
    let error = answer.iter().find(|message| message.kind == b'E').unwrap();
    assert_eq!(field(error, b'C'), "57014");
    assert_eq!(client.value("SELECT 1"), "1");
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
        let wrong = Raw { key, ..Raw::of(Raw::connect(pooler.port)) };
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
