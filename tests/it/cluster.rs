//! The harness itself: clusters run side by side, names resolve, and nothing survives a cluster's end.

#[path = "../cluster/cluster.rs"]
mod cluster;

use std::fs;
use std::path::Path;
use std::process::Command;

use cluster::{A_MINUTE, Cluster, Options, Test, eventually};
use serde_json::json;

/// Runs a client in a pod to its end and returns what it wrote. The database's URL is in `DATABASE_URL`.
fn run(test: &Test, image: &str, arguments: &[&str]) -> String {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "client" },
        "spec": { "restartPolicy": "Never", "containers": [{
            "name": "client", "image": image, "args": arguments, "env": [{ "name": "DATABASE_URL", "value": test.url() }],
        }]},
    });
    test.apply(&pod.to_string());
    eventually("the pod ends", A_MINUTE, || match test.get("pod", "client")["status"]["phase"].as_str() {
        Some("Succeeded" | "Failed") => Ok(()),
        phase => Err(format!("its phase is {phase:?}")),
    });
    test.logs("client", "client")
}

/// Runs one SQL statement by psql in a pod.
fn query(test: &Test, statement: &str) -> String {
    test.cluster.load_postgres_client();
    run(
        test,
        "weir.local/postgres-client:1",
        &["$(DATABASE_URL)", "--no-align", "--tuples-only", "--command", statement],
    )
}

/// Everything by which a cluster could be found on the machine: its own processes, cgroups, interface and mounts.
fn traces(cluster: &str, interface: &str) -> Vec<String> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").expect("there is /proc").flatten() {
        // A process may end while we look: then it is none.
        let group = fs::read_to_string(process.path().join("cgroup")).unwrap_or_default();
        if group.lines().any(|line| line.split(':').nth(2).is_some_and(|path| Path::new(path).starts_with(cluster))) {
            found.push(process.path().display().to_string());
        }
    }
    let trees = fs::read_dir("/sys/fs/cgroup").expect("cgroups are mounted").flatten().map(|tree| tree.path());
    let trees = trees.chain([Path::new("/sys/fs/cgroup").to_path_buf()]);
    found.extend(
        trees
            .map(|tree| tree.join(&cluster[1..]))
            .filter(|group| group.exists())
            .map(|group| group.display().to_string()),
    );
    if Path::new("/sys/class/net").join(interface).exists() {
        found.push(interface.to_owned());
    }
    found
}

#[test]
fn a_pod_reaches_the_database_by_its_name_over_tls() {
    let test = cluster::shared().test("by-name");
    let answer = query(&test, "select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()");
    assert_eq!(answer, format!("{}|t\n", test.database));
}

#[test]
fn node_postgres_and_psycopg_run_in_pods() {
    let cluster = cluster::shared();
    cluster.load_node_postgres();
    let test = cluster.test("node-postgres");
    let script = "const pg = require('/node_modules/pg'); const client = new pg.Client(process.env.DATABASE_URL); \
        client.connect().then(() => client.query('select 40 + $1::int as n', [2])).then(r => { console.log(r.rows[0].n); client.end() })";
    assert_eq!(run(&test, "weir.local/node-postgres:1", &["-e", script]), "42\n");

    cluster.load_psycopg();
    let test = cluster.test("psycopg");
    let script = "import os, psycopg\nwith psycopg.connect(os.environ['DATABASE_URL']) as c: print(c.execute('select 40 + %s', [2]).fetchone()[0])";
    assert_eq!(run(&test, "weir.local/psycopg:1", &["-c", script]), "42\n");
}

#[test]
fn clusters_run_side_by_side_unseen_by_each_other() {
    let one = cluster::shared();
    let other = Cluster::start(&Options::default());
    let tests = [one.test("side"), other.test("side")];
    for test in &tests {
        assert_eq!(query(test, "select 1"), "1\n");
    }
    for (cluster, absent) in [(one, &tests[1]), (&other, &tests[0])] {
        let namespaces = cluster.kubectl(["get", "namespaces", "--output=name"]);
        assert!(!namespaces.contains(&absent.namespace), "{namespaces}");
        assert_eq!(
            cluster.sql("postgres", &format!("select from pg_database where datname = '{}'", absent.database)).len(),
            0
        );
    }
    assert_ne!(one.place("/addresses/pods"), other.place("/addresses/pods"));
    // The kubelet of one must not take away the logs or the cgroups of the other's pods.
    for test in &tests {
        assert_eq!(test.logs("client", "client"), "1\n");
    }
}

#[test]
fn a_component_stops_and_starts_again() {
    let cluster =
        Cluster::start(&Options { postgres_settings: vec!["max_connections=42".to_owned()], ..Options::default() });
    assert_eq!(cluster.sql("postgres", "show max_connections"), [["42"]]);
    cluster.stop("postgresql");
    let refused = std::net::TcpStream::connect((cluster.place("/postgresql/address"), 5432)).map_err(|e| e.kind());
    assert_eq!(refused.err(), Some(std::io::ErrorKind::ConnectionRefused));
    cluster.restart("postgresql");
    assert_eq!(cluster.sql("postgres", "select 1"), [["1"]]);
    assert!(cluster.end().success());
}

#[test]
fn nothing_is_left_of_a_cluster_whose_first_process_is_killed() {
    let cluster = Cluster::start(&Options { emulated_version: Some("1.34".to_owned()), ..Options::default() });
    let version = cluster.kubectl(["get", "--raw", "/version"]);
    assert!(version.contains(r#""emulationMinor": "34""#), "{version}");
    {
        let test = cluster.test("killed");
        assert_eq!(query(&test, "select 1"), "1\n");
    }
    let group = cluster.place("/cgroup").to_owned();
    let interface = cluster.place("/interface").to_owned();
    let dir = cluster.dir().to_path_buf();
    assert_ne!(traces(&group, &interface), Vec::<String>::new(), "the search finds a running cluster");

    let killed = Command::new("kill").args(["-KILL", &cluster.init_pid().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    assert!(!cluster.wait().success(), "a cluster that ended by itself has failed");

    assert_eq!(traces(&group, &interface), Vec::<String>::new());
    let mounts = fs::read_to_string("/proc/self/mounts").expect("there is /proc");
    assert!(!mounts.contains(dir.to_str().expect("it is UTF-8")), "{mounts}");
    let mut left: Vec<_> = fs::read_dir(&dir).expect("its logs are kept").flatten().map(|e| e.file_name()).collect();
    left.sort();
    assert_eq!(left, [".weir-cluster", "log"]);
    fs::remove_dir_all(&dir).expect("it can be removed");
}
