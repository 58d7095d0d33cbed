//! Rounds of a leader and pods that use all that they are granted.

use super::*;
use crate::policy::budget::exchange::tests::connections;
use crate::policy::budget::grants::tests::{Keyring, Pod, claim, fence, keyring, settings, spec};
use crate::policy::budget::ledger::{Existing, Ledger};

struct Fleet {
    keys: Keyring,
    stored: Ledger,
    leader: Leader,
    pods: Vec<Pod>,
    now: u64,
    budget: u32,
    seek: bool,
}

impl Fleet {
    fn new(budget: u32, count: usize) -> Self {
        let keys = keyring();
        let mut stored = Ledger::found(spec(budget), &[] as &[Existing], false);
        let leader = Leader::new(claim(&mut stored, 1));
        let pods = (0..count).map(|pod| Pod::new(&format!("pod-{pod}"))).collect();
        let mut fleet = Self { keys, stored, leader, pods, now: 0, budget, seek: false };
        fleet.lead();
        (0..10).for_each(|_| fleet.round());
        fleet
    }

    /// Every pod says hello and is fenced.
    fn lead(&mut self) {
        for pod in &mut self.pods {
            fence(self.leader.grants_mut(), pod, &self.keys);
            let ask = self.leader.grants_mut().discovery(&pod.uid, &self.keys.own).unwrap();
            let answer = pod.take(&ask, &self.keys).unwrap();
            self.leader.answered(&pod.uid, &answer).unwrap();
        }
    }

    /// A second.
    fn round(&mut self) {
        self.now += 1;
        let member = Member { limit: connections(8), floor: connections(1), age: Duration::ZERO, reachable: true };
        let members = self.pods.iter().map(|pod| (pod.uid.clone(), member)).collect();
        let spec = spec(self.budget);
        let wish = Wish { spec: &spec, members: &members, seek: self.seek };
        let plan = self.leader.divide(&wish, Duration::from_secs(self.now));
        if let Some(next) = self.leader.grants_mut().write(&plan) {
            self.stored = next;
            self.leader.grants_mut().written();
        }
        assert!(self.stored.total <= u64::from(self.budget));
        for uid in self.leader.orders() {
            let sent = self.leader.order(&uid, settings(), &self.keys.own).unwrap();
            let pod = self.pods.iter_mut().find(|pod| pod.uid == uid).unwrap();
            let answer = pod.take(&sent, &self.keys).unwrap();
            self.leader.answered(&uid, &answer).unwrap();
            pod.charge = pod.grant.unwrap().get().max(pod.lost);
        }
    }

    fn rounds(&mut self, count: u32) {
        (0..count).for_each(|_| self.round());
    }

    fn charges(&self) -> Vec<u32> {
        self.pods.iter().map(|pod| pod.charge).collect()
    }

    fn lose_all(&mut self, pod: usize) {
        let pod = self.pods.get_mut(pod).unwrap();
        pod.lost = pod.charge;
    }
}

#[test]
fn one_connection_of_a_budget_is_in_no_total_while_nobody_looks() {
    let fleet = Fleet::new(10, 3);
    assert_eq!((fleet.charges(), fleet.stored.total, fleet.leader.looker()), (vec![3, 3, 3], 9, None));
}

#[test]
fn one_that_has_lost_everything_has_one_more_to_look_with_until_it_has_looked() {
    let mut fleet = Fleet::new(10, 3);
    fleet.lose_all(1);
    fleet.rounds(2);
    assert_eq!(fleet.leader.looker(), Some(&fleet.pods[1].uid));
    assert_eq!((fleet.charges()[1], fleet.stored.total), (4, 10));
    fleet.pods[1].lost = 0;
    fleet.rounds(10);
    assert_eq!((fleet.charges(), fleet.stored.total, fleet.leader.looker()), (vec![3, 3, 3], 9, None));
}

#[test]
fn what_a_pod_has_lost_is_beside_its_share() {
    let mut fleet = Fleet::new(13, 3);
    assert_eq!(fleet.charges(), [4, 4, 4]);
    fleet.pods[0].lost = 3;
    fleet.rounds(10);
    // Nine serve somebody, three each.
    assert_eq!(fleet.charges(), [6, 3, 3]);
}

#[test]
fn several_that_have_lost_everything_look_in_turns() {
    let mut fleet = Fleet::new(10, 3);
    (0..3).for_each(|pod| fleet.lose_all(pod));
    fleet.round();
    let mut turns = vec![];
    for _ in 0..40 {
        // None gets anything by its look.
        fleet.round();
        let looker = fleet.leader.looker().unwrap().clone();
        if turns.last() != Some(&looker) {
            turns.push(looker);
        }
        assert!(fleet.charges().iter().sum::<u32>() <= 10);
    }
    let uid = |pod: usize| fleet.pods[pod].uid.clone();
    assert_eq!(turns, [uid(0), uid(1), uid(2), uid(0)]);
}

#[test]
fn where_the_dead_are_looked_for_and_nobody_has_a_connection_one_is_given() {
    let mut fleet = Fleet::new(10, 2);
    for pod in &mut fleet.pods {
        (pod.charge, pod.grant) = (0, Some(Connections::NONE));
    }
    let mut stored = fleet.stored.clone();
    stored.names.insert(PodUid::new("dead").unwrap(), crate::policy::budget::ledger::Name::default());
    stored.total = 9;
    fleet.leader = Leader::new(claim(&mut stored, 2));
    fleet.stored = stored;
    fleet.lead();
    fleet.rounds(2);
    assert_eq!((fleet.leader.looker(), fleet.charges()), (None, vec![0, 0]), "the dead may have all of it");
    fleet.seek = true;
    fleet.rounds(2);
    assert_eq!((fleet.charges(), fleet.leader.looker()), (vec![1, 0], Some(&fleet.pods[0].uid)));
}

#[test]
fn the_total_is_lowered_now_and_then() {
    let mut fleet = Fleet::new(30, 3);
    let before = fleet.stored.total;
    assert_eq!(before, 24, "three times the limit");
    fleet.pods.pop();
    let gone = PodUid::new("pod-2").unwrap();
    fleet.leader.grants_mut().ended(&gone);
    fleet.rounds(5);
    assert_eq!(fleet.stored.total, 24);
    fleet.rounds(40);
    assert_eq!(fleet.stored.total, 16);
}
