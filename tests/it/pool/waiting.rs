//! A client that goes away while it waits gives up its place at once; one that only has nothing more to say is still answered.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::sync::atomic::Ordering;
use std::time::Duration;

use weir::policy::limits::Limits;
use weir::sidecar::pool::Release;

use crate::pooler::{PATIENCE, Pooler, eventually, limits};
use crate::postgres::{self, Database};
use crate::raw::{Message, Raw, extended, field, message, query, startup};

/// One server connection, and nobody is sent away while a test looks.
fn one(database: &Database, release: Release) -> Pooler {
    Pooler::start(&database.url(), Limits { connection_timeout: 2 * PATIENCE, ..limits(1, 1) }, release)
}

/// A client that holds the server connection.
fn holder(pooler: &Pooler, database: &Database) -> Raw {
    let mut holder = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    holder.send(&query("BEGIN"));
    holder.read_to(b'Z');
    holder
}

/// Time must pass for nothing to happen in it; at first what was begun may still end.
fn sleeps(pooler: &Pooler) {
    eventually("a second without a turn of the loop", || {
        let before = pooler.count(|figures| &figures.turns);
        std::thread::sleep(Duration::from_secs(1));
        pooler.count(|figures| &figures.turns) == before
    });
}

type Leave = fn(Raw);

/// A request is unread each time.
const LEAVES: [(&str, Leave); 5] = [
    ("by a reset", Raw::vanish),
    ("by a close", drop),
    ("by a close after half of the next message", |mut client| client.send(&query("SELECT 1")[..7])),
    ("by a close in two steps", |client| client.stream.shutdown(Shutdown::Write).unwrap()),
    ("with a goodbye", |mut client| client.send(&message(b'X', b""))),
];

#[test]
fn who_goes_away_while_it_waits_gives_up_its_place_at_once() {
    let database = postgres::database();
    database.sql("CREATE TABLE done (a text); GRANT ALL ON done TO public");
    for (how, leave) in LEAVES {
        let pooler = one(&database, Release::AtDisconnect);
        let holder = holder(&pooler, &database);
        let [mut first, mut second] = [(); 2].map(|()| Raw::log_in(pooler.port, &database.name, &[]).unwrap());
        first.send(&query(&format!("INSERT INTO done VALUES ('{how}')")));
        pooler.until(|figures| &figures.waiting, 1);
        second.send(&query("SELECT 'second'"));
        pooler.until(|figures| &figures.waiting, 2);
        leave(first);
        eventually(&format!("the one to be out of the queue that left {how}"), || {
            pooler.figures.waiting.load(Ordering::Relaxed) == 1
        });
        sleeps(&pooler);
        holder.goodbye();
        assert!(second.read_to(b'Z').iter().any(|message| message.kind == b'D'), "{how}");
        assert_eq!(pooler.count(|figures| &figures.acquired), 2, "{how}: the holder and the second");
    }
    assert_eq!(database.sql("SELECT count(*) FROM done"), "0");
}

#[test]
fn who_goes_away_before_the_first_login_gives_up_its_place_at_once() {
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://app:secret@127.0.0.1:{}/app", silent.local_addr().unwrap().port());
    let pooler =
        Pooler::start(&url, Limits { connection_timeout: 2 * PATIENCE, ..limits(1, 1) }, Release::AtDisconnect);
    let startup = startup(&[("user", "app"), ("database", "app")]);
    let cases: [(&[u8], Leave); 3] = [(b"", drop), (b"", Raw::vanish), (&query("SELECT 1"), Raw::vanish)];
    for (more, leave) in cases {
        let mut client = Raw::of(Raw::connect(pooler.port));
        client.send(&[&startup, more].concat());
        pooler.until(|figures| &figures.waiting, 1);
        leave(client);
        pooler.until(|figures| &figures.waiting, 0);
    }
    // One segment, so that the packet and the end are one event.
    let mut client = Raw::connect(pooler.port);
    rustix::net::sockopt::set_tcp_cork(&client, true).unwrap();
    client.write_all(&startup).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "nobody waits for its time-out");
}

/// All that comes after a request with which a client ends its stream, but what may come at any time.
fn answers(client: &mut Raw, request: &[u8], then: impl FnOnce()) -> Vec<Message> {
    client.send(request);
    client.stream.shutdown(Shutdown::Write).unwrap();
    then();
    let mut answers = client.read_to_end();
    answers.retain(|message| message.kind != b'S');
    answers
}

#[test]
fn who_ends_its_stream_behind_a_request_is_answered_as_by_postgresql_whether_it_waits_or_not() {
    let database = postgres::database();
    database.sql("CREATE TABLE copied (a int); GRANT ALL ON copied TO public");
    let sync = message(b'S', b"");
    let requests = [
        query("SELECT pg_sleep(0.2); SELECT 'last'"),
        [query("SELECT 1"), query("SELECT 1 / 0"), query("SELECT repeat('x', 300000)")].concat(),
        [extended("SELECT 1"), sync.clone(), extended("SELECT pg_sleep(0.1)"), sync].concat(),
        [query("COPY copied FROM STDIN"), message(b'd', b"1\n"), message(b'c', b"")].concat(),
        query("BEGIN; INSERT INTO copied VALUES (2)"),
    ];
    for release in [Release::AtDisconnect, Release::AtReadyForQuery] {
        let pooler = one(&database, release);
        for request in &requests {
            let mut direct = Raw::log_in(database.server.port(), &database.name, &[]).unwrap();
            let expected = answers(&mut direct, request, || {});
            assert_eq!(expected.last().map(|message| message.kind), Some(b'Z'), "{expected:?}");
            let mut attached = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
            assert_eq!(answers(&mut attached, request, || {}), expected, "at once");

            let holder = holder(&pooler, &database);
            let mut waits = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
            let waited = answers(&mut waits, request, || {
                pooler.until(|figures| &figures.waiting, 1);
                holder.goodbye();
            });
            assert_eq!(waited, expected, "after a wait");
        }
        pooler.until(|figures| &figures.active, 0);
    }
    assert_eq!(database.sql("SELECT string_agg(a::text, ' ') FROM copied"), ["1"; 6].join(" "));
}

#[test]
fn who_ends_its_stream_and_reads_slowly_gets_all_of_its_answer() {
    // More than both sockets take, so that the last of it waits in the pool.
    const ROWS: usize = 12_000;
    let database = postgres::database();
    for release in [Release::AtDisconnect, Release::AtReadyForQuery] {
        let pooler = one(&database, release);
        let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        client.send(&query(&format!("SELECT repeat('x', 1000) FROM generate_series(1, {ROWS})")));
        client.stream.shutdown(Shutdown::Write).unwrap();
        let (mut answer, mut little) = (Vec::new(), [0; 16]);
        while let n @ 1.. = client.stream.read(&mut little).unwrap() {
            answer.extend_from_slice(&little[..n]);
        }
        assert!(answer.ends_with(b"Z\0\0\0\x05I"), "{release:?}: {} bytes came", answer.len());
    }
}

#[test]
fn who_has_ended_its_stream_causes_no_wakeups_while_it_waits_and_while_it_is_served() {
    let database = postgres::database();
    let pooler = one(&database, Release::AtDisconnect);
    let holder = holder(&pooler, &database);
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    client.send(&query("DO $$ BEGIN RAISE NOTICE 'runs'; PERFORM pg_sleep(600); END $$"));
    client.stream.shutdown(Shutdown::Write).unwrap();
    pooler.until(|figures| &figures.waiting, 1);
    sleeps(&pooler);
    assert_eq!(pooler.figures.waiting.load(Ordering::Relaxed), 1, "it is still there");
    holder.goodbye();
    client.read_to(b'N');
    sleeps(&pooler);
    client.cancel(pooler.port);
    assert_eq!(client.read_to_end().last().map(|message| message.kind), Some(b'Z'));
    pooler.until(|figures| &figures.clients, 0);
}

/// PostgreSQL would answer neither: its ReadyForQuery depends on more to come.
#[test]
fn who_ends_its_stream_in_the_middle_of_a_request_is_gone() {
    let database = postgres::database();
    database.sql("CREATE TABLE copied (a int); GRANT ALL ON copied TO public");
    let pooler = one(&database, Release::AtDisconnect);
    let copy = [query("COPY copied FROM STDIN"), message(b'd', b"1\n")].concat();
    for request in [extended("SELECT pg_sleep(600)"), copy, query("SELECT pg_sleep(600)")[..9].to_vec()] {
        let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        let answers = answers(&mut client, &request, || {});
        assert!(answers.iter().all(|message| message.kind != b'Z'), "{answers:?}");
        let mut next = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        assert_eq!(next.value("SELECT 1"), "1");
        next.goodbye();
    }
    assert_eq!(database.sql("SELECT count(*) FROM copied"), "0");
}

/// The second waits as long and sees none: what it has set says so.
#[test]
fn who_waits_for_long_is_told_once_behind_whom_and_for_what() {
    let database = postgres::database();
    let pooler = one(&database, Release::AtReadyForQuery);
    let holder = holder(&pooler, &database);
    let wishes: [&[(&str, &str)]; 3] = [&[], &[("client_min_messages", "warning")], &[]];
    let mut clients = wishes.map(|wishes| Raw::log_in(pooler.port, &database.name, wishes).unwrap());
    for (client, n) in clients.iter_mut().zip(1..) {
        client.send(&query("SELECT 'served'"));
        pooler.until(|figures| &figures.waiting, n);
    }
    let [first, quiet, last] = &mut clients;
    for (client, ahead) in [(&mut *last, "2 clients"), (&mut *first, "0 clients")] {
        let notice = client.read().unwrap();
        let told = [b'S', b'V', b'C'].map(|name| field(&notice, name));
        assert_eq!((notice.kind, told), (b'N', ["NOTICE", "NOTICE", "00000"].map(str::to_owned)), "{notice:?}");
        let message = field(&notice, b'M');
        assert!(message.starts_with("waiting for a server connection for "), "{message}");
        assert!(message.ends_with(&format!(" ms, with {ahead} ahead in the queue")), "{message}");
        assert!(field(&notice, b'D').contains("All 1 server connections that spec.limits.max allows"), "{notice:?}");
    }
    sleeps(&pooler);
    holder.goodbye();
    for client in [first, quiet, last] {
        let answer = client.read_to(b'Z');
        let kinds: String = answer.iter().map(|message| char::from(message.kind)).collect();
        assert_eq!(kinds.trim_start_matches('S'), "TDCZ", "{answer:?}");
    }
}

#[test]
fn who_waits_for_long_and_has_ended_its_stream_is_answered() {
    let database = postgres::database();
    let pooler = one(&database, Release::AtReadyForQuery);
    let holder = holder(&pooler, &database);
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let messages = answers(&mut client, &query("SELECT 'served'"), || {
        pooler.until(|figures| &figures.waiting, 1);
        let mut witness = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        witness.send(&query("SELECT 1"));
        assert_eq!(witness.read().unwrap().kind, b'N');
        holder.goodbye();
    });
    let kinds: String = messages.iter().map(|message| char::from(message.kind)).collect();
    assert_eq!(kinds, "NTDCZ", "{messages:?}");
}

#[test]
fn a_goodbye_is_answered_also_while_all_server_connections_are_in_use() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtReadyForQuery);
    let mut holder = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    holder.send(&query("BEGIN"));
    holder.read_to(b'Z');
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    client.send(b"X\0\0");
    client.send(b"\0\x04");
    assert!(client.read_to_end().is_empty());
    pooler.until(|figures| &figures.clients, 1);
}
