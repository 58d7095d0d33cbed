use super::*;

#[test]
fn nobody_grows_before_another_has_confirmed_that_its_charge_fell() {
    let keys = keyring();
    let (_, mut leader, mut pods) = fleet(10, &[10, 0], &keys);
    let [a, b] = pods.as_mut_slice() else { unreachable!() };
    let shrink = leader.order(&a.uid, connections(4), settings(), &keys.own).unwrap();
    assert_eq!(give(&mut leader, b, 6, &keys), Connections::NONE);
    let answer = a.take(&shrink, &keys).unwrap();
    leader.answered(&a.uid, &answer).unwrap();
    assert_eq!(give(&mut leader, b, 6, &keys), Connections::NONE, "it still has ten backends");
    a.charge = 7;
    fence(&mut leader, a, &keys);
    assert_eq!(give(&mut leader, b, 6, &keys), connections(3));
}

#[test]
fn an_order_is_counted_from_before_it_is_sent_until_a_later_one_is_answered() {
    let keys = keyring();
    let (_, mut leader, mut pods) = fleet(10, &[2, 0], &keys);
    let [a, b] = pods.as_mut_slice() else { unreachable!() };
    drop(leader.order(&a.uid, connections(8), settings(), &keys.own).unwrap());
    assert_eq!((leader.held(), leader.room()), (8, 2));
    assert_eq!(give(&mut leader, b, 9, &keys), connections(2));
    // The order was lost. A later message shows that, and frees it.
    fence(&mut leader, a, &keys);
    assert_eq!((leader.held(), leader.room()), (4, 6));
}

#[test]
fn an_answer_to_an_earlier_message_changes_nothing() {
    let keys = keyring();
    let (_, mut leader, mut pods) = fleet(10, &[4], &keys);
    let pod = &mut pods[0];
    let low = leader.order(&pod.uid, connections(1), settings(), &keys.own).unwrap();
    pod.charge = 0;
    let answer = pod.take(&low, &keys).unwrap();
    drop(leader.order(&pod.uid, connections(9), settings(), &keys.own).unwrap());
    assert_eq!(leader.answered(&pod.uid, &answer), Err(NotHeard::Other));
    assert_eq!(leader.held(), 9);
}

#[test]
fn a_pod_that_the_ledger_does_not_name_is_ordered_nothing() {
    let keys = keyring();
    let (mut stored, mut leader, _) = fleet(10, &[2], &keys);
    let mut new = Pod::new("new");
    fence(&mut leader, &mut new, &keys);
    assert!(leader.order(&new.uid, connections(1), settings(), &keys.own).is_none());
    write(&mut leader, &mut stored, &plan(10));
    assert_eq!(give(&mut leader, &mut new, 1, &keys), connections(1));
}

#[test]
fn nothing_grows_while_the_total_is_above_a_lowered_budget() {
    let keys = keyring();
    let (mut stored, mut leader, mut pods) = fleet(10, &[6, 3], &keys);
    let lowered = Plan { spec: Spec { generation: 2, ..spec(5) }, lower: true, ..plan(5) };
    write(&mut leader, &mut stored, &lowered);
    assert_eq!((stored.total, stored.effective(), leader.room()), (9, Some(10), 0));
    let [a, b] = pods.as_mut_slice() else { unreachable!() };
    a.charge = 1;
    assert_eq!(give(&mut leader, a, 1, &keys), connections(1));
    write(&mut leader, &mut stored, &lowered);
    assert_eq!((stored.total, stored.effective()), (5, Some(5)));
    assert_eq!(give(&mut leader, b, 9, &keys), connections(4));
}

#[test]
fn above_a_lowered_budget_one_more_may_look_and_the_promise_only_falls() {
    let keys = keyring();
    let (mut stored, mut leader, mut pods) = fleet(10, &[6, 3], &keys);
    let lowered = Plan { spec: Spec { generation: 2, ..spec(5) }, ..plan(5) };
    let looks = Plan { looks: true, ..lowered.clone() };
    write(&mut leader, &mut stored, &lowered);
    assert_eq!((stored.total, stored.effective(), leader.room()), (9, Some(10), 0));
    write(&mut leader, &mut stored, &looks);
    assert_eq!((stored.total, stored.effective(), leader.room()), (10, Some(10), 1));
    assert_eq!(give(&mut leader, &mut pods[1], 9, &keys), connections(4));
    write(&mut leader, &mut stored, &looks);
    assert_eq!((stored.total, stored.effective(), leader.room()), (10, Some(10), 0));
    // It has looked, and found that three are gone.
    pods[1].charge = 1;
    assert_eq!(give(&mut leader, &mut pods[1], 1, &keys), connections(1));
    write(&mut leader, &mut stored, &lowered);
    assert_eq!((stored.total, stored.effective(), leader.room()), (7, Some(8), 0));
    write(&mut leader, &mut stored, &looks);
    assert_eq!((stored.total, stored.effective(), leader.room()), (8, Some(8), 1));
}

#[test]
fn a_pod_that_had_no_budget_counts_with_what_it_may_open_unasked_until_it_took_an_order() {
    let keys = keyring();
    let mut old = Pod::new("old");
    (old.grant, old.charge) = (None, 3);
    let existing = Existing { pod: old.uid.clone(), name: Name::default(), unasked: Some(connections(CEILING)) };
    let mut stored = Ledger::found(spec(4), &[existing], false);
    assert_eq!((stored.total, stored.effective()), (11, Some(11)));
    let mut leader = claim(&mut stored, 1);
    fence(&mut leader, &mut old, &keys);
    assert_eq!(leader.held(), 10);
    assert_eq!(give(&mut leader, &mut old, 2, &keys), connections(2));
    assert_eq!(leader.held(), 3);
    write(&mut leader, &mut stored, &Plan { lower: true, ..plan(4) });
    assert_eq!((stored.total, stored.effective()), (4, Some(4)));
}
