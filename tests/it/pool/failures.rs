//! PostgreSQL away, full, starting, or saying no.

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir::policy::dialect;
use weir::policy::limits::Limits;
use weir::sidecar::figures::Command;
use weir::sidecar::pool::Release;
use weir::sidecar::target::Target;
use weir::sidecar::tls::Roots;

use crate::pooler::{PATIENCE, Pooler, eventually, limits, target};
use crate::postgres::{self, Postgres};
use crate::raw::{Raw, field, query};

fn short(min: u32, max: u32) -> Limits {
    Limits { connection_timeout: Duration::from_secs(2), ..limits(min, max) }
}

#[test]
fn a_wrong_password_and_a_missing_database_are_said_at_once_without_a_storm() {
    // PostgreSQL 12 and 13 store md5 by default.
    let server = Arc::new(Postgres::start("password_encryption = 'scram-sha-256'"));
    std::fs::write(server.data().join("pg_hba.conf"), "local all all trust\nhost all all all scram-sha-256\n").unwrap();
    server.reload();
    let database = server.database();
    let wrong = database.url().replace("secret", "wrong");
    let missing = format!("postgres://{0}:secret@127.0.0.1:{1}/nowhere", database.name, server.port());
    for (url, name, code) in [(&wrong, &*database.name, "28P01"), (&missing, "nowhere", "3D000")] {
        let pooler = Pooler::start(url, limits(2, 4), Release::AtDisconnect);
        let begun = Instant::now();
        for _ in 0..5 {
            let mut stream = Raw::connect(pooler.port);
            let packet = crate::raw::startup(&[("user", &database.name), ("database", name)]);
            std::io::Write::write_all(&mut stream, &packet).unwrap();
            let mut raw = Raw::of(stream);
            let messages = raw.read_to_end();
            assert_eq!(messages.first().map(|error| field(error, b'C')).as_deref(), Some(code), "{messages:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert!(pooler.login_failures() <= 12);
        assert_eq!(pooler.figures.last_failure().as_deref(), Some(code));
        pooler.until(|figures| &figures.charged, 0);
    }
    // The password is put right: SCRAM works, and it is noticed.
    let pooler = Pooler::start(&wrong, limits(1, 4), Release::AtDisconnect);
    assert!(Raw::log_in(pooler.port, &database.name, &[]).is_err());
    pooler.send(Command::Target(target(&database.url())));
    let mut client = None;
    eventually("the right password", || {
        client = Raw::log_in(pooler.port, &database.name, &[]).ok();
        client.is_some()
    });
    assert_eq!(client.unwrap().value("SELECT 1"), "1");
}

#[test]
fn a_server_that_is_away_is_waited_for_and_then_named() {
    let server = Arc::new(Postgres::start(""));
    let database = server.database();
    server.stop("immediate");
    let pooler = Pooler::start(&database.url(), short(1, 2), Release::AtDisconnect);
    let error = Raw::log_in(pooler.port, &database.name, &[]).err().unwrap();
    assert_eq!(field(&error, b'C'), "08001");
    let place =
        format!("connection to the server at \"127.0.0.1\", port {}, failed: Connection refused", server.port());
    assert!(field(&error, b'M').starts_with(&place), "{error:?}");
    // Who comes before it is back is served once it is, however long it recovers.
    pooler.send(Command::Limits(Limits { connection_timeout: PATIENCE, ..limits(1, 2) }));
    let (port, name) = (pooler.port, database.name.clone());
    let patient = std::thread::spawn(move || Raw::log_in(port, &name, &[]).map(|mut raw| raw.value("SELECT 5")));
    pooler.until(|figures| &figures.waiting, 1);
    server.resume();
    assert_eq!(patient.join().unwrap().unwrap(), "5");
    pooler.until(|figures| &figures.charged, 1);
}

#[test]
fn a_restart_of_postgresql_costs_the_queries_that_ran_and_no_more() {
    // A login that meets the end in the kernel's queue never learns its backend: it stays charged for 10 s and this.
    let server = Arc::new(Postgres::start("authentication_timeout = 1s"));
    let database = server.database();
    let limits = Limits { connection_timeout: PATIENCE, ..limits(2, 4) };
    let pooler = Pooler::start(&database.url(), limits, Release::AtDisconnect);
    for mode in ["fast", "immediate"] {
        let mut busy = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        let mut idle = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        busy.send(&query("SELECT pg_sleep(600)"));
        // Not just attached: what the server has not read yet is simply asked again.
        let running = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        eventually("the query to run", || database.sql(running) == "1");
        server.stop(mode);
        let last = busy.read_to_end();
        assert!(last.iter().all(|message| message.kind != b'Z'));
        // It had no server connection, so it does not notice.
        idle.send(&query("SELECT 1"));
        pooler.until(|figures| &figures.waiting, 1);
        server.resume();
        let answer = idle.read_to(b'Z');
        assert!(answer.iter().any(|message| message.kind == b'D'), "{answer:?}");
        idle.goodbye();
        pooler.until(|figures| &figures.idle, 2);
        pooler.until(|figures| &figures.charged, 2);
        eventually("the charge to be what is open", || database.connections() == 2);
    }
}

#[test]
fn a_full_server_is_waited_out_and_named_after_the_timeout() {
    let server = Arc::new(Postgres::start("max_connections = 8\nsuperuser_reserved_connections = 3\n"));
    let database = server.database();
    let others: Vec<_> = (0..5).map(|_| Raw::log_in(server.port(), &database.name, &[]).unwrap()).collect();
    let pooler = Pooler::start(&database.url(), short(1, 2), Release::AtDisconnect);
    let error = Raw::log_in(pooler.port, &database.name, &[]).err().unwrap();
    assert_eq!(field(&error, b'C'), "53300");
    assert!(field(&error, b'M').contains("remaining connection slots are reserved"), "{error:?}");
    // The pause after a failed login may be longer than 2 s by now.
    pooler.send(Command::Limits(Limits { connection_timeout: PATIENCE, ..limits(1, 2) }));
    let (port, name) = (pooler.port, database.name.clone());
    let patient = std::thread::spawn(move || Raw::log_in(port, &name, &[]).map(|mut raw| raw.value("SELECT 5")));
    pooler.until(|figures| &figures.waiting, 1);
    others.into_iter().for_each(Raw::goodbye);
    assert_eq!(patient.join().unwrap().unwrap(), "5");
}

/// A standby without hot_standby says for as long as it lives what others say while they start.
#[test]
fn a_starting_server_is_waited_out_and_named_after_the_timeout() {
    let server = Arc::new(Postgres::start("hot_standby = off"));
    let database = server.database();
    let standby = server.data().join("standby.signal");
    server.stop("fast");
    std::fs::write(&standby, "").unwrap();
    server.resume();
    let pooler = Pooler::start(&database.url(), short(1, 2), Release::AtDisconnect);
    let error = Raw::log_in(pooler.port, &database.name, &[]).err().unwrap();
    assert_eq!(field(&error, b'C'), "57P03");
    assert!(field(&error, b'M').contains(" for a server connection"), "{error:?}");
    pooler.send(Command::Limits(Limits { connection_timeout: PATIENCE, ..limits(1, 2) }));
    let (port, name) = (pooler.port, database.name.clone());
    let patient = std::thread::spawn(move || Raw::log_in(port, &name, &[]).map(|mut raw| raw.value("SELECT 5")));
    pooler.until(|figures| &figures.waiting, 1);
    server.stop("fast");
    std::fs::remove_file(&standby).unwrap();
    server.resume();
    assert_eq!(patient.join().unwrap().unwrap(), "5");
}

#[test]
fn an_address_where_nobody_answers_costs_no_charge_that_stays() {
    // Reserved for documentation (RFC 5737): routers drop it, or say that there is no way.
    let pooler = Pooler::start("postgres://app@192.0.2.1:5432/app", short(1, 2), Release::AtDisconnect);
    let error = Raw::log_in(pooler.port, "app", &[]).err().unwrap();
    assert!(["08001", "53300"].contains(&&*field(&error, b'C')), "{error:?}");
    assert_eq!(pooler.stop(Duration::ZERO).charged, 0);
}

#[test]
fn a_name_that_does_not_resolve_is_named() {
    let pooler = Pooler::start("postgres://app@no-such-host.invalid/app", short(1, 2), Release::AtDisconnect);
    let error = Raw::log_in(pooler.port, "app", &[]).err().unwrap();
    assert_eq!(field(&error, b'C'), "08001");
    assert!(
        field(&error, b'M').starts_with("could not look up the database's host \"no-such-host.invalid\""),
        "{error:?}"
    );
}

#[test]
fn a_url_that_leads_back_to_the_pool_is_refused_and_never_dialled() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), short(1, 2), Release::AtDisconnect);
    let mut idle = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let accepted = pooler.count(|figures| &figures.clients_accepted);
    for host in ["127.0.0.1", "localhost", "0.0.0.0"] {
        let url = format!("postgres://{0}:secret@{host}:{1}/{0}", database.name, pooler.port);
        pooler.send(Command::Target(target(&url)));
        eventually("the refusal", || pooler.figures.last_failure().as_deref() == Some("08004"));
        pooler.send(Command::Target(target(&database.url())));
        eventually("the right URL", || pooler.figures.last_failure().is_none());
    }
    assert_eq!(pooler.count(|figures| &figures.clients_accepted), accepted);
    let url = format!("postgres://{0}@127.0.0.1:{1}/{0}", database.name, pooler.port);
    pooler.send(Command::Target(target(&url)));
    eventually("the refusal", || pooler.figures.last_failure().as_deref() == Some("08004"));
    idle.send(&query("SELECT 1"));
    let refused = idle.read().unwrap();
    assert_eq!(field(&refused, b'C'), "08004", "{refused:?}");
    assert!(field(&refused, b'M').ends_with("failed: it is this pool itself"), "{refused:?}");
}

#[test]
fn the_next_host_of_the_url_is_tried() {
    let database = postgres::database();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url =
        format!("postgres://{0}:secret@127.0.0.1:{closed},localhost:{1}/{0}", database.name, database.server.port());
    let pooler = Pooler::start(&url, limits(1, 2), Release::AtDisconnect);
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(client.value("SELECT 1"), "1");
    assert_eq!(pooler.login_failures(), 0);
}

#[test]
fn an_address_of_the_url_goes_before_its_name() {
    let database = postgres::database();
    let url = format!("{}?hostaddr=127.0.0.1", database.url().replace("127.0.0.1", "no-such-host.invalid"));
    let url = Target::parse(url.as_bytes(), dialect::find("libpq").unwrap(), None, &Roots::none()).unwrap();
    let pooler = Pooler::start("postgres://u@no-such-host.invalid/d", short(1, 2), Release::AtDisconnect);
    let error = Raw::log_in_to(pooler.port, "u", "d", &[]).err().unwrap();
    assert_eq!(field(&error, b'C'), "08001");
    assert!(
        field(&error, b'M').starts_with("could not look up the database's host \"no-such-host.invalid\": "),
        "{error:?}"
    );
    pooler.send(Command::Target(Arc::new(url)));
    assert_eq!(Raw::log_in(pooler.port, &database.name, &[]).unwrap().value("SELECT 1"), "1");
}

#[test]
fn a_failed_look_up_is_tried_again_without_a_client() {
    let pooler = Pooler::start("postgres://app@no-such-host.invalid/app", short(1, 2), Release::AtDisconnect);
    eventually("another look-up", || pooler.login_failures() > 2);
}
