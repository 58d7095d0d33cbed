//! What it shows on its control port.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use weir::policy::health::{Health, UtilizationStatus};

use crate::sidecar::{Options, PATIENCE, Sidecar, eventually};
use crate::{Client, guarded, schema};

fn assert_contract(sidecar: &Sidecar) {
    let schema = include_str!("../../../docs/health-pool.schema.json");
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
async fn a_scrape_shows_statements_though_the_loop_sleeps() {
    let database = guarded::database();
    let mut options = Options::new(&database.url(), 1, 1);
    options.settings["poolMode"] = "transaction".into();
    let sidecar = options.start();
    let client = Client::of(&sidecar, &database).await;
    assert_eq!(sidecar.metric("weir_sidecar_statements").to_string(), "0");
    let _statement = client.client.prepare("select 1").await.expect("it is SQL");
    client.run("select 1").await.expect("there is a server connection");
    for (name, wanted) in [
        ("weir_sidecar_statements", 1),
        ("weir_sidecar_statement_bytes", "select 1\0\0\0".len()),
        ("weir_sidecar_prepared_statements", 1),
        ("weir_sidecar_query_seconds_count", 2),
        ("weir_sidecar_transaction_seconds_count", 2),
    ] {
        eventually(name, || match sidecar.metric(name).to_string() {
            shown if shown == wanted.to_string() => Ok(()),
            other => Err(other),
        });
    }
    client.leave().await;
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
    let docs = include_str!("../../../docs/sidecar.md");
    let documented = docs.lines().filter(|line| line.starts_with("| `weir_sidecar_"));
    let documented = documented.map(|line| line.split('|').take(3).collect::<Vec<_>>().join("|") + "|");
    assert_eq!(served.collect::<Vec<_>>(), documented.collect::<Vec<_>>());
}
