//! Queries and transactions that take longer than they may.

use std::time::Duration;

use weir::policy::limits::Limits;
use weir::sidecar::figures::Command;
use weir::sidecar::pool::Release;

use crate::pooler::{Pooler, eventually, limits};
use crate::postgres::{self, Database};
use crate::raw::{Message, Raw, extended, field, message, query};

const MODES: [Release; 2] = [Release::AtDisconnect, Release::AtReadyForQuery];
const FLUSH: [u8; 5] = [b'H', 0, 0, 0, 4];
const SYNC: [u8; 5] = [b'S', 0, 0, 0, 4];

fn query_timeout(seconds: u64) -> Limits {
    Limits { query_timeout: Some(Duration::from_secs(seconds)), ..limits(1, 1) }
}

fn idle_transaction_timeout() -> Limits {
    Limits { idle_transaction_timeout: Some(Duration::from_secs(1)), ..limits(1, 1) }
}

fn client(pooler: &Pooler, database: &Database) -> Raw {
    Raw::log_in(pooler.port, &database.name, &[]).unwrap()
}

/// The last of them sends the client away; the code, and which limit it names.
fn is_told(messages: &[Message], code: &str, limit: &str) {
    let Some(last) = messages.last() else { panic!("nothing came") };
    let told = [b'S', b'C'].map(|name| field(last, name));
    assert_eq!((last.kind, told), (b'E', ["FATAL".to_owned(), code.to_owned()]), "{messages:?}");
    assert!(field(last, b'M').contains(&format!("the pool's {limit}")), "{last:?}");
    assert!(field(last, b'H').contains(&format!("spec.limits.{limit} of the ConnectionPool")), "{last:?}");
}

const BACKEND: &str = "SELECT pg_backend_pid()";

#[test]
fn a_query_beyond_query_timeout_is_cancelled_and_its_server_connection_reused() {
    let database = postgres::database();
    let long = "SELECT pg_sleep(600)";
    let requests = [
        ("alone", query(long)),
        ("behind others", [query("SELECT 1"), query(long), query("SELECT 2")].concat()),
        ("in a transaction", query(&format!("BEGIN; {long}"))),
        ("in a batch", [extended(long), SYNC.to_vec()].concat()),
        ("in a batch without its end", [extended("SELECT 1"), extended(long), FLUSH.to_vec()].concat()),
    ];
    for release in MODES {
        let pooler = Pooler::start(&database.url(), query_timeout(1), release);
        let mut first = client(&pooler, &database);
        let backend = first.value(BACKEND);
        first.goodbye();
        for (how, request) in &requests {
            let mut slow = client(&pooler, &database);
            slow.send(request);
            let messages = slow.read_to_end();
            is_told(&messages, "57014", "queryTimeout");
            assert_eq!(messages.iter().filter(|message| message.kind == b'E').count(), 1, "{how}: {messages:?}");
            let mut next = client(&pooler, &database);
            assert_eq!(next.value(BACKEND), backend, "{release:?} {how}");
            next.goodbye();
        }
    }
}

/// Each has its own time, and the time in which the client is awaited is none.
#[test]
fn query_timeout_is_for_one_query_and_not_for_a_copy_that_waits_for_its_client() {
    let database = postgres::database();
    database.sql("CREATE TABLE copied (a int); GRANT ALL ON copied TO public");
    let limits = Limits { query_timeout: Some(Duration::from_secs(2)), ..limits(2, 2) };
    let pooler = Pooler::start(&database.url(), limits, Release::AtReadyForQuery);
    let [mut copying, mut many, mut slow] = [(); 3].map(|()| client(&pooler, &database));
    copying.send(&query("COPY copied FROM STDIN"));
    copying.read_to(b'G');
    many.send(&query("SELECT pg_sleep(0.5)").repeat(6));
    for _ in 0..6 {
        let answer = many.read_to(b'Z');
        assert!(answer.iter().all(|message| message.kind != b'E'), "{answer:?}");
    }
    slow.send(&query("SELECT pg_sleep(600)"));
    is_told(&slow.read_to_end(), "57014", "queryTimeout");
    copying.send(&[message(b'd', b"1\n"), message(b'c', b"")].concat());
    let answer = copying.read_to(b'Z');
    assert!(answer.iter().all(|message| message.kind != b'E'), "{answer:?}");
    assert_eq!(database.sql("SELECT count(*) FROM copied"), "1");
}

/// More than all sockets take.
const LONG: usize = 24_000_000;

#[test]
fn a_client_in_the_middle_of_a_message_gets_its_rest_before_it_is_told() {
    let database = postgres::database();
    for release in MODES {
        let pooler = Pooler::start(&database.url(), query_timeout(1), release);
        let mut slow = client(&pooler, &database);
        let backend = slow.value(BACKEND);
        slow.send(&query(&format!("SELECT repeat('x', {LONG}) FROM generate_series(1, 3)")));
        eventually("its query to be cancelled", || pooler.count(|figures| &figures.cancels) == 1);
        let messages = slow.read_to_end();
        is_told(&messages, "57014", "queryTimeout");
        let kinds: String = messages.iter().map(|message| char::from(message.kind)).collect();
        assert_eq!(kinds, "TDE", "{release:?}");
        assert!(messages[1].body.len() == LONG + 6 && messages[1].body[6..].iter().all(|byte| *byte == b'x'));
        let mut next = client(&pooler, &database);
        assert_eq!(next.value(BACKEND), backend);
    }
}

#[test]
fn a_client_that_takes_no_more_of_a_message_is_gone_all_the_same() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), query_timeout(1), Release::AtReadyForQuery);
    let mut stuck = client(&pooler, &database);
    stuck.send(&query(&format!("SELECT repeat('x', {LONG})")));
    let mut next = client(&pooler, &database);
    assert_eq!(next.value("SELECT 1"), "1");
    pooler.until(|figures| &figures.clients, 1);
}

/// It would be read as a part of the row.
#[test]
fn nothing_is_said_in_the_middle_of_a_row() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtReadyForQuery);
    let mut wrong = client(&pooler, &database);
    wrong.send(&query(&format!("SELECT repeat('x', {LONG})")));
    wrong.read_to(b'T');
    let mut header = [0; 11];
    std::io::Read::read_exact(&mut wrong.stream, &mut header).unwrap();
    // No message of the protocol's.
    wrong.send(&message(b'!', b""));
    pooler.until(|figures| &figures.clients, 0);
    let mut rest = Vec::new();
    // It may end with a reset.
    let _ = std::io::Read::read_to_end(&mut wrong.stream, &mut rest);
    assert!(rest.len() < LONG && rest.iter().all(|byte| *byte == b'x'), "{} bytes came", rest.len());
}

#[test]
fn who_leaves_its_transaction_open_is_told_and_it_is_rolled_back() {
    let database = postgres::database();
    database.sql("CREATE TABLE marks (a int); GRANT ALL ON marks TO public");
    let requests = [
        ("in a transaction", query("BEGIN; INSERT INTO marks VALUES (1)"), b'Z', true),
        ("in a failed one", query("BEGIN; INSERT INTO marks VALUES (1); SELECT 1 / 0"), b'Z', true),
        ("in a batch", [extended("INSERT INTO marks VALUES (1)"), FLUSH.to_vec()].concat(), b'C', true),
        ("copying in", [query("COPY marks FROM STDIN"), message(b'd', b"1\n")].concat(), b'G', false),
    ];
    for release in MODES {
        let pooler = Pooler::start(&database.url(), idle_transaction_timeout(), release);
        for (how, request, last, kept) in &requests {
            let mut silent = client(&pooler, &database);
            let backend = silent.value(BACKEND);
            silent.send(request);
            silent.read_to(*last);
            let messages = silent.read_to_end();
            assert_eq!(messages.len(), 1, "{how}: {messages:?}");
            is_told(&messages, "25P03", "idleTransactionTimeout");
            let mut next = client(&pooler, &database);
            assert_eq!(next.value(BACKEND) == backend, *kept, "{release:?} {how}");
            assert_eq!(next.value("SELECT now() = statement_timestamp()"), "t", "{release:?} {how}");
            next.goodbye();
        }
    }
    assert_eq!(database.sql("SELECT count(*) FROM marks"), "0");
}

#[test]
fn who_is_silent_outside_of_a_transaction_or_waits_for_its_answer_is_left_alone() {
    let database = postgres::database();
    let limits = Limits { max: 3, ..idle_transaction_timeout() };
    let pooler = Pooler::start(&database.url(), limits, Release::AtDisconnect);
    let [mut outside, mut working, mut silent] = [(); 3].map(|()| client(&pooler, &database));
    assert_eq!(outside.value("SELECT 1"), "1");
    working.send(&query("BEGIN; SELECT pg_advisory_xact_lock(7), pg_sleep(2); COMMIT"));
    silent.send(&query("BEGIN"));
    silent.read_to(b'Z');
    is_told(&silent.read_to_end(), "25P03", "idleTransactionTimeout");
    assert_eq!(outside.value("SELECT 2"), "2");
    let answer = working.read_to(b'Z');
    assert!(answer.iter().all(|message| message.kind != b'E'), "{answer:?}");
}

#[test]
fn a_timeout_counts_from_when_it_is_set() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(2, 2), Release::AtReadyForQuery);
    let [mut slow, mut silent] = [(); 2].map(|()| client(&pooler, &database));
    slow.send(&query("DO $$ BEGIN RAISE NOTICE 'runs'; PERFORM pg_sleep(600); END $$"));
    slow.read_to(b'N');
    silent.send(&query("BEGIN"));
    silent.read_to(b'Z');
    let both = Limits { query_timeout: Some(Duration::from_secs(1)), ..idle_transaction_timeout() };
    pooler.send(Command::Limits(Limits { max: 2, ..both }));
    is_told(&slow.read_to_end(), "57014", "queryTimeout");
    is_told(&silent.read_to_end(), "25P03", "idleTransactionTimeout");
    pooler.send(Command::Limits(limits(2, 2)));
    let mut next = client(&pooler, &database);
    next.send(&query("BEGIN"));
    next.read_to(b'Z');
    assert_eq!(next.value("SELECT pg_backend_pid() > 0"), "t");
}
