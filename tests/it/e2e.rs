//! The whole loop on a real cluster: a pool is applied, pods get a sidecar, clients of several languages compare values through
//! it, instances are probed, and the status tells. Everything that may leak is searched for a canary password.

#![allow(clippy::panic, clippy::similar_names, reason = "a test fails by a panic; a test has texts")]

#[path = "../cluster/cluster.rs"]
mod cluster;

#[path = "e2e/canary.rs"]
mod canary;
#[path = "e2e/clients.rs"]
mod clients;
#[path = "e2e/lifecycle.rs"]
mod lifecycle;
#[path = "e2e/refusals.rs"]
mod refusals;
#[path = "e2e/workloads.rs"]
mod workloads;

use std::sync::Once;

use cluster::{A_MINUTE, Cluster, Test, eventually};
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

/// Applies a pool for pods with `app: <name>` and waits until its webhook entry is in force. `spec` is indented by two.
fn pool(test: &Test, name: &str, spec: &str) {
    test.apply(&format!(
        r"
apiVersion: weir.dev/v1alpha1
kind: ConnectionPool
metadata: {{name: {name}}}
spec:
  profile: test
  selector: {{matchLabels: {{app: {name}}}}}
{spec}
"
    ));
    test.kubectl(["wait", "--for=condition=Ready", &format!("connectionpool/{name}"), "--timeout=60s"]);
}

/// A condition of a pool as `status reason message`, once its generation is that of the spec.
fn condition(test: &Test, pool: &str, kind: &str) -> Result<(String, String, String), String> {
    let object = test.get("connectionpool", pool);
    let found = object["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind);
    let found = found.ok_or_else(|| format!("no condition {kind} in {}", object["status"]))?;
    if found["observedGeneration"] != object["metadata"]["generation"] {
        return Err(format!("{kind} speaks of an older generation"));
    }
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    Ok((text("status"), text("reason"), text("message")))
}

/// Waits until a condition has this status and reason, and returns its message.
fn awaits(test: &Test, pool: &str, kind: &str, status: &str, reason: &str) -> String {
    eventually(&format!("{kind} of {pool} is {status} with {reason}"), A_MINUTE, || {
        match condition(test, pool, kind)? {
            (s, r, message) if s == status && r == reason => Ok(message),
            other => Err(format!("it is {other:?}")),
        }
    })
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
