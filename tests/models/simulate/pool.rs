//! A pool in virtual time: instances that do as they are told, and a ledger that grants what is free.

use std::time::Duration;

use weir::policy::budget::Connections;
use weir::policy::budget::division::{Demand, Fleet, Pod, Share, divide};

/// Rounds after which a fleet that still moves counts as restless.
const PATIENCE: u32 = 200;

pub struct Pool {
    pub budget: u32,
    pub pods: Vec<Pod>,
    /// The loads around which [`Pool::shake`] moves.
    loads: Vec<u32>,
    now: Duration,
}

/// An instance of which nobody wants anything.
pub fn idle(limit: u32, floor: u32) -> Pod {
    Pod { limit: Connections::at_most(limit), floor: Connections::at_most(floor), reachable: true, ..Pod::default() }
}

impl Pool {
    pub fn new(budget: u32, pods: Vec<Pod>) -> Self {
        Self { budget, loads: vec![0; pods.len()], pods, now: Duration::from_secs(1000) }
    }

    fn fleet(&self) -> Fleet<'_> {
        Fleet { budget: Connections::at_most(self.budget), held: Connections::at_most(0), pods: &self.pods }
    }

    pub fn divide(&self) -> Vec<Share> {
        divide(&self.fleet(), self.now)
    }

    /// One virtual second. The answer is the number of statements that change a grant.
    pub fn round(&mut self) -> u32 {
        self.now += Duration::from_secs(1);
        let outstanding = self.pods.iter().map(|pod| pod.outstanding.get()).sum();
        let mut free = self.fleet().free().saturating_sub(outstanding);
        let mut statements = 0;
        let shares = self.divide();
        for (pod, Share { target, memory }) in self.pods.iter_mut().zip(shares) {
            let grown = target.get().saturating_sub(pod.outstanding.get()).min(free);
            free -= grown;
            let granted = Connections::at_most(target.get().min(pod.outstanding.get() + grown));
            statements += u32::from(granted != pod.outstanding);
            (pod.memory, pod.outstanding, pod.charge) = (memory, granted, granted);
        }
        statements
    }

    /// Rounds until the last statement, and statements in all.
    pub fn settle(&mut self) -> (u32, u32) {
        let (mut last, mut all) = (0, 0);
        for round in 1..=PATIENCE {
            let statements = self.round();
            if statements > 0 {
                (last, all) = (round, all + statements);
            }
        }
        assert!(last < PATIENCE - 15, "a steady load comes to rest");
        (last, all)
    }

    /// Gives everybody a load below `most`, and half of them none.
    pub fn vary(&mut self, random: &mut Random, most: u32) {
        for (pod, load) in self.pods.iter_mut().zip(&mut self.loads) {
            *load = if random.below(2) == 0 { 0 } else { random.below(most) };
            pod.demand = Demand { active: *load, ..Demand::default() };
        }
    }

    /// Lowers every load by up to one part in `part` of itself.
    pub fn shake(&mut self, random: &mut Random, part: u32) {
        for (pod, load) in self.pods.iter_mut().zip(&self.loads) {
            pod.demand.active = load - random.below(load / part + 1);
        }
    }
}

/// splitmix64: the same figures on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) % u64::from(end.max(1))).expect("it is below a u32")
    }
}
