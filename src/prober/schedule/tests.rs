use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::policy::entries::PoolKey;

fn instance(number: u8) -> Instance {
    Instance { pool: PoolKey::new("shop", "orders"), uid: number.to_string() }
}

fn target(interval: Duration) -> Target {
    Target {
        name: "orders-1".to_owned(),
        address: "10.0.0.1:19187".parse().expect("an address"),
        path: "/health/pool".to_owned(),
        interval,
        timeout: Duration::from_secs(1),
        leaving: false,
        ours: true,
    }
}

fn fleet(numbers: impl IntoIterator<Item = u8>, interval: Duration) -> BTreeMap<Instance, Target> {
    numbers.into_iter().map(|number| (instance(number), target(interval))).collect()
}

#[test]
fn a_new_instance_is_asked_soon_and_then_once_per_interval() {
    let mut schedule = Schedule::default();
    let interval = Duration::from_secs(10);
    schedule.update(fleet([1], interval), Duration::ZERO, || 0.5);
    assert_eq!(schedule.next(), Some(Duration::from_millis(250)));
    let now = Duration::from_millis(250);
    assert_eq!(schedule.due(now, 10, || 0.0).len(), 1);
    assert_eq!(schedule.next(), None, "it is being asked");
    schedule.done(&instance(1));
    assert_eq!(schedule.next(), Some(now + Duration::from_secs(9)));
    assert!(schedule.due(Duration::from_secs(9), 10, || 0.0).is_empty());
}

#[test]
fn one_that_went_and_came_back_is_not_asked_twice_at_once() {
    let mut schedule = Schedule::default();
    let interval = Duration::from_secs(1);
    let later = Duration::from_mins(1);
    schedule.update(fleet([1], interval), Duration::ZERO, || 0.0);
    assert_eq!(schedule.due(Duration::ZERO, 1, || 0.0).len(), 1);
    schedule.update(fleet([], interval), Duration::ZERO, || 0.0);
    schedule.update(fleet([1], interval), Duration::ZERO, || 0.0);
    assert!(schedule.due(later, 1, || 0.0).is_empty());
    schedule.done(&instance(1));
    assert_eq!(schedule.due(later, 1, || 0.0).len(), 1);
}

#[test]
fn a_shorter_interval_is_in_force_at_once() {
    let mut schedule = Schedule::default();
    schedule.update(fleet([1], Duration::from_hours(1)), Duration::ZERO, || 0.0);
    schedule.due(Duration::ZERO, 1, || 0.0);
    schedule.done(&instance(1));
    schedule.update(fleet([1], Duration::from_secs(5)), Duration::from_secs(1), || 0.0);
    assert_eq!(schedule.next(), Some(Duration::from_secs(6)));
}

proptest! {
    /// Over any comings and goings: never more at once than allowed, never the same one twice at once, and while there is room
    /// everyone that stays is asked at least once per interval and a tenth, plus the step by which this test moves time.
    #[test]
    fn nobody_is_forgotten_or_pressed(
        steps in prop::collection::vec((prop::collection::btree_set(0_u8..20, 0..20), 0.0..0.999_f64), 30..60),
    ) {
        const STEP: Duration = Duration::from_secs(1);
        let interval = Duration::from_secs(5);
        let mut schedule = Schedule::default();
        let mut last: BTreeMap<Instance, Duration> = BTreeMap::new();
        let mut now = Duration::ZERO;
        for (numbers, unit) in steps {
            schedule.update(fleet(numbers.iter().copied(), interval), now, || unit);
            let alive: BTreeSet<_> = numbers.into_iter().map(instance).collect();
            last.retain(|instance, _| alive.contains(instance));
            for instance in &alive {
                last.entry(instance.clone()).or_insert(now);
            }
            let due = schedule.due(now, 32, || unit);
            let asked: BTreeSet<_> = due.iter().map(|probe| probe.instance.clone()).collect();
            prop_assert_eq!(asked.len(), due.len());
            prop_assert!(schedule.due(now, 32, || unit).is_empty());
            for instance in asked {
                prop_assert!(alive.contains(&instance));
                schedule.done(&instance);
                last.insert(instance, now);
            }
            for (instance, since) in &last {
                prop_assert!(now.saturating_sub(*since) <= interval.mul_f64(1.1) + STEP, "{:?} waits since {:?} at {:?}", instance, since, now);
            }
            now += STEP;
        }
    }

    #[test]
    fn the_longest_due_come_first(most in 0_usize..8) {
        let mut schedule = Schedule::default();
        for number in 0..8_u8 {
            let known: Vec<_> = (0..=number).collect();
            schedule.update(fleet(known, Duration::from_secs(10)), Duration::from_secs(number.into()), || 0.0);
        }
        let due = schedule.due(Duration::from_secs(9), most, || 0.0);
        let expected: Vec<_> = (0..most).map(|number| instance(u8::try_from(number).expect("small"))).collect();
        prop_assert_eq!(due.into_iter().map(|probe| probe.instance).collect::<Vec<_>>(), expected);
    }
}
