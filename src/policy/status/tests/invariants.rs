//! What holds whatever is observed.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::crd::bounds;

fn instances() -> impl Strategy<Value = Vec<Instance>> {
    let failures = [
        ProbeFailure::Timeout,
        ProbeFailure::Refused,
        ProbeFailure::Status(503),
        ProbeFailure::TooLarge,
        ProbeFailure::Malformed,
        ProbeFailure::Contract(ReportError::Malformed),
        ProbeFailure::Contract(ReportError::Missing("metrics.poolSize")),
        ProbeFailure::OtherPod,
    ];
    let answer = (0..=10_u32, 0..30_u32).prop_map(|(active, waiting)| instance("x", active, waiting));
    let locked = prop::sample::select(vec!["08006", "28000", "3D000", "53300", "XX000"])
        .prop_map(|state| locked_out("x", state));
    let silent = prop::sample::select(failures.to_vec()).prop_map(|failure| silent("x", failure));
    prop::collection::vec(prop_oneof![4 => answer, 1 => locked, 1 => silent], 0..6).prop_map(|mut instances| {
        for (number, instance) in instances.iter_mut().enumerate() {
            instance.pod = format!("pod-{number}");
        }
        instances
    })
}

fn fleets() -> impl Strategy<Value = Fleet> {
    (0..20_u32, 0..20_u32, 0..5_u32, 0..5_u32, prop::collection::vec((1..9_i64, 1..9_u32), 0..5)).prop_map(
        |(matched, injected, missed_count, skipped_count, stale)| Fleet {
            unseen: matched == 19,
            matched,
            injected,
            missed: (0..missed_count.min(3)).map(|number| format!("missed-{number}")).collect(),
            missed_count,
            skipped: (0..skipped_count.min(3))
                .map(|number| (format!("skipped-{number}"), "Conflict".to_owned()))
                .collect(),
            skipped_count,
            stale,
        },
    )
}

fn scenes() -> impl Strategy<Value = Scene> {
    let entries = prop::sample::select(vec![
        EntryState::InForce,
        EntryState::Pending,
        EntryState::Failed { reason: Reason::WebhookUnreachable, message: "no route".to_owned() },
    ]);
    let violation = || Violation { field: "spec.profile".to_owned(), message: "spec.profile is required".repeat(100) };
    (1..6_i64, prop::bool::weighted(0.8), entries, fleets(), instances()).prop_map(
        move |(generation, valid, entry, fleet, instances)| Scene {
            generation,
            validation: if valid { validate(&pool()) } else { Err(vec![violation()]) },
            entry,
            fleet,
            instances,
        },
    )
}

proptest! {
    #[test]
    fn the_same_observation_again_changes_nothing(scenes in prop::collection::vec(scenes(), 1..6)) {
        let mut old = None;
        for (second, scene) in (100..).zip(scenes) {
            let new = scene.status(old.as_ref(), second);
            prop_assert_eq!(&scene.status(Some(&new), second + 50), &new);
            prop_assert_eq!(due(Some(&new), &scene.status(Some(&new), second + 50), None, Timestamp::MAX, Duration::ZERO), None);
            old = Some(new);
        }
    }

    #[test]
    fn times_move_on_flips_only_and_generations_never_fall(scenes in prop::collection::vec(scenes(), 2..8)) {
        let mut old: Option<ConnectionPoolStatus> = None;
        for (second, scene) in (100..).zip(scenes) {
            let new = scene.status(old.as_ref(), second);
            if let Some(old) = &old {
                prop_assert!(new.observed_generation >= old.observed_generation);
                for condition in &new.conditions {
                    let Some(before) = old.conditions.iter().find(|before| before.type_ == condition.type_) else { continue };
                    prop_assert!(condition.observed_generation >= before.observed_generation);
                    let flipped = before.status != condition.status;
                    let moved = before.last_transition_time != condition.last_transition_time;
                    prop_assert_eq!(flipped, moved, "{}", condition.type_);
                }
            }
            old = Some(new);
        }
    }

    #[test]
    fn nothing_depends_on_the_order_of_instances(scene in scenes()) {
        let mut turned = scene.clone();
        turned.instances.reverse();
        prop_assert_eq!(turned.status(None, 100), scene.status(None, 100));
    }

    #[test]
    fn a_status_fits_its_schema(scene in scenes()) {
        let status = scene.status(None, 100);
        let most = bounds::MESSAGE_LENGTH as usize;
        prop_assert!(status.conditions.iter().all(|condition| condition.message.chars().count() <= most));
        prop_assert!(status.conditions.len() <= bounds::CONDITIONS as usize);
        let kinds: Vec<&String> = status.conditions.iter().map(|condition| &condition.type_).collect();
        prop_assert!(kinds.iter().all(|kind| kinds.iter().filter(|other| *other == kind).count() == 1));
    }
}

#[test]
fn an_older_observation_changes_nothing() {
    let mut scene = Scene::new();
    let status = scene.status(None, 100);
    scene.generation = 1;
    scene.fleet.matched = 9;
    assert_eq!(scene.status(Some(&status), 200), status);
}

#[test]
fn times_are_whole_seconds() {
    let scene = Scene::new();
    let observation = Observation {
        generation: 1,
        validation: scene.validation.as_ref().map_err(Vec::as_slice),
        entry: &scene.entry,
        fleet: &scene.fleet,
        instances: &[],
    };
    let status = status(None, &observation, "2026-01-02T03:04:05.678Z".parse().unwrap());
    assert_eq!(status.conditions[0].last_transition_time.0.to_string(), "2026-01-02T03:04:05Z");
}

#[test]
fn a_write_is_due_for_a_band_at_once_and_for_a_figure_by_and_by() {
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    let interval = Duration::from_secs(30);
    let calm = Scene { instances: vec![instance("a", 5, 0)], ..Scene::new() };
    let old = calm.status(None, 1_000);
    let due =
        |scene: &Scene, now: i64| due(Some(&old), &scene.status(Some(&old), now), Some(at(1_000)), at(now), interval);

    let busy = Scene { instances: vec![instance("a", 9, 0)], ..calm.clone() };
    assert_eq!(due(&busy, 1_001), Some(at(1_001)), "a band");
    let busier = Scene { instances: vec![instance("a", 6, 0)], ..calm.clone() };
    assert_eq!(due(&busier, 1_001), Some(at(1_030)), "a fifth more");
    assert_eq!(due(&busier, 1_050), Some(at(1_050)), "a fifth more, late");
    let mut grown = calm.clone();
    grown.fleet.matched = 3;
    assert_eq!(due(&grown, 1_001), Some(at(1_030)), "one more pod");
    assert_eq!(due(&calm, 9_999), None, "nothing");

    let many = |active: u32| Scene {
        instances: (0..10).map(|n| instance(&format!("p{n}"), if n == 0 { active } else { 5 }, 0)).collect(),
        ..calm.clone()
    };
    let old = many(5).status(None, 1_000);
    let new = many(6).status(Some(&old), 1_001);
    assert_ne!(old, new);
    assert_eq!(
        super::due(Some(&old), &new, Some(at(1_000)), at(9_999), interval),
        None,
        "50 % to 51 % is less than a tenth"
    );
    assert_eq!(super::due(None, &new, None, at(5), interval), Some(at(5)), "the first");
}
