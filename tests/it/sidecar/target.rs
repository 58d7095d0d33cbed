//! Where it finds PostgreSQL: the URL, and what changes behind it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

use weir::policy::health::Health;

use crate::Client;
use crate::guarded::{self, canary};
use crate::sidecar::{Options, PATIENCE, Sidecar};

/// Points `directory/url` at a new version of the file, as the kubelet does.
fn mount(directory: &Path, version: u32, url: &str) {
    let data = format!("..version-{version}");
    fs::create_dir(directory.join(&data)).expect("the version is new");
    fs::write(directory.join(&data).join("url"), url).expect("the directory is ours");
    symlink(&data, directory.join("..new")).expect("the name is free");
    fs::rename(directory.join("..new"), directory.join("..data")).expect("the directory is ours");
    let _ = symlink("..data/url", directory.join("url"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_password_is_used_for_new_server_connections_without_a_restart() {
    let database = guarded::database();
    let files = std::env::temp_dir().join(format!("weir-rotation-{}", std::process::id()));
    let _ = fs::remove_dir_all(&files);
    fs::create_dir(&files).expect("the directory is new");
    mount(&files, 1, &format!("{}\n", database.url()));
    let mut options = Options::new(&database.url(), 1, 2)
        .unset("WEIR_DATABASE_URL")
        .set("WEIR_DATABASE_URL_FILE", files.join("url").display().to_string());
    options.settings["placeholders"] = serde_json::json!({"user": "weir", "database": "weir"});
    let sidecar = options.start();
    let boot = sidecar.health().boot;

    let client = Client::open(&sidecar, "weir", "weir").await.expect("the placeholders are let in");
    let row = client.client.query_one("select current_user::text", &[]).await.expect("there is a server connection");
    assert_eq!(row.get::<_, String>(0), database.name(), "the server sees the real role");
    client.leave().await;

    let rotated = canary();
    database.sql(&format!("alter role {} password '{rotated}'", database.name()));
    mount(&files, 2, &database.url().replace(&database.password, &rotated));
    sidecar.logged("the connection URL has changed: new server connections use it");
    let terminate =
        format!("select pg_terminate_backend(pid) from pg_stat_activity where usename = '{}'", database.name());
    database.sql(&terminate);

    // All of them at once, so at least one is opened now.
    let mut clients = Vec::new();
    for _ in 0..2 {
        let client = eventually_open(&sidecar).await;
        clients.push(client);
    }
    for client in clients {
        client.leave().await;
    }
    mount(&files, 3, "postgres://");
    sidecar.logged("the connection URL has changed and is not usable: keeping the old one");
    mount(&files, 4, &format!("postgres://weir:weir@{}/weir", sidecar.listen));
    sidecar.logged("leads to this sidecar itself");
    eventually_open(&sidecar).await.leave().await;
    let report = sidecar.health();
    assert_eq!(report.boot, boot, "it did not restart");
    let log = sidecar.log();
    assert!(!log.contains(&rotated) && !log.contains(&database.password), "a password was logged:\n{log}");
    let _ = fs::remove_dir_all(&files);
}

/// A client that holds a server connection; one that was just terminated may be handed out once.
async fn eventually_open(sidecar: &Sidecar) -> Client {
    let until = Instant::now() + PATIENCE;
    loop {
        let client = Client::open(sidecar, "weir", "weir").await;
        let error = match client {
            Ok(client) => match client.run("select 1").await {
                Ok(()) => return client,
                Err(error) => error,
            },
            Err(error) => error,
        };
        assert!(Instant::now() < until, "no server connection: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_name_is_looked_up_and_its_addresses_are_tried_in_turn() {
    let database = guarded::database();
    // PostgreSQL listens on 127.0.0.1 alone, and the name may lead to ::1 first.
    let sidecar = Options::new(&database.url().replace("127.0.0.1", "localhost"), 1, 1).start();
    let client = Client::of(&sidecar, &database).await;
    client.run("select 1").await.expect("there is a server connection");
    assert_eq!(database.connections(), 1);
    client.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_database_is_a_figure_and_not_the_sidecars_end() {
    let sidecar = Options::new("postgres://app:canary-unreachable@127.0.0.1:1/app?sslmode=disable", 1, 2).start();
    let report = sidecar.until("a login has failed", |report| report.database.is_some());
    let database = report.database.expect("just seen");
    assert_eq!((database.reachable, database.sqlstate.as_deref()), (false, Some("08001")));
    assert_eq!((report.status, report.metrics.total_connections), (Health::Healthy, 0));
    assert_eq!(sidecar.request("GET", "/readyz").0, 200, "the listener is up");
    assert_eq!(sidecar.request("GET", "/livez").0, 200);
    assert_eq!(sidecar.metric("weir_sidecar_database_reachable").to_string(), "0");
    assert!(!sidecar.log().contains("canary"), "{}", sidecar.log());
}
