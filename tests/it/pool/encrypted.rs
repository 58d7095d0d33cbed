//! Server connections over TLS.

use std::sync::Arc;
use std::time::Duration;

use weir::policy::limits::Limits;
use weir::sidecar::pool::Release;

use crate::pooler::{Pooler, eventually, limits};
use crate::raw::{Raw, field, query};
use crate::servers::{ENCRYPTED, Server};

fn start(release: Release) -> (Arc<Server>, Pooler) {
    let server = ENCRYPTED.get();
    let pooler = Pooler::start(&server.url("localhost", "scram", "?sslmode=require"), limits(1, 3), release);
    (server, pooler)
}

fn log_in(pooler: &Pooler) -> Raw {
    Raw::log_in_to(pooler.port, "scram", "postgres", &[]).unwrap()
}

#[test]
fn values_large_and_small_pass_in_both_directions() {
    for release in [Release::AtDisconnect, Release::AtReadyForQuery] {
        let (_server, pooler) = start(release);
        let mut client = log_in(&pooler);
        assert_eq!(client.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"), "t");
        for length in [1, 1000, 16_384, 100_000, 3_000_000] {
            let value = client.value(&format!("SELECT '{}'", "v".repeat(length)));
            assert_eq!((value.len(), value.trim_matches('v')), (length, ""));
        }
        assert_eq!(client.rows("SELECT repeat('x', 900) FROM generate_series(1, 20000)").len(), 20_000);
        client.goodbye();
        pooler.until(|figures| &figures.active, 0);
    }
}

#[test]
fn a_cancel_request_goes_over_tls_too() {
    let (server, pooler) = start(Release::AtDisconnect);
    let mut client = log_in(&pooler);
    client.send(&query("SELECT pg_sleep(600)"));
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'scram' AND wait_event = 'PgSleep'";
    eventually("the query to run", || server.postgres.sql("postgres", sleeping) != "0");
    client.cancel(pooler.port);
    let answer = client.read_to(b'Z');
    assert_eq!(
        answer.iter().find(|message| message.kind == b'E').map(|error| field(error, b'C')).as_deref(),
        Some("57014")
    );
    assert_eq!(client.value("SELECT 1"), "1");
    // One that vanishes while its query runs is cancelled the same way, and the connection is used again.
    client.send(&query("SELECT pg_sleep(600)"));
    client.vanish();
    pooler.until(|figures| &figures.active, 0);
    assert_eq!(log_in(&pooler).value("SELECT 2"), "2");
}

/// What came behind the message over TLS is looked at once its client is gone.
#[test]
fn a_client_in_the_middle_of_a_message_gets_its_rest_before_it_is_told() {
    const LONG: usize = 24_000_000;
    let server = ENCRYPTED.get();
    let limits = Limits { query_timeout: Some(Duration::from_secs(1)), ..limits(1, 1) };
    let url = server.url("localhost", "scram", "?sslmode=require");
    let pooler = Pooler::start(&url, limits, Release::AtReadyForQuery);
    let mut slow = log_in(&pooler);
    let backend = slow.value("SELECT pg_backend_pid()");
    slow.send(&query(&format!("SELECT repeat('x', {LONG}) FROM generate_series(1, 3)")));
    eventually("its query to be cancelled", || pooler.count(|figures| &figures.cancels) == 1);
    let messages = slow.read_to_end();
    let kinds: String = messages.iter().map(|message| char::from(message.kind)).collect();
    assert_eq!((&*kinds, &*field(&messages[2], b'C')), ("TDE", "57014"));
    assert!(messages[1].body.len() == LONG + 6 && messages[1].body[6..].iter().all(|byte| *byte == b'x'));
    assert_eq!(log_in(&pooler).value("SELECT pg_backend_pid()"), backend);
}

#[test]
fn the_end_is_seen_and_nothing_stays_charged() {
    let (_server, pooler) = start(Release::AtDisconnect);
    assert_eq!(log_in(&pooler).value("SELECT 1"), "1");
    assert_eq!(pooler.stop(Duration::from_secs(5)).charged, 0);
}
