//! What a pooler takes while nobody asks anything, and how soon it listens.

use std::thread;
use std::time::{Duration, Instant};

use super::client::Client;
use super::postgres::Database;
use super::process::resident_kilobytes;
use super::report::Sample;
use super::scenario::POOL;
use super::target::{Kind, Running};
use super::weir::pools_transactions;

/// Connections are opened in the background; a pooler that opens fewer is measured with those.
const WARM: Duration = Duration::from_secs(5);

/// After one query and with its pool full.
pub fn rest(target: &Running, database: &Database) -> Sample {
    Client::open(target.address(), &database.name).query("select 1");
    let until = Instant::now() + WARM;
    while database.connections() < POOL && Instant::now() < until {
        thread::sleep(Duration::from_millis(50));
    }
    Sample { rss_kb: Some(resident_kilobytes(&target.processes())), ..Sample::default() }
}

/// With so many clients more, each of which has run a query: in session mode none has, or it would keep its connection.
#[expect(clippy::cast_precision_loss, reason = "kilobytes and clients are far below 2^52")]
pub fn crowd(kind: Kind, target: &Running, database: &Database, clients: usize) -> Sample {
    let before = rest(target, database).rss_kb.unwrap_or_default();
    let asks = kind != Kind::Weir || pools_transactions();
    let crowd: Vec<_> = (0..clients)
        .map(|_| {
            let mut client = Client::open(target.address(), &database.name);
            if asks {
                client.query("select 1");
            }
            client
        })
        .collect();
    let after = resident_kilobytes(&target.processes());
    drop(crowd);
    let added = after as f64 - before as f64;
    Sample { rss_kb: Some(after), bytes_per_client: Some(added * 1024.0 / clients as f64), ..Sample::default() }
}

/// How long it took to start.
pub fn ready(target: &Running) -> Sample {
    Sample { ready_ms: Some(target.ready.as_secs_f64() * 1e3), ..Sample::default() }
}
