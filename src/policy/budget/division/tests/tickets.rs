//! The level search against the definition: list every ticket, sort, and take the first.

use proptest::prelude::*;

use super::super::shares::{Claim, MOST, buy};

fn claim() -> impl Strategy<Value = Claim> {
    (1..40_u32, 0..48_u32, 0..48_u32, 1..40_u32, 0..=MOST).prop_map(|(floor, need, remembered, limit, urgency)| Claim {
        floor: floor.min(limit),
        need,
        remembered: remembered.max(need),
        limit,
        urgency,
    })
}

/// The first tickets as the module's documentation defines them.
fn by_definition(budget: u32, claims: &[Claim]) -> Vec<u32> {
    let mut tickets = vec![];
    for (age, claim) in claims.iter().enumerate() {
        for k in 0..claim.limit {
            // Levels in quarters: k / weight is k * 4 / weight quarters.
            let (layer, level) = match k {
                k if k < claim.floor => (0, k * 4),
                k if k < claim.need => (1, k * 4 / (1 << claim.urgency)),
                k if k < claim.remembered => (2, k * 4),
                k => (3, k * 4),
            };
            tickets.push((layer, level, age));
        }
    }
    tickets.sort_unstable();
    let mut shares = vec![0; claims.len()];
    for (_, _, age) in tickets.into_iter().take(budget as usize) {
        shares[age] += 1;
    }
    shares
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn the_level_search_buys_the_first_tickets(claims in prop::collection::vec(claim(), 1..12), more in 0..400_u32) {
        let budget = claims.iter().map(|claim| claim.floor).sum::<u32>() + more;
        let bought = buy(budget, &claims);
        prop_assert_eq!(&bought, &by_definition(budget, &claims));
        prop_assert_eq!(bought.iter().sum::<u32>(), budget.min(claims.iter().map(|claim| claim.limit).sum()));
    }

    #[test]
    fn nobody_who_needs_more_has_a_quarter_of_what_another_got(
        claims in prop::collection::vec(claim(), 2..12), more in 0..400_u32,
    ) {
        let budget = claims.iter().map(|claim| claim.floor).sum::<u32>() + more;
        let bought: Vec<(u32, Claim)> = buy(budget, &claims).into_iter().zip(claims).collect();
        for (less, poor) in bought.iter().filter(|(has, claim)| *has < claim.need.min(claim.limit)) {
            for (more, rich) in bought.iter().filter(|(has, claim)| *has > claim.floor) {
                prop_assert!((more - 1) << poor.urgency <= less << rich.urgency, "{less} {poor:?} {more} {rich:?}");
            }
        }
    }
}

#[test]
fn figures_at_the_edge_of_their_type_do_not_overflow() {
    let most = Claim { floor: 1, need: u32::MAX, remembered: u32::MAX, limit: u32::MAX, urgency: MOST };
    let shares = buy(u32::MAX, &[most, Claim { urgency: 0, ..most }]);
    assert_eq!(shares.iter().map(|share| u64::from(*share)).sum::<u64>(), u64::from(u32::MAX));
    assert!(shares[0] / 4 <= shares[1] && shares[1] <= shares[0] / 4 + 1, "{shares:?}");
}
