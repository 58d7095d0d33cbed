//! Programs that nobody here wrote.

use std::process::Command;

use weir::sidecar::pool::Release;

use crate::pooler::{Pooler, limits};
use crate::postgres::{self, Database};

/// Runs pgbench and returns how many transactions were done, and how many failed.
fn pgbench(port: u16, database: &Database, arguments: &str) -> (u64, u64) {
    let output = Command::new("pgbench")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", &database.name])
        .args(arguments.split(' '))
        .arg(&database.name)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let figure = |label: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(label)).unwrap_or("0");
        line.split(['/', ' ']).next().unwrap().parse().unwrap()
    };
    (figure("number of transactions actually processed: "), figure("number of failed transactions: "))
}

fn filled() -> Database {
    let database = postgres::database();
    pgbench(database.server.port(), &database, "-i -q -s 1");
    database
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
fn pgbench_in_session_mode_with_and_without_a_queue() {
    let database = filled();
    let pooler = Pooler::start(&database.url(), limits(1, 5), Release::AtDisconnect);
    for mode in ["simple", "extended", "prepared"] {
        let done = pgbench(pooler.port, &database, &format!("-n -S -M {mode} -c 4 -t 200"));
        assert_eq!(done, (800, 0), "{mode}");
        // A thread for each client: pgbench waits for the answer to a Parse without looking at its other clients.
        let done = pgbench(pooler.port, &database, &format!("-n -M {mode} -c 50 -j 50 -t 20"));
        assert_eq!(done, (1000, 0), "{mode}");
        assert!(database.connections() <= 5);
    }
}

#[test]
fn pgbench_with_fifty_clients_on_five_connections_that_are_released_at_ready_for_query() {
    let database = filled();
    let pooler = Pooler::start(&database.url(), limits(1, 5), Release::AtReadyForQuery);
    assert_eq!(pgbench(pooler.port, &database, "-n -M simple -c 50 -t 100"), (5000, 0));
    assert_eq!(pgbench(pooler.port, &database, "-n -S -M simple -c 50 -t 100"), (5000, 0));
    assert_eq!(pgbench(pooler.port, &database, "-n -S -M simple -C -c 10 -t 20"), (200, 0));
    assert!(database.connections() <= 5);
    // Each of its four statements in a transaction, or none.
    let sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history), \
                (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history), \
                (SELECT count(*) FROM pgbench_history)";
    assert_eq!(database.sql(sums), "t|t|5000");
}
