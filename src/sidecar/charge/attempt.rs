//! One attempt to connect, and what is known of the backend that it may have made.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::look::{Answer, Row};
use super::server::Incarnation;
use super::{BootId, CONFIRMATION, GRACE};

/// An attempt to connect: unique for ever, since boots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt {
    /// Who made it.
    pub boot: BootId,
    /// From 1, in order.
    pub number: u64,
}

/// The process that serves a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Backend {
    /// Never 0.
    pub pid: i32,
    /// `backend_start`, once known: tells the process from a later one with the same pid.
    pub started: Option<u64>,
}

/// An attempt that an earlier boot left behind, as its journal tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    /// Who and which.
    pub attempt: Attempt,
    /// Where to.
    pub address: SocketAddr,
    /// Once known.
    pub backend: Option<Backend>,
    /// Once known.
    pub server: Option<Incarnation>,
}

impl Attempt {
    /// What the backend is called in pg_stat_activity from its start: `weir/<boot>/<n>`, at most 58 of the 63 bytes that
    /// PostgreSQL keeps.
    pub fn application_name(&self) -> String {
        format!("weir/{}/{}", self.boot, self.number)
    }
}

/// Whether the socket is still ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Life {
    /// From before connect().
    Open,
    /// The socket ended without EOF.
    Unconfirmed {
        /// When the socket ended, or later.
        ended: Duration,
        /// The looks that missed the backend.
        missed: Option<Missed>,
        /// On a server that the URL no longer leads to.
        stranded: bool,
        /// The event of the socket's end.
        since: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Missed {
    /// When the first of them was answered, or the first that left no process to doubt.
    at: Duration,
    /// The processes that all of them found invisible: one of these may be the backend.
    invisible: BTreeSet<i32>,
}

impl Life {
    /// When its socket ended, or later.
    pub(super) const fn ended(&self) -> Option<Duration> {
        match self {
            Self::Open => None,
            Self::Unconfirmed { ended, .. } => Some(*ended),
        }
    }

    pub(super) const fn unconfirmed(since: u64, ended: Duration) -> Self {
        Self::Unconfirmed { ended, missed: None, stranded: false, since }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Charge {
    pub(super) address: SocketAddr,
    /// The event of its beginning.
    pub(super) begun: u64,
    /// A StartupMessage may have been sent.
    pub(super) starting: bool,
    pub(super) backend: Option<Backend>,
    /// Exact once identified; else the first incarnation seen at the address after the socket had ended, so this one or an earlier
    /// one.
    pub(super) server: Option<Incarnation>,
    /// It told its server itself, and the journal has it.
    pub(super) identified: bool,
    pub(super) looking: bool,
    pub(super) life: Life,
}

impl Charge {
    /// The server that it told itself, as the journal has it.
    pub(super) fn told(&self) -> Option<Incarnation> {
        self.server.filter(|_| self.identified)
    }

    pub(super) const fn counts(&self) -> bool {
        !self.looking && !matches!(self.life, Life::Unconfirmed { stranded: true, .. })
    }

    /// `incarnation` answered at this charge's address, to a question sent at the event `asked` or later. What had ended by then is
    /// on it or on an earlier one: its handshake was over. (Not so for one that is still open: its SYN may yet reach a later one.)
    pub(super) fn bound(&mut self, incarnation: Incarnation, asked: u64) {
        if let Life::Unconfirmed { since, .. } = self.life
            && since <= asked
        {
            self.server.get_or_insert(incarnation);
        }
    }

    /// From when on a look sent may tell something new; `None` while the socket is open.
    pub(super) fn decidable(&self, authentication_timeout: Duration) -> Option<Duration> {
        match (&self.life, self.backend) {
            (Life::Open, _) => None,
            (Life::Unconfirmed { missed: Some(missed), .. }, _) => Some(missed.at + CONFIRMATION),
            (Life::Unconfirmed { .. }, Some(_)) => Some(Duration::ZERO),
            (Life::Unconfirmed { .. }, None) => self.latest_row(authentication_timeout),
        }
    }

    /// By then a backend whose pid is unknown shows its application_name, is invisible, or has given up. `None` while the socket is
    /// open.
    pub(super) fn latest_row(&self, authentication_timeout: Duration) -> Option<Duration> {
        match self.life {
            Life::Open => None,
            Life::Unconfirmed { ended, .. } => Some(ended + 2 * authentication_timeout + GRACE),
        }
    }

    /// Whether a look at `incarnation`, reached at `address`, would show the backend.
    pub(super) fn may_be_on(&self, address: SocketAddr, incarnation: Incarnation) -> bool {
        match self.server {
            // The same server under another address: a Service that was made anew, IPv4 and IPv6.
            Some(server) if server == incarnation => true,
            // Identified elsewhere or earlier: this server can't know it.
            Some(_) => false,
            None => self.address == address,
        }
    }

    /// Whether `row` is this attempt's backend, or may be.
    fn shows(&self, attempt: Attempt, row: &Row) -> bool {
        match self.backend {
            Some(backend) => {
                row.pid == backend.pid
                    && match (row.started, backend.started) {
                        (Some(shown), Some(ours)) => shown == ours,
                        // Another role's row, or a login that ended before it could be identified.
                        _ => true,
                    }
            }
            None => row.application_name.as_deref() == Some(attempt.application_name().as_bytes()),
        }
    }

    /// One look's word, sent and received at these times. True when the backend is gone.
    pub(super) fn looked(
        &mut self,
        attempt: Attempt,
        answer: &Answer,
        sent: Duration,
        now: Duration,
        timeout: Duration,
    ) -> bool {
        let row = answer.rows.iter().find(|row| self.shows(attempt, row));
        let early = self.latest_row(timeout).is_none_or(|latest| sent < latest);
        let Life::Unconfirmed { missed, .. } = &mut self.life else { return false };
        if let Some(row) = row {
            *missed = None;
            match &mut self.backend {
                Some(backend) => backend.started = backend.started.or(row.started),
                // Found by its name: from now on it is known by its pid.
                None => self.backend = Some(Backend { pid: row.pid, started: row.started }),
            }
            return false;
        }
        let none = BTreeSet::new();
        let invisible = match (self.backend, &answer.invisible) {
            (Some(_), _) => &none,
            (None, Some(invisible)) if !early => invisible,
            (None, _) => return false,
        };
        let Some(missed) = missed else {
            *missed = Some(Missed { at: now, invisible: invisible.clone() });
            return false;
        };
        if sent < missed.at + CONFIRMATION {
            return false;
        }
        if missed.invisible.is_empty() {
            return true;
        }
        missed.invisible.retain(|pid| invisible.contains(pid));
        if missed.invisible.is_empty() {
            // A process that has just got its row gets its application_name a moment later: look once more.
            missed.at = now;
        }
        false
    }
}
