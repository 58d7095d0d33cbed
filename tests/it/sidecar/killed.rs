//! A sidecar that is killed at any moment, and the next boot in the same pod: PostgreSQL never holds more for them than the maximum.
//!
//! `KILLS` sets the number of kills for long runs by hand, `SEED` another course.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::NoTls;

use crate::dice::Dice;
use crate::postgres::{Postgres, SUPERUSER};
use crate::sidecar::{Options, PATIENCE, Sidecar, eventually};

const MAX: i64 = 3;

/// A client of the application: it asks, stays a while and leaves, again and again, whoever listens.
async fn live(address: SocketAddr, name: String, seed: u64, stopped: Arc<AtomicBool>) -> u32 {
    let mut dice = Dice(seed);
    let mut answered = 0;
    while !stopped.load(Ordering::Relaxed) {
        let Ok(Ok((client, connection))) = tokio::time::timeout(PATIENCE, connect(address, &name)).await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let connection = tokio::spawn(connection);
        for _ in 0..dice.roll(3) {
            // Some backends outlive the one who asked.
            let seconds = dice.pick(&["0", "0", "0.02", "0.2", "0.7"]);
            answered += u32::from(client.batch_execute(&format!("select pg_sleep({seconds})")).await.is_ok());
        }
        drop(client);
        let _ = connection.await;
    }
    answered
}

type Connection = tokio_postgres::Connection<tokio_postgres::Socket, tokio_postgres::tls::NoTlsStream>;

async fn connect(
    address: SocketAddr,
    name: &str,
) -> Result<(tokio_postgres::Client, Connection), tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(address.port()).user(name).dbname(name).connect(NoTls).await
}

/// What PostgreSQL says, as often as it can.
struct Judge {
    samples: u32,
    most: i64,
    /// The most in one moment of which more than one are of the boot that runs.
    most_used: i64,
}

/// Counts everything that came over TCP, since PostgreSQL 18 shows who has not logged in yet too, without a name. `killed` is its
/// time of the last kill.
async fn judge(server: Arc<Postgres>, killed: Arc<Mutex<String>>, stopped: Arc<AtomicBool>) -> Judge {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(server.port()).user(SUPERUSER).dbname("postgres");
    let (client, connection) = config.connect(NoTls).await.expect("the superuser is let in");
    tokio::spawn(connection);
    let mut judge = Judge { samples: 0, most: 0, most_used: 0 };
    while !stopped.load(Ordering::Relaxed) {
        let since = killed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sql = format!(
            "select count(*), count(*) filter (where backend_start > '{since}') from pg_stat_activity
             where backend_type = 'client backend' and client_addr is not null and usename is distinct from '{SUPERUSER}'"
        );
        let row = client.query_one(&sql, &[]).await.expect("the judge is there");
        let (all, new): (i64, i64) = (row.get(0), row.get(1));
        judge.samples += 1;
        judge.most = judge.most.max(all);
        if new > 1 {
            judge.most_used = judge.most_used.max(all);
        }
    }
    judge
}

/// Waits until it has found what its predecessors left to be gone. An attempt of which only the begin is known counts for
/// authentication_timeout and 10 s more, and looks are up to 10 s apart.
async fn serves(sidecar: &Sidecar) {
    let begun = Instant::now();
    while sidecar.health().metrics.active_connections < 2 {
        assert!(begun.elapsed() < 3 * PATIENCE, "{}", sidecar.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_often_it_is_killed_postgresql_never_holds_more_than_the_maximum() {
    let read = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (kills, seed) = (read("KILLS").unwrap_or(5), read("SEED").unwrap_or(1));
    let server = Arc::new(Postgres::start("authentication_timeout = 1s"));
    let database = server.database();
    let state = std::env::temp_dir().join(format!("weir-killed-{}", std::process::id()));
    std::fs::create_dir(&state).expect("the directory is new");
    // Each boot listens where the one before did. Free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").expect("the kernel has ports");
    let address = free.local_addr().expect("it is bound");
    drop(free);
    let boot = || {
        let mut options = Options::new(&format!("{}?sslmode=disable", database.url()), 1, 3)
            .set("WEIR_STATE", state.display().to_string())
            .set("WEIR_LISTEN", address.to_string());
        // Logins all the time.
        options.settings["limits"]["maxLifetime"] = "1s".into();
        options
    };

    let now = || server.sql("postgres", "select clock_timestamp()");
    let killed = Arc::new(Mutex::new(now()));
    let stopped = Arc::new(AtomicBool::new(false));
    let judge = tokio::spawn(judge(Arc::clone(&server), Arc::clone(&killed), Arc::clone(&stopped)));
    let clients: Vec<_> = (0..5)
        .map(|n| tokio::spawn(live(address, database.name.clone(), seed * 7919 + n + 1, Arc::clone(&stopped))))
        .collect();
    let mut dice = Dice(seed);
    let (mut open, mut left) = (0, 0);
    for _ in 0..kills {
        let (sidecar, most) = if dice.roll(3) == 0 {
            (boot().spawn(), 60)
        } else {
            let sidecar = boot().start();
            serves(&sidecar).await;
            (sidecar, 1000)
        };
        tokio::time::sleep(Duration::from_millis(u64::try_from(dice.roll(most)).expect("small"))).await;
        open += u32::from(database.connections() > 0);
        drop(sidecar);
        *killed.lock().unwrap_or_else(PoisonError::into_inner) = now();
        left += u32::from(database.connections() > 0);
    }

    let sidecar = boot().start();
    serves(&sidecar).await;
    println!("{kills} kills, {open} with connections, {left} left some");
    stopped.store(true, Ordering::Relaxed);
    let mut answered = 0;
    for client in clients {
        answered += client.await.expect("no client panics");
    }
    let judge = judge.await.expect("the judge does not panic");
    println!(
        "{} samples, at most {} and {} with more than one in use, {answered} requests",
        judge.samples, judge.most, judge.most_used
    );
    assert!(judge.most_used <= MAX, "{}", judge.most_used);
    // Where all that is charged is left behind, one login more may look.
    assert!((1..=MAX + 1).contains(&judge.most), "{}", judge.most);
    assert!(open > 0 && answered > 0);
    eventually("the charge is what is open", || {
        let (charged, open) = (sidecar.metric("weir_sidecar_charged"), database.connections());
        if charged.to_string() == open.to_string() { Ok(()) } else { Err(format!("{charged} for {open}")) }
    });
    sidecar.terminate();
    let end = sidecar.wait();
    assert_eq!(end.message, "charge 0", "{}", end.log);
    let _ = std::fs::remove_dir_all(state);
}
