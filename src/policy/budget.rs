//! The budget: what a whole fleet may cost PostgreSQL.
//!
//! **The invariant.** At every moment the connections that PostgreSQL carries for a pool's poolers, over all instances, are at most the
//! pool's effective budget: during rollouts, scale-ups, crashes, partitions, restarts of the operator and changes of the leader. The
//! effective budget moves only because `budget.maxConnections` did, and then down to it. What nobody answers for counts as if it were
//! all in use, so doubt costs throughput, never the invariant.
//!
//! It is kept by small pure pieces. Each takes values, time included, and returns values:
//!
//! - [`division`]: what each instance should have. It only proposes: no proposal can break the invariant, and a bad one can only be slow.
//! - [`ledger`] and [`grants`]: what each instance may have; a total is raised before an order is sent and lowered after a confirmation,
//!   so that one connection is never promised twice. Here the invariant lives on the side of the leader.
//! - [`leader`]: a round of both, from what instances answered to what is written and ordered. [`judge`]: what the dead have left.
//! - [`exchange`]: the messages between leader and pod, signed and bound to one boot, and what a boot accepts of them. What it then
//!   opens and journals is the other half of the invariant, on the side of the pod.
//!
//! Nothing here opens a socket, reads a clock or knows Kubernetes.

pub mod division;
pub mod exchange;
pub mod fault;
pub mod grants;
pub mod judge;
pub mod leader;
pub mod ledger;

use std::fmt;
use std::time::Duration;

pub use exchange::{BootId, Epoch, PodUid};

/// A server that did not answer for so long, while another did, is not the pool's any more. A primary that was replaced comes back
/// as another run of itself; one that flaps does so sooner.
pub const LEFT: Duration = Duration::from_mins(1);

/// Server connections: at most as many as PostgreSQL can have backends, so that the sum over 10,000 pods fits its type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connections(u32);

impl Connections {
    /// None.
    pub const NONE: Self = Self(0);
    /// PostgreSQL's `MAX_BACKENDS` (`postmaster.h`: 2^18 - 1).
    pub const MAX: Self = Self(0x3_FFFF);

    /// `None` above [`Connections::MAX`].
    pub fn new(number: u32) -> Option<Self> {
        (number <= Self::MAX.0).then_some(Self(number))
    }

    /// `number`, or [`Connections::MAX`] where that is less.
    #[must_use]
    pub const fn at_most(number: u32) -> Self {
        if number < Self::MAX.0 { Self(number) } else { Self::MAX }
    }

    /// How many.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// What a budget of this size keeps for looking at PostgreSQL: one connection, unless it is the only one.
    #[must_use]
    pub const fn reserved(self) -> Self {
        if self.0 >= 2 { Self(1) } else { Self(0) }
    }
}

impl fmt::Display for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
