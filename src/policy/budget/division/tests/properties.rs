//! The contract of one round, over random fleets.

use proptest::prelude::*;

use super::random::{demand, enough, random};
use super::*;

fn after(budget: u32, held: u32, pods: &[Pod]) -> Vec<u32> {
    targets(&divide(&fleet(budget, held, pods), NOW))
}

/// What each of the reachable is guaranteed; 0 where not everybody can have 1.
fn floors(free: u32, pods: &[Pod]) -> Vec<u32> {
    let reachable: Vec<&Pod> = pods.iter().filter(|pod| pod.reachable).collect();
    let most = match reachable.iter().map(|pod| pod.floor.get().max(1)).sum::<u32>() {
        sum if sum <= free => u32::MAX,
        _ => u32::from(reachable.len() <= free as usize),
    };
    pods.iter().map(|pod| pod.floor.get().max(1).min(most)).collect()
}

fn moved(before: &[u32], after: &[u32]) -> u32 {
    before.iter().zip(after).map(|(before, after)| before.abs_diff(*after)).sum()
}

fn want(pod: &mut Pod, more: Demand) {
    pod.demand.active += more.active;
    pod.demand.waiting += more.waiting;
    pod.demand.waited = pod.demand.waited.max(more.waited);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn targets_add_up_and_keep_floors_and_limits((budget, held, pods) in random()) {
        let free = fleet(budget, held, &pods).free();
        let silent: u32 = pods.iter().filter(|pod| !pod.reachable).map(|pod| pod.outstanding.get()).sum();
        prop_assert_eq!(free, budget.saturating_sub(u32::from(budget >= 2)).saturating_sub(held).saturating_sub(silent));
        let targets = after(budget, held, &pods);
        let floors = floors(free, &pods);
        let mut sum = 0;
        for ((pod, target), floor) in pods.iter().zip(&targets).zip(floors) {
            if pod.reachable {
                prop_assert!(floor <= *target && *target <= pod.limit.get(), "{floor} <= {target} <= {}", pod.limit);
                sum += target;
            } else {
                prop_assert_eq!(*target, pod.outstanding.get());
            }
        }
        prop_assert!(sum <= free, "{sum} of {free}");
    }

    #[test]
    fn more_budget_lowers_nobody((budget, held, pods) in random(), more in 0..50_u32) {
        let jumps = |budget| floors(fleet(budget, held, &pods).free(), &pods).iter().max() > Some(&1);
        let (less, more) = if jumps(budget) == jumps(budget + more) { (budget, budget + more) } else { (budget, budget) };
        let (less, more) = (after(less, held, &pods), after(more, held, &pods));
        prop_assert!(less.iter().zip(&more).all(|(less, more)| less <= more), "{less:?} {more:?}");
    }

    #[test]
    fn one_more_of_budget_moves_one((budget, held, pods) in enough()) {
        let floors = |budget| floors(fleet(budget, held, &pods).free(), &pods);
        if floors(budget) == floors(budget + 1) {
            prop_assert!(moved(&after(budget, held, &pods), &after(budget + 1, held, &pods)) <= 1);
        }
    }

    #[test]
    fn more_demand_is_never_less_for_it_nor_more_for_others(
        (budget, held, mut pods) in enough(), who: prop::sample::Index, more in demand(),
    ) {
        let (who, less) = (who.index(pods.len()), after(budget, held, &pods));
        want(&mut pods[who], more);
        for (index, (less, more)) in less.iter().zip(after(budget, held, &pods)).enumerate() {
            prop_assert!(if index == who { *less <= more } else { *less >= more }, "{who} {index}: {less} {more}");
        }
    }

    #[test]
    fn more_demand_is_never_less_where_turns_are_taken((budget, held, mut pods) in random(), who: prop::sample::Index, more in demand()) {
        let (who, less) = (who.index(pods.len()), after(budget % 16, held, &pods));
        want(&mut pods[who], more);
        prop_assert!(less[who] <= after(budget % 16, held, &pods)[who]);
    }

    #[test]
    fn one_client_more_moves_little((budget, held, mut pods) in enough(), who: prop::sample::Index, waits: bool) {
        let before = after(budget, held, &pods);
        let demand = &mut pods[who.index(before.len())].demand;
        // Not the first to wait: with it comes how long it has waited, and so an urgency.
        if waits && demand.waiting > 0 { demand.waiting += 1 } else { demand.active += 1 }
        prop_assert!(moved(&before, &after(budget, held, &pods)) <= 8);
    }

    #[test]
    fn nobody_loses_what_is_active_to_one_that_is_idle((budget, held, pods) in enough()) {
        let (targets, floors) = (after(budget, held, &pods), floors(fleet(budget, held, &pods).free(), &pods));
        let loses = |(pod, target): (&Pod, &u32)| pod.reachable && *target < pod.demand.active.min(pod.limit.get());
        if pods.iter().zip(&targets).any(loses) {
            for ((pod, target), floor) in pods.iter().zip(&targets).zip(&floors) {
                prop_assert!(!pod.reachable || pod.demand.wanted() > 0 || target <= floor, "{pod:?} {target}");
            }
        }
    }

    #[test]
    fn the_order_of_the_list_means_nothing((budget, held, mut pods) in random()) {
        for (index, pod) in (0..).zip(&mut pods) {
            pod.age += Duration::from_millis(index);
        }
        let mut forwards = divide(&fleet(budget, held, &pods), NOW);
        pods.reverse();
        let backwards = divide(&fleet(budget, held, &pods), NOW);
        forwards.reverse();
        prop_assert_eq!(forwards, backwards);
    }
}
