//! How it starts, or says why it can't, and how it stops.

use std::process::Command;
use std::time::Instant;

use crate::sidecar::Options;
use crate::{Client, assert_refused, guarded};

#[test]
fn what_cannot_be_used_is_refused_with_variable_and_remedy() {
    let url = "postgres://app:canary@127.0.0.1:1/app";
    let refused = |options: Options, message| assert_refused(&options.run(), message);
    refused(
        Options::new(url, 1, 2).set("WEIR_LISTEN", "0.0.0.0:0"),
        "WEIR_LISTEN is \"0.0.0.0:0\", which other pods can reach",
    );
    refused(Options::new(url, 1, 2).unset("WEIR_POD_UID"), "WEIR_POD_UID is not set: the webhook sets it");
    refused(Options::new(url, 1, 2).unset("WEIR_DATABASE_URL"), "WEIR_DATABASE_URL is not set");
    refused(Options::new(url, 1, 2).set("WEIR_STATE", "/nonexistent"), "\"/nonexistent\"");
    refused(Options::new("postgres://app:canary@[::1/app", 1, 2), "the connection URL");
    refused(Options::new("mysql://app:canary@db/app", 1, 2), "the connection URL");
    refused(Options::new(url, 3, 2), "limits.min 3 and limits.max 2");
    let mut newer = Options::new(url, 1, 2);
    newer.settings["version"] = 2.into();
    refused(newer, "WEIR_SETTINGS has version 2");
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("there is one").port();
    let itself = format!("postgres://app:canary@localhost:{port}/app");
    refused(
        Options::new(&itself, 1, 2).set("WEIR_LISTEN", format!("127.0.0.1:{port}")),
        "the connection URL leads to this sidecar itself",
    );
    let missing = Options::new(url, 1, 2).unset("WEIR_DATABASE_URL").set("WEIR_DATABASE_URL_FILE", "/nonexistent/url");
    refused(missing, "cannot read \"/nonexistent/url\", the file with the connection URL");
    refused(
        Options::new(url, 1, 2).set("WEIR_SOCKET", "/run/weir/socket"),
        "WEIR_SOCKET is \"/run/weir/socket\", where no client library looks",
    );
    refused(
        Options::new(url, 1, 2).set("WEIR_SOCKET", "/nonexistent/.s.PGSQL.16432"),
        "cannot listen on WEIR_SOCKET \"/nonexistent/.s.PGSQL.16432\"",
    );
    let taken = Options::new(url, 1, 2).start();
    refused(Options::new(url, 1, 2).set("WEIR_CONTROL", taken.control.to_string()), "cannot listen on WEIR_CONTROL");
}

#[test]
fn the_hook_waits_for_the_listener_and_says_what_it_lacks() {
    let database = guarded::database();
    let sidecar = Options::new(&database.url(), 1, 1).start();
    let hook = |listen: Option<String>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir-sidecar"));
        command.arg("wait").env_clear();
        if let Some(listen) = listen {
            command.env("WEIR_LISTEN", listen);
        }
        command.output().expect("the program is there")
    };
    assert!(hook(Some(sidecar.listen.to_string())).status.success());
    let refused = hook(None);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("WEIR_LISTEN is not set"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_sidecar_lets_open_transactions_finish_and_says_that_nothing_is_left() {
    let database = guarded::database();
    database.sql(&format!("create table t (n int); alter table t owner to {}", database.name()));
    let sidecar = Options::new(&database.url(), 1, 2).start();
    assert_eq!(sidecar.message(), "unknown");
    let client = Client::of(&sidecar, &database).await;
    client.run("begin; insert into t values (1)").await.expect("there is a server connection");
    sidecar.terminate();
    sidecar.logged("stopping: open transactions may finish");
    assert_eq!(sidecar.request("GET", "/readyz"), (503, "stopping\n".to_owned()));
    client.run("insert into t values (2)").await.expect("the transaction goes on");
    client.run("commit").await.expect("the transaction finishes");
    client.leave().await;
    let left = Instant::now();
    let end = sidecar.wait();
    assert!(end.status.success(), "{}", end.log);
    println!("ended {:?} after the last client left", left.elapsed());
    assert_eq!(end.message, "charge 0", "{}", end.log);
    assert_eq!(database.sql("select sum(n) from t"), "3");
    assert_eq!(database.connections(), 0);
}

#[test]
fn an_idle_sidecar_ends_at_once_and_a_killed_one_leaves_unknown() {
    let database = guarded::database();
    let sidecar = Options::new(&database.url(), 1, 2).start();
    sidecar.until("min is warm", |report| report.metrics.idle_connections == 1);
    sidecar.terminate();
    let end = sidecar.wait();
    assert!(end.status.success(), "{}", end.log);
    assert_eq!(end.message, "charge 0", "{}", end.log);
    assert_eq!(database.connections(), 0);

    let sidecar = Options::new(&database.url(), 1, 2).start();
    let pid = i32::try_from(sidecar.pid()).ok().and_then(rustix::process::Pid::from_raw).expect("it runs");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is our child");
    assert_eq!(sidecar.wait().message, "unknown");
}
