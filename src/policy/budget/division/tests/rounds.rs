//! The contract over time: rest, turns, and what a busy instance waits for.

use proptest::prelude::*;

use super::super::Memory;
use super::super::turns::TURN;
use super::random::{demand, healthy};
use super::*;

/// Rounds of a second until a steady load is at rest: what is remembered lasts 10 s, urgencies 10 s and two falls, needs below 64 fall in 7
/// halvings, grants below 64 grow in 5 steps (the last one of 4), each after another instance's.
const REST: u32 = 30;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_steady_load_comes_to_rest_with_everything_given((budget, pods) in healthy()) {
        let mut rounds = Rounds::new(budget, pods);
        rounds.seconds(REST);
        let rest = rounds.grants();
        for _ in 0..15 {
            prop_assert!(!rounds.round(Duration::from_secs(1)), "{rest:?} {:?}", rounds.grants());
        }
        let limits = rounds.pods.iter().map(|pod| pod.limit.get()).sum::<u32>();
        prop_assert_eq!(rest.iter().sum::<u32>(), limits.min(fleet(budget, 0, &rounds.pods).free()));
    }

    #[test]
    fn noise_of_a_ninth_moves_nothing(
        (budget, pods) in healthy(), noise in prop::collection::vec(prop::collection::vec(0..=100_u32, 12), 20),
    ) {
        let pods = pods.into_iter().map(|pod| Pod { memory: Memory::default(), ..pod }).collect();
        let mut rounds = Rounds::new(budget, pods);
        rounds.seconds(REST);
        let calm = rounds.pods.clone();
        for noise in noise {
            for ((pod, calm), noise) in rounds.pods.iter_mut().zip(&calm).zip(noise) {
                // Never above what it was, so nothing new is learnt; never so few that it counts as idle.
                pod.demand.active = calm.demand.active - calm.demand.active * noise / 900;
            }
            prop_assert!(!rounds.round(Duration::from_secs(1)));
        }
    }

    #[test]
    fn those_that_wait_take_turns(
        seats in 1..5_u32, more in 1..8_usize, demands in prop::collection::vec(demand(), 12), milliseconds in 100..1500_u64,
    ) {
        let pods = (0..seats as usize + more).zip(demands).map(|(_, demand)| Pod { demand, ..pod(20, 2, 0) });
        let mut rounds = Rounds::new(seats + 1, pods.collect());
        let waiting: Vec<bool> = rounds.pods.iter().map(|pod| pod.demand.wanted() > 0).collect();
        let (count, round) = (waiting.iter().filter(|waits| **waits).count(), Duration::from_millis(milliseconds));
        // In the middle of things, nobody is without a grant for longer than everybody's turn before it.
        let turns = u32::try_from(count.div_ceil(seats as usize)).unwrap();
        let bound = (TURN + 3 * round) * turns;
        let mut last = vec![rounds.now; waiting.len()];
        for _ in 0..100 {
            rounds.round(round);
            for (pod, last) in rounds.pods.iter().zip(&mut last) {
                if pod.outstanding.get() > 0 {
                    *last = rounds.now;
                }
            }
            prop_assert!(rounds.grants().iter().sum::<u32>() <= seats);
            for (waits, last) in waiting.iter().zip(&last) {
                let without = rounds.now.saturating_sub(*last);
                prop_assert!(!waits || without <= bound, "{without:?} > {bound:?}");
            }
        }
    }

    #[test]
    fn the_busy_one_has_four_fifths_of_what_is_free_within_five_seconds(
        budget in 60..2000_u32, others in 1..10_usize, floor in 1..5_u32,
    ) {
        let free = (budget - 1).saturating_sub(u32::try_from(others).unwrap() * floor);
        let mut rounds = Rounds::new(budget, vec![pod(2000, floor, 0); others + 1]);
        rounds.seconds(REST);
        rounds.pods[0].demand = wants(rounds.pods[0].outstanding.get(), 2000, 100);
        rounds.seconds(5);
        prop_assert!(rounds.grants()[0] * 5 >= free * 4, "{:?} of {free}", rounds.grants());
    }
}
