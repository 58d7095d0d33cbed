//! Who gets which server connection: pure decisions, with the time given.
//!
//! Idle connections are a stack, so the warmest backend works and the others age; clients queue in their order. A connection is
//! given back at one moment, decided in one place ([`Release`]). How many may exist is not decided here but by the charges
//! ([`super::charge`]): the pool only says how many it would like to open.

mod backoff;
mod queue;

use std::time::{Duration, Instant};

pub use backoff::{Backoff, Cause};
pub use queue::{Queue, Waiter};

use super::exchange::Exchange;
use super::wire::{Refusal, fatal};
use crate::policy::duration;
use crate::policy::limits::Limits;
use crate::policy::settings::PoolMode;

/// Logins at the same time: a burst must not become a storm at PostgreSQL, where each costs a fork.
pub const LOGINS_AT_ONCE: u32 = 4;

/// Cancel connections at the same time: beyond it they are refused, as PostgreSQL may drop them too.
pub const CANCELS_AT_ONCE: usize = 64;

/// Clients at the same time that are on their way to be told that there are too many.
pub const REFUSED_AT_ONCE: usize = 32;

/// Descriptors of everything but logged-in clients and server connections: cancel requests, clients that are refused, connections of
/// the control port (64), and the journal, look-ups, standard streams and the like.
const RESERVED: usize = CANCELS_AT_ONCE + REFUSED_AT_ONCE + 64 + 32;

/// When a server connection is given back while its client is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Never: it is given back when the client disconnects, and everything that the client left on it is thrown away.
    AtDisconnect,
    /// At ReadyForQuery outside of a transaction, with nothing outstanding. Nothing is thrown away.
    AtReadyForQuery,
}

impl From<PoolMode> for Release {
    fn from(mode: PoolMode) -> Self {
        match mode {
            PoolMode::Session => Self::AtDisconnect,
            PoolMode::Transaction => Self::AtReadyForQuery,
        }
    }
}

impl Release {
    /// The one place that decides it.
    #[inline]
    pub fn now(self, exchange: &Exchange) -> bool {
        self == Self::AtReadyForQuery && exchange.free()
    }
}

/// What exists at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections on their way to be open.
    pub opening: u32,
    /// Open ones, whoever uses them.
    pub open: u32,
    /// Those among `open` that come back to the pool without a client doing anything.
    pub returning: u32,
    /// Clients that wait for a connection.
    pub waiting: u32,
    /// Clients that wait for the first login, to be greeted.
    pub greeting: u32,
}

/// How many connections to open now, were nothing in the way: enough for those who wait, at least `min`, at most `max`, few at a
/// time.
pub fn openings(limits: &Limits, counts: Counts) -> u32 {
    let exist = counts.open + counts.opening;
    let wanted = counts.waiting.saturating_sub(counts.opening + counts.returning);
    let first = u32::from(counts.greeting > 0 && exist == 0);
    let missing = limits.min.saturating_sub(exist);
    wanted
        .max(missing)
        .max(first)
        .min(limits.max.saturating_sub(exist))
        .min(LOGINS_AT_ONCE.saturating_sub(counts.opening))
}

/// When an idle connection is to be closed, if `open` exist: `idle_since` and `retire` are its own times.
pub fn closes_at(limits: &Limits, open: u32, idle_since: Instant, retire: Instant) -> Instant {
    if open > limits.max {
        idle_since
    } else if open > limits.min {
        retire.min(idle_since + limits.idle_timeout)
    } else {
        retire
    }
}

/// The age at which a connection is replaced: maxLifetime, give or take a tenth by chance, so that those that were opened together
/// do not end together.
pub fn lifetime(limits: &Limits, random: u32) -> Duration {
    let share = f64::from(random) / f64::from(u32::MAX);
    limits.max_lifetime.mul_f64(0.9 + 0.2 * share)
}

/// How many clients may be logged in, so that the rest of the process never lacks one of its `descriptors`. Where there are very few
/// of these, half of them.
pub fn clients(limits: &Limits, descriptors: usize) -> usize {
    let others = RESERVED.saturating_add(limits.max as usize);
    descriptors - others.min(descriptors / 2)
}

/// What a client is told that is one too many.
pub fn crowded(clients: usize, descriptors: usize) -> Refusal {
    fatal(*b"53300", format!("too many clients: {clients} are connected to this instance of the pool"))
        .detail(format!("Its container may have {descriptors} files open."))
        .hint("Let the application open fewer connections, or raise the limit of open files of the node's container runtime.")
}

/// What a client is told that waited too long: `ahead` others stood before it when it came.
pub fn timed_out(limits: &Limits, ahead: u32, waited: Duration, cause: Option<&Cause>) -> Refusal {
    let waited = format!("waited {} ms", duration::millis(waited));
    if let Some(cause) = cause {
        let message = format!("{}; {waited} for a server connection", cause.refusal.message);
        return Refusal { message, ..cause.refusal.clone() };
    }
    fatal(*b"53300", format!("no server connection became free: {waited}, the pool's connectionTimeout"))
        .detail(format!(
            "All {} server connections of this instance were in use, and {} clients were ahead in the queue.",
            limits.max, ahead
        ))
        .hint(
            "Raise spec.limits.max of the ConnectionPool if PostgreSQL can serve more, spec.limits.connectionTimeout to wait longer, \
             or let the application hold connections for a shorter time.",
        )
}

#[cfg(test)]
mod tests;
