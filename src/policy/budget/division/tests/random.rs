//! Fleets in every state that a leader may meet, memories included.

use proptest::prelude::*;

use super::super::held::Held;
use super::super::pace::Pace;
use super::super::turns::Turn;
use super::super::{Demand, Memory, Pod};
use super::*;

/// A budget, what is held for the gone, and the instances.
pub type Random = (u32, u32, Vec<Pod>);

/// Fleets of up to eleven, with budgets from far too small to more than enough.
pub fn random() -> impl Strategy<Value = Random> {
    (0..200_u32, prop_oneof![3 => Just(0), 1 => 0..30_u32], prop::collection::vec(instance(), 1..12))
}

/// Fleets in which everybody can have 1.
pub fn enough() -> impl Strategy<Value = Random> {
    random().prop_map(|(budget, held, pods)| {
        let silent: u32 = pods.iter().filter(|pod| !pod.reachable).map(|pod| pod.outstanding.get()).sum();
        let reachable = pods.iter().filter(|pod| pod.reachable).count();
        (budget + held + silent + u32::try_from(reachable).unwrap() + 1, held, pods)
    })
}

/// Fleets in which everybody can have 1, with nothing held and everybody reachable.
pub fn healthy() -> impl Strategy<Value = (u32, Vec<Pod>)> {
    random().prop_map(|(budget, _, mut pods)| {
        for pod in &mut pods {
            pod.reachable = true;
        }
        (budget + u32::try_from(pods.len()).unwrap() + 1, pods)
    })
}

pub fn demand() -> impl Strategy<Value = Demand> {
    let some = (0..50_u32, prop_oneof![Just(0), 0..100_u32], 0..4000_u64)
        .prop_map(|(active, waiting, ms)| wants(active, waiting, ms));
    prop_oneof![2 => Just(Demand::default()), 3 => some]
}

fn instance() -> impl Strategy<Value = Pod> {
    let sizes = (1..40_u32, 0..12_u32, 0..50_u32, 0..50_u32);
    (sizes, demand(), prop::bool::weighted(0.85), 0..5_u64, memory()).prop_map(
        |((limit, floor, outstanding, charge), demand, reachable, age, mut memory)| {
            if memory.pace.outstanding % 2 == 0 {
                memory.pace.outstanding = outstanding;
            }
            Pod {
                limit: Connections::at_most(limit),
                floor: Connections::at_most(floor.min(limit)),
                outstanding: Connections::at_most(outstanding),
                charge: Connections::at_most(charge.min(outstanding)),
                demand: Demand { active: demand.active.min(outstanding), ..demand },
                reachable,
                age: Duration::from_secs(age),
                memory,
            }
        },
    )
}

fn memory() -> impl Strategy<Value = Memory> {
    // One array of figures: ten times as fast as a strategy for each.
    prop::array::uniform10(0..4000_u32).prop_map(|[need, urgency, outstanding, turn, moments @ ..]| {
        let [until, urgent_until, asked, rests_until, since, seen] =
            moments.map(|ms| (NOW + Duration::from_secs(2)).saturating_sub(Duration::from_millis(ms.into())));
        let turn = match turn % 8 {
            0..3 => Turn::None,
            3 => Turn::Away,
            4..6 => Turn::Queued { since: since.min(NOW) },
            6 => Turn::Seated { since: None },
            _ => Turn::Seated { since: Some(seen.min(NOW)) },
        };
        Memory {
            need: Held { value: need % 50, until },
            urgency: Held { value: urgency % 3, until: urgent_until },
            pace: Pace { outstanding: outstanding % 50, asked: asked.min(NOW), rests_until },
            turn,
        }
    })
}
