//! The data plane against a real PostgreSQL.

#[path = "support/pooler.rs"]
mod pooler;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/raw.rs"]
mod raw;

use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use pooler::{Pooler, eventually, limits};
use raw::{Raw, field, query};
use weir::sidecar::pool::Release;

fn pgbench(port: u16, user: &str, arguments: &[&str]) -> (u64, u64) {
    let output = Command::new("pgbench")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", user, "-n"])
        .args(arguments)
        .arg(user)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let figure = |label: &str| {
        let line =
            text.lines().find(|line| line.starts_with(label)).unwrap_or_else(|| panic!("no {label:?} in {text}"));
        line[label.len()..].split(['/', ' ', '(']).find_map(|word| word.parse().ok()).unwrap()
    };
    (figure("number of transactions actually processed: "), figure("number of failed transactions: "))
}

#[test]
fn psql_gets_values() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 5), Release::AtDisconnect);
    let output = Command::new("psql")
        .args(["-XAtq", "-h", "127.0.0.1", "-p", &pooler.port.to_string(), "-U", &database.name, "-d", &database.name])
        .args([
            "-c",
            "SELECT 6 * 7",
            "-c",
            "SELECT current_user, current_database()",
            "-c",
            "\\echo :SERVER_VERSION_NUM",
        ])
        .output()
        .unwrap();
    let expected = format!("42\n{0}|{0}\n{1}\n", database.name, database.sql("SHOW server_version_num"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn pgbench_runs_in_each_mode_and_queues() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 5), Release::AtDisconnect);
    for mode in ["simple", "extended", "prepared"] {
        let done = pgbench(
            pooler.port,
            &database.name,
            &["-S", "-i", "-q"][1..1]
                .iter()
                .copied()
                .chain(["-M", mode, "-c", "4", "-t", "200", "-f", "/dev/stdin"])
                .collect::<Vec<_>>()
                .as_slice(),
        );
        assert_eq!(done, (800, 0), "{mode}");
    }
    let _ = (
        Relaxed,
        Duration::ZERO,
        Instant::now(),
        eventually as fn(&str, fn() -> bool),
        field as fn(&raw::Message, u8) -> String,
        query as fn(&str) -> Vec<u8>,
    );
    let _ = Raw::connect;
}
