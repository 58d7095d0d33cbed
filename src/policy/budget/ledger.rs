//! The ledger: what is written down about one pool's budget, once for all leaders.
//!
//! One object in the API server for each pool, written only by compare and swap (resourceVersion). It bounds what every leader, this
//! one, the last one and one that has not noticed that it was replaced, may have promised. What is in it:
//!
//! - the *claim*: whose it is. A leader that finds another claim has been replaced and forgets everything;
//! - the *names*: every pod that was ever sent an order or may be, until its end is written;
//! - the *total* T: what the named pods have or may come to have, together; and the *ceiling*: what any single one of them may;
//! - the *budget* B, as of a generation of the pool;
//! - the *promise*: what PostgreSQL sees at most, the effective budget. It moves up only when B does (or where connections are *found*
//!   that no order gave: see [`Ledger::found`]), and falls to B with the total. While T is above B it stays one above T where it can,
//!   so that one connection to look with can always be added.
//!
//! T <= promise, always.
//!
//! Every write changes the object ([`Ledger::writes`]), because the API server answers a write that changes nothing without a new
//! resourceVersion, and only a new one rules out that an earlier write, of unknown outcome, still takes effect.

use std::collections::BTreeMap;

use super::{Connections, Epoch, PodUid};

/// What is written down about one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// Whose it is; `None` before the first claim.
    pub claim: Option<Claim>,
    /// Grows with every write.
    pub writes: u64,
    /// The pool's budget.
    pub spec: Spec,
    /// What PostgreSQL sees at most.
    pub promised: u64,
    /// What the named pods may have, together. (More than [`Connections::MAX`] where pods came without a budget.)
    pub total: u64,
    /// The most that any order to any named pod may have said, and the limit of any that had no budget.
    pub ceiling: Connections,
    /// The ledger was lost or went back: there may be pods with a grant that it does not name.
    pub doubt: bool,
    /// The named pods.
    pub names: BTreeMap<PodUid, Name>,
}

/// Who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    /// Orders the leaders of this pool.
    pub epoch: Epoch,
    /// Random: tells a claim of one's own from another's with the same epoch, where the outcome of a claim is not known.
    pub id: u64,
}

/// A pool's budget, as its object had it at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spec {
    /// `metadata.uid` of the pool: a pool that was made anew under its name counts its generations from 1.
    pub pool: String,
    /// `metadata.generation` of the pool.
    pub generation: i64,
    /// `budget.maxConnections`; [`Connections::MAX`] where the pool has a ledger, because pods live that were granted something, and no
    /// budget any more.
    pub budget: Connections,
}

/// What must be known of a pod whose object is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Name {
    /// Where it runs; empty where that is not known.
    pub node: String,
    /// `metadata.creationTimestamp`, in seconds since 1970.
    pub created: i64,
}

/// A pod that exists when its pool gets a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// Which.
    pub pod: PodUid,
    /// See [`Name`].
    pub name: Name,
    /// What it may open without an order: its injected limit. `None` where it was injected with a budget, and may have been granted
    /// anything by a ledger that is lost.
    pub unasked: Option<Connections>,
}

impl Ledger {
    /// A ledger for a pool that has none: it gets a budget, or the ledger was deleted. `existing` are all pods that carry our
    /// container for this pool, by a quorum read made after the ledger was found missing. `lost`: the pool had one, as far as is
    /// known: its status names it, and was written before the first order was sent. Where it had none, a pod that was injected with a
    /// budget has nothing.
    pub fn found(spec: Spec, existing: &[Existing], lost: bool) -> Self {
        // One more each: the login that only looks, which a pool without a budget allows itself.
        let unasked = |pod: &Existing| pod.unasked.map_or(0, |limit| u64::from(limit.get()) + 1);
        let total = existing.iter().map(unasked).sum();
        let named = existing.iter().filter(|pod| lost || pod.unasked.is_some());
        Self {
            promised: u64::from(spec.budget.get()).max(total),
            spec,
            total,
            ceiling: existing.iter().filter_map(|pod| pod.unasked).max().map_or(Connections::NONE, one_more),
            doubt: lost && existing.iter().any(|pod| pod.unasked.is_none()),
            names: named.map(|pod| (pod.pod.clone(), pod.name.clone())).collect(),
            ..Self::default()
        }
    }

    /// What a leader writes to become the leader. `clock` is in milliseconds since 1970: where the ledger was lost or restored, its
    /// next epoch is above those that were used since, unless the clock went back too. Where the outcome is not known, claim anew:
    /// a claim is one's own only if its id is.
    #[must_use]
    pub fn claimed(&self, id: u64, clock: u64) -> Self {
        let last = self.claim.map_or(0, |claim| claim.epoch.get());
        let epoch = Epoch::new(last.saturating_add(1).max(clock)).unwrap_or(Epoch::FIRST);
        Self { claim: Some(Claim { epoch, id }), writes: self.writes.saturating_add(1), ..self.clone() }
    }

    /// What PostgreSQL sees at most of this pool's poolers; `None` while that is in doubt.
    pub fn effective(&self) -> Option<u64> {
        (!self.doubt).then_some(self.promised)
    }
}

impl Spec {
    /// Whether this one is the later. A pool with another UID is, so the caller must have it from a quorum read, not from a cache.
    pub fn is_after(&self, other: &Self) -> bool {
        self.pool != other.pool || self.generation > other.generation
    }
}

const fn one_more(limit: Connections) -> Connections {
    Connections::at_most(limit.get() + 1)
}
