//! Where the data-plane thread and the control thread meet: counters that only the loop writes, and two queues.
//!
//! The counters are relaxed atomics: each is exact, a set of them read together may be a moment apart. No lock is taken in the loop.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::policy::limits::Limits;

/// What the loop publishes.
#[derive(Debug, Default)]
pub struct Figures {
    /// Server connections attached to a client.
    pub active: AtomicU32,
    /// Logged-in server connections that nobody uses.
    pub idle: AtomicU32,
    /// Clients that wait for a server connection.
    pub waiting: AtomicU32,
    /// What the instance may still be costing PostgreSQL, attempts and unconfirmed ends included.
    pub charged: AtomicU32,
    /// Charged, but not usable: ended here, not yet known to have ended there.
    pub unconfirmed: AtomicU32,
    /// The maximum in force.
    pub max: AtomicU32,
    /// Clients that are logged in.
    pub clients: AtomicU32,
    /// Clients accepted since the start.
    pub clients_accepted: AtomicU64,
    /// Server connections given to a client since the start.
    pub acquired: AtomicU64,
    /// Microseconds that clients waited for one, in all.
    pub waited_micros: AtomicU64,
    /// Clients that gave up after connectionTimeout.
    pub timed_out: AtomicU64,
    /// Logins at PostgreSQL that succeeded.
    pub logins: AtomicU64,
    /// Logins at PostgreSQL that failed.
    pub login_failures: AtomicU64,
    /// Bytes from clients to servers.
    pub bytes_in: AtomicU64,
    /// Bytes from servers to clients.
    pub bytes_out: AtomicU64,
    /// Cancel requests passed on.
    pub cancels: AtomicU64,
    /// The last login at PostgreSQL: 0 none yet, 1 succeeded, else five bytes of SQLSTATE of its failure, big-endian in the low 40 bits.
    pub last_login: AtomicU64,
}

/// From the control thread to the loop; an eventfd in epoll wakes it.
#[derive(Debug)]
pub enum Command {
    /// The answer to [`Request::Resolve`].
    Resolved {
        /// Repeats the request's number.
        request: u64,
        /// Addresses in the order to try, or why there are none.
        addresses: Result<Vec<IpAddr>, String>,
    },
    /// Other limits are in force from now on.
    Limits(Limits),
    /// Stop: no new clients, let open transactions finish until `grace` is over, then answer 57P01 and exit.
    Drain {
        /// From now.
        grace: Duration,
    },
}

/// From the loop to the control thread.
#[derive(Debug)]
pub enum Request {
    /// Look a host name up.
    Resolve {
        /// Repeated in the answer.
        request: u64,
        /// Name as in the URL.
        host: String,
    },
}

impl Figures {
    /// The five characters of [`Figures::last_login`], if it failed.
    pub fn last_failure(&self) -> Option<String> {
        let bytes = self.last_login.load(Ordering::Relaxed).to_be_bytes();
        let [0, 0, 0, code @ ..] = bytes else { return None };
        (code[0] != 0).then(|| code.iter().map(|byte| char::from(*byte)).collect())
    }
}
