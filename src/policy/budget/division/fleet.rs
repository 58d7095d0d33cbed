//! What division is told about a pool and its instances, and what it answers.

use std::time::Duration;

use super::held::Held;
use super::pace::Pace;
use super::turns::Turn;
use crate::policy::budget::Connections;

/// All instances of a pool, and what there is for them.
#[derive(Clone, Copy, Debug)]
pub struct Fleet<'a> {
    /// What to aim at: the effective budget, or the pool's lower one while the effective budget is on its way down to it.
    pub budget: Connections,
    /// What is held for instances that are not among `pods`, because they are gone or silent since the leader took over.
    pub held: Connections,
    /// The instances that are known, in any order.
    pub pods: &'a [Pod],
}

/// What the leader knows about one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Most that it may ever have; at least 1.
    pub limit: Connections,
    /// The pool's min: what it should keep open while idle.
    pub floor: Connections,
    /// What the ledger holds for it: the most that any statement let it have and no answer has given back.
    pub outstanding: Connections,
    /// What it last reported to be costing PostgreSQL. Never above `outstanding` unless it lies; then it counts while out of reach.
    pub charge: Connections,
    /// What its clients want.
    pub demand: Demand,
    /// It answered its last exchange; one that did not keeps what it has.
    pub reachable: bool,
    /// Since its creation; the older one comes first where all else is equal.
    pub age: Duration,
    /// What the last division said to remember about it; the default for an instance not seen before.
    pub memory: Memory,
}

/// What the clients of one instance want now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Server connections attached to a client.
    pub active: u32,
    /// Clients that wait for one.
    pub waiting: u32,
    /// How long the one that waits longest has waited. Not the sum: that would let many short waits outweigh a long one.
    pub waited: Duration,
}

/// What division remembers about one instance, for the next round; it dies with the leader, which costs a little calm and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub(super) need: Held,
    pub(super) urgency: Held,
    pub(super) pace: Pace,
    pub(super) turn: Turn,
}

/// What one instance should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The grant to work towards.
    pub target: Connections,
    /// To be handed in with the next round.
    pub memory: Memory,
}

impl Fleet<'_> {
    /// What there is for the reachable instances.
    pub fn free(&self) -> u32 {
        let silent =
            self.pods.iter().filter(|pod| !pod.reachable).map(|pod| u64::from(pod.outstanding.max(pod.charge).get()));
        let held = u64::from(self.held.get()) + u64::from(self.budget.reserved().get()) + silent.sum::<u64>();
        u32::try_from(held).map_or(0, |held| self.budget.get().saturating_sub(held))
    }
}

impl Demand {
    /// Server connections that would serve everybody.
    pub(super) fn wanted(self) -> u32 {
        self.active.saturating_add(self.waiting)
    }

    /// 0, 1 or 2: the power of two that weighs its need.
    pub(super) fn urgency(self) -> u32 {
        match self.waited.as_millis() {
            0..500 => 0,
            _ if self.waiting == 0 => 0,
            500..2000 => 1,
            2000.. => 2,
        }
    }
}
