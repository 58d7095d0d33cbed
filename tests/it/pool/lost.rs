//! A connection that ends here but not there stays charged until PostgreSQL has been seen without it.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use weir::policy::limits::Limits;
use weir::sidecar::pool::Release;

use crate::pooler::{PATIENCE, Pooler, eventually, limits};
use crate::postgres;
use crate::raw::{Raw, field, query};

/// Passes connections on to PostgreSQL, and cuts them on one side only.
struct Cutter {
    port: u16,
    pairs: Arc<Mutex<Vec<(TcpStream, TcpStream)>>>,
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}

impl Cutter {
    fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let pairs = Arc::new(Mutex::new(Vec::new()));
        let known = Arc::clone(&pairs);
        thread::spawn(move || -> io::Result<()> {
            loop {
                let (near, _) = listener.accept()?;
                let far = TcpStream::connect(("127.0.0.1", to))?;
                known.lock().unwrap().push((near.try_clone()?, far.try_clone()?));
                let (a, b) = (near.try_clone()?, far.try_clone()?);
                thread::spawn(move || pump(a, b));
                thread::spawn(move || pump(far, near));
            }
        });
        Self { port, pairs }
    }

    /// Resets every connection towards the pool; PostgreSQL sees nothing. Returns its ends of them.
    fn cut(&self) -> Vec<TcpStream> {
        let pairs = std::mem::take(&mut *self.pairs.lock().unwrap());
        pairs
            .into_iter()
            .map(|(near, far)| {
                // A reset, whoever else holds the socket.
                let _ = rustix::net::sockopt::set_socket_linger(&near, Some(Duration::ZERO));
                let _ = rustix::net::connect_unspec(&near);
                far
            })
            .collect()
    }
}

#[test]
fn a_reset_releases_nothing_until_the_backend_is_gone() {
    let database = postgres::database();
    let cutter = Cutter::start(database.server.port());
    let url = database.url().replace(&database.server.port().to_string(), &cutter.port.to_string());
    let pooler = Pooler::start(&url, limits(1, 2), Release::AtDisconnect);
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    client.send(&query("SELECT pg_sleep(600)"));
    let sleeping = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND query LIKE '%pg_sleep%'",
        database.name
    );
    eventually("the query to run", || database.sql(&sleeping) == "1");
    let far_ends = cutter.cut();
    client.read_to_end();
    pooler.until(|figures| &figures.unconfirmed, 1);
    // The pool goes on with what is left of its maximum.
    let mut next = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(next.value("SELECT 1"), "1");
    pooler.until(|figures| &figures.charged, 2);
    assert_eq!(database.connections(), 2);
    // Clients beyond it wait, for as long as the lost backend lives.
    let mut waiting = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    waiting.send(&query("SELECT 2"));
    pooler.until(|figures| &figures.waiting, 1);
    database.sql(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}' AND query LIKE '%pg_sleep%' AND wait_event = 'PgSleep'", database.name));
    drop(far_ends);
    // Somebody must look, and can do so once the connection is idle.
    next.goodbye();
    assert!(waiting.read_to(b'Z').iter().any(|message| message.kind == b'D'));
    waiting.goodbye();
    pooler.until(|figures| &figures.unconfirmed, 0);
    pooler.until(|figures| &figures.charged, 1);
    assert_eq!(database.connections(), 1);
}

#[test]
fn a_login_that_only_looks_serves_nobody() {
    let database = postgres::database();
    let cutter = Cutter::start(database.server.port());
    let url = database.url().replace(&database.server.port().to_string(), &cutter.port.to_string());
    let limits = Limits { connection_timeout: Duration::from_secs(3), ..limits(1, 1) };
    let pooler = Pooler::start(&url, limits, Release::AtDisconnect);
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    client.send(&query("SELECT pg_sleep(600)"));
    // Nothing of ours: whatever does not sleep ends with its stream.
    let sleeping =
        format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND wait_event = 'PgSleep'", database.name);
    eventually("the query to run", || database.sql(&sleeping) == "1");
    let far_ends = cutter.cut();
    client.read_to_end();
    pooler.until(|figures| &figures.unconfirmed, 1);
    // The maximum is used by a backend that is lost and alive. Someone may look, but nobody may work.
    let mut waiting = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    waiting.send(&query("SELECT 1"));
    eventually("someone looks", || database.connections() == 2);
    let refusal = waiting.read().unwrap();
    assert_eq!((refusal.kind, &*field(&refusal, b'C')), (b'E', "53300"), "{refusal:?}");
    eventually("the one who looks goes again", || database.connections() == 1);
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename";
    database.sql(&format!("{end} = '{}'", database.name));
    drop(far_ends);
    eventually("the next look finds it gone", || {
        let mut next = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        next.send(&query("SELECT 1"));
        next.read().unwrap().kind == b'T'
    });
    pooler.until(|figures| &figures.charged, 1);
    pooler.until(|figures| &figures.unconfirmed, 0);
}

#[test]
fn a_login_that_only_looks_has_the_time_for_it_whatever_the_lifetime() {
    let database = postgres::database();
    let cutter = Cutter::start(database.server.port());
    let url = database.url().replace(&database.server.port().to_string(), &cutter.port.to_string());
    let max_lifetime = Duration::from_millis(500);
    let limits = Limits { max_lifetime, connection_timeout: PATIENCE, ..limits(1, 1) };
    let pooler = Pooler::start(&url, limits, Release::AtDisconnect);
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(client.value("SELECT 1"), "1");
    drop(cutter.cut());
    client.read_to_end();
    let mut next = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(next.value("SELECT 1"), "1");
    assert_eq!(pooler.count(|figures| &figures.logins), 2, "the first that looked has found it gone, and serves");
}
