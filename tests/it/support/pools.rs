//! Pools as users apply them, and their conditions as users read them.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::time::Duration;

use crate::cluster::{Test, eventually};

/// Applies a pool for pods with `app: <name>`, and waits until its webhook entry is in force. `spec` is indented by two.
pub fn pool(test: &Test, name: &str, spec: &str) {
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

/// Status, reason and message of a condition, once its generation is that of the spec.
pub fn condition(test: &Test, pool: &str, kind: &str) -> Result<(String, String, String), String> {
    let object = test.get("connectionpool", pool);
    let found = object["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind);
    let found = found.ok_or_else(|| format!("no condition {kind} in {}", object["status"]))?;
    if found["observedGeneration"] != object["metadata"]["generation"] {
        return Err(format!("{kind} speaks of an older generation"));
    }
    let part = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    Ok((part("status"), part("reason"), part("message")))
}

/// Waits until a condition has this status and reason; returns its message.
pub fn awaits(test: &Test, pool: &str, kind: &str, status: &str, reason: &str, limit: Duration) -> String {
    eventually(&format!("{kind} of {pool} is {status} with {reason}"), limit, || match condition(test, pool, kind)? {
        (s, r, message) if s == status && r == reason => Ok(message),
        other => Err(format!("it is {other:?}")),
    })
}
