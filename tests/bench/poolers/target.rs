//! The programs that are compared, each as processes of its own in front of the same PostgreSQL.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use rustix::process::{Pid, Signal, kill_process};

use super::postgres::Database;
use super::scenario::Wiring;
use super::sidecar::Sidecar;
use super::{doorman, forwarder, pgbouncer, weir};

/// Longer than any pooler takes to start or to stop, even under valgrind.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Weir,
    PgBouncer,
    Doorman,
    Forwarder,
}

/// How one is to be started.
pub struct Setup<'a> {
    pub program: &'a Path,
    pub database: &'a Database,
    pub wiring: Wiring,
    /// Of the load: what a pooler in session mode needs as connections.
    pub clients: u32,
    /// Nobody else's, and gone with the target.
    pub directory: PathBuf,
}

/// A pooler that takes connections.
pub struct Running {
    /// An address, or the directory of a Unix socket.
    pub host: String,
    pub port: u16,
    /// From before the first process was started to the first connection that was taken.
    pub ready: Duration,
    pub processes: Vec<Process>,
    pub directory: PathBuf,
}

/// One of a target's.
pub enum Process {
    Sidecar(Box<Sidecar>),
    Other(Child),
}

impl Kind {
    /// As in the JSON lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir",
            Self::PgBouncer => "pgbouncer",
            Self::Doorman => "pg_doorman",
            Self::Forwarder => "forwarder",
        }
    }

    /// Starts it, or says why this is not supported.
    pub fn start(self, setup: Setup<'_>) -> Result<Running, String> {
        fs::create_dir_all(&setup.directory).map_err(|error| error.to_string())?;
        open_to_all(&setup.directory);
        match self {
            Self::Weir => weir::start(setup),
            Self::PgBouncer => pgbouncer::start(setup),
            Self::Doorman => doorman::start(setup),
            Self::Forwarder => forwarder::start(setup),
        }
    }
}

impl Running {
    /// Waits for the listener, from `start` on.
    pub fn listening(setup: Setup<'_>, port: u16, processes: Vec<Process>, start: Instant) -> Result<Self, String> {
        let Setup { directory, .. } = setup;
        let (host, ready) = ("127.0.0.1".to_owned(), Duration::ZERO);
        let mut running = Self { host, port, ready, processes, directory };
        while TcpStream::connect(running.address()).is_err() {
            running.alive()?;
            if start.elapsed() > PATIENCE {
                return Err("does not listen".to_owned());
            }
            thread::sleep(Duration::from_micros(100));
        }
        running.ready = start.elapsed();
        // Whoever else took the port a moment ago would listen too.
        running.alive()?;
        Ok(running)
    }

    /// Of its TCP listener.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Their ids.
    pub fn processes(&self) -> Vec<u32> {
        self.processes.iter().map(Process::id).collect()
    }

    /// Fails where one has ended.
    pub fn alive(&mut self) -> Result<(), String> {
        for process in &mut self.processes {
            match process {
                Process::Other(child) => match child.try_wait() {
                    Ok(None) => {}
                    ended => return Err(format!("has ended: {ended:?}")),
                },
                Process::Sidecar(sidecar) => {
                    let state = fs::read_to_string(format!("/proc/{}/stat", sidecar.pid())).unwrap_or_default();
                    if state.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with('Z')) {
                        return Err(format!("has ended: {}", sidecar.log()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends it as an administrator would, and waits until it is gone.
    pub fn stop(mut self) -> Result<(), String> {
        for process in self.processes.drain(..) {
            match process {
                Process::Sidecar(sidecar) => {
                    sidecar.terminate();
                    sidecar.wait();
                }
                Process::Other(mut child) => {
                    kill_process(Pid::from_child(&child), Signal::TERM).map_err(|error| error.to_string())?;
                    let until = Instant::now() + PATIENCE;
                    while matches!(child.try_wait(), Ok(None)) {
                        if Instant::now() > until {
                            let _ = child.kill();
                            let _ = child.wait();
                            return Err("does not end".to_owned());
                        }
                        thread::sleep(Duration::from_millis(10));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for process in &mut self.processes {
            if let Process::Other(child) = process {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        self.processes.clear();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Process {
    fn id(&self) -> u32 {
        match self {
            Self::Sidecar(sidecar) => sidecar.pid(),
            Self::Other(child) => child.id(),
        }
    }

    /// Starts a program whose words nobody wants.
    pub fn spawn(command: &mut Command) -> Result<Self, String> {
        let child = command.env_clear().stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        child.map(Self::Other).map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))
    }
}

/// Free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// A poolers' user is not ours.
pub fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).expect("the directory is ours");
}

/// A copy of a program that other users reach too.
pub fn reachable(program: &Path, directory: &Path) -> Result<PathBuf, String> {
    let name = program.file_name().ok_or("it has no name")?;
    let copy = directory.join(name);
    fs::copy(program, &copy).map_err(|error| format!("cannot read {}: {error}", program.display()))?;
    Ok(copy)
}

/// The first program of this name in PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let mut places: Vec<_> = env::split_paths(&path).collect();
    places.push("/usr/sbin".into());
    places.into_iter().map(|place| place.join(name)).find(|file| file.is_file())
}
