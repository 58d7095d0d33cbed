//! Turns: more instances than connections, so each has 1 or 0, and those that wait take turns.
//!
//! There are `free` seats. An instance that wants something and has no seat queues, first come, first served. A seat is given up at once
//! by an instance that wants nothing, and after [`TURN`] by any other, if somebody queues; nobody moves while nobody queues. The first
//! in the queue is seated once the connection is really there, so that the ledger never has to choose whose turn it is, and its
//! turn counts from its grant, so that a slow predecessor costs its successor nothing.
//!
//! **The bound.** The instance at place `p` of the queue has its grant within `⌈p / free⌉ x (TURN + handover)`, where a handover is three
//! rounds (one until the turn's beginning is seen, one until its end, one until the connection is back) and what the predecessor needs to
//! end its transactions. Nobody who comes later overtakes. A client that pins its connection for ever takes a seat out of the bound, as it
//! must. A new leader starts a new queue.

use std::time::Duration;

use super::Pod;

/// How long a seat is kept while others queue: long beside the cost of a new connection, short beside a client's patience.
pub const TURN: Duration = Duration::from_secs(1);

/// Where an instance is, while there are more of them than connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// There was enough for everybody; who has a grant now starts with a seat.
    #[default]
    None,
    /// It has no seat and wants none. What it may still hold of an earlier one is on its way back.
    Away,
    /// It wants a seat.
    Queued {
        /// Since when; this is its place.
        since: Duration,
    },
    /// It has one.
    Seated {
        /// Since when its grant was seen; not yet, where absent.
        since: Option<Duration>,
    },
}

/// Who comes first; then by time, then by age.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// In its turn, at work. Before those that only wait, for the moment at which the budget has become too small for all.
    Working,
    /// In its turn.
    InTurn,
    Queued(Duration),
    /// Its turn is over; of several, the one that has sat longest leaves first.
    Over(Duration),
    SeatedIdle,
    Idle,
}

impl Turn {
    pub(super) const fn is_seated(self) -> bool {
        matches!(self, Self::Seated { .. })
    }

    /// What is so before seats are given: grants have come, wishes have come and gone.
    fn arrive(self, pod: &Pod, now: Duration) -> Self {
        let (granted, wants) = (pod.outstanding.get() > 0, pod.demand.wanted() > 0);
        match self {
            Self::None | Self::Seated { since: None } if granted => Self::Seated { since: Some(now) },
            Self::None | Self::Away if wants => Self::Queued { since: now },
            Self::None | Self::Queued { .. } if !wants => Self::Away,
            other => other,
        }
    }

    fn rank(self, pod: &Pod, now: Duration) -> Rank {
        let (active, wants) = (pod.demand.active > 0, pod.demand.wanted() > 0);
        match self {
            Self::None | Self::Away => Rank::Idle,
            Self::Queued { since } => Rank::Queued(since),
            Self::Seated { .. } if !wants => Rank::SeatedIdle,
            Self::Seated { since: Some(since) } if now.saturating_sub(since) >= TURN => {
                Rank::Over(now.saturating_sub(since))
            }
            Self::Seated { .. } if active => Rank::Working,
            Self::Seated { .. } => Rank::InTurn,
        }
    }
}

/// Gives `free` seats to the first in rank, among `pods`, oldest first. Each that is seated is to have 1, and all others nothing.
pub(super) fn take<'a>(free: u32, pods: impl Iterator<Item = &'a Pod>, now: Duration) -> Vec<Turn> {
    let arrived = pods.map(|pod| {
        let turn = pod.memory.turn.arrive(pod, now);
        (turn.rank(pod, now), turn, pod)
    });
    let mut ranked: Vec<(usize, (Rank, Turn, &Pod))> = arrived.enumerate().collect();
    // Stable, so equal ranks stay in the order of age.
    ranked.sort_by(|(_, (a, ..)), (_, (b, ..))| a.cmp(b));
    let seats = usize::try_from(free).unwrap_or(usize::MAX);

    // A connection is there for a newcomer when neither a grant nor a seat has it; grants of those who have to go are on their way back.
    let taken = ranked.iter().enumerate().map(|(place, (_, (_, turn, pod)))| {
        u64::from(pod.outstanding.get().max(u32::from(place < seats && turn.is_seated())))
    });
    let taken: u64 = taken.sum();
    let mut there = u64::from(free).saturating_sub(taken);
    let too_many = taken > u64::from(free);
    let mut passed_over = false;
    let mut turns: Vec<(usize, Turn)> = ranked
        .into_iter()
        .enumerate()
        .map(|(place, (index, (_, turn, pod)))| {
            // One that still holds a connection from its last turn needs no other. But where there are too many, it first gives that
            // back: else each leaves when it is another's turn to come back, and none is ever given up.
            let needs = u64::from(pod.outstanding.get() == 0 || too_many);
            let turn = match turn {
                Turn::Seated { .. } if place < seats => turn,
                Turn::Seated { .. } if pod.demand.wanted() > 0 => Turn::Queued { since: now },
                Turn::Seated { .. } => Turn::Away,
                _ if place < seats && needs <= there && !passed_over => {
                    there -= needs;
                    Turn::Seated { since: None }
                }
                waits => {
                    // Nobody overtakes, not even by what he still holds: it is on its way to this one.
                    passed_over |= matches!(waits, Turn::Queued { .. });
                    waits
                }
            };
            (index, turn)
        })
        .collect();
    turns.sort_unstable_by_key(|(index, _)| *index);
    turns.into_iter().map(|(_, turn)| turn).collect()
}
