//! The whole loop on a real cluster: a pool is applied, pods get a sidecar, clients of several languages compare values through
//! it, instances are probed, and the status tells. Everything that may leak is searched for a canary password.

#![allow(clippy::panic, clippy::similar_names, reason = "a test fails by a panic; a test has texts")]

#[path = "../cluster/cluster.rs"]
mod cluster;

#[path = "e2e/bounds.rs"]
mod bounds;
#[path = "e2e/canary.rs"]
mod canary;
#[path = "e2e/clients.rs"]
mod clients;
#[path = "e2e/lifecycle.rs"]
mod lifecycle;
#[path = "support/pools.rs"]
mod pools;
#[path = "e2e/refusals.rs"]
mod refusals;
#[path = "support/rounds.rs"]
mod rounds;
#[path = "e2e/workloads.rs"]
mod workloads;

use std::sync::Once;

use cluster::{A_MINUTE, Cluster, Test, eventually};
use pools::{condition, pool};
use serde_json::Value;

/// The cluster with Weir and the images of the workloads in it.
fn weir() -> &'static Cluster {
    static INSTALLED: Once = Once::new();
    let cluster = cluster::shared();
    INSTALLED.call_once(|| {
        cluster.install_weir(&["operator.statusInterval=5s"]);
        workloads::load(cluster);
    });
    cluster
}

/// Waits for a condition as long as anything may take here.
fn awaits(test: &Test, pool: &str, kind: &str, status: &str, reason: &str) -> String {
    pools::awaits(test, pool, kind, status, reason, A_MINUTE)
}

/// Waits for a pod to end well, and returns the log of its container `app`.
fn output(test: &Test, pod: &str) -> String {
    eventually(&format!("pod {pod} ends"), A_MINUTE, || {
        let pod = test.get("pod", pod);
        match pod["status"]["phase"].as_str() {
            Some("Succeeded" | "Failed") => Ok(()),
            _ => Err(pod["status"].to_string()),
        }
    });
    let log = test.logs(pod, "app");
    assert_eq!(test.get("pod", pod)["status"]["phase"], "Succeeded", "{log}");
    log
}

/// The container of a pod by name, init containers included.
fn container<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    let all = [&pod["spec"]["initContainers"], &pod["spec"]["containers"]];
    all.into_iter().filter_map(Value::as_array).flatten().find(|c| c["name"] == name)
}
