//! Division: who should have how many connections.
//!
//! It owns the proposal, a target for each instance, and nothing else. A target is not a promise: the ledger grants it, and only from
//! what another instance has confirmed to be free. So the invariant of the budget does not rest on this module. What does rest on it is
//! that the budget goes where clients wait, and that nothing moves without a reason.
//!
//! # Formula
//!
//! ```text
//! free = budget - 1 kept for looking (budgets >= 2) - what is held for the unreachable and the gone
//! ```
//!
//! An unreachable instance keeps exactly what it has. Among the `n` others, where `free >= n`, each connection that an instance may come
//! to have is a **ticket**. Ticket `k` (0, 1, 2, .. limit - 1) of an instance sorts by
//!
//! 1. its layer: `k < floor`, else `k < need`, else `k < remembered`, else spare;
//! 2. its level: `k / weight` in the layer of need, `k` in the others, so whoever has least comes first;
//! 3. the instance's age, oldest first.
//!
//! **The budget buys the first `free` tickets**; how many of them are an instance's is its *share*. With
//!
//! - `floor` = min where the sum of all mins fits into `free`, else 1;
//! - `remembered` = active + waiting, at once when it rises, late and by halves when it falls ([`held`]);
//! - `need` = the smaller of `remembered` and 4 x (active + waiting): an idle instance needs nothing, a flickering one is not robbed;
//! - `weight` = 1, 2 or 4 as its longest wait is below 0.5 s, below 2 s or longer; also remembered.
//!
//! The target is the share where that is less than the grant outstanding; growth takes steps ([`pace`]). Where `free < n`, instances
//! have 1 or 0 and take turns ([`turns`]).
//!
//! # Why it keeps its contract
//!
//! With the same memory, and `share` for the number of tickets bought:
//!
//! | property | because |
//! | --- | --- |
//! | the sum of targets is at most `free` | that many tickets are bought, and pacing only lowers |
//! | nobody has 0 by rounding | ticket 0 lies below every floor, and there are `n` of them |
//! | more budget lowers nobody's share, and one more moves one share by one | a longer prefix of the same order |
//! | more demand never lowers an instance's own share, nor raises another's | it only moves its own tickets forward |
//! | one client more or less moves at most 8 connections | at most 4 tickets change their layer; what one gets, others lose |
//! | nobody loses what is active while an idle one has more than its floor | need sorts before everything that an idle instance has above its floor |
//! | a lowered budget is approached by what is idle first | the prefix loses spare tickets, then remembered ones, then needed ones |
//! | nobody starves | every level of need is served before the next, and weights differ by a factor of 4 at most |
//! | a steady load comes to rest | the memory settles within [`held::HOLD`] plus a second for each halving; then the order is constant, and steps halve the gap |
//!
//! This is a divisor method (Adams) bounded by layers. Balinski and Young, *Fair Representation* (1982): only divisor methods know
//! neither the Alabama paradox (more seats, a smaller share) nor the population paradox. Largest remainders, the obvious choice, has both.
//!
//! # The one jump
//!
//! A share is monotone in the budget except where the sum of mins begins to fit. No rule can be full use, min for everybody as
//! soon as it fits, monotone, and deaf to idle instances below that: where `free` equals the sum of mins every share is its
//! min, so by monotony a busy instance could have no more than its min for any smaller budget, while idle ones take the rest. We keep
//! the first, second and fourth.

mod fleet;
pub mod held;
pub mod pace;
mod shares;
pub mod turns;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::time::Duration;

use super::Connections;
pub use fleet::{Demand, Fleet, Memory, Pod, Share};
use shares::Claim;
use turns::Turn;

/// Divides a budget, at the time `now` of the leader's own clock, which never goes back. The answer is in the order of `fleet.pods`.
///
/// Takes about n log n: ten thousand instances in a few milliseconds.
pub fn divide(fleet: &Fleet<'_>, now: Duration) -> Vec<Share> {
    let mut shares: Vec<Share> =
        fleet.pods.iter().map(|pod| Share { target: pod.outstanding, memory: pod.memory }).collect();
    let mut oldest_first: Vec<(usize, &Pod)> = fleet.pods.iter().enumerate().filter(|(_, pod)| pod.reachable).collect();
    oldest_first.sort_by_key(|(_, pod)| Reverse(pod.age));

    let free = fleet.free();
    let enough = u32::try_from(oldest_first.len()).is_ok_and(|pods| pods <= free);
    let remembered: Vec<Memory> = oldest_first.iter().map(|(_, pod)| remember(pod, now)).collect();
    let proposed = if enough {
        by_need(free, &oldest_first, remembered, now)
    } else {
        by_turns(free, &oldest_first, remembered, now)
    };
    for ((index, _), proposal) in oldest_first.into_iter().zip(proposed) {
        if let Some(share) = shares.get_mut(index) {
            *share = proposal;
        }
    }
    shares
}

fn remember(pod: &Pod, now: Duration) -> Memory {
    let Memory { need, urgency, pace, turn } = pod.memory;
    Memory {
        need: need.follow(pod.demand.wanted().min(pod.limit.get()), now),
        urgency: urgency.follow(pod.demand.urgency(), now),
        pace: pace.follow(pod.outstanding.get()),
        turn,
    }
}

/// Everybody can have one.
fn by_need(free: u32, pods: &[(usize, &Pod)], remembered: Vec<Memory>, now: Duration) -> Vec<Share> {
    let minimum = |pod: &Pod| pod.floor.get().max(1).min(pod.limit.get());
    let fits = pods.iter().map(|(_, pod)| u64::from(minimum(pod))).sum::<u64>() <= u64::from(free);
    let claim = |((_, pod), memory): (&(usize, &Pod), &Memory)| Claim {
        floor: minimum(pod).min(if fits { u32::MAX } else { 1 }),
        need: memory.need.value.min(pod.demand.wanted().saturating_mul(4)),
        remembered: memory.need.value,
        limit: pod.limit.get(),
        urgency: memory.urgency.value,
    };
    let claims: Vec<Claim> = pods.iter().zip(&remembered).map(claim).collect();
    let shares = shares::buy(free, &claims);
    let share = |((share, claim), mut memory): ((u32, &Claim), Memory)| {
        let target = Connections::at_most(memory.pace.step(share, claim.floor, now));
        Share { target, memory: Memory { turn: Turn::None, ..memory } }
    };
    shares.into_iter().zip(&claims).zip(remembered).map(share).collect()
}

/// There are more instances than connections.
fn by_turns(free: u32, pods: &[(usize, &Pod)], remembered: Vec<Memory>, now: Duration) -> Vec<Share> {
    let turns = turns::take(free, pods.iter().map(|(_, pod)| *pod), now);
    let share = |(turn, memory): (Turn, Memory)| Share {
        target: Connections::at_most(u32::from(turn.is_seated())),
        memory: Memory { turn, ..memory },
    };
    turns.into_iter().zip(remembered).map(share).collect()
}
