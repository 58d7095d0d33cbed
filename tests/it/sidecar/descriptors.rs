//! Open files are few: clients are told, and everything else goes on.

use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::Client;
use crate::guarded;
use crate::sidecar::{Options, Sidecar, eventually};

/// Few files in all, of which clients get half.
const FILES: usize = 160;

fn with_few_files(url: &str) -> Sidecar {
    let mut options = Options::new(url, 1, 2);
    options.files = Some("-n 160");
    options.start()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_beyond_what_descriptors_allow_are_told_and_nothing_else_lacks_one() {
    let database = guarded::database();
    let sidecar = with_few_files(&database.url());
    let mut clients = Vec::new();
    let refused = loop {
        match Client::open(&sidecar, database.name(), database.name()).await {
            Ok(client) => clients.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(clients.len(), FILES / 2);
    let refused = refused.as_db_error().expect("the sidecar says why");
    assert_eq!(refused.code(), &SqlState::TOO_MANY_CONNECTIONS, "{refused:?}");
    assert!(refused.hint().is_some_and(|hint| hint.contains("limit of open files")), "{refused:?}");
    // Both server connections are opened now, and the control port answers.
    for client in &clients[..2] {
        client.run("select 1").await.expect("there is a server connection");
    }
    assert_eq!(sidecar.health().metrics.active_connections, 2);

    clients.pop().expect("there are many").leave().await;
    sidecar
        .until("one has left", |_| sidecar.metric("weir_sidecar_clients").to_string() == (FILES / 2 - 1).to_string());
    let next = Client::open(&sidecar, database.name(), database.name()).await.expect("there is room for one");
    for client in clients.into_iter().chain([next]) {
        client.leave().await;
    }
}

#[test]
fn connections_that_cannot_be_accepted_cause_no_wakeups() {
    let database = guarded::database();
    let socket = std::env::temp_dir().join(format!("weir-descriptors-{}", std::process::id()));
    fs::create_dir(&socket).expect("it is new");
    let path = socket.join(".s.PGSQL.16432");
    let mut options = Options::new(&database.url(), 1, 2).set("WEIR_SOCKET", path.to_str().expect("it is text"));
    options.files = Some("-n 160");
    let sidecar = options.start();
    sidecar.until("min is warm", |report| report.metrics.idle_connections == 1);
    // They say nothing, so nobody is sent away for a minute.
    let silent: Vec<_> = (0..FILES)
        .map(|_| {
            let by_port = TcpStream::connect(sidecar.listen).expect("the backlog is long");
            (by_port, UnixStream::connect(&path).expect("that of the socket too"))
        })
        .collect();
    let loop_alone = format!("/proc/{0}/task/{0}/status", sidecar.pid());
    let switches = || {
        let status = fs::read_to_string(&loop_alone).expect("it runs");
        status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).expect("proc(5)").to_owned()
    };
    // Time must pass for nothing to happen in it; at first what was begun may still end.
    eventually("a second without a wakeup", || {
        let before = switches();
        std::thread::sleep(Duration::from_secs(1));
        let after = switches();
        if after == before { Ok(()) } else { Err(format!("{before}, then {after}")) }
    });
    drop(silent);
    sidecar.until("the backlog is worked off", |_| sidecar.metric("weir_sidecar_clients_accepted_total") >= 320.0);
    fs::remove_dir_all(socket).expect("it is ours");
}

#[test]
fn the_soft_limit_of_open_files_is_raised() {
    let mut options = Options::new("postgres://app:canary@127.0.0.1:1/app", 1, 1);
    options.files = Some("-S -n 100");
    let sidecar = options.start();
    let limits = fs::read_to_string(format!("/proc/{}/limits", sidecar.pid())).expect("it runs");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("proc(5)");
    let [soft, hard] = files.split_whitespace().skip(3).take(2).collect::<Vec<_>>()[..] else { panic!("{files}") };
    assert_eq!(soft, hard);
    assert_ne!(soft, "100");
}
