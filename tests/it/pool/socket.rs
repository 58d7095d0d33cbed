//! Clients of the Unix socket have what clients of the port have.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use tokio_postgres::NoTls;
use weir::sidecar::figures::Command as ToLoop;
use weir::sidecar::pool::Release;

use crate::pooler::{PATIENCE, Pooler, SOCKET_PORT, eventually, limits};
use crate::postgres::{self, Database};
use crate::raw::{Raw, message, query};

fn start(max: u32) -> (Database, Pooler) {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, max), Release::AtDisconnect);
    (database, pooler)
}

fn connect(pooler: &Pooler) -> std::io::Result<UnixStream> {
    let stream = UnixStream::connect(pooler.socket().join(format!(".s.PGSQL.{SOCKET_PORT}")))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn log_in(pooler: &Pooler, database: &Database) -> Raw<UnixStream> {
    Raw::log_in_by(connect(pooler).unwrap(), &database.name, &database.name, &[]).unwrap()
}

fn at_socket(program: &str, pooler: &Pooler, database: &Database) -> Command {
    let mut command = Command::new(program);
    command.arg("-h").arg(pooler.socket()).args(["-p", &SOCKET_PORT.to_string(), "-U", &database.name]);
    command
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn programs_of_libpq_find_it() {
    let (database, pooler) = start(5);
    let sql = "SELECT 6 * 7, current_user, inet_client_addr() IS NOT NULL";
    let psql = output(at_socket("psql", &pooler, &database).args(["-XAtq", "-d", &database.name, "-c", sql]));
    assert_eq!(psql, format!("42|{}|t\n", database.name));
    output(at_socket("pgbench", &pooler, &database).args(["-i", "-q", "-s", "1", &database.name]));
    let done = output(at_socket("pgbench", &pooler, &database).args([
        "-n",
        "-M",
        "prepared",
        "-c",
        "20",
        "-j",
        "20",
        "-t",
        "50",
        &database.name,
    ]));
    assert!(done.contains("number of transactions actually processed: 1000/1000"), "{done}");
}

/// The containers of a pod run as users of their own.
#[test]
fn a_client_of_another_user_gets_in() {
    let (database, pooler) = start(1);
    if !rustix::process::geteuid().is_root() {
        return println!("not root: no other user to be");
    }
    let mut psql = at_socket("psql", &pooler, &database);
    psql.uid(54_321).gid(54_321).args(["-XAtq", "-d", &database.name, "-c", "SELECT 1"]);
    assert_eq!(output(&mut psql), "1\n");
}

/// Whatever fits into a socket's buffer, both ways, with a reader that pauses.
#[test]
fn large_messages_pass_whole_in_both_directions() {
    const SIZE: usize = 24 << 20;
    let (database, pooler) = start(1);
    let mut client = log_in(&pooler, &database);
    client.send(&query(&format!("SELECT repeat('x', {SIZE})")));
    // What no buffer on the way holds stays in PostgreSQL, which then waits for its client.
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND wait_event = 'ClientWrite'",
        database.name
    );
    eventually("PostgreSQL to be held back", || database.sql(&waits) == "1");
    let row = client.read_to(b'Z').into_iter().find(|message| message.kind == b'D').unwrap();
    assert_eq!(row.body.len(), SIZE + 6);
    assert!(row.body[6..].iter().all(|byte| *byte == b'x'));

    client.send(&query("CREATE TEMP TABLE lines (line text)"));
    client.read_to(b'Z');
    client.send(&query("COPY lines FROM STDIN"));
    client.read_to(b'G');
    let line = [&vec![b'y'; 64 << 10][..], b"\n"].concat();
    for _ in 0..SIZE / line.len() {
        client.send(&message(b'd', &line));
    }
    client.send(&message(b'c', b""));
    client.read_to(b'Z');
    assert_eq!(client.value("SELECT sum(length(line)) FROM lines"), (SIZE / line.len() * (64 << 10)).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_cancelled_over_it() {
    let (database, pooler) = start(1);
    let (client, connection) = tokio_postgres::Config::new()
        .host_path(pooler.socket())
        .port(SOCKET_PORT)
        .user(&database.name)
        .dbname(&database.name)
        .connect(NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let token = client.cancel_token();
    let running =
        format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND wait_event = 'PgSleep'", database.name);
    let sleep = client.batch_execute("SELECT pg_sleep(600)");
    let cancel = async {
        tokio::task::spawn_blocking(move || eventually("the query to run", || database.sql(&running) == "1"))
            .await
            .unwrap();
        token.cancel_query(NoTls).await.unwrap();
    };
    let (slept, ()) = tokio::join!(sleep, cancel);
    assert_eq!(slept.unwrap_err().code().map(|state| state.code().to_owned()).as_deref(), Some("57014"));
    client.batch_execute("SELECT 1").await.unwrap();
}

/// However a client ends, the only server connection comes back.
#[test]
fn a_client_that_ends_in_the_middle_gives_its_connection_back() {
    let (database, pooler) = start(1);
    for unread in [true, false] {
        let mut client = log_in(&pooler, &database);
        client.send(&query("BEGIN; SELECT repeat('x', 8000000)"));
        if !unread {
            client.read_to(b'Z');
        }
        drop(client);
        assert_eq!(log_in(&pooler, &database).value("SELECT 1"), "1");
    }
    // The end of its stream alone: the answer is still read.
    let mut client = log_in(&pooler, &database);
    client.send(&query("SELECT repeat('x', 100000)"));
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.read_to_end().iter().any(|message| message.kind == b'D' && message.body.len() > 100_000));
    assert_eq!(log_in(&pooler, &database).value("SELECT 1"), "1");
}

/// Who is refused reads why, whatever it has sent behind.
#[test]
fn a_stranger_is_told_why_it_is_refused() {
    let (database, pooler) = start(1);
    let mut stream = connect(&pooler).unwrap();
    stream.write_all(&[&crate::raw::startup(&[("user", "stranger")])[..], &query("SELECT 1")].concat()).unwrap();
    let mut told = Vec::new();
    stream.read_to_end(&mut told).unwrap();
    assert!(String::from_utf8_lossy(&told).contains("user \"stranger\" is not the pool's"));
    assert_eq!(log_in(&pooler, &database).value("SELECT 1"), "1");
}

#[test]
fn a_drain_closes_it_and_lets_its_clients_finish() {
    let (database, pooler) = start(1);
    let mut client = log_in(&pooler, &database);
    client.send(&query("BEGIN"));
    client.read_to(b'Z');
    pooler.send(ToLoop::Drain { grace: PATIENCE });
    eventually("the socket to be closed", || connect(&pooler).is_err());
    assert_eq!(client.value("SELECT 1"), "1");
    drop(client);
    assert_eq!(pooler.stop(Duration::ZERO).charged, 0);
}
