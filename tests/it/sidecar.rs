//! The sidecar's process as a pod runs it: what it reads, what it shows, how it ends. A real PostgreSQL is behind it.

#[path = "support/dice.rs"]
mod dice;
#[path = "support/guarded.rs"]
mod guarded;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/schema.rs"]
mod schema;
#[path = "support/sidecar.rs"]
mod sidecar;

#[path = "sidecar/descriptors.rs"]
mod descriptors;
#[path = "sidecar/disk.rs"]
mod disk;
#[path = "sidecar/idle.rs"]
mod idle;
#[path = "sidecar/killed.rs"]
mod killed;
#[path = "sidecar/large.rs"]
mod large;
#[path = "sidecar/many.rs"]
mod many;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use guarded::{Guarded, canary};
use serde_json::Value;
use sidecar::{End, Options, PATIENCE, Sidecar, eventually};
use tokio_postgres::NoTls;
use weir::policy::health::{Health, UtilizationStatus};

/// A client of the application, logged in at the sidecar.
struct Client {
    client: tokio_postgres::Client,
    connection: tokio::task::JoinHandle<Result<(), tokio_postgres::Error>>,
}

impl Client {
    async fn open(sidecar: &Sidecar, user: &str, database: &str) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::Config::new()
            .host("127.0.0.1")
            .port(sidecar.listen.port())
            .user(user)
            .dbname(database)
            .connect_timeout(PATIENCE)
            .connect(NoTls)
            .await?;
        Ok(Self { client, connection: tokio::spawn(connection) })
    }

    async fn of(sidecar: &Sidecar, database: &Guarded) -> Self {
        Self::open(sidecar, database.name(), database.name()).await.expect("the sidecar lets the owner in")
    }

    /// Runs a statement, and so takes a server connection.
    async fn run(&self, statement: &str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(statement).await
    }

    async fn leave(self) {
        drop(self.client);
        let _ = self.connection.await;
    }
}

fn assert_contract(sidecar: &Sidecar) {
    let schema = include_str!("../../docs/health-pool.schema.json");
    let schema: Value = serde_json::from_str(schema).expect("the schema is JSON");
    let report: Value = serde_json::from_str(&sidecar.get("/health/pool")).expect("the report is JSON");
    assert_eq!(schema::violations(&schema, &report), [""; 0], "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_count_what_clients_hold_and_wait_for() {
    let database = guarded::database();
    let sidecar = Options::new(&database.url(), 1, 3).start();
    let warm = sidecar.until("min is kept warm", |report| report.metrics.idle_connections == 1);
    assert_eq!((warm.metrics.active_connections, warm.metrics.waiting_requests), (0, 0));
    assert_eq!((warm.metrics.pool_size, warm.config.min, warm.config.max), (3, 1, 3));
    assert_eq!((warm.config.idle_timeout, warm.config.connection_timeout), (5000, 3000));
    assert_eq!(warm.status, Health::Healthy);
    assert_eq!(warm.generation, Some(7));
    assert_eq!(warm.database.as_ref().map(|database| database.reachable), Some(true));
    assert_contract(&sidecar);

    let mut clients = Vec::new();
    for k in 1..=3 {
        let client = Client::of(&sidecar, &database).await;
        client.run("select 1").await.expect("there is a server connection");
        clients.push(client);
        let report = sidecar.until("each client holds one", |report| report.metrics.active_connections == k);
        assert_eq!(report.metrics.total_connections, k + report.metrics.idle_connections);
        assert_eq!(database.connections(), report.metrics.total_connections, "PostgreSQL counts the same");
    }
    let full = sidecar.health();
    assert_eq!((full.status, full.utilization.status), (Health::Unhealthy, UtilizationStatus::Critical));
    assert_eq!((full.utilization.percent.to_string(), full.utilization.busy_percent), ("100".to_owned(), Some(100.0)));
    assert_contract(&sidecar);

    let waiting = Client::of(&sidecar, &database).await;
    let query = tokio::spawn(async move {
        let result = waiting.run("select 1").await;
        (waiting, result)
    });
    let report = sidecar.until("the fourth waits", |report| report.metrics.waiting_requests == 1);
    assert_eq!(report.utilization.busy_percent, Some(133.3));
    assert_eq!(sidecar.metric("weir_sidecar_waiting").to_string(), "1");
    assert_eq!(sidecar.metric("weir_sidecar_connections{state=\"active\"}").to_string(), "3");
    assert_eq!(sidecar.metric("weir_sidecar_charged").to_string(), "3");
    assert_eq!(sidecar.metric("weir_sidecar_max").to_string(), "3");
    assert_eq!(database.connections(), 3, "never more than max");
    assert_contract(&sidecar);

    clients.pop().expect("there are three").leave().await;
    let (waiting, result) = query.await.expect("it does not panic");
    result.expect("it got the connection that was given back");
    waiting.leave().await;
    for client in clients {
        client.leave().await;
    }
    let report = sidecar.until("all are given back", |report| report.metrics.active_connections == 0);
    assert_eq!(report.metrics.waiting_requests, 0);
    assert_eq!(sidecar.metric("weir_sidecar_acquired_total").to_string(), "4");
    assert_eq!(sidecar.metric("weir_sidecar_database_reachable").to_string(), "1");
    sidecar.until("idle ones above min are closed", |report| report.metrics.total_connections == 1);
    eventually("PostgreSQL sees it too", || match database.connections() {
        1 => Ok(()),
        count => Err(count.to_string()),
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn utilization_is_said_once_as_it_rises_and_once_as_it_falls() {
    let database = guarded::database();
    let sidecar = Options::new(&database.url(), 1, 2).start();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let client = Client::of(&sidecar, &database).await;
        client.run("select 1").await.expect("there is a server connection");
        clients.push(client);
    }
    let risen = sidecar.logged("utilization has reached 90 %");
    for client in clients {
        client.leave().await;
    }
    sidecar.logged("utilization has fallen back below 80 %");
    let lines = sidecar.log();
    assert_eq!(lines.matches("utilization has").count(), 2, "{lines}");
    let risen: Value = serde_json::from_str(&risen).expect("the log is JSON");
    assert_eq!((&risen["level"], &risen["total"], &risen["size"]), (&"WARN".into(), &2.into(), &2.into()), "{risen}");
}

#[test]
fn hello_says_who_answers_and_two_boots_differ() {
    let database = guarded::database();
    let hello = |sidecar: &Sidecar| -> Value { serde_json::from_str(&sidecar.get("/hello")).expect("JSON") };
    let [one, two] = [(); 2].map(|()| Options::new(&database.url(), 1, 1).start());
    let (first, second) = (hello(&one), hello(&two));
    assert_eq!(first["pod"], "4f2b6c1e-6a35-4c3c-9d5e-0b7f6f0a1c2d");
    assert_eq!((&first["protocol"], &first["epoch"]), (&1.into(), &0.into()));
    assert_eq!(first["version"], env!("CARGO_PKG_VERSION"));
    assert_ne!(first["boot"], second["boot"]);
    assert_eq!(first, hello(&one), "the same boot for as long as it runs");
    let report = one.health();
    assert_eq!(report.boot.as_deref(), first["boot"].as_str());
    assert_eq!(report.pod.as_deref(), first["pod"].as_str());
}

#[test]
fn the_control_port_is_strict_and_survives_strangers() {
    let database = guarded::database();
    let sidecar = Options::new(&database.url(), 1, 1).start();
    assert_eq!(sidecar.request("GET", "/livez"), (200, "the loop turns\n".to_owned()));
    assert_eq!(sidecar.request("GET", "/readyz"), (200, "taking clients\n".to_owned()));
    assert_eq!(sidecar.request("HEAD", "/health/pool"), (200, String::new()));
    for path in ["/", "/health", "/health/pool/", "/debug/pprof", "/config", "/..%2f"] {
        assert_eq!(sidecar.request("GET", path).0, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        assert_eq!(sidecar.request(method, "/health/pool").0, 405, "{method}");
    }

    let connect = || {
        let stream = TcpStream::connect(sidecar.control).expect("the control port is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out of more than 0");
        stream
    };
    // Half requests, on more connections than are kept: the oldest make room, and everybody else is served.
    let mut halves: Vec<_> = (0..100).map(|_| connect()).collect();
    for half in &mut halves {
        let _ = half.write_all(b"GET /health/pool HTTP/1.1\r\nHost: pod\r\n");
    }
    assert_eq!(sidecar.request("GET", "/health/pool").0, 200);
    // They are cut off in time, without an answer or with 408.
    for mut half in halves {
        let mut rest = Vec::new();
        let _ = half.read_to_end(&mut rest);
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
    }
    // Endless headers, and what is no HTTP.
    for garbage in [&b"\x00\x00\x00\x08\x04\xd2\x16\x2f"[..], &[0xff; 4096], &b"GET / HTTP/9.9\r\n\r\n"[..]] {
        let mut stream = connect();
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
    }
    let mut stream = connect();
    let line = format!("x: {}\r\n", "y".repeat(1000));
    let _ = stream.write_all(b"GET /health/pool HTTP/1.1\r\n");
    let cut_off = (0..100_000).any(|_| stream.write_all(line.as_bytes()).is_err());
    assert!(cut_off, "100 MB of headers were taken");
    assert_eq!(sidecar.request("GET", "/health/pool").0, 200);
}

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

/// It ended before it served, said why to whoever looks, and showed no password.
fn assert_refused(end: &End, message: &str) {
    assert_eq!(end.status.code(), Some(2), "{}", end.log);
    assert!(end.message.contains(message), "{:?}\n{}", end.message, end.log);
    assert!(end.log.contains("cannot go on"), "{}", end.log);
    assert!(!end.log.contains("canary") && !end.message.contains("canary"), "{}", end.log);
}

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

#[test]
fn no_other_process_may_read_its_memory_and_no_core_is_written() {
    const NOBODY: u32 = 65534;
    let mut options = Options::new("postgres://app:canary@127.0.0.1:1/app", 1, 1);
    options.user = rustix::process::getuid().is_root().then_some(NOBODY);
    let sidecar = options.start();
    let process = Path::new("/proc").join(sidecar.pid().to_string());
    // proc(5): the files of a process that is not dumpable belong to root, whoever runs it.
    assert_eq!(fs::metadata(process.join("environ")).expect("it runs").uid(), 0);
    let status = fs::read_to_string(process.join("status")).expect("it runs");
    assert!(!status.contains("\nUid:\t0"), "else this shows nothing: {status}");
    let limits = fs::read_to_string(process.join("limits")).expect("it runs");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("proc(5)");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
}

#[test]
fn the_docs_list_every_metric() {
    let database = guarded::database();
    let sidecar = Options::new(&database.url(), 1, 1).start();
    sidecar.until("the last metric is there", |report| report.database.is_some());
    let text = sidecar.get("/metrics");
    let served = text.lines().filter_map(|line| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        Some(format!("| `{name}` | {kind} |"))
    });
    let docs = include_str!("../../docs/sidecar.md");
    let documented = docs.lines().filter(|line| line.starts_with("| `weir_sidecar_"));
    let documented = documented.map(|line| line.split('|').take(3).collect::<Vec<_>>().join("|") + "|");
    assert_eq!(served.collect::<Vec<_>>(), documented.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_shows_anywhere() {
    let database = guarded::database();
    let password = &database.password;
    let seen = |sidecar: &Sidecar, when: &str| {
        for path in ["/health/pool", "/metrics", "/hello", "/livez", "/readyz", "/nothing"] {
            let (_, body) = sidecar.request("GET", path);
            for secret in [password.as_str(), database.name(), "127.0.0.1", "select"] {
                assert!(!body.contains(secret), "{when}: {path} shows {secret:?}: {body}");
            }
        }
    };
    let sidecar = Options::new(&database.url(), 1, 2).set("WEIR_LOG", "trace").start();
    let client = Client::of(&sidecar, &database).await;
    client.run("select 'canary-literal'").await.expect("there is a server connection");
    seen(&sidecar, "while it works");
    client.leave().await;
    sidecar.terminate();
    let end = sidecar.wait();
    assert!(!end.log.contains(password) && !end.log.contains("canary-literal"), "{}", end.log);
    assert!(!end.message.contains(password));

    // A password that PostgreSQL refuses is the moment when others print what they tried.
    let wrong = database.url().replace(password.as_str(), "canary-wrong");
    let sidecar = Options::new(&wrong, 1, 2).set("WEIR_LOG", "trace").start();
    let report = sidecar.until("the login has failed", |report| report.database.is_some());
    assert_eq!(report.database.and_then(|database| database.sqlstate).as_deref(), Some("28P01"));
    seen(&sidecar, "while the password is wrong");
    assert!(sidecar.metric("weir_sidecar_login_failures_total{class=\"28\"}") >= 1.0);
    let error = Client::open(&sidecar, database.name(), database.name()).await.err().map(|error| format!("{error:?}"));
    assert!(!error.unwrap_or_default().contains("canary-wrong"));
    sidecar.terminate();
    let end = sidecar.wait();
    assert!(!end.log.contains("canary-wrong"), "{}", end.log);
}
