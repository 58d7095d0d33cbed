//! A real Kubernetes and a real PostgreSQL for tests: one cluster for each test binary, a fresh namespace and a fresh
//! database for each test.
//!
//! ```ignore
//! #[path = "../cluster/cluster.rs"]
//! mod cluster;
//!
//! #[test]
//! fn a_pod_reaches_the_database() {
//!     let test = cluster::shared().test("reaches");
//!     test.apply(&format!("..."));
//!     cluster::eventually("the pod succeeds", cluster::A_MINUTE, || match test.get("pod", "client")["status"]["phase"].as_str() {
//!         Some("Succeeded") => Ok(()),
//!         phase => Err(format!("its phase is {phase:?}")),
//!     });
//! }
//! ```
//!
//! It owns the `weir-cluster` process (see `program/`), whose standard input is a pipe of ours: however the test binary
//! ends, the pipe closes and the cluster is gone. It never waits for a fixed time, and reports every failure by a panic
//! that says what was run and what came back. A test that panics leaves its logs under `target/cluster-logs/`.

#![allow(dead_code, reason = "each test binary uses its part of this")]
#![allow(unused_imports, reason = "each test binary uses its part of this")]
#![allow(clippy::panic, reason = "a test fails by a panic")]

mod clients;
mod command;
mod image;
mod logs;
mod test;
mod wait;
mod weir;

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::Value;

pub use image::Image;
pub use test::Test;
pub use wait::{A_MINUTE, eventually};

/// What a cluster of one's own differs in from the shared one.
#[derive(Default)]
pub struct Options {
    /// Serve the API of an older Kubernetes, as `1.34`.
    pub emulated_version: Option<String>,
    /// More flags of the API server, as `--goaway-chance=0.01`.
    pub apiserver_flags: Vec<String>,
    /// More lines of `postgresql.conf`, as `max_connections=20`.
    pub postgres_settings: Vec<String>,
}

/// A running cluster. Dropping it ends it, and waits until nothing is left of it.
pub struct Cluster {
    dir: PathBuf,
    place: Value,
    /// Absent where the cluster was there before us.
    process: Option<Child>,
    /// The images that this process has loaded: each once, however many tests ask.
    loaded: Mutex<HashSet<String>>,
}

/// The cluster of this test binary, started by the first test that asks. With `WEIR_CLUSTER` it is the running one whose
/// directory that names: `tests/cluster/weir-cluster up --keep --dir DIR` once, and each run of the tests starts at once.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| match std::env::var_os("WEIR_CLUSTER") {
        Some(dir) => Cluster::attach(Path::new(&dir)),
        None => Cluster::start(&Options::default()),
    })
}

impl Cluster {
    /// Starts a cluster: seconds, or ten minutes where Kubernetes has never been built on this machine.
    pub fn start(options: &Options) -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        // Not below target/: PostgreSQL's user has to be able to enter, and paths of sockets are short.
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("weir-cluster-{}-{number}", std::process::id()));
        let mut command = Command::new(program());
        command.args(["up", "--discard", "--dir"]).arg(&dir);
        if let Some(version) = &options.emulated_version {
            command.arg("--emulated-version").arg(version);
        }
        for flag in &options.apiserver_flags {
            command.arg("--apiserver-flag").arg(flag);
        }
        for setting in &options.postgres_settings {
            command.arg("--postgres-setting").arg(setting);
        }
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("start {command:?}: {e}"));
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
        let read = output.read_line(&mut line);
        assert!(read.is_ok_and(|n| n > 0), "the cluster did not start (why is said above): {:?}", process.wait());
        Self { dir, place: command::parse("weir-cluster up", &line), process: Some(process), loaded: Mutex::default() }
    }

    /// Uses a cluster that runs already, and leaves it running.
    pub fn attach(dir: &Path) -> Self {
        let file = dir.join("cluster.json");
        let text =
            std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("no cluster runs in {}: {e}", dir.display()));
        Self {
            dir: dir.to_path_buf(),
            place: command::parse("cluster.json", &text),
            process: None,
            loaded: Mutex::default(),
        }
    }

    /// The directory of the cluster, with a log of each component under `log/`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Something that `weir-cluster up` printed, by JSON pointer: `/addresses/node`, `/postgresql/socket`, `/auditLog`...
    pub fn place(&self, pointer: &str) -> &str {
        self.place
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {pointer:?} in {}", self.place))
    }

    /// The administrator's kubeconfig, good on this machine.
    pub fn kubeconfig(&self) -> &str {
        self.place("/kubeconfig")
    }

    /// A fresh namespace and database. The name says whose they are.
    pub fn test(&self, name: &str) -> Test<'_> {
        Test::new(self, name)
    }

    /// Runs kubectl and returns its output; panics where it fails.
    pub fn kubectl<const N: usize>(&self, arguments: [&str; N]) -> String {
        self.try_kubectl(arguments).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Runs kubectl; the error says what was run and what it said.
    pub fn try_kubectl<const N: usize>(&self, arguments: [&str; N]) -> Result<String, String> {
        command::run(self.tool("kubectl").args(arguments), "")
    }

    /// Applies objects, server-side, as the field manager `test`.
    pub fn apply(&self, yaml: &str) -> String {
        self.try_apply(yaml).unwrap_or_else(|e| panic!("{e}\n{yaml}"))
    }

    /// Applies objects; the error is the API server's.
    pub fn try_apply(&self, yaml: &str) -> Result<String, String> {
        command::run(
            self.tool("kubectl").args(["apply", "--server-side", "--field-manager=test", "--filename=-"]),
            yaml,
        )
    }

    /// Runs helm and returns its output; panics where it fails.
    pub fn helm<S: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        command::run(self.tool("helm").args(arguments), "").unwrap_or_else(|e| panic!("{e}"))
    }

    /// Runs SQL as the superuser and returns rows of columns as text; panics where it fails.
    pub fn sql(&self, database: &str, statement: &str) -> Vec<Vec<String>> {
        let mut psql = Command::new(Path::new(self.place("/postgresql/programs")).join("psql"));
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--no-align",
            "--tuples-only",
            "--field-separator=\u{1f}",
            "--set=ON_ERROR_STOP=1",
        ])
        .args(["--username=postgres", "--host", self.place("/postgresql/socket"), "--dbname", database]);
        let output = command::run(&mut psql, statement).unwrap_or_else(|e| panic!("{e}\n{statement}"));
        output.lines().map(|row| row.split('\u{1f}').map(str::to_owned).collect()).collect()
    }

    /// Ends a component (`postgresql`, `kube-apiserver`...) in order, and returns when it is gone.
    pub fn stop(&self, component: &str) {
        self.control(&["stop"], &[component]);
    }

    /// Starts a component again, and returns when it serves.
    pub fn restart(&self, component: &str) {
        self.control(&["start"], &[component]);
    }

    /// Sends a signal (`STOP`, `CONT`, `KILL`...) to a component.
    pub fn signal(&self, component: &str, signal: &str) {
        self.control(&["signal"], &[component, signal]);
    }

    /// Runs a command inside the cluster's namespaces, as on its node.
    pub fn on_node(&self, arguments: &[&str]) -> String {
        self.control(&["exec"], arguments)
    }

    /// Packs an image and gives it to the container runtime, once: pods find it by its name.
    pub fn load(&self, image: &Image) {
        // Held meanwhile, so that another test waits until the image is there. A test that failed here has left no harm.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if !loaded.contains(image.name()) {
            self.load_archive(&image.pack());
            loaded.insert(image.name().to_owned());
        }
    }

    /// Gives an image archive to the container runtime.
    pub fn load_archive(&self, archive: &Path) {
        self.control(&["load"], &[archive.to_str().expect("paths here are UTF-8")]);
    }

    /// Ends the cluster and returns how `weir-cluster up` ended.
    pub fn end(mut self) -> ExitStatus {
        self.finish().expect("it is ours")
    }

    /// Waits for a cluster that ends by itself, because of what a test has done to it.
    pub fn wait(mut self) -> ExitStatus {
        let mut process = self.process.take().expect("it is ours");
        // Waiting closes the pipe, and that would be asking it to end.
        let input = process.stdin.take();
        let status = process.wait().expect("it is our child");
        drop(input);
        status
    }

    fn finish(&mut self) -> Option<ExitStatus> {
        let mut process = self.process.take()?;
        drop(process.stdin.take());
        Some(process.wait().expect("it is our child"))
    }

    /// The number, on this machine, of the first process of the cluster's PID namespace.
    pub fn init_pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.dir.join("init.pid")).expect("a running cluster has it");
        text.parse().expect("it holds a number")
    }

    fn control(&self, verb: &[&str], arguments: &[&str]) -> String {
        let mut command = Command::new(program());
        command.args(verb).arg("--dir").arg(&self.dir).args(arguments);
        command::run(&mut command, "").unwrap_or_else(|e| panic!("{e}"))
    }

    /// A program of the cluster's version, that reads and writes nothing in the home directory.
    fn tool(&self, name: &str) -> Command {
        let scratch = self.dir.join("temporary");
        let mut command = Command::new(Path::new(self.place("/programs")).join(name));
        command.env("KUBECONFIG", self.kubeconfig()).env("KUBECACHEDIR", scratch.join("kube"));
        for kind in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{kind}_HOME"), scratch.join("helm"));
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

fn program() -> PathBuf {
    repository().join("tests/cluster/weir-cluster")
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where what tests make is kept: `target/`, wherever that is.
fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is target/tmp")
}
