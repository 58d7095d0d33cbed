use super::*;

#[test]
fn a_claim_is_ones_own_by_its_id_and_not_by_its_epoch() {
    let stored = Ledger::found(spec(10), &[], false);
    let (mine, others) = (stored.claimed(1, 1), stored.claimed(2, 1));
    assert_eq!(mine.claim.unwrap().epoch, others.claim.unwrap().epoch);
    assert!(Grants::claimed(pool(), others, None, 1).is_none());
    assert!(Grants::claimed(pool(), mine, None, 1).is_some());
}

#[test]
fn what_pods_have_is_held_for_them_until_each_has_answered_the_new_leader() {
    let keys = keyring();
    let (mut stored, _, mut pods) = fleet(10, &[3, 4], &keys);
    let mut leader = claim(&mut stored, 2);
    assert_eq!((leader.remainder(), leader.room()), (Some(10), 0));
    fence(&mut leader, &mut pods[0], &keys);
    assert_eq!((leader.remainder(), leader.room()), (Some(7), 0));
    fence(&mut leader, &mut pods[1], &keys);
    assert_eq!((leader.remainder(), leader.room()), (Some(0), 3));
}

#[test]
fn one_that_stays_silent_holds_no_more_than_the_ceiling() {
    let keys = keyring();
    let (mut stored, _, mut pods) = fleet(40, &[3, 4], &keys);
    let mut leader = claim(&mut stored, 2);
    fence(&mut leader, &mut pods[0], &keys);
    assert_eq!((stored.total, leader.remainder(), leader.room()), (40, Some(10), 27));
}

#[test]
fn a_fenced_pod_refuses_the_earlier_leader_over_its_restarts() {
    let keys = keyring();
    let (mut stored, mut old, mut pods) = fleet(10, &[3], &keys);
    let pod = &mut pods[0];
    let late = old.order(&pod.uid, connections(9), settings(), &keys.own).unwrap();
    let mut leader = claim(&mut stored, 2);
    fence(&mut leader, pod, &keys);
    assert!(pod.take(&late, &keys).is_none());
    pod.restart();
    assert!(matches!(old.hello(&pod.boot.hello(Duration::ZERO, [9; 16], &keys.public)), Err(Ahead { .. })));
}

#[test]
fn a_pod_that_follows_a_leader_whom_the_ledger_does_not_know_makes_it_doubtful() {
    let keys = keyring();
    let (backup, _, mut pods) = fleet(10, &[3, 4], &keys);
    let mut newer = backup.clone();
    for id in 2..4 {
        let mut leader = claim(&mut newer, id);
        fence(&mut leader, &mut pods[0], &keys);
    }
    // Set back; the clock makes the next epoch higher than any.
    let before = backup.claim.map(|claim| claim.epoch);
    let mut stored = backup.claimed(9, 1_000);
    let mut leader = Grants::claimed(pool(), stored.clone(), before, 9).unwrap();
    fence(&mut leader, &mut pods[0], &keys);
    assert_eq!((leader.ledger().doubt, leader.remainder(), leader.room()), (true, None, 0));
    fence(&mut leader, &mut pods[1], &keys);
    assert_eq!(leader.room(), 0, "there may be pods that nobody has listed");
    leader.listed(pods.iter().map(|pod| (pod.uid.clone(), Name::default())));
    write(&mut leader, &mut stored, &plan(10));
    assert_eq!((stored.doubt, leader.room()), (false, 3));
}

#[test]
fn a_lost_ledger_lets_nothing_grow_until_all_that_exist_have_answered() {
    let keys = keyring();
    let (_, _, mut pods) = fleet(10, &[3, 4], &keys);
    let existing = |pod: &Pod| Existing { pod: pod.uid.clone(), name: Name::default(), unasked: None };
    let mut stored = Ledger::found(spec(10), &pods.iter().map(existing).collect::<Vec<_>>(), true);
    stored = stored.claimed(5, 1_000);
    let mut leader = Grants::claimed(pool(), stored.clone(), None, 5).unwrap();
    leader.listed(pods.iter().map(|pod| (pod.uid.clone(), Name::default())));
    fence(&mut leader, &mut pods[0], &keys);
    write(&mut leader, &mut stored, &plan(10));
    assert_eq!(leader.room(), 0);
    fence(&mut leader, &mut pods[1], &keys);
    write(&mut leader, &mut stored, &plan(10));
    assert_eq!((stored.doubt, stored.total, leader.room()), (false, 10, 3));
}

#[test]
fn a_persons_word_for_the_unheard_ends_the_doubt() {
    let keys = keyring();
    let (_, _, mut pods) = fleet(10, &[3, 4], &keys);
    let existing = |pod: &Pod| Existing { pod: pod.uid.clone(), name: Name::default(), unasked: None };
    let mut stored = Ledger::found(spec(10), &pods.iter().map(existing).collect::<Vec<_>>(), true);
    assert_eq!(stored.effective(), None);
    stored = stored.claimed(5, 1_000);
    let mut leader = Grants::claimed(pool(), stored.clone(), None, 5).unwrap();
    leader.listed(pods.iter().map(|pod| (pod.uid.clone(), Name::default())));
    fence(&mut leader, &mut pods[0], &keys);
    leader.ended(&pods[1].uid);
    write(&mut leader, &mut stored, &plan(10));
    write(&mut leader, &mut stored, &plan(10));
    assert_eq!((stored.effective(), stored.names.len(), leader.room()), (Some(10), 1, 7));
}

#[test]
fn a_first_ledger_knows_that_pods_with_a_budget_have_nothing() {
    let keys = keyring();
    let mut pods = [Pod::new("heard"), Pod::new("silent")];
    let existing = |pod: &Pod| Existing { pod: pod.uid.clone(), name: Name::default(), unasked: None };
    let mut stored = Ledger::found(spec(10), &pods.iter().map(existing).collect::<Vec<_>>(), false);
    assert_eq!((stored.effective(), stored.total, stored.names.len()), (Some(10), 0, 0));
    let mut leader = claim(&mut stored, 1);
    leader.listed(pods.iter().map(|pod| (pod.uid.clone(), Name::default())));
    fence(&mut leader, &mut pods[0], &keys);
    write(&mut leader, &mut stored, &plan(10));
    assert_eq!(give(&mut leader, &mut pods[0], 10, &keys), connections(10));
    assert!(leader.order(&pods[1].uid, connections(1), settings(), &keys.own).is_none());
}

#[test]
fn a_doubt_outlives_a_write_that_was_under_way_and_is_written() {
    let keys = keyring();
    let (mut stored, _, mut pods) = fleet(10, &[4, 6], &keys);
    stored.names.remove(&pods[1].uid);
    let mut leader = claim(&mut stored, 2);
    fence(&mut leader, &mut pods[0], &keys);
    let before = leader.write(&Plan { lower: true, ..plan(10) }).or_else(|| leader.write(&plan(10)));
    leader.doubt();
    if before.is_some() {
        leader.written();
    }
    assert_eq!((leader.room(), leader.write(&plan(10)).map(|next| next.doubt)), (0, Some(true)));
}

#[test]
fn a_pod_that_has_more_than_the_ledger_can_know_makes_it_doubtful() {
    let keys = keyring();
    let (mut stored, _, mut pods) = fleet(10, &[6], &keys);
    stored.total = 2;
    let mut leader = claim(&mut stored, 2);
    fence(&mut leader, &mut pods[0], &keys);
    assert_eq!((leader.ledger().doubt, leader.room()), (true, 0));
    // So does one that was granted something and that it does not name.
    let (mut stored, _, mut pods) = fleet(10, &[6], &keys);
    stored.names.clear();
    let mut leader = claim(&mut stored, 2);
    fence(&mut leader, &mut pods[0], &keys);
    assert_eq!((leader.ledger().doubt, leader.room()), (true, 0));
}

#[test]
fn a_raised_ceiling_does_not_count_for_what_an_earlier_leader_ordered() {
    let keys = keyring();
    let (mut stored, _, _) = fleet(40, &[3, 4], &keys);
    stored.total = 25;
    let mut leader = claim(&mut stored, 2);
    assert_eq!(leader.remainder(), Some(20));
    write(&mut leader, &mut stored, &Plan { ceiling: connections(30), want: 0, ..plan(40) });
    assert_eq!((stored.ceiling, leader.remainder()), (connections(30), Some(20)));
}
