//! Probes of an application that pools by itself, and what becomes of what it says.

use super::*;

/// Serves the health contract on port 8080 with 10 connections; `/set/7` makes 7 of them active.
const APPLICATION: &str = r#"
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
active = 0
class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        global active
        if self.path.startswith("/set/"):
            active = int(self.path.rsplit("/", 1)[1])
        percent = active * 10.0
        body = json.dumps({
            "status": "healthy" if percent < 90 else "unhealthy",
            "metrics": {"activeConnections": active, "idleConnections": 0, "waitingRequests": 0, "totalConnections": active, "poolSize": 10},
            "config": {"min": 1, "max": 10, "idleTimeout": 5000, "connectionTimeout": 3000},
            "utilization": {"percent": percent, "status": "normal" if percent < 80 else "warning" if percent < 90 else "critical"},
            "timestamp": "2026-01-01T00:00:00.000Z",
        }).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
ThreadingHTTPServer(("", 8080), Health).serve_forever()
"#;

fn application(test: &Test, name: &str) {
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "orders"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
            "name": "app", "image": "weir.local/psycopg:1", "args": ["-c", APPLICATION],
            "env": [{"name": "DATABASE_URL", "value": "postgres://u:p@db/shop"}],
            "readinessProbe": {"httpGet": {"path": "/health/pool", "port": 8080}, "periodSeconds": 1},
        }]},
    });
    test.apply(&pod.to_string());
    test.kubectl(["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=60s"]);
}

fn set(test: &Test, pod: &str, active: u32) {
    test.kubectl([
        "get",
        "--raw",
        &format!("/api/v1/namespaces/{}/pods/{pod}:8080/proxy/set/{active}", test.namespace),
    ]);
}

const MODE_NONE: &str = "  sidecar: {mode: None}\n  probe: {port: 8080, interval: 1s}";

#[test]
fn a_new_band_is_shown_and_told() {
    let test = weir().test("band");
    pool(&test, "orders", MODE_NONE);
    application(&test, "app");
    awaits(&test, "orders", "Saturated", "False", "Normal", A_MINUTE);
    awaits(&test, "orders", "Reachable", "True", "AllAnswer", A_MINUTE);
    set(&test, "app", 9);
    let message = awaits(&test, "orders", "Saturated", "True", "Critical", A_MINUTE);
    assert!(message.contains("90") && message.contains("app"), "{message}");
    awaits_event(&test, "ConnectionPool", "orders", "Saturated", "the pool has reached its critical threshold");
    eventually("the figures are shown", A_MINUTE, || match &test.get("connectionpool", "orders")["status"] {
        status if status["used"] == "9" && status["utilization"] == "90%" => Ok(()),
        status => Err(format!("{status}")),
    });
    set(&test, "app", 8);
    awaits(&test, "orders", "Saturated", "True", "Elevated", A_MINUTE);
    awaits_event(&test, "ConnectionPool", "orders", "Recovered", "the pool is no longer critical, but still elevated");
    set(&test, "app", 1);
    awaits(&test, "orders", "Saturated", "False", "Normal", A_MINUTE);
    awaits_event(&test, "ConnectionPool", "orders", "Recovered", "the pool is below its thresholds again");

    test.kubectl(["delete", "pod", "app", "--wait=true"]);
    awaits(&test, "orders", "Reachable", "Unknown", "NoInstances", A_MINUTE);
}

#[test]
fn an_application_that_breaks_the_contract_is_told_which_field() {
    let test = weir().test("contract");
    pool(&test, "orders", MODE_NONE);
    application(&test, "app");
    awaits(&test, "orders", "Reachable", "True", "AllAnswer", A_MINUTE);
    set(&test, "app", 11);
    let message = awaits(&test, "orders", "Reachable", "False", "InvalidAnswers", A_MINUTE);
    assert!(message.contains("app: metrics.totalConnections is more than poolSize"), "{message}");
    set(&test, "app", 1);
    awaits(&test, "orders", "Reachable", "True", "AllAnswer", A_MINUTE);
}

#[test]
fn nothing_is_written_while_nothing_changes() {
    let test = weir().test("quiet");
    pool(&test, "orders", MODE_NONE);
    application(&test, "app");
    set(&test, "app", 3);
    eventually("the figures are shown", A_MINUTE, || match &test.get("connectionpool", "orders")["status"] {
        status if status["used"] == "3" && status["pods"] == "1/1" => Ok(()),
        status => Err(format!("{status}")),
    });
    assert_quiet(&test, "orders", 1, 2);
}

#[test]
fn an_instance_that_does_not_answer_is_named() {
    let test = weir().test("silent");
    pool(&test, "orders", MODE_NONE);
    pod(&test, "deaf", "orders").expect("the pod is taken");
    let message = awaits(&test, "orders", "Reachable", "False", "InstancesUnreachable", A_MINUTE);
    assert!(message.contains("deaf"), "{message}");
    awaits(&test, "orders", "Ready", "True", "InForce", A_MINUTE);
}
