//! The questions about backends, asked of PostgreSQL, and charges that its answers free.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use weir::sidecar::charge::{Answer, Attempt, BootId, Charges, Identity, Look, Row, identify, identify_without_system};

use crate::driver::{Session, login};
use crate::postgres::{Postgres, SUPERUSER};
use crate::servers::{PLAIN, target};
use weir::sidecar::login::Login;
use weir::sidecar::tls::Roots;
use weir::sidecar::wire::Version;

fn slices(rows: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
    rows.iter().map(Vec::as_slice)
}

fn identity(session: &mut Session) -> Identity {
    Identity::parse(slices(&session.rows(&identify()).unwrap())).unwrap()
}

fn answer(session: &mut Session, look: &Look, system: u64) -> Answer {
    Answer::parse(slices(&session.rows(&look.sql(system)).unwrap())).unwrap()
}

struct Fleet {
    charges: Charges,
    started: Instant,
    address: SocketAddr,
    url: String,
}

impl Fleet {
    fn new(url: String, port: u16) -> Self {
        let charges = Charges::new(BootId([5; 16]), 10);
        Self { charges, started: Instant::now(), address: SocketAddr::from(([127, 0, 0, 1], port)), url }
    }

    fn login(&mut self) -> (Attempt, Session) {
        let now = self.started.elapsed();
        let target = target(&self.url, "none", &Roots::none()).unwrap();
        let attempt = self.charges.begin(self.address).unwrap();
        let mut session = login(&target, &attempt.application_name()).unwrap();
        self.charges.connected(attempt, session.logged_in.pid);
        let identity = identity(&mut session);
        self.charges.identified(attempt, identity, now);
        (attempt, session)
    }
}

#[test]
fn an_ordinary_role_learns_who_the_server_and_its_backend_are() {
    let server = PLAIN.get();
    let url = server.url("127.0.0.1", "scram", "?options=-c%20datestyle%3DGerman%20-c%20timezone%3DAsia/Tokyo");
    let target = target(&url, "none", &Roots::none()).unwrap();
    let mut session = login(&target, "one").unwrap();
    let identified = identity(&mut session);
    let system = server.postgres.sql("postgres", "SELECT system_identifier FROM pg_control_system()");
    assert_eq!(identified.incarnation.system, system.parse::<i64>().unwrap().cast_unsigned());
    assert_eq!(identified.authentication_timeout, Duration::from_mins(1));
    let mut other = login(&target, "two").unwrap();
    let second = identity(&mut other);
    assert_eq!(second.incarnation, identified.incarnation);
    assert!(second.backend_started > identified.backend_started);
    session.end();
    other.end();
}

#[test]
fn a_role_that_may_not_ask_for_the_system_identifier_does_without() {
    let server = Postgres::start("");
    server.sql("postgres", "CREATE ROLE app LOGIN; REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC");
    let url = format!("postgres://app@127.0.0.1:{}/postgres", server.port());
    let mut session = login(&target(&url, "none", &Roots::none()).unwrap(), "one").unwrap();
    assert_eq!(session.rows(&identify()), Err("42501".to_owned()));
    let identified = Identity::parse(slices(&session.rows(&identify_without_system()).unwrap())).unwrap();
    assert_eq!(identified.incarnation.system, 0);
    assert_ne!(identified.incarnation.started, 0);
    session.end();
}

#[test]
fn a_look_sees_what_is_asked_about_whatever_the_search_path() {
    let server = Postgres::start("");
    server.sql(
        "postgres",
        "CREATE ROLE app LOGIN; CREATE ROLE former LOGIN; CREATE SCHEMA trap; GRANT USAGE ON SCHEMA trap TO app;
         CREATE FUNCTION trap.never(int4, int4) RETURNS bool LANGUAGE sql AS 'SELECT false';
         CREATE OPERATOR trap.= (LEFTARG = int4, RIGHTARG = int4, FUNCTION = trap.never);
         CREATE VIEW trap.pg_stat_activity AS SELECT 1 AS pid",
    );
    let port = server.port();
    let url = format!("postgres://app@127.0.0.1:{port}/postgres?options=-c%20search_path%3Dtrap,pg_catalog");
    let mut fleet = Fleet::new(url, port);
    let (via, mut looking) = fleet.login();
    let (known, session) = fleet.login();
    // The socket is lost, the backend lives on.
    fleet.charges.lost(known, Duration::ZERO);
    // An attempt of an earlier user of the URL that never told its pid: our role sees its name, not its start.
    let former = target(&format!("postgres://former@127.0.0.1:{port}/postgres"), "none", &Roots::none()).unwrap();
    let unknown = fleet.charges.begin(fleet.address).unwrap();
    fleet.charges.starting(unknown);
    let hidden = login(&former, &unknown.application_name()).unwrap();
    fleet.charges.lost(unknown, Duration::ZERO);

    let look = fleet.charges.look(via, Duration::from_secs(1_000)).unwrap();
    let system = identity(&mut looking).incarnation.system;
    let found = answer(&mut looking, &look, system);
    let of = |pid: i32| found.rows.iter().find(|row| row.pid == pid).cloned();
    let ours = of(session.logged_in.pid).unwrap();
    assert_eq!(ours.application_name.as_deref(), Some(known.application_name().as_bytes()));
    let theirs = Row {
        pid: hidden.logged_in.pid,
        started: None,
        application_name: Some(unknown.application_name().into_bytes().into()),
    };
    assert_eq!(of(hidden.logged_in.pid), Some(theirs));
    assert_eq!(of(looking.logged_in.pid), None, "nobody asked about it");
    assert_eq!(found.invisible, Some(BTreeSet::new()), "nobody is logging in");
    assert_eq!(fleet.charges.looked(&look, &found, Duration::from_secs(1_000)), []);
    assert_eq!(fleet.charges.unconfirmed(), 2);
    session.end();
    hidden.end();
    for at in [1_010, 1_030] {
        let look = fleet.charges.look(via, Duration::from_secs(at)).unwrap();
        let found = answer(&mut looking, &look, system);
        assert_eq!(found.rows, [], "{at}");
        fleet.charges.looked(&look, &found, Duration::from_secs(at));
    }
    assert_eq!((fleet.charges.unconfirmed(), fleet.charges.charged()), (0, 1));
    looking.end();
}

#[test]
fn a_restart_is_a_new_incarnation() {
    let server = Postgres::start("");
    server.sql("postgres", "CREATE ROLE app LOGIN");
    let port = server.port();
    let mut fleet = Fleet::new(format!("postgres://app@127.0.0.1:{port}/postgres"), port);
    let (lost, session) = fleet.login();
    server.stop("immediate");
    drop(session);
    fleet.charges.lost(lost, Duration::ZERO);
    server.resume();
    assert_eq!(fleet.charges.charged(), 1);
    let (_, session) = fleet.login();
    assert_eq!((fleet.charges.charged(), fleet.charges.unconfirmed()), (1, 0));
    session.end();
}

#[test]
fn a_login_that_waits_for_a_catalog_outlives_its_client_and_is_charged() {
    let server = Postgres::start("");
    server.sql("postgres", "CREATE ROLE app LOGIN");
    let port = server.port();
    let url = format!("postgres://app@127.0.0.1:{port}/postgres");
    let mut fleet = Fleet::new(url.clone(), port);
    let (via, mut looking) = fleet.login();
    let superuser =
        target(&format!("postgres://{SUPERUSER}@127.0.0.1:{port}/postgres"), "none", &Roots::none()).unwrap();
    let mut holder = login(&superuser, "locking").unwrap();
    let mut at = 1_000;
    // The first is read before the start-up options are, the second after: by then PostgreSQL 18 shows the name.
    for (catalog, named) in [("pg_database", false), ("pg_db_role_setting", true)] {
        holder.rows("BEGIN").unwrap();
        holder.rows(&format!("LOCK TABLE pg_catalog.{catalog} IN ACCESS EXCLUSIVE MODE")).unwrap();
        let lost = fleet.charges.begin(fleet.address).unwrap();
        fleet.charges.starting(lost);
        let mut startup = Vec::new();
        let target = target(&url, "none", &Roots::none()).unwrap();
        Login::new(&target, &lost.application_name(), Version::V3_2).start(&mut startup);
        let mut stream = TcpStream::connect(fleet.address).unwrap();
        stream.write_all(&startup).unwrap();
        let mut waiting = || {
            let rows = holder.rows("SELECT pid FROM pg_locks WHERE NOT granted").unwrap();
            rows.first().map(|row| String::from_utf8(row[6..].to_vec()).unwrap())
        };
        until(|| waiting().is_some());
        let backend = waiting().unwrap();
        drop(stream);
        fleet.charges.lost(lost, Duration::from_secs(at));

        let mut look = || {
            at += 200;
            let look = fleet.charges.look(via, Duration::from_secs(at)).expect("a look is due");
            let found = answer(&mut looking, &look, 1);
            (fleet.charges.looked(&look, &found, Duration::from_secs(at)), found)
        };
        for _ in 0..3 {
            let (freed, found) = look();
            assert_eq!(freed, [], "{catalog}: it holds its slot");
            let shown = named && found.rows.iter().any(|row| row.pid.to_string() == backend);
            let invisible =
                found.invisible.as_ref().is_some_and(|pids| pids.iter().any(|pid| pid.to_string() == backend));
            assert!(shown || invisible, "{catalog}: {found:?}");
        }
        assert_eq!(waiting(), Some(backend.clone()), "it does not read, so it does not know that we are gone");
        holder.rows("ROLLBACK").unwrap();
        let process = format!("/proc/{backend}");
        until(|| !Path::new(&process).exists());
        assert_eq!(look().0, [], "it has gone, or it has just got its row");
        assert_eq!(look().0, [lost]);
    }
    looking.end();
    holder.end();
}

/// Asks until the answer is yes; each question takes its time.
fn until(mut happened: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !happened() {
        assert!(Instant::now() < until, "waited too long");
    }
}
