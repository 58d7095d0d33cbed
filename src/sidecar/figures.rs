//! Where the data-plane thread and the control thread meet: counters that only the loop writes, and two queues.
//!
//! The counters are relaxed atomics: each is exact, a set of them read together may be a moment apart. No lock is taken in the loop.

mod errors;
mod histogram;
mod pinned;
mod tenure;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

pub use errors::{ByClass, CLASSES, FAILURES};
pub use histogram::{BOUNDS_MICROS, Histogram};
pub use pinned::Pinned;
pub use tenure::Tenure;

use super::exchange::Event;
use super::target::Target;
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
    /// How long clients waited for one, whether they got it or not.
    pub waits: Histogram,
    /// Clients that gave up after connectionTimeout.
    pub timed_out: AtomicU64,
    /// How long clients had a server connection at a time; see [`Tenure`].
    pub transactions: Histogram,
    /// How long servers owed an answer; see [`Tenure`].
    pub queries: Histogram,
    /// Errors of PostgreSQL that were passed on to clients.
    pub errors: ByClass<{ CLASSES.len() }>,
    /// Clients that keep their server connection beyond the transaction.
    pub pinned: Pinned,
    /// How often a server was asked what a client has left in its session.
    pub asks: AtomicU64,
    /// Those that it did not answer as expected.
    pub asks_failed: AtomicU64,
    /// Texts of prepared statements that are known, each once for all clients; and their bytes. Of the last [`Command::Publish`].
    pub texts: AtomicU64,
    /// See `texts`.
    pub text_bytes: AtomicU64,
    /// Statements of clients that are prepared on server connections, on each counted by itself; and the bytes of their texts. Of the
    /// last [`Command::Publish`].
    pub copies: AtomicU64,
    /// See `copies`.
    pub copy_bytes: AtomicU64,
    /// Statements that were prepared on a server connection for a client that had prepared them on another.
    pub prepared_again: AtomicU64,
    /// Of these, those that could not be used, since their columns have changed.
    pub stale: AtomicU64,
    /// Logins at PostgreSQL that succeeded, and how long they took from connect() on.
    pub logins: AtomicU64,
    /// See `logins`.
    pub login_times: Histogram,
    /// Logins at PostgreSQL that failed.
    pub login_failures: ByClass<{ FAILURES.len() }>,
    /// Words for a pool that clients sent as start-up parameters, where they have no meaning: a wrong dialect shows here.
    pub stray_parameters: AtomicU64,
    /// Bytes from clients to servers.
    pub bytes_in: AtomicU64,
    /// Bytes from servers to clients.
    pub bytes_out: AtomicU64,
    /// Cancel requests passed on.
    pub cancels: AtomicU64,
    /// Turns of the loop: stands still while it sleeps, and moves when [`Commander::wake`] wakes it.
    pub turns: AtomicU64,
    /// How often the figures that do not change with each client were published: moves by [`Command::Publish`].
    pub published: AtomicU64,
    /// The last login at PostgreSQL: 0 none yet, 1 succeeded, else five bytes of SQLSTATE of its failure, big-endian in the low 40 bits.
    pub last_login: AtomicU64,
}

/// From the control thread to the loop, by [`Commander`].
pub enum Command {
    /// Other credentials, host or database: used for every server connection from now on. Open ones are replaced once nobody
    /// uses them.
    Target(Arc<Target>),
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
    /// Bring up to date what is too dear to be published at each change.
    Publish,
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
    /// The number of server connections, or the most that may be, has changed: the log may have to say so.
    Utilization,
}

/// The control thread's end: queues commands and wakes the loop.
#[derive(Clone)]
pub struct Commander {
    queue: mpsc::Sender<Command>,
    bell: Arc<OwnedFd>,
}

/// The loop's end.
pub struct Commands {
    queue: mpsc::Receiver<Command>,
    bell: Arc<OwnedFd>,
}

/// Both ends of the command queue.
pub fn commands() -> io::Result<(Commander, Commands)> {
    let (sender, receiver) = mpsc::channel();
    let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    Ok((Commander { queue: sender, bell: Arc::clone(&bell) }, Commands { queue: receiver, bell }))
}

impl Commander {
    /// False once the loop has ended.
    pub fn send(&self, command: Command) -> bool {
        // The command is queued before the bell rings, so a loop that was woken finds it. A full counter is a loop that has not
        // answered the bell yet.
        let sent = self.queue.send(command).is_ok();
        self.wake();
        sent
    }

    /// Makes the loop take a turn.
    pub fn wake(&self) {
        let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
    }
}

impl Commands {
    /// Silences the bell; [`Commands::next`] must then be called until it gives nothing.
    pub(super) fn answer(&self) {
        let _ = rustix::io::read(&*self.bell, &mut [0; 8]);
    }

    pub(super) fn next(&self) -> Option<Command> {
        self.queue.try_recv().ok()
    }
}

impl AsFd for Commands {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// Only the loop writes figures, so it needs no locked instruction to count.
#[inline]
pub(super) fn add(figure: &AtomicU64, n: u64) {
    figure.store(figure.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

/// As last published.
pub(super) fn read(figure: &AtomicU64) -> u64 {
    figure.load(Ordering::Relaxed)
}

impl Figures {
    /// What a client's server connection has said. Only the loop calls it.
    pub(super) fn note(&self, event: &Event<'_>) {
        match event {
            Event::Parameter(..) => {}
            Event::Error(sqlstate) => self.errors.count(sqlstate),
            Event::Prepared => add(&self.prepared_again, 1),
            Event::Stale => add(&self.stale, 1),
        }
    }

    /// So many statements, and bytes of them, are known and are prepared. Ends what [`Command::Publish`] asks for. Only the loop calls it.
    pub(super) fn hold(&self, texts: (usize, usize), copies: (usize, usize)) {
        let figures = [&self.texts, &self.text_bytes, &self.copies, &self.copy_bytes];
        for (figure, size) in figures.into_iter().zip([texts.0, texts.1, copies.0, copies.1]) {
            figure.store(size as u64, Ordering::Relaxed);
        }
        add(&self.published, 1);
    }

    /// A login failed with this SQLSTATE. Only the loop calls it.
    pub fn login_failed(&self, sqlstate: [u8; 5]) {
        self.login_failures.count(&sqlstate);
        let code = sqlstate.iter().fold(0, |code, byte| code << 8 | u64::from(*byte));
        self.last_login.store(code, Ordering::Relaxed);
    }

    /// Whether the last login at PostgreSQL succeeded; `None` before the first.
    pub fn reachable(&self) -> Option<bool> {
        match self.last_login.load(Ordering::Relaxed) {
            0 => None,
            last => Some(last == 1),
        }
    }

    /// The five characters of [`Figures::last_login`], if it failed.
    pub fn last_failure(&self) -> Option<String> {
        let bytes = self.last_login.load(Ordering::Relaxed).to_be_bytes();
        let [0, 0, 0, code @ ..] = bytes else { return None };
        (code[0] != 0).then(|| code.iter().map(|byte| char::from(*byte)).collect())
    }
}
