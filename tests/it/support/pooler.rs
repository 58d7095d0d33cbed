//! The real loop in a thread of the test.

use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use weir::policy::dialect;
use weir::policy::limits::{Limits, Profile};
use weir::policy::settings::Verify;
use weir::sidecar::charge::BootId;
use weir::sidecar::drive::{self, Final, Start};
use weir::sidecar::figures::{Command, Commander, Figures, Request, commands};
use weir::sidecar::journal::Account;
use weir::sidecar::pool::Release;
use weir::sidecar::socket;
use weir::sidecar::target::Target;
use weir::sidecar::tls::Roots;

/// Longest wait of a test for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(40);

pub struct Pooler {
    pub port: u16,
    pub figures: Arc<Figures>,
    commander: Commander,
    thread: Option<JoinHandle<Final>>,
    thread_id: i32,
    state: PathBuf,
}

/// The port that is part of the name of every socket of a test.
pub const SOCKET_PORT: u16 = 16432;

/// Limits of a test: `min` and `max`, and short times.
pub fn limits(min: u32, max: u32) -> Limits {
    Limits { min, max, connection_timeout: Duration::from_secs(10), ..Profile::Production.limits() }
}

pub fn target(url: &str) -> Arc<Target> {
    Arc::new(Target::parse(url.as_bytes(), dialect::none(), None, &Roots::none()).unwrap())
}

impl Pooler {
    pub fn start(url: &str, limits: Limits, release: Release) -> Self {
        Self::start_within(url, limits, release, |start| drive::run(start).unwrap())
    }

    /// With something run in the loop's thread before it begins.
    #[allow(dead_code, reason = "each test binary uses its own part")]
    pub fn start_planted(url: &str, limits: Limits, release: Release, plant: fn()) -> Self {
        Self::start_within(url, limits, release, move |start| {
            plant();
            drive::run(start).unwrap()
        })
    }

    /// As [`Pooler::start`]; `run` runs the loop in its thread.
    pub fn start_within(
        url: &str,
        limits: Limits,
        release: Release,
        run: impl FnOnce(Start) -> Final + Send + 'static,
    ) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let state = std::env::temp_dir().join(format!("weir-state-{}-{number}", std::process::id()));
        std::fs::create_dir(&state).unwrap();
        let socket = socket::bind(&state.join(format!("{}{SOCKET_PORT}", socket::FILE_PREFIX))).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let figures = Arc::new(Figures::default());
        let (commander, queue) = commands().unwrap();
        let (requests, mut asked) = tokio::sync::mpsc::unbounded_channel();
        let answering = commander.clone();
        thread::spawn(move || {
            while let Some(asked) = asked.blocking_recv() {
                let Request::Resolve { request, host } = asked else { continue };
                let found =
                    (host.as_str(), 0).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect());
                let addresses = found.map_err(|error: io::Error| error.to_string());
                answering.send(Command::Resolved { request, addresses });
            }
        });
        let mut boot = [0; 16];
        boot[..4].copy_from_slice(&std::process::id().to_be_bytes());
        boot[12..].copy_from_slice(&number.to_be_bytes());
        let (account, _) = Account::open(&state, [0; 16], BootId(boot), limits.max, Duration::ZERO).unwrap();
        let start = Start {
            listener,
            socket: Some(socket),
            descriptors: usize::MAX,
            target: target(url),
            limits,
            release,
            verify: Verify::Hints,
            figures: Arc::clone(&figures),
            account,
            epoch: Instant::now(),
            commands: queue,
            requests,
        };
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let this = std::fs::read_link("/proc/thread-self").unwrap();
            tell.send(this.file_name().unwrap().to_str().unwrap().parse().unwrap()).unwrap();
            run(start)
        });
        Self { port, figures, commander, thread: Some(thread), thread_id: told.recv().unwrap(), state }
    }

    /// Where its Unix socket is, as clients name it: the directory.
    pub fn socket(&self) -> &Path {
        &self.state
    }

    pub fn send(&self, command: Command) {
        assert!(self.commander.send(command));
    }

    /// As in /proc/self/task.
    pub fn thread_id(&self) -> i32 {
        self.thread_id
    }

    /// Drains, and waits for the end.
    pub fn stop(mut self, grace: Duration) -> Final {
        // One that was drained before may have ended already.
        self.commander.send(Command::Drain { grace });
        self.thread.take().unwrap().join().unwrap()
    }

    /// Waits until a figure has a value.
    #[track_caller]
    pub fn until(&self, figure: impl Fn(&Figures) -> &AtomicU32, wanted: u32) {
        let until = Instant::now() + PATIENCE;
        while figure(&self.figures).load(Ordering::Relaxed) != wanted {
            assert!(Instant::now() < until, "waited too long for {wanted} in {:?}", self.figures);
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn count(&self, figure: impl Fn(&Figures) -> &AtomicU64) -> u64 {
        figure(&self.figures).load(Ordering::Relaxed)
    }

    /// Logins at PostgreSQL that failed, for whatever reason.
    pub fn login_failures(&self) -> u64 {
        self.figures.login_failures.iter().map(|(_, count)| count.load(Ordering::Relaxed)).sum()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.commander.send(Command::Drain { grace: Duration::ZERO });
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the loop panicked");
        }
        let _ = std::fs::remove_dir_all(&self.state);
    }
}

/// Asks until the answer is yes, for at most [`PATIENCE`].
#[track_caller]
pub fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < until, "waited too long for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
