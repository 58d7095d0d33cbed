//! Shares: the first tickets in the order that the module above states, without ever listing them.
//!
//! Layer after layer is bought whole while the budget lasts. In the one that it does not cover, a level is searched: all tickets
//! below the level are bought, and those at the level in the order of age until nothing is left.

/// What one instance asks of the budget; instances come oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// At least 1 and at most `limit`; the floors of all fit into the budget.
    pub floor: u32,
    pub need: u32,
    pub remembered: u32,
    pub limit: u32,
    /// Its need weighs 2 to this power; at most [`MOST`].
    pub urgency: u32,
}

/// The greatest urgency.
pub(super) const MOST: u32 = 2;

/// A layer as it looks for one instance: the tickets `from..to`.
struct Range {
    from: u32,
    to: u32,
    urgency: u32,
}

impl Range {
    /// How many it has once all tickets below `level` are bought, where `level` counts in units of 1 / 2^[`MOST`].
    ///
    /// Ticket k is below where `k * 2^MOST / 2^urgency < level`. So the next level adds one ticket at most.
    fn below(&self, level: u64) -> u32 {
        let tickets = (level << self.urgency.min(MOST)).div_ceil(1 << MOST);
        u32::try_from(tickets).unwrap_or(u32::MAX).clamp(self.from, self.to)
    }
}

/// Where one instance's part of a layer ends, and what it weighs there.
type Layer = fn(&Claim) -> (u32, u32);

/// How many of the first `budget` tickets are whose. The sum is the smaller of the budget and all limits.
pub(super) fn buy(budget: u32, claims: &[Claim]) -> Vec<u32> {
    let layers: [Layer; 3] =
        [|claim| (claim.need, claim.urgency), |claim| (claim.remembered, 0), |claim| (claim.limit, 0)];
    let mut bought: Vec<u32> = claims.iter().map(|claim| claim.floor).collect();
    for layer in layers {
        let range = |(claim, from): (&Claim, &u32)| {
            let (to, urgency) = layer(claim);
            Range { from: *from, to: to.min(claim.limit).max(*from), urgency }
        };
        let ranges: Vec<Range> = claims.iter().zip(&bought).map(range).collect();
        if total(ranges.iter().map(|range| range.to)) > u64::from(budget) {
            return part(budget, &ranges);
        }
        bought = ranges.into_iter().map(|range| range.to).collect();
    }
    bought
}

/// A layer that the budget covers only in part.
fn part(budget: u32, ranges: &[Range]) -> Vec<u32> {
    let cost = |level| total(ranges.iter().map(|range| range.below(level)));
    let highest = ranges.iter().map(|range| range.to).max().unwrap_or(0);
    // `covered` fits (at 0 there is only what was bought before), `beyond` does not (there everything is bought).
    let (mut covered, mut beyond) = (0, u64::from(highest) << MOST);
    while covered + 1 < beyond {
        let middle = covered.midpoint(beyond);
        if cost(middle) <= u64::from(budget) { covered = middle } else { beyond = middle }
    }
    let mut left = u64::from(budget).saturating_sub(cost(covered));
    let take = |range: &Range| {
        let has = range.below(covered);
        let next = u32::from(left > 0 && range.below(covered + 1) > has);
        left -= u64::from(next);
        has + next
    };
    ranges.iter().map(take).collect()
}

fn total(counts: impl Iterator<Item = u32>) -> u64 {
    counts.map(u64::from).sum()
}
