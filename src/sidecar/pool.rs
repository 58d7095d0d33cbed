//! Who gets which server connection: pure decisions, with the time given.
//!
//! Idle connections are a stack, so the warmest backend works and the others age; clients queue in their order. A connection is
//! given back at one moment, decided in one place ([`Release`]). How many may exist is not decided here but by the charges
//! ([`super::charge`]): the pool only says how many it would like to open.

mod age;
mod backoff;
mod queue;
mod told;

pub use age::{Age, may_go};
pub use backoff::{Backoff, Cause};
pub use queue::{Queue, Waiter};
pub use told::{Holds, crowded, holds, query_too_long, still_waiting, timed_out, transaction_too_idle};

use super::exchange::Exchange;
use crate::policy::limits::Limits;
use crate::policy::settings::PoolMode;

/// Logins at the same time: a burst must not become a storm at PostgreSQL, where each costs a fork.
pub const LOGINS_AT_ONCE: u32 = 4;

/// Cancel connections at the same time: beyond it they are refused, as PostgreSQL may drop them too.
pub const CANCELS_AT_ONCE: usize = 64;

/// Server connections that may fail one request before it was sent, through no fault of its client, before the client is told.
pub const TRIES: u8 = 3;

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
    /// Those among `open` that are [expiring](Age::is_expiring).
    pub expiring: u32,
    /// Those among `open` whose client will soon give them back, and then want one again: all with a client in transaction pooling.
    pub busy: u32,
    /// Those among `open` that come back to the pool without a client doing anything.
    pub returning: u32,
    /// Clients that wait for a connection.
    pub waiting: u32,
    /// Clients that wait for the first login, to be greeted.
    pub greeting: u32,
}

/// How many connections to open now, were nothing in the way: enough for those who wait, at least `min`, at most `max`, few at a
/// time. The expiring ones count as if they were gone, so that each has a successor before that.
pub fn openings(limits: &Limits, counts: Counts) -> u32 {
    let exist = counts.open + counts.opening;
    let wanted = counts.waiting.saturating_sub(counts.opening + counts.returning);
    let first = u32::from(counts.greeting > 0 && exist == 0);
    let missing = limits.min.max(counts.busy).saturating_sub(exist.saturating_sub(counts.expiring));
    wanted
        .max(missing)
        .max(first)
        .min(limits.max.saturating_sub(exist))
        .min(LOGINS_AT_ONCE.saturating_sub(counts.opening))
}

/// How many clients may be logged in, so that the rest of the process never lacks one of its `descriptors`. Where there are very few
/// of these, half of them.
pub fn clients(limits: &Limits, descriptors: usize) -> usize {
    let others = RESERVED.saturating_add(limits.max as usize);
    descriptors - others.min(descriptors / 2)
}

#[cfg(test)]
mod tests;
