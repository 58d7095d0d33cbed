//! A server connection that fails before its client is served costs the client nothing.

use std::sync::atomic::Ordering;

use weir::sidecar::pool::Release;

use crate::pooler::{Pooler, eventually, limits};
use crate::postgres;
use crate::raw::{Raw, field, query};

const BACKEND: &str = "SELECT pg_backend_pid()";

/// Setting a role reads `pg_authid`, and so do logins: whoever locks it decides when that is.
#[test]
fn who_loses_its_server_connection_before_it_is_served_is_not_told_and_stays_the_first() {
    let database = postgres::database();
    let name = &*database.name;
    let owner = format!("{name}_owner");
    database.sql(&format!(
        "CREATE ROLE {owner}; GRANT {owner} TO {name}; CREATE TABLE served (n serial, who text); \
         GRANT ALL ON served, served_n_seq TO public"
    ));
    for end in ["pg_cancel_backend", "pg_terminate_backend"] {
        let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtReadyForQuery);
        let mut last = Raw::log_in(pooler.port, name, &[]).unwrap();
        let before = last.value(BACKEND);
        let waits = || pooler.figures.waits.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum::<u64>();
        let waited = waits();
        let mut first = Raw::log_in(pooler.port, name, &[("role", &owner)]).unwrap();
        let mut locker = Raw::log_in_to(database.server.port(), postgres::SUPERUSER, name, &[]).unwrap();
        locker.send(&query("BEGIN; TRUNCATE served; LOCK pg_authid IN ACCESS EXCLUSIVE MODE"));
        locker.read_to(b'Z');
        first.send(&query("INSERT INTO served (who) VALUES ('first')"));
        let blocked = format!("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = {before}");
        eventually("the role to be set", || locker.value(&blocked) == "1");
        last.send(&query("INSERT INTO served (who) VALUES ('last')"));
        pooler.until(|figures| &figures.waiting, 1);
        assert_eq!(locker.value(&format!("SELECT {end}({before})")), "t");
        pooler.until(|figures| &figures.waiting, 2);
        locker.send(&query("COMMIT"));
        locker.read_to(b'Z');
        for client in [&mut first, &mut last] {
            let answer = client.read_to(b'Z');
            assert!(answer.iter().all(|message| message.kind != b'E'), "{end}: {answer:?}");
        }
        assert_eq!(database.sql("SELECT string_agg(who, ' ' ORDER BY n) FROM served"), "first last", "{end}");
        assert_ne!(last.value(BACKEND), before);
        assert_eq!((waits() - waited, pooler.count(|figures| &figures.acquired)), (3, 4), "{end}: each once");
    }
}

/// Setting the text search configuration reads `pg_ts_config`; logins don't.
#[test]
fn who_is_failed_by_one_server_connection_after_the_other_gets_to_know_why() {
    let database = postgres::database();
    let name = &*database.name;
    database.sql(&format!("ALTER ROLE {name} SET lock_timeout = '10ms'"));
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtReadyForQuery);
    let wishes = [("default_text_search_config", "german")];
    let mut client = Raw::log_in(pooler.port, name, &wishes).unwrap();
    let mut locker = Raw::log_in_to(database.server.port(), postgres::SUPERUSER, name, &[]).unwrap();
    locker.send(&query("BEGIN; LOCK pg_ts_config IN ACCESS EXCLUSIVE MODE"));
    locker.read_to(b'Z');
    client.send(&query("SELECT 1"));
    let told = client.read_to_end();
    assert_eq!(told.iter().map(|error| field(error, b'C')).collect::<Vec<_>>(), ["55P03"], "{told:?}");
    assert_eq!(pooler.count(|figures| &figures.logins), 3);
    locker.send(&query("COMMIT"));
    locker.read_to(b'Z');
    let mut next = Raw::log_in(pooler.port, name, &wishes).unwrap();
    assert_eq!(next.value("SELECT get_current_ts_config()"), "german");
}

/// One that waits for as long directly shows that the time is over.
#[test]
fn an_idle_session_timeout_of_a_client_does_not_end_the_server_connection() {
    let database = postgres::database();
    if database.sql("SHOW server_version_num").parse::<u32>().unwrap() < 140_000 {
        return;
    }
    for release in [Release::AtDisconnect, Release::AtReadyForQuery] {
        let pooler = Pooler::start(&database.url(), limits(1, 1), release);
        let wishes = [("idle_session_timeout", "1s")];
        let mut client = Raw::log_in(pooler.port, &database.name, &wishes).unwrap();
        let before = client.value(BACKEND);
        if release == Release::AtDisconnect {
            client.goodbye();
            client = Raw::log_in(pooler.port, &database.name, &wishes).unwrap();
        }
        pooler.until(|figures| &figures.active, 0);
        let mut direct = Raw::log_in(database.server.port(), &database.name, &wishes).unwrap();
        let ends = direct.read_to_end();
        assert_eq!(ends.first().map(|end| field(end, b'C')).as_deref(), Some("57P05"), "{ends:?}");
        assert_eq!(client.value(BACKEND), before, "{release:?}");
        assert_eq!(client.value("SHOW idle_session_timeout"), "1s", "{release:?}");
    }
}
