//! The harness itself: clusters run side by side, names resolve, and nothing survives a cluster's end.

#[path = "../cluster/cluster.rs"]
mod cluster;

use std::fs;
use std::path::Path;
use std::process::Command;

use cluster::{A_MINUTE, Cluster, Options, Test, eventually, postgres_client};

/// A pod that runs one SQL statement at the test's database, by the name that users write.
fn query(test: &Test, statement: &str) -> String {
    test.cluster.load(&postgres_client(test.cluster.place("/postgresql/programs")));
    test.apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: query}}
spec:
  restartPolicy: Never
  containers:
  - name: psql
    image: weir.local/postgres-client:1
    args: ["{}", "--no-align", "--tuples-only", "--command", "{statement}"]
"#,
        test.url()
    ));
    eventually("the pod ends", A_MINUTE, || match test.get("pod", "query")["status"]["phase"].as_str() {
        Some("Succeeded" | "Failed") => Ok(()),
        phase => Err(format!("its phase is {phase:?}")),
    });
    test.logs("query", "psql")
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
        assert_eq!(test.logs("query", "psql"), "1\n");
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
