use super::*;

#[test]
fn an_end_counts_once_it_is_written() {
    let keys = keyring();
    let (mut stored, mut leader, mut pods) = fleet(10, &[6, 4], &keys);
    (pods[0].charge, pods[0].grant) = (0, Some(Connections::NONE));
    pods[0].end();
    assert_eq!(fence(&mut leader, &mut pods[0], &keys), Heard::Ended);
    leader.ended(&pods[1].uid);
    assert_eq!(leader.held(), 4, "the last word says that it has nothing; the other's end is a leader's");
    write(&mut leader, &mut stored, &plan(10));
    assert_eq!((leader.held(), stored.names.len()), (0, 0));
}

#[test]
fn a_dead_pod_holds_what_it_had_and_hears_nothing() {
    let keys = keyring();
    let (mut stored, mut leader, mut pods) = fleet(10, &[6, 4], &keys);
    leader.died(&pods[0].uid);
    assert!(leader.order(&pods[0].uid, connections(1), settings(), &keys.own).is_none());
    write(&mut leader, &mut stored, &plan(10));
    assert_eq!(give(&mut leader, &mut pods[1], 10, &keys), connections(4));
    leader.ended(&pods[0].uid);
    assert_eq!(leader.room(), 0);
    write(&mut leader, &mut stored, &plan(10));
    assert_eq!(give(&mut leader, &mut pods[1], 10, &keys), connections(10));
}

#[test]
fn one_who_died_unheard_keeps_the_remainder_while_another_is_silent() {
    let keys = keyring();
    let (mut stored, _, mut pods) = fleet(10, &[6, 4], &keys);
    let mut leader = claim(&mut stored, 2);
    leader.died(&pods[0].uid);
    leader.ended(&pods[0].uid);
    write(&mut leader, &mut stored, &plan(10));
    assert_eq!(leader.remainder(), Some(10));
    fence(&mut leader, &mut pods[1], &keys);
    assert_eq!((leader.remainder(), leader.room()), (Some(0), 6));
}

#[test]
fn a_pod_that_goes_on_after_its_last_word_is_named_anew_and_never_sees_a_number_twice() {
    let keys = keyring();
    let (mut stored, mut leader, mut pods) = fleet(10, &[6], &keys);
    let pod = &mut pods[0];
    (pod.charge, pod.grant) = (0, Some(Connections::NONE));
    pod.end();
    fence(&mut leader, pod, &keys);
    write(&mut leader, &mut stored, &plan(10));
    let before = leader.sent();
    pod.restart();
    assert_eq!(fence(&mut leader, pod, &keys), Heard::Known);
    assert!(leader.sent() > before);
    write(&mut leader, &mut stored, &plan(10));
    assert_eq!(give(&mut leader, pod, 3, &keys), connections(3));
}

#[test]
fn a_damaged_journal_sets_nothing_free() {
    let keys = keyring();
    let (_, mut leader, mut pods) = fleet(10, &[6], &keys);
    (pods[0].charge, pods[0].grant, pods[0].incomplete) = (0, Some(Connections::NONE), true);
    pods[0].restart();
    assert_eq!(fence(&mut leader, &mut pods[0], &keys), Heard::Incomplete);
    assert_eq!(leader.held(), 6);
}

#[test]
fn a_journal_that_was_lost_under_this_leader_sets_nothing_free() {
    let keys = keyring();
    let (_, mut leader, mut pods) = fleet(10, &[6], &keys);
    (pods[0].charge, pods[0].grant, pods[0].fence) = (0, Some(Connections::NONE), None);
    pods[0].restart();
    assert_eq!(fence(&mut leader, &mut pods[0], &keys), Heard::Incomplete);
    assert_eq!(leader.held(), 6);
}

#[test]
fn a_damaged_pod_is_counted_with_what_it_says_and_ordered_nothing() {
    let keys = keyring();
    let (_, mut leader, _) = fleet(10, &[2], &keys);
    let mut late = Pod::new("late");
    (late.grant, late.charge, late.incomplete) = (None, 5, true);
    assert_eq!(fence(&mut leader, &mut late, &keys), Heard::Incomplete);
    assert_eq!((leader.held(), leader.room()), (12, 0));
    assert!(leader.order(&late.uid, connections(1), settings(), &keys.own).is_none());
}

#[test]
fn a_late_hello_of_the_boot_before_is_overheard() {
    let keys = keyring();
    let (_, mut leader, mut pods) = fleet(10, &[6], &keys);
    let pod = &mut pods[0];
    let mut late = pod.boot.hello(Duration::ZERO, [1; 16], &keys.public);
    late.epoch = None;
    pod.restart();
    fence(&mut leader, pod, &keys);
    leader.hello(&late).unwrap();
    assert_eq!(give(&mut leader, pod, 2, &keys), connections(2));
}
