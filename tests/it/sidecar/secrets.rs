//! What must not be seen of it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::guarded::Guarded;
use crate::sidecar::{Options, Sidecar};
use crate::{Client, guarded};

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

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_shows_anywhere() {
    let database = guarded::database();
    assert!(database.stored().starts_with("SCRAM-SHA-256"));
    nothing_shows(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_of_an_old_role_shows_anywhere() {
    let database = guarded::database();
    database.age();
    let stored = database.stored();
    let hash = stored.strip_prefix("md5").expect("it is stored as asked for");
    let log = nothing_shows(&database).await;
    assert!(!log.contains(hash), "{log}");
}

/// Works, fails with a wrong password, and returns all that was logged.
async fn nothing_shows(database: &Guarded) -> String {
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
    let client = Client::of(&sidecar, database).await;
    client.run("select 'canary-literal'").await.expect("there is a server connection");
    seen(&sidecar, "while it works");
    client.leave().await;
    sidecar.terminate();
    let end = sidecar.wait();
    assert!(!end.log.contains(password) && !end.log.contains("canary-literal"), "{}", end.log);
    assert!(!end.message.contains(password));
    let worked = end.log;

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
    worked + &end.log
}
