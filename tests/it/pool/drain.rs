//! The end of the loop.

use std::time::{Duration, Instant};

use weir::sidecar::figures::Command;
use weir::sidecar::pool::Release;

use crate::pooler::{Pooler, eventually, limits};
use crate::postgres;
use crate::raw::{Raw, field, query};

#[test]
fn without_clients_it_ends_at_once_with_nothing_charged() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(3, 5), Release::AtDisconnect);
    pooler.until(|figures| &figures.idle, 3);
    let begun = Instant::now();
    assert_eq!(pooler.stop(Duration::from_secs(30)).charged, 0);
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(database.connections(), 0);
}

#[test]
fn open_transactions_finish_and_then_the_loop_ends() {
    let database = postgres::database();
    database.sql("CREATE TABLE t (a int); GRANT ALL ON t TO public");
    let pooler = Pooler::start(&database.url(), limits(1, 2), Release::AtDisconnect);
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    client.send(&query("BEGIN; INSERT INTO t VALUES (1)"));
    client.read_to(b'Z');
    pooler.send(Command::Drain { grace: Duration::from_mins(1) });
    let refused = ("127.0.0.1", pooler.port);
    eventually("the listener to be closed", || std::net::TcpStream::connect(refused).is_err());
    client.send(&query("COMMIT"));
    client.read_to(b'Z');
    client.goodbye();
    assert_eq!(pooler.stop(Duration::from_mins(1)).charged, 0);
    assert_eq!(database.sql("SELECT count(*) FROM t"), "1");
}

#[test]
fn when_the_time_is_over_clients_are_told_and_queries_cancelled() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 3), Release::AtDisconnect);
    let mut idle = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let mut busy = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    busy.send(&query("SELECT pg_sleep(600)"));
    pooler.until(|figures| &figures.active, 1);
    assert_eq!(pooler.stop(Duration::from_millis(100)).charged, 0);
    for client in [&mut idle, &mut busy] {
        let messages = client.read_to_end();
        assert_eq!(messages.last().map(|message| field(message, b'C')).as_deref(), Some("57P01"), "{messages:?}");
    }
    eventually("the backends to be gone", || database.connections() == 0);
}
