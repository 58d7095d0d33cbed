//! Whatever a client leaves, and however it leaves, the next one does not see it.

use weir::sidecar::pool::Release;

use crate::pooler::{Pooler, eventually, limits};
use crate::postgres::{self, Database};
use crate::raw::{Raw, extended, field, message, query};

/// Everything that DISCARD ALL is for, left by one client.
fn soil(client: &mut Raw) {
    for sql in [
        "SET work_mem = '7MB'",
        "SELECT set_config('my.secret', 'seen', false)",
        "CREATE TEMP TABLE left_behind AS SELECT 1 AS a",
        "LISTEN news",
        "SELECT pg_advisory_lock(42)",
        "PREPARE stale AS SELECT 'stale'",
        "DECLARE held CURSOR WITH HOLD FOR SELECT 1",
        "SELECT setval('counter', 10)",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    ] {
        client.send(&query(sql));
        let answer = client.read_to(b'Z');
        assert!(answer.iter().all(|message| message.kind != b'E'), "{sql}: {answer:?}");
    }
}

fn is_clean(client: &mut Raw, database: &Database) {
    for (sql, expected) in [
        ("SHOW work_mem", "4MB"),
        ("SELECT coalesce(current_setting('my.secret', true), '')", ""),
        ("SELECT count(*) FROM pg_class WHERE relname = 'left_behind'", "0"),
        ("SELECT count(*) FROM pg_listening_channels()", "0"),
        (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            "0",
        ),
        ("SELECT count(*) FROM pg_prepared_statements", "0"),
        ("SELECT count(*) FROM pg_cursors", "0"),
        ("SHOW transaction_read_only", "off"),
        ("SELECT now() = statement_timestamp()", "t"),
    ] {
        assert_eq!(client.value(sql), expected, "{sql}");
    }
    assert_eq!(client.value("SELECT current_user"), database.name);
    for (sql, code) in [("SELECT currval('counter')", "55000"), ("EXECUTE stale", "26000")] {
        client.send(&query(sql));
        let answer = client.read_to(b'Z');
        let error = answer.iter().find(|message| message.kind == b'E');
        assert_eq!(error.map(|error| field(error, b'C')).as_deref(), Some(code), "{answer:?}");
    }
    assert_eq!(client.value("INSERT INTO marks VALUES (1) RETURNING 1"), "1");
}

fn prepared() -> Database {
    let database = postgres::database();
    database.sql("CREATE SEQUENCE counter; CREATE TABLE marks (a int); GRANT ALL ON counter, marks TO public");
    database
}

type Leave = fn(Raw);

/// Nobody waits until what a client left is given up: 5 s, and again 5 s.
const DRAIN_MICROS: u64 = 5_000_000;

/// Says when it runs: PostgreSQL ignores a cancel request that comes before it has read the query.
const LONG: &str = "DO $$ BEGIN RAISE NOTICE 'runs'; PERFORM pg_sleep(600); END $$";

/// Ways to be gone, each in another state of the protocol.
const LEAVES: [(&str, Leave); 19] = [
    ("goodbye", Raw::goodbye),
    ("end of stream", drop),
    ("reset", Raw::vanish),
    ("in a transaction", |mut client| {
        client.send(&query("BEGIN; INSERT INTO marks VALUES (99)"));
        client.read_to(b'Z');
        client.vanish();
    }),
    ("in a failed transaction", |mut client| {
        client.send(&query("BEGIN"));
        client.read_to(b'Z');
        client.send(&query("SELECT 1 / 0"));
        client.read_to(b'Z');
        client.vanish();
    }),
    ("while a query runs", |mut client| {
        client.send(&query(LONG));
        client.read_to(b'N');
        client.vanish();
    }),
    ("by an end of stream while a query runs", |mut client| {
        client.send(&query(LONG));
        client.read_to(b'N');
    }),
    ("with goodbye while a query runs", |mut client| {
        client.send(&[query("SELECT pg_sleep(0.1)"), message(b'X', b"")].concat());
    }),
    ("in the middle of a result", |mut client| {
        client.send(&query("SELECT repeat('x', 10000) FROM generate_series(1, 100000)"));
        client.read().unwrap();
        client.vanish();
    }),
    ("in the middle of a long row", |mut client| {
        client.send(&query("SELECT repeat('x', 900000)"));
        std::io::Read::read_exact(&mut client.stream, &mut [0; 1000]).unwrap();
        client.vanish();
    }),
    ("in the middle of a message", |mut client| {
        client.send(&query("SELECT 'a long text that is not sent to its end'")[..20]);
        client.vanish();
    }),
    ("in the middle of a header", |mut client| {
        client.send(&query("SELECT 1")[..3]);
        client.vanish();
    }),
    ("after Parse and Flush", |mut client| {
        client.send(&[message(b'P', b"named\0SELECT 1\0\0\0"), message(b'H', b"")].concat());
        client.read_to(b'1');
        client.vanish();
    }),
    ("after an error without Sync", |mut client| {
        client.send(&[extended("SELECT 1 / 0"), message(b'H', b"")].concat());
        client.read_to(b'E');
        client.vanish();
    }),
    ("in a batch that is not ended, so that PostgreSQL alone would roll it back", |mut client| {
        client.send(&[extended("INSERT INTO marks VALUES (96)"), message(b'H', b"")].concat());
        client.read_to(b'C');
        client.vanish();
    }),
    ("in a pipeline", |mut client| {
        let batch = [extended("SELECT pg_sleep(0.01)"), message(b'S', b"")].concat();
        client.send(&batch.repeat(50));
        client.vanish();
    }),
    ("while copying in", |mut client| {
        client.send(&query("COPY marks FROM STDIN"));
        client.read_to(b'G');
        client.send(&message(b'd', b"98\n"));
        client.vanish();
    }),
    ("before copying in", |mut client| {
        client.send(&[query("COPY marks FROM STDIN"), message(b'd', b"97\n")].concat());
        client.vanish();
    }),
    ("while copying out", |mut client| {
        client.send(&query("COPY (SELECT repeat('x', 10000) FROM generate_series(1, 100000)) TO STDOUT"));
        client.read_to(b'd');
        client.vanish();
    }),
];

#[test]
fn nothing_is_left_for_the_next_client_however_one_leaves() {
    let database = prepared();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    for (how, leave) in LEAVES {
        let before = pooler.count(|figures| &figures.waits.micros);
        let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        soil(&mut client);
        client.send(&query("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"));
        client.read_to(b'Z');
        leave(client);
        let mut next = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        is_clean(&mut next, &database);
        assert!(database.connections() <= 1, "{how}");
        let waited = pooler.count(|figures| &figures.waits.micros) - before;
        assert!(waited < DRAIN_MICROS, "{how}: {waited}");
        next.goodbye();
    }
    assert_eq!(database.sql("SELECT count(*) FROM marks WHERE a > 1"), "0");
}

/// PostgreSQL 18 says `I` at the Sync then, though the transaction is open still, and the next statement fails.
#[test]
fn a_query_in_the_middle_of_a_batch_costs_the_next_client_nothing() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtReadyForQuery);
    let mut mixing = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let mut next = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let before = next.value("SELECT pg_backend_pid()");
    let sync = message(b'S', b"");
    mixing.send(&[extended("SELECT pg_advisory_xact_lock(42)"), query("SELECT 'between'"), sync].concat());
    for _ in 0..2 {
        mixing.read_to(b'Z');
    }
    let torn = database.sql("SHOW server_version_num").parse::<u32>().unwrap() >= 180_000;
    assert_eq!(next.value("SELECT pg_backend_pid()") != before, torn);
    assert_eq!(mixing.value("SELECT 1"), "1");
}

/// One cancel request ends one statement.
#[test]
fn all_that_a_client_left_to_run_is_cancelled_and_the_connection_is_kept() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let before = client.value("SELECT pg_backend_pid()");
    client.send(&query(LONG).repeat(3));
    client.read_to(b'N');
    client.vanish();
    let mut next = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(next.value("SELECT pg_backend_pid()"), before);
}

/// A backend in the middle of a message can't be brought to an end of what it does, and is charged for as long as it does that.
#[test]
fn a_connection_that_is_closed_at_work_is_cancelled_until_its_end() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    client.send(&[&query(LONG).repeat(3)[..], &query("SELECT 'half'")[..9]].concat());
    client.read_to(b'N');
    client.vanish();
    let mut next = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(next.value("SELECT 1"), "1");
}

#[test]
fn many_that_vanish_in_each_state_leave_a_pool_that_serves() {
    let database = prepared();
    let pooler = Pooler::start(&database.url(), limits(2, 4), Release::AtDisconnect);
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let (pooler, database) = (&pooler, &database);
            scope.spawn(move || {
                for round in 0..20 {
                    let (_, leave) = LEAVES[(worker * 7 + round) % LEAVES.len()];
                    let client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
                    // What it left in its queue is dropped with it, also when it never got a connection.
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| leave(client)));
                }
            });
        }
        for _ in 0..20 {
            assert!(database.connections() <= 4);
        }
    });
    let mut fine = 0;
    for _ in 0..40 {
        let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        fine += u32::from(client.value("SELECT count(*) FROM pg_prepared_statements") == "0");
        client.goodbye();
    }
    assert_eq!(fine, 40);
    pooler.until(|figures| &figures.active, 0);
    pooler.until(|figures| &figures.unconfirmed, 0);
    let charged = pooler.figures.charged.load(std::sync::atomic::Ordering::Relaxed);
    eventually("the charge to be what is open", || database.connections() == charged);
}
