//! What runs in pods: programs that nobody here wrote, and small applications over client libraries that nobody here wrote.

use super::cluster::{Cluster, Test};

/// psql, pgbench and a shell.
pub const CLIENT: &str = "weir.local/postgres-client:1";
/// node with node-postgres.
pub const NODE: &str = "weir.local/node-postgres:1";
/// Python with psycopg 3.
pub const PYTHON: &str = "weir.local/psycopg:1";

/// Applications that read DATABASE_URL and nothing else; each prints one JSON line for an answer.
pub const NODE_APP: &str = include_str!("../../workloads/node.js");
/// See [`NODE_APP`].
pub const PYTHON_APP: &str = include_str!("../../workloads/python.py");
/// Pools by itself and serves the health contract on port 8080.
pub const HEALTH_APP: &str = include_str!("../../workloads/health.py");

/// Loads all images.
pub fn load(cluster: &Cluster) {
    cluster.load_postgres_client();
    cluster.load_node_postgres();
    cluster.load_psycopg();
}

/// A pod that runs once. `env` is YAML, indented by four.
pub fn pod(name: &str, app: &str, image: &str, command: &[&str], env: &str) -> String {
    let command = serde_json::to_string(command).expect("strings are JSON");
    format!(
        r"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {app}}}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 5
  containers:
  - name: app
    image: {image}
    command: {command}
    env:
{env}
"
    )
}

/// `DATABASE_URL` as a literal.
pub fn literal(url: &str) -> String {
    format!("    - {{name: DATABASE_URL, value: {url:?}}}")
}

/// `DATABASE_URL` from key `url` of a Secret.
pub fn from_secret(secret: &str) -> String {
    format!("    - {{name: DATABASE_URL, valueFrom: {{secretKeyRef: {{name: {secret}, key: url}}}}}}")
}

/// A Secret whose key `url` is the database's URL; creates or replaces it.
pub fn secret(test: &Test, name: &str, url: &str) {
    test.apply(&format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{url: {url:?}}}\n"));
}

/// A session that sleeps inside PostgreSQL, so that its server connection counts as active.
pub fn session(seconds: u32) -> String {
    format!("psql \"$DATABASE_URL\" -qAtc 'select pg_sleep({seconds})'")
}
