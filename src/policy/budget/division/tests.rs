mod fleets;
mod properties;
mod random;
mod rounds;
mod tickets;

use std::time::Duration;

use super::{Demand, Fleet, Pod, Share, divide};
use crate::policy::budget::Connections;

const NOW: Duration = Duration::from_secs(1000);

fn pod(limit: u32, floor: u32, outstanding: u32) -> Pod {
    Pod {
        limit: Connections::at_most(limit),
        floor: Connections::at_most(floor),
        outstanding: Connections::at_most(outstanding),
        charge: Connections::at_most(outstanding),
        reachable: true,
        ..Pod::default()
    }
}

fn wants(active: u32, waiting: u32, milliseconds: u64) -> Demand {
    Demand { active, waiting, waited: Duration::from_millis(milliseconds) }
}

fn fleet(budget: u32, held: u32, pods: &[Pod]) -> Fleet<'_> {
    Fleet { budget: Connections::at_most(budget), held: Connections::at_most(held), pods }
}

fn targets(shares: &[Share]) -> Vec<u32> {
    shares.iter().map(|share| share.target.get()).collect()
}

/// A leader with a ledger that grants nothing before it is free, and pods that confirm each decrease within a round.
struct Rounds {
    budget: u32,
    pods: Vec<Pod>,
    now: Duration,
}

impl Rounds {
    fn new(budget: u32, pods: Vec<Pod>) -> Self {
        Self { budget, pods, now: NOW }
    }

    /// One round; true where a target differs from what is granted.
    fn round(&mut self, after: Duration) -> bool {
        self.now += after;
        let shares = divide(&fleet(self.budget, 0, &self.pods), self.now);
        let mut free = fleet(self.budget, 0, &self.pods).free();
        free = free.saturating_sub(self.pods.iter().filter(|pod| pod.reachable).map(|pod| pod.outstanding.get()).sum());
        let mut changed = false;
        for (pod, Share { target, memory }) in self.pods.iter_mut().zip(shares) {
            pod.memory = memory;
            changed |= target != pod.outstanding;
            let grown = target.get().saturating_sub(pod.outstanding.get()).min(free);
            free -= grown;
            pod.outstanding = Connections::at_most(target.get().min(pod.outstanding.get() + grown));
            pod.charge = pod.outstanding;
        }
        changed
    }

    fn seconds(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.round(Duration::from_secs(1));
        }
    }

    fn grants(&self) -> Vec<u32> {
        self.pods.iter().map(|pod| pod.outstanding.get()).collect()
    }
}
