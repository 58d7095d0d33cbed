//! What one test has of the cluster: a namespace, and a database with a role of its own.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;

use serde_json::Value;

use super::{Cluster, command, logs};

/// A test's part of the cluster. When it is dropped the namespace is deleted; if the test has panicked, its logs are kept.
pub struct Test<'a> {
    /// The cluster, for what has no namespace.
    pub cluster: &'a Cluster,
    /// The namespace, named after the test and unique.
    pub namespace: String,
    /// The database, and the role that owns it.
    pub database: String,
    /// The role's password.
    pub password: String,
}

impl<'a> Test<'a> {
    pub(super) fn new(cluster: &'a Cluster, name: &str) -> Self {
        let suffix = random(3);
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        let name = name.trim_matches('-');
        let namespace = format!("{}-{suffix}", &name[..name.len().min(40)]);
        let database = namespace.replace('-', "_");
        let test = Self { cluster, namespace, database, password: random(12) };
        cluster.kubectl(["create", "namespace", &test.namespace]);
        cluster.sql("postgres", &format!("create role {0} login password '{1}'", test.database, test.password));
        cluster.sql("postgres", &format!("create database {0} owner {0}", test.database));
        // Pods are refused until their ServiceAccount is there.
        test.kubectl(["wait", "--for=create", "serviceaccount/default", "--timeout=60s"]);
        test
    }

    /// The database's URL as pods see it.
    pub fn url(&self) -> String {
        self.url_at(self.cluster.place("/postgresql/host"))
    }

    /// The database's URL as this process sees it.
    pub fn local_url(&self) -> String {
        self.url_at(self.cluster.place("/postgresql/address"))
    }

    fn url_at(&self, host: &str) -> String {
        format!("postgresql://{0}:{1}@{host}:5432/{0}", self.database, self.password)
    }

    /// Runs SQL in the test's database as the superuser.
    pub fn sql(&self, statement: &str) -> Vec<Vec<String>> {
        self.cluster.sql(&self.database, statement)
    }

    /// Runs kubectl in the test's namespace; panics where it fails.
    pub fn kubectl<const N: usize>(&self, arguments: [&str; N]) -> String {
        self.try_kubectl(arguments).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Runs kubectl in the test's namespace.
    pub fn try_kubectl<const N: usize>(&self, arguments: [&str; N]) -> Result<String, String> {
        command::run(self.cluster.tool("kubectl").args(["--namespace", &self.namespace]).args(arguments), "")
    }

    /// Applies objects that name no namespace to the test's own; panics where the API server refuses.
    pub fn apply(&self, yaml: &str) -> String {
        self.try_apply(yaml).unwrap_or_else(|e| panic!("{e}\n{yaml}"))
    }

    /// Applies objects that name no namespace to the test's own.
    pub fn try_apply(&self, yaml: &str) -> Result<String, String> {
        let arguments =
            ["apply", "--server-side", "--field-manager=test", "--filename=-", "--namespace", &self.namespace];
        command::run(self.cluster.tool("kubectl").args(arguments), yaml)
    }

    /// Reads an object of the test's namespace; panics where it is absent.
    pub fn get(&self, kind: &str, name: &str) -> Value {
        command::parse(kind, &self.kubectl(["get", kind, name, "--output=json"]))
    }

    /// Reads the objects of a kind in the test's namespace that a selector (`app=orders`) matches; all where it is empty.
    pub fn list(&self, kind: &str, selector: &str) -> Vec<Value> {
        let list = command::parse(kind, &self.kubectl(["get", kind, "--output=json", "--selector", selector]));
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// What a container has written so far.
    pub fn logs(&self, pod: &str, container: &str) -> String {
        self.kubectl(["logs", pod, "--container", container])
    }
}

impl Drop for Test<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kept = logs::keep(self.cluster, &self.namespace);
            eprintln!("the logs of {} are kept in {}", self.namespace, kept.display());
        }
        // Its pods would take memory from the tests that follow. An error here would hide the test's own.
        let _ = self.cluster.try_kubectl(["delete", "namespace", &self.namespace, "--wait=false"]);
    }
}

/// Random bytes as hexadecimal digits.
fn random(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut buffer)).expect("the kernel has random numbers");
    buffer.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}
