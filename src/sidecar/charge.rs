//! What this instance may be costing PostgreSQL: every attempt to connect, from before connect() until its end is proven.
//!
//! A socket says little about the backend behind it, so nothing here is freed by what we did, only by what the server showed:
//!
//! - EOF *received*: PostgreSQL keeps the socket open until the backend has left shared memory (pqcomm.c, `socket_close`).
//! - connect() failed by the kernel's word: no backend was ever made.
//! - Two *looks* at pg_stat_activity that miss it, the second sent at least 1 s after the first was answered (the row goes before
//!   the slot does). A backend is known by its pid and start. An attempt that never learned its pid is known by the
//!   application_name of its start. Looks count for it from 10 s after the end of its socket and twice authentication_timeout, which
//!   PostgreSQL grants to the startup packet and then to authentication (backend_startup.c, `BackendInitialize`). By then its
//!   backend shows that name, or has given up, or is *invisible*: it waits for a lock on a catalog, holds its slot, and shows no row
//!   (postinit.c, `process_settings`). Those are told by pg_locks, see [`Answer::invisible`].
//! - The socket ended before our StartupMessage was sent: until a server process has that, it has no slot.
//! - Its server's *incarnation* (system identifier and postmaster start time, at an address) was replaced by another.
//!
//! A close, a time-out or a RST on our side frees nothing: the backend stays charged, *unconfirmed*, until one of the above.
//! The invariant: [`Charges::charged`] is never below the number of backends that PostgreSQL holds for us; and
//! [`Charges::begin`] is the pool's only permission to connect, so it never exceeds the maximum by an attempt of this boot.
//!
//! No I/O and no clock: times are monotonic and count from the start of the process.
//!
//! Two limits are known. Behind one address that leads to several servers at once, an attempt that never learned its pid may be
//! looked for on the wrong one; a change of incarnation frees nothing there, once an older one has answered after a newer one. And
//! what was left behind on a server that the URL no longer leads to (a failover to another address) is *stranded*: no look reaches
//! it. It stays on the books and in [`Charges::unconfirmed`], but no longer counts against the server that is in use, see
//! [`Charges::serve`]. With a budget it counts as long as that server may come back, see [`Charges::join_budget`].

mod ask;
mod attempt;
mod budget;
mod heard;
mod look;
mod looking;
mod server;
mod stranded;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

pub use attempt::{Attempt, Backend, Left};
pub use look::{Answer, Identity, Look, LookError, Row, identify, identify_without_system};
pub use looking::LOOKING_INTERVAL;
pub use server::Incarnation;

pub use crate::policy::budget::BootId;
use crate::policy::budget::fault::{Fault, planted};

use self::attempt::{Charge, Life};
use self::heard::Heard;
use self::server::Servers;

/// Between the answer of a look that missed a backend and the next one that may confirm it.
pub const CONFIRMATION: Duration = Duration::from_secs(1);
/// Beyond twice authentication_timeout, for an attempt that never learned its pid.
pub const GRACE: Duration = Duration::from_secs(10);
/// The highest authentication_timeout that PostgreSQL accepts: what counts until a server has told its own.
pub const AUTHENTICATION_TIMEOUT_MAX: Duration = Duration::from_mins(10);

/// The books of one boot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Charges {
    boot: BootId,
    next: u64,
    /// Numbers what happens, in order.
    event: u64,
    limit: u32,
    /// With a budget: what may be charged.
    grant: Option<u32>,
    books: BTreeMap<Attempt, Charge>,
    /// Gone, but not yet so for the journal; with the server that it tells.
    kept: BTreeMap<Attempt, Option<Incarnation>>,
    budgeted: bool,
    counts: Counts,
    servers: Servers,
    heard: Vec<Heard>,
    served: Vec<SocketAddr>,
    authentication_timeout: Option<Duration>,
    last_looking: Option<Duration>,
    last_look: Option<Duration>,
    look_interval: Duration,
    /// Where the last look stopped, if it could not ask about all.
    asked: Option<Attempt>,
}

/// Sums over the books, which the loop reads at every turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Counts {
    charged: u32,
    open: u32,
    unconfirmed: u32,
    looking: u32,
    inherited: u32,
    /// Of any kind.
    lost: u32,
}

impl Charges {
    /// Nothing is charged; at most `limit` may be.
    pub fn new(boot: BootId, limit: u32) -> Self {
        Self {
            boot,
            next: 1,
            event: 0,
            limit,
            grant: None,
            books: BTreeMap::new(),
            kept: BTreeMap::new(),
            budgeted: false,
            counts: Counts::default(),
            servers: Servers::default(),
            heard: Vec::new(),
            served: Vec::new(),
            authentication_timeout: None,
            last_looking: None,
            last_look: None,
            look_interval: CONFIRMATION,
            asked: None,
        }
    }

    /// Takes over what earlier boots of the pod left, in the order in which they came to know the servers: sockets that are gone, of
    /// backends that may not be. They count as ended `now`, which is later than they did.
    pub fn inherit(&mut self, left: impl IntoIterator<Item = Left>, now: Duration) {
        for left in left {
            if let Some(server) = left.server {
                self.servers.known_before(left.address, server);
                self.hear(server, None, now);
            }
            let charge = Charge {
                address: left.address,
                begun: 0,
                starting: true,
                backend: left.backend,
                server: left.server,
                identified: left.server.is_some(),
                looking: false,
                life: Life::unconfirmed(0, now),
            };
            self.books.insert(left.attempt, charge);
        }
        self.recount();
        if self.charged() > self.limit {
            // One of them was to look, perhaps a moment ago: boots that end soon must not add one each.
            self.last_looking = Some(now);
        }
    }

    /// Another limit is in force. Nothing is ended here; [`Charges::begin`] refuses until enough has ended.
    pub fn limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Before connect(): the permission, or `None` when as much is charged as may be.
    pub fn begin(&mut self, address: SocketAddr) -> Option<Attempt> {
        self.has_room().then(|| self.open(address, false))
    }

    fn has_room(&self) -> bool {
        match self.grant {
            // What was lost may not keep the pod from what it was granted for that reason.
            Some(grant) => self.charged() < grant && self.counts.open < self.limit,
            None => self.charged() < self.limit,
        }
    }

    fn open(&mut self, address: SocketAddr, looking: bool) -> Attempt {
        let attempt = Attempt { boot: self.boot, number: self.next };
        self.next += 1;
        let begun = self.happened();
        let charge = Charge {
            address,
            begun,
            starting: false,
            backend: None,
            server: None,
            identified: false,
            looking,
            life: Life::Open,
        };
        self.books.insert(attempt, charge);
        self.recount();
        attempt
    }

    /// connect() itself failed with an error of the kernel (refused, unreachable, timed out): the handshake never ended, so
    /// postmaster never saw us. Not for a connect() that we gave up ourselves, which is [`Charges::lost`]: its handshake may have
    /// ended just then. (Let the kernel time it out, by TCP_USER_TIMEOUT, to know.) Returns whether that frees it.
    pub fn failed_before_start(&mut self, attempt: Attempt) -> bool {
        let freed = self.books.remove(&attempt).is_some();
        self.recount();
        freed
    }

    /// Its StartupMessage is about to be sent: from now on there may be a backend.
    pub fn starting(&mut self, attempt: Attempt) {
        if let Some(charge) = self.books.get_mut(&attempt) {
            charge.starting = true;
        }
    }

    /// BackendKeyData came. Must be known, and journalled, before anything that changes the backend's application_name is sent.
    pub fn connected(&mut self, attempt: Attempt, pid: i32) {
        if let Some(charge) = self.books.get_mut(&attempt)
            && pid != 0
        {
            charge.backend = Some(Backend { pid, started: None });
        }
    }

    /// The connection answered [`identify`]. Returns what that frees: the charges of an incarnation that this one replaced, and of
    /// a backend that had the same pid, which a living process can't.
    pub fn identified(&mut self, attempt: Attempt, identity: Identity, now: Duration) -> Vec<Attempt> {
        let incarnation = self.servers.as_known(identity.incarnation);
        let Some(charge) = self.books.get_mut(&attempt) else { return Vec::new() };
        charge.server = Some(incarnation);
        let pid = charge.backend.as_mut().map(|backend| {
            backend.started = Some(identity.backend_started);
            backend.pid
        });
        let (address, begun) = (charge.address, charge.begun);
        self.hear(incarnation, None, now);
        let mut freed = self.answered(address, begun, incarnation, identity.authentication_timeout, now);
        let budgeted = self.budgeted;
        let same = |charge: &Charge| {
            charge.life != Life::Open
                && (if budgeted { charge.told() } else { charge.server }) == Some(incarnation)
                && charge.backend.is_some_and(|backend| Some(backend.pid) == pid)
        };
        freed.extend(self.free(same));
        self.recount();
        freed
    }

    /// EOF was received (recv() gave 0): the backend is gone. Returns whether that frees it.
    pub fn eof(&mut self, attempt: Attempt) -> bool {
        let freed = self.books.remove(&attempt).is_some();
        self.recount();
        freed
    }

    /// The socket ended without EOF: closed here, timed out, or reset. The charge stays, unless [`Charges::starting`] was never
    /// said. Returns whether that frees it.
    pub fn lost(&mut self, attempt: Attempt, now: Duration) -> bool {
        // (In the model we close what is beyond the maximum, and only the rest is reset.)
        let beyond = self.charged() > self.grant.unwrap_or(self.limit);
        if (planted(Fault::ReleaseAtOurOwnClose) && beyond) || (planted(Fault::ReleaseOnReset) && !beyond) {
            return self.eof(attempt);
        }
        let event = self.happened();
        let Some(charge) = self.books.get_mut(&attempt).filter(|charge| charge.life == Life::Open) else {
            return false;
        };
        let freed = !charge.starting && charge.backend.is_none();
        if freed {
            self.books.remove(&attempt);
        } else {
            charge.life = Life::unconfirmed(event, now);
            self.look_interval = CONFIRMATION;
        }
        self.recount();
        freed
    }

    /// What counts against the maximum: every charge that is not proven to be gone, apart from `looking` and stranded ones. With a
    /// budget: the most that may be on any one server, see [`Charges::join_budget`].
    pub fn charged(&self) -> u32 {
        if planted(Fault::LargerAfterRestart) {
            return self.counts.inherited.max(self.counts.charged - self.counts.inherited);
        }
        self.counts.charged
    }

    /// Charged or stranded, and not usable: the socket is gone, the backend perhaps not. With a budget: what would
    /// stay charged if all that is open ended.
    pub fn unconfirmed(&self) -> u32 {
        self.counts.unconfirmed
    }

    /// Logins beyond the maximum that only look.
    pub fn looking(&self) -> u32 {
        self.counts.looking
    }

    /// Attempts of earlier boots that are still charged.
    pub fn inherited(&self) -> u32 {
        self.counts.inherited
    }

    /// Every attempt on the books, stranded and kept ones included.
    pub fn attempts(&self) -> impl Iterator<Item = Attempt> {
        self.books.keys().chain(self.kept.keys()).copied()
    }

    /// Ends everything that changes the books.
    fn recount(&mut self) {
        self.counts = Counts::default();
        for (attempt, charge) in &self.books {
            let lost = charge.life != Life::Open;
            self.counts.charged += u32::from(charge.counts());
            self.counts.open += u32::from(!lost && charge.counts());
            self.counts.unconfirmed += u32::from(lost && !charge.looking);
            self.counts.looking += u32::from(charge.looking);
            self.counts.inherited += u32::from(attempt.boot != self.boot);
            self.counts.lost += u32::from(lost);
        }
        for attempt in self.kept.keys() {
            self.counts.charged += 1;
            self.counts.unconfirmed += 1;
            self.counts.inherited += u32::from(attempt.boot != self.boot);
        }
        if self.budgeted {
            self.counts.charged = self.on_one_server(|_| true);
            self.counts.unconfirmed = self.on_one_server(|charge| charge.life != Life::Open);
        }
    }

    fn authentication_timeout(&self) -> Duration {
        self.authentication_timeout.unwrap_or(AUTHENTICATION_TIMEOUT_MAX)
    }

    fn happened(&mut self) -> u64 {
        self.event += 1;
        self.event
    }

    /// A server told who it is. Frees the charges of those that it replaced at the same address.
    fn answered(
        &mut self,
        address: SocketAddr,
        asked: u64,
        incarnation: Incarnation,
        timeout: Duration,
        now: Duration,
    ) -> Vec<Attempt> {
        // A reload may have lowered it since an attempt began.
        self.authentication_timeout = Some(self.authentication_timeout.map_or(timeout, |known| known.max(timeout)));
        let event = self.happened();
        self.servers.answered(address, incarnation, asked, event);
        let freed = if self.budgeted {
            self.leave()
        } else {
            for charge in self.books.values_mut().filter(|charge| charge.address == address) {
                charge.bound(incarnation, asked);
            }
            self.free(self.replaced(address))
        };
        let books = &self.books;
        self.servers.forget_all_but(|address, incarnation| {
            let concerned =
                |charge: &Charge| charge.address == address && (incarnation.is_none() || charge.server == incarnation);
            books.values().any(concerned)
        });
        self.strand(now);
        freed
    }

    /// Which charges were left on an incarnation that another one replaced at this address. None while a socket to theirs is open
    /// or while several servers share the address, nor with a budget.
    fn replaced(&self, address: SocketAddr) -> impl Fn(&Charge) -> bool + use<> {
        let open = self.books.values().filter(|charge| charge.address == address && charge.life == Life::Open);
        let alive: Vec<_> = open.filter_map(|charge| charge.server).collect();
        let lost = self.books.values().filter(|charge| charge.address == address && charge.life != Life::Open);
        let gone: Vec<_> = lost
            .filter_map(|charge| charge.server)
            .filter(|server| !self.budgeted && self.servers.replaced(address, *server) && !alive.contains(server))
            .collect();
        move |charge| {
            charge.address == address
                && charge.life != Life::Open
                && charge.server.is_some_and(|server| gone.contains(&server))
        }
    }

    fn free(&mut self, gone: impl Fn(&Charge) -> bool) -> Vec<Attempt> {
        self.books.extract_if(.., |_, charge| gone(charge)).map(|(attempt, _)| attempt).collect()
    }
}

#[cfg(test)]
mod tests;
