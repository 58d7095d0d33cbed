use super::*;

#[test]
fn nothing_is_written_where_nothing_changed() {
    let keys = keyring();
    let (_, mut leader, _) = fleet(10, &[6, 4], &keys);
    assert_eq!(leader.write(&plan(10)), None);
}

#[test]
fn a_higher_total_is_used_after_the_write_and_a_lower_one_is_felt_before_it() {
    let keys = keyring();
    let mut stored = Ledger::found(spec(10), &[], false);
    let mut leader = claim(&mut stored, 1);
    let mut pod = Pod::new("pod");
    fence(&mut leader, &mut pod, &keys);
    let raised = leader.write(&plan(10)).unwrap();
    assert_eq!((raised.total, leader.room()), (10, 0));
    leader.written();
    assert_eq!(leader.room(), 10);
    let lowered = leader.write(&Plan { want: 0, lower: true, ..plan(10) }).unwrap();
    assert_eq!((lowered.total, leader.room()), (0, 0));
}

#[test]
fn a_write_of_unknown_outcome_is_settled_by_a_later_write_and_never_by_a_read() {
    let keys = keyring();
    let (mut stored, mut leader, mut pods) = fleet(10, &[2], &keys);
    let lowered = leader.write(&Plan { want: 2, lower: true, ..plan(10) }).unwrap();
    leader.unknown();
    assert_eq!((lowered.total, leader.room()), (2, 0));
    assert_eq!(give(&mut leader, &mut pods[0], 9, &keys), connections(2));
    let again = leader.write(&plan(10)).unwrap();
    assert!(again.writes > lowered.writes, "or the API server would keep the resourceVersion");
    assert_eq!(leader.room(), 0);
    leader.written();
    stored.clone_from(&again);
    assert_eq!((stored.total, leader.room()), (10, 8));
}

#[test]
fn an_end_whose_write_is_unknown_is_not_used_and_is_written_again() {
    let keys = keyring();
    let (_, mut leader, mut pods) = fleet(10, &[6, 4], &keys);
    leader.died(&pods[0].uid);
    leader.ended(&pods[0].uid);
    assert_eq!(leader.write(&plan(10)).unwrap().names.len(), 1);
    leader.unknown();
    assert_eq!(give(&mut leader, &mut pods[1], 10, &keys), connections(4));
    assert_eq!(leader.write(&plan(10)).unwrap().names.len(), 1);
    leader.written();
    assert_eq!(give(&mut leader, &mut pods[1], 10, &keys), connections(10));
}

#[test]
fn an_older_spec_never_sets_the_budget() {
    let keys = keyring();
    let (mut stored, mut leader, _) = fleet(10, &[1], &keys);
    let newer = Plan { spec: Spec { generation: 5, ..spec(20) }, ..plan(20) };
    write(&mut leader, &mut stored, &newer);
    assert_eq!(stored.effective(), Some(20));
    write(&mut leader, &mut stored, &Plan { spec: Spec { generation: 4, ..spec(90) }, ..plan(90) });
    assert_eq!(stored.effective(), Some(20));
    let anew = Spec { pool: "another".to_owned(), ..spec(30) };
    write(&mut leader, &mut stored, &Plan { spec: anew, ..plan(30) });
    assert_eq!(stored.effective(), Some(30));
}
