//! A password that appears in no log, event, status, metric or object but its own Secret.

use std::fs;

use super::cluster::{A_MINUTE, eventually};
use super::workloads::{CLIENT, from_secret, pod, secret};
use super::{pool, weir};

/// Objects in which the password is at home: its Secret, by whatever way that is asked for.
const AT_HOME: &[&str] = &["Secret"];

#[test]
fn a_password_in_a_secret_appears_nowhere_else() {
    let test = weir().test("canary");
    pool(&test, "canary", "  limits: {connectionTimeout: 2s}\n  probe: {interval: 2s, timeout: 1s}");
    secret(&test, "db", &test.url());
    // A wrong password too: errors are where passwords leak.
    let wrong = format!("wrong{}", test.password);
    secret(&test, "wrong", &test.url().replace(&format!(":{}@", test.password), &format!(":{wrong}@")));
    let script = "psql \"$DATABASE_URL\" -Atc 'select 1'; psql \"$DATABASE_URL\" -c 'bad query'; echo done; sleep 1000";
    test.apply(&pod("right", "canary", CLIENT, &["/bin/sh", "-c", script], &from_secret("db")));
    test.apply(&pod("wrong", "canary", CLIENT, &["/bin/sh", "-c", script], &from_secret("wrong")));
    for name in ["right", "wrong"] {
        eventually("the workload has run", A_MINUTE, || {
            let log = test.try_kubectl(["logs", name, "--container=app"])?;
            if log.contains("done") { Ok(()) } else { Err(log) }
        });
    }

    let mut searched = vec![];
    for name in ["right", "wrong"] {
        searched.push((format!("log of {name}"), test.logs(name, "weir-canary")));
        let ip = test.get("pod", name)["status"]["podIP"].as_str().expect("it runs").to_owned();
        for path in ["health/pool", "metrics", "hello", "livez", "readyz"] {
            searched.push((path.to_owned(), http_get(&ip, 19187, path)));
        }
    }
    let operator = test.cluster.kubectl(["--namespace=weir-system", "logs", "deployment/weir"]);
    searched.push(("log of the operator".to_owned(), operator));
    for kind in ["pods", "events", "connectionpools", "configmaps", "leases"] {
        searched.push((
            kind.to_owned(),
            test.cluster.kubectl(["get", kind, "--all-namespaces", "--output=yaml", "--show-managed-fields"]),
        ));
    }
    for entry in fs::read_dir(test.cluster.dir().join("log")).expect("logs are there").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap_or_default()).into_owned();
        // The audit log records the request that made the Secret, if its policy records bodies; lines about Secrets are its home.
        let text =
            text.lines().filter(|line| !AT_HOME.iter().any(|kind| line.contains(kind))).collect::<Vec<_>>().join("\n");
        searched.push((name, text));
    }
    assert!(searched.iter().any(|(_, text)| text.contains("weir_sidecar")), "the search reads metrics");
    for (place, text) in searched {
        for password in [&test.password, &wrong] {
            assert!(!text.contains(password.as_str()), "{place} shows the password");
        }
    }
}

/// One HTTP request, from this machine into the cluster.
fn http_get(ip: &str, port: u16, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect((ip, port)).unwrap_or_else(|e| panic!("connect to {ip}:{port}: {e}"));
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {ip}\r\nconnection: close\r\n\r\n").expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    answer
}
