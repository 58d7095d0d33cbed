//! What the figures count, against what clients did at a real PostgreSQL.

use std::sync::atomic::Ordering::Relaxed;

use weir::sidecar::figures::{Command, Figures};
use weir::sidecar::pool::Release;
use weir::sidecar::state::Pin;

use crate::pooler::{Pooler, eventually, limits};
use crate::postgres;
use crate::raw::{Raw, message, query};
use crate::statements::{batch, close, leave, occupy, parse, pooled, run};

const SYNC: [u8; 5] = [b'S', 0, 0, 0, 4];
const FLUSH: [u8; 5] = [b'H', 0, 0, 0, 4];

/// Waits until the figures are so: the client may have its answer a moment before.
#[track_caller]
fn shows<T: PartialEq + std::fmt::Debug>(pooler: &Pooler, what: &str, read: impl Fn(&Figures) -> T, wanted: T) {
    let what = format!("{what} is {wanted:?}");
    eventually(&what, move || read(&pooler.figures) == wanted);
}

/// Transactions and queries that are over.
fn work(figures: &Figures) -> (u64, u64) {
    (figures.transactions.count(), figures.queries.count())
}

fn errors(figures: &Figures) -> Vec<(&'static str, u64)> {
    let counts = figures.errors.iter().map(|(class, count)| (class, count.load(Relaxed)));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// Clients that are pinned; and by reason those that are now, and how often it began.
fn pins(figures: &Figures) -> (u32, Vec<(Pin, u32, u64)>) {
    let rows = figures.pinned.iter().map(|(pin, now, begun)| (pin, now.load(Relaxed), begun.load(Relaxed)));
    (figures.pinned.clients.load(Relaxed), rows.filter(|(.., begun)| *begun > 0).collect())
}

fn ask(client: &mut Raw, sql: &str) {
    client.send(&query(sql));
    client.read_to(b'Z');
}

/// What both modes count alike.
fn counts_each_transaction_and_query(pooler: &Pooler, user: &str) {
    let mut client = Raw::log_in(pooler.port, user, &[]).unwrap();
    client.value("select 1");
    shows(pooler, "one query", work, (1, 1));
    for sql in ["begin", "select pg_sleep(0.06)", "commit"] {
        ask(&mut client, sql);
    }
    shows(pooler, "a transaction of three", work, (2, 4));
    let [transactions, queries] =
        [&pooler.figures.transactions, &pooler.figures.queries].map(|histogram| histogram.micros.load(Relaxed));
    assert!(queries >= 50_000 && transactions >= queries, "{transactions} and {queries} microseconds");
    assert!(pooler.figures.queries.buckets[..9].iter().map(|bucket| bucket.load(Relaxed)).sum::<u64>() <= 3);
    // A failed transaction, and one that takes several answers before its Sync.
    for sql in ["begin", "select 1/0", "rollback"] {
        ask(&mut client, sql);
    }
    shows(pooler, "a failed one", work, (3, 7));
    client.send(&[&parse("", "select 1")[..], &FLUSH].concat());
    client.read_to(b'1');
    client.send(&[&run("", &[])[..], &FLUSH].concat());
    client.read_to(b'C');
    assert_eq!(work(&pooler.figures), (3, 7), "its Sync is to come");
    client.send(&SYNC);
    client.read_to(b'Z');
    shows(pooler, "one in parts", work, (4, 8));
    // A batch: what is owed is owed until the last answer.
    client.send(&[query("select pg_sleep(0.05)"), query("select 2"), query("select 3")].concat());
    for _ in 0..3 {
        client.read_to(b'Z');
    }
    shows(pooler, "a batch", work, (5, 9));
    // A message that comes in pieces is one.
    for part in query("select 4").chunks(5) {
        client.send(part);
    }
    client.read_to(b'Z');
    shows(pooler, "one in pieces", work, (6, 10));
}

#[test]
fn transactions_and_queries_are_counted_and_timed() {
    let (database, pooler) = pooled(1);
    counts_each_transaction_and_query(&pooler, &database.name);
    // Who leaves in a transaction had it until then, but no answer to what it asked last.
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    ask(&mut client, "begin");
    client.send(&query("do $$ begin raise notice 'runs'; perform pg_sleep(600); end $$"));
    client.read_to(b'N');
    client.vanish();
    shows(&pooler, "one that was left", work, (7, 11));
    pooler.until(|figures| &figures.active, 0);
    assert!(
        pooler.count(|figures| &figures.acquired) >= 7,
        "pieces that are not yet a message get a connection as well"
    );
}

#[test]
fn a_client_that_holds_its_connection_has_transactions_too() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    counts_each_transaction_and_query(&pooler, &database.name);
    pooler.until(|figures| &figures.active, 0);
    assert_eq!(work(&pooler.figures), (6, 10), "nothing is counted when it disconnects");
    let (database, pooler) = pooled(1);
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    for sql in ["listen c", "select 1", "begin", "commit"] {
        ask(&mut client, sql);
    }
    shows(&pooler, "a pinned one", work, (3, 4));
    assert_eq!((pooler.count(|figures| &figures.acquired), pins(&pooler.figures).0), (1, 1));
}

#[test]
fn each_reason_to_keep_a_connection_counts_while_it_holds() {
    let (database, pooler) = pooled(1);
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let role = format!("set role {}", database.name);
    for (pin, make, undo) in [
        (Pin::Listen, "listen c", "unlisten c"),
        (Pin::Cursor, "declare c cursor with hold for select 1", "close c"),
        (Pin::Lock, "select pg_advisory_lock(1)", "select pg_advisory_unlock(1)"),
        (Pin::Prepared, "prepare p as select 1", "deallocate p"),
        (Pin::Role, &*role, "reset role"),
        (Pin::Setting, "set temp_buffers = '1MB'", "reset temp_buffers"),
        (Pin::Temporary, "set search_path = pg_temp", "reset search_path"),
    ] {
        let begun = |pin| pins(&pooler.figures).1.into_iter().find(|row| row.0 == pin).map_or(0, |row| row.2);
        let before = begun(pin);
        ask(&mut client, make);
        shows(&pooler, make, |figures| pins(figures).0, 1);
        let now = pins(&pooler.figures).1.into_iter().filter(|row| row.1 > 0).collect::<Vec<_>>();
        assert_eq!(now, [(pin, 1, before + 1)], "{make}");
        client.value("select 1");
        ask(&mut client, undo);
        shows(&pooler, undo, |figures| pins(figures).0, 0);
        assert_eq!(begun(pin), before + 1, "{undo}");
    }
    // By the protocol: a text that is too long to be kept, until it is closed.
    let long = format!("select 1 /* {} */", "x".repeat(70_000));
    assert_eq!(batch(&mut client, &[parse("long", &long)]), "1 I");
    shows(
        &pooler,
        "a long text",
        |figures| pins(figures).1.into_iter().find(|row| row.1 > 0),
        Some((Pin::Statement, 1, 1)),
    );
    assert_eq!(batch(&mut client, &[close("long")]), "3 I");
    shows(&pooler, "its end", |figures| pins(figures).0, 0);
    // Two reasons of one client, one of which only the end of the client ends.
    ask(&mut client, "select set_config('a.' || 'b', 'c', false)");
    shows(&pooler, "a name that was not seen", |figures| pins(figures).0, 1);
    ask(&mut client, "listen c");
    let both = vec![(Pin::Listen, 1, 2), (Pin::Custom, 1, 1)];
    let now = |figures: &Figures| pins(figures).1.into_iter().filter(|row| row.1 > 0).collect::<Vec<_>>();
    shows(&pooler, "two reasons", now, both);
    assert_eq!(pins(&pooler.figures).0, 1);
    client.vanish();
    shows(&pooler, "the end of the client", |figures| (pins(figures).0, now(figures)), (0, vec![]));
}

#[test]
fn questions_and_their_failures_are_counted() {
    let (database, pooler) = pooled(1);
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let asked = |figures: &Figures| (figures.asks.load(Relaxed), figures.asks_failed.load(Relaxed));
    client.value("select 1");
    ask(&mut client, "set work_mem = '5MB'");
    shows(&pooler, "one question", asked, (1, 0));
    // Our own statement is gone, unseen: the question fails, and is asked again after the next transaction.
    ask(&mut client, "do $$ begin execute 'deallocate all'; end $$");
    shows(&pooler, "one that failed", asked, (2, 1));
    shows(&pooler, "what is not known", pins, (1, vec![(Pin::Unknown, 1, 1)]));
    client.value("select 1");
    shows(&pooler, "one more", asked, (3, 1));
    shows(&pooler, "what is known again", pins, (0, vec![(Pin::Unknown, 0, 1)]));
}

#[test]
fn errors_of_postgresql_count_by_class_in_both_modes() {
    let expected = vec![("22", 3), ("26", 1), ("42", 1), ("P0", 1), ("other", 2)];
    for release in [Release::AtDisconnect, Release::AtReadyForQuery] {
        let database = postgres::database();
        let pooler = Pooler::start(&database.url(), limits(1, 1), release);
        let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        for sql in [
            "select 1/0",
            "select * from missing",
            "do $$ begin raise 'mine' using errcode = 'ZZ999'; end $$",
            "do $$ begin raise 'mine' using errcode = '01000'; end $$",
            "do $$ begin raise 'plain'; end $$",
            "select 1",
            "do $$ begin raise warning 'no error'; end $$",
        ] {
            ask(&mut client, sql);
        }
        batch(&mut client, &[parse("s", "select $1::int")]);
        batch(&mut client, &[run("s", &["x"])]);
        batch(&mut client, &[parse("", "select $1::int"), run("", &["x"])]);
        batch(&mut client, &[run("missing", &[])]);
        shows(&pooler, "errors", errors, expected.clone());
        // What it is refused by us is no error of PostgreSQL.
        assert!(Raw::log_in(pooler.port, "nobody", &[]).is_err());
        client.send(&message(b'?', b""));
        client.read_to_end();
        assert_eq!(errors(&pooler.figures), expected);
    }
}

#[test]
fn statements_that_are_known_and_prepared_are_counted() {
    let (database, pooler) = pooled(2);
    let mut holder = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let mut a = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let mut b = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let sizes = |figures: &Figures| {
        [&figures.texts, &figures.text_bytes, &figures.copies, &figures.copy_bytes].map(|figure| figure.load(Relaxed))
    };
    let sizes_are = |what: &str, wanted: [u64; 4]| {
        pooler.send(Command::Publish);
        shows(&pooler, what, sizes, wanted);
    };
    let again = |figures: &Figures| (figures.prepared_again.load(Relaxed), figures.stale.load(Relaxed));
    database.sql("create table t (a int); insert into t values (7); grant all on t to public");
    let text = "select a from t where a = $1";
    // As in Parse: the text, a zero byte, and the number of types.
    let bytes = u64::try_from(text.len() + 3).unwrap();
    assert_eq!(batch(&mut a, &[parse("s", text)]), "1 I");
    sizes_are("one statement", [1, bytes, 1, bytes]);
    // The same of another client is the same text, and its copy replaces the first, since it answers alike.
    assert_eq!(batch(&mut b, &[parse("other", text)]), "1 I");
    sizes_are("one for two clients", [1, bytes, 1, bytes]);
    assert_eq!(batch(&mut a, &[run("s", &["7"])]), "2 =7 C I");
    assert_eq!(again(&pooler.figures), (0, 0));
    occupy(&mut holder);
    assert_eq!(batch(&mut a, &[run("s", &["7"])]), "2 =7 C I");
    assert_eq!(batch(&mut b, &[run("other", &["7"])]), "2 =7 C I");
    shows(&pooler, "prepared on the other connection, for both", again, (1, 0));
    leave(&mut holder);
    sizes_are("on two connections", [1, bytes, 2, 2 * bytes]);
    // Columns change: on its own connection PostgreSQL notices by itself, on the other it is prepared again, and no use.
    assert_eq!(batch(&mut a, &[parse("star", "select * from t")]), "1 I");
    database.sql("alter table t alter a type bigint");
    let refused = "0A000 cached plan must not change result type I";
    assert_eq!(batch(&mut a, &[run("star", &[])]), refused);
    assert_eq!(again(&pooler.figures), (1, 0));
    occupy(&mut holder);
    assert_eq!(batch(&mut a, &[run("star", &[])]), refused);
    shows(&pooler, "prepared again in vain", again, (2, 1));
    leave(&mut holder);
    shows(&pooler, "errors", errors, vec![("0A", 2)]);
}

#[test]
fn every_login_at_postgresql_is_timed() {
    let (database, pooler) = pooled(3);
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    client.value("select 1");
    pooler.until(|figures| &figures.idle, 3);
    assert_eq!((pooler.figures.login_times.count(), pooler.count(|figures| &figures.logins)), (3, 3));
    assert!(pooler.count(|figures| &figures.login_times.micros) > 0);
}
