//! The real sidecar as a process of its own, on ports that the kernel chose.

#![allow(dead_code, clippy::panic, reason = "each test binary uses its own part, and a panic is how a test fails")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir::policy::health::Report;

/// Longer than anything takes that works.
pub const PATIENCE: Duration = Duration::from_secs(20);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// How to start one.
pub struct Options {
    /// `WEIR_SETTINGS`.
    pub settings: Value,
    /// The rest of the environment; what is set here wins.
    pub environment: BTreeMap<&'static str, String>,
    /// The program.
    pub program: PathBuf,
    /// The user to run it as, where we are root.
    pub user: Option<u32>,
    /// What the shell's `ulimit` is told before it, about open files.
    pub files: Option<&'static str>,
}

/// A running sidecar.
pub struct Sidecar {
    process: Child,
    log: Arc<Log>,
    directory: PathBuf,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where the control endpoints are.
    pub control: SocketAddr,
}

/// How a sidecar ended.
pub struct End {
    pub status: ExitStatus,
    pub log: String,
    /// The termination message.
    pub message: String,
}

#[derive(Default)]
struct Log {
    text: Mutex<(String, bool)>,
    grew: Condvar,
}

impl Options {
    /// A sidecar for this URL that holds at most `max` connections and keeps `min`.
    pub fn new(url: &str, min: u32, max: u32) -> Self {
        Self {
            settings: json!({
                "version": 1, "pool": "shop/orders", "generation": 7, "profile": "test", "poolMode": "session", "client": "none",
                "limits": {
                    "min": min, "max": max, "idleTimeout": "5s", "connectionTimeout": "3s", "maxLifetime": "30m"
                },
                "thresholds": {"warning": 80, "critical": 90},
            }),
            environment: BTreeMap::from([
                ("WEIR_DATABASE_URL", url.to_owned()),
                ("WEIR_LISTEN", "127.0.0.1:0".to_owned()),
                ("WEIR_CONTROL", "127.0.0.1:0".to_owned()),
                ("WEIR_POD_UID", "4f2b6c1e-6a35-4c3c-9d5e-0b7f6f0a1c2d".to_owned()),
                ("WEIR_LOG", "debug".to_owned()),
                ("WEIR_LOG_FORMAT", "json".to_owned()),
            ]),
            program: env!("CARGO_BIN_EXE_weir-sidecar").into(),
            user: None,
            files: None,
        }
    }

    /// Sets a variable.
    pub fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.insert(name, value.into());
        self
    }

    /// Leaves a variable out.
    pub fn unset(mut self, name: &'static str) -> Self {
        self.environment.remove(name);
        self
    }

    /// Starts it and waits until it says where it listens.
    pub fn start(self) -> Sidecar {
        let mut sidecar = self.spawn();
        let (Some(listen), Some(control)) = (sidecar.address("listen"), sidecar.address("control")) else {
            panic!("the sidecar does not start: {}", sidecar.log());
        };
        (sidecar.listen, sidecar.control) = (listen, control);
        sidecar
    }

    /// Starts it and waits until it has ended by itself.
    pub fn run(self) -> End {
        self.spawn().wait()
    }

    /// Starts it, whether it gets far or not.
    pub fn spawn(self) -> Sidecar {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("weir-sidecar-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("state")).expect("the directory is new");
        fs::write(directory.join("termination"), "").expect("the directory is ours");
        let mut program = self.program;
        if self.user.is_some() {
            // Its own copy: other users may not reach ours.
            let copy = directory.join("weir-sidecar");
            fs::copy(program, &copy).expect("the directory is ours");
            program = copy;
        }
        let mut command = Command::new(&program);
        if let Some(files) = self.files {
            command = Command::new("sh");
            command.arg("-c").arg(format!("ulimit {files}; exec \"$0\"")).arg(program);
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
            for path in ["state", "termination"] {
                chown(directory.join(path), Some(user), Some(user)).expect("root may give files away");
            }
        }
        let mut process = command
            .current_dir("/")
            .env_clear()
            .env("WEIR_SETTINGS", self.settings.to_string())
            .env("WEIR_STATE", directory.join("state"))
            .env("WEIR_TERMINATION_LOG", directory.join("termination"))
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the sidecar's program is there");
        let log = Arc::new(Log::default());
        let stderr = BufReader::new(process.stderr.take().expect("it is piped"));
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || log.follow(stderr)
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Sidecar { process, log, directory, listen: nowhere, control: nowhere }
    }
}

impl Sidecar {
    /// Everything logged so far.
    pub fn log(&self) -> String {
        self.log.text.lock().expect("the reader does not panic").0.clone()
    }

    /// Waits for a log line that contains `text`, and returns it.
    pub fn logged(&self, text: &str) -> String {
        self.log.wait_for(text).unwrap_or_else(|| panic!("{text:?} was not logged:\n{}", self.log()))
    }

    fn address(&self, field: &str) -> Option<SocketAddr> {
        let line: Value = serde_json::from_str(&self.log.wait_for("\"starting\"")?).expect("the log is JSON");
        line[field].as_str()?.parse().ok()
    }

    /// The termination message as it is now.
    pub fn message(&self) -> String {
        fs::read_to_string(self.directory.join("termination")).expect("the directory is ours")
    }

    /// Of its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A directory of this sidecar alone; removed with it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// One request, on a connection of its own; status and body.
    pub fn request(&self, method: &str, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect_timeout(&self.control, PATIENCE).expect("the control port is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out of more than 0");
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n").expect("the request fits");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer in text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an HTTP status");
        (status, body.to_owned())
    }

    /// The body of a successful GET.
    pub fn get(&self, path: &str) -> String {
        let (status, body) = self.request("GET", path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// One answer of /health/pool.
    pub fn health(&self) -> Report {
        Report::parse(self.get("/health/pool").as_bytes()).expect("the report adds up")
    }

    /// Waits until the report is as `wanted` says.
    pub fn until(&self, what: &str, wanted: impl Fn(&Report) -> bool) -> Report {
        eventually(what, || {
            let report = self.health();
            if wanted(&report) { Ok(report) } else { Err(format!("{report:?}")) }
        })
    }

    /// The value of a metric, with its labels as written.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is our child");
    }

    /// Waits for its end.
    pub fn wait(mut self) -> End {
        let status = eventually("the sidecar ends", || {
            self.process.try_wait().expect("it is our child").ok_or_else(|| self.log())
        });
        self.log.wait_for_end();
        End { status, log: self.log(), message: self.message() }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("the sidecar's log:\n{}", self.log());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Log {
    fn follow(&self, lines: impl std::io::BufRead) {
        for line in lines.lines().map_while(Result::ok) {
            let mut text = self.text.lock().expect("nobody panics with it");
            text.0.push_str(&line);
            text.0.push('\n');
            self.grew.notify_all();
        }
        self.text.lock().expect("nobody panics with it").1 = true;
        self.grew.notify_all();
    }

    fn wait_for(&self, wanted: &str) -> Option<String> {
        let until = Instant::now() + PATIENCE;
        let mut text = self.text.lock().expect("nobody panics with it");
        loop {
            if let Some(line) = text.0.lines().find(|line| line.contains(wanted)) {
                return Some(line.to_owned());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || text.1 {
                return None;
            }
            text = self.grew.wait_timeout(text, left).expect("nobody panics with it").0;
        }
    }

    fn wait_for_end(&self) {
        let text = self.text.lock().expect("nobody panics with it");
        let _ended = self.grew.wait_timeout_while(text, PATIENCE, |text| !text.1).expect("nobody panics with it");
    }
}

/// Asks again until there is an answer.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(last) => assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}; last: {last}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
