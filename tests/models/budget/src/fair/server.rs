//! A PostgreSQL server and its backends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use weir::policy::budget::exchange::{Backend, RoleId, Upstream};
use weir::sidecar::charge::{Answer, Attempt, Identity, Incarnation, Row};

/// What is needed to end a login: short, so that a run is.
pub const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Server {
    pub started: u64,
    pub address: SocketAddr,
    last_pid: i32,
    pub rows: BTreeMap<i32, Process>,
}

pub struct Process {
    pub attempt: Attempt,
    /// Nobody has its socket any more.
    pub orphan: bool,
}

impl Server {
    pub fn new() -> Self {
        Self { started: 100, address: address(1), last_pid: 0, rows: BTreeMap::new() }
    }

    pub fn fork(&mut self, attempt: Attempt) -> i32 {
        self.last_pid += 1;
        self.rows.insert(self.last_pid, Process { attempt, orphan: false });
        self.last_pid
    }

    pub fn crash(&mut self) {
        self.started += 1;
        self.rows.clear();
    }

    /// A standby takes over, at an address of its own or at the same; it may have started before or after. What is left on the old
    /// server nobody can see any more.
    pub fn fail_over(&mut self, moves: bool, later: bool) {
        self.started = if later { self.started + 50 } else { self.started - 50 };
        self.address = address(if moves { 2 } else { 1 });
        self.rows.clear();
    }

    pub fn orphan(&mut self, attempt: Attempt) {
        self.rows.values_mut().filter(|row| row.attempt == attempt).for_each(|row| row.orphan = true);
    }

    const fn incarnation(&self) -> Incarnation {
        Incarnation { system: 1, started: self.started }
    }

    pub const fn upstream(&self) -> Upstream {
        Upstream { system: 1, started: self.started, role: RoleId([0; 8]) }
    }

    pub fn identity(&self, pid: i32) -> Identity {
        Identity {
            incarnation: self.incarnation(),
            backend_started: start(pid),
            authentication_timeout: AUTHENTICATION_TIMEOUT,
        }
    }

    pub fn looked(&self) -> Answer {
        let row = |(pid, process): (&i32, &Process)| Row {
            pid: *pid,
            started: Some(start(*pid)),
            application_name: Some(process.attempt.application_name().into_bytes().into()),
        };
        Answer {
            incarnation: self.incarnation(),
            authentication_timeout: AUTHENTICATION_TIMEOUT,
            rows: self.rows.iter().map(row).collect(),
            invisible: Some(BTreeSet::new()),
        }
    }

    pub fn backends(&self) -> Vec<Backend> {
        self.rows.keys().map(|pid| Backend { pid: *pid, started: start(*pid) }).collect()
    }

    /// Those of `attempts` that are alive.
    pub fn of(&self, attempts: &BTreeSet<Attempt>) -> impl Iterator<Item = Backend> {
        let rows = self.rows.iter().filter(|(_, row)| attempts.contains(&row.attempt));
        rows.map(|(pid, _)| Backend { pid: *pid, started: start(*pid) })
    }
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], 5432))
}

fn start(pid: i32) -> u64 {
    u64::try_from(pid).unwrap_or(0)
}
