//! A leader's round: hello, discovery, division, write, orders that shrink, then those that grow, the judge's look.

use std::collections::BTreeSet;
use std::time::Duration;

use weir::policy::budget::Connections;
use weir::policy::budget::exchange::{Answer, Sent};
use weir::policy::budget::grants::{Grants, Plan};
use weir::policy::budget::judge::{Claims, Judge, Seen};
use weir::policy::budget::leader::{self, Member, Wish};
use weir::policy::budget::ledger::Name;

use super::pod::{Life, Pod};
use super::server::AUTHENTICATION_TIMEOUT;
use super::world::{Outcome, World};
use crate::pod::{key, settings, uid};

pub struct Leader {
    pub leader: leader::Leader,
    judge: Judge,
    cleared: BTreeSet<usize>,
    /// The resourceVersion that its next write is good for.
    pub at: u64,
    /// Who answered the last message.
    pub reached: BTreeSet<usize>,
}

impl Leader {
    pub fn new(grants: Grants, at: u64) -> Self {
        Self {
            leader: leader::Leader::new(grants),
            judge: Judge::default(),
            cleared: BTreeSet::new(),
            at,
            reached: BTreeSet::new(),
        }
    }

    pub const fn grants(&self) -> &Grants {
        self.leader.grants()
    }

    pub fn target(&self, pod: usize) -> Option<u32> {
        Some(self.leader.targets().get(&uid(pod))?.get())
    }

    /// Whether it still leads afterwards.
    pub fn round(&mut self, world: &mut World) -> bool {
        if !self.greet(world) {
            return false;
        }
        self.bury(world);
        for pod in self.unfenced(world) {
            let sent = self.leader.grants_mut().discovery(&uid(pod), key());
            self.deliver(world, pod, sent);
        }
        let plan = self.divide(world);
        if !self.write(world, &plan) {
            return false;
        }
        self.order(world);
        self.look(world);
        true
    }

    fn greet(&mut self, world: &mut World) -> bool {
        for pod in 0..world.pods.len() {
            if world.is_cut_off(pod) {
                continue;
            }
            let nonce = world.nonce();
            let now = world.now();
            if let Some(hello) = world.pods[pod].hello(now, nonce)
                && self.leader.grants_mut().hello(&hello).is_err()
            {
                return false;
            }
        }
        self.reached.clear();
        let listed = world.pods.iter().filter(|pod| pod.lives()).map(|pod| (uid(pod.index), Name::default()));
        self.leader.grants_mut().listed(listed.collect::<Vec<_>>());
        true
    }

    fn bury(&mut self, world: &World) {
        for pod in &world.pods {
            let known = match pod.life {
                Life::Lives => false,
                Life::Ended => true,
                Life::Vanished(proof) => world.round >= proof,
            };
            let counts = self.grants().standing(&uid(pod.index)).is_some_and(|standing| standing.named);
            if known && counts && !self.cleared.contains(&pod.index) {
                self.leader.grants_mut().died(&uid(pod.index));
                let upstream = world.connected_last.get(&pod.index).copied();
                self.judge.died(uid(pod.index), world.now(), 0, upstream, &[]);
            }
        }
    }

    fn unfenced(&self, world: &World) -> Vec<usize> {
        let asks = |pod: &usize| {
            self.grants().standing(&uid(*pod)).is_some_and(|standing| standing.held.is_none() && standing.speaks)
        };
        (0..world.pods.len()).filter(asks).collect()
    }

    fn divide(&mut self, world: &World) -> Plan {
        let member = |pod: &Pod| Member {
            limit: Connections::at_most(world.limit),
            floor: Connections::at_most(1),
            age: Duration::from_secs(1000 - u64::try_from(pod.index).unwrap_or(0)),
            reachable: pod.lives() && !world.is_cut_off(pod.index) && pod.process.is_some(),
        };
        let members = world.pods.iter().map(|pod| (uid(pod.index), member(pod))).collect();
        let wish = Wish { spec: &world.spec, members: &members, seek: self.judge.is_asked() };
        self.leader.divide(&wish, world.now())
    }

    fn write(&mut self, world: &mut World, plan: &Plan) -> bool {
        let Some(ledger) = self.leader.grants_mut().write(plan) else { return true };
        match world.write(&ledger, self.at) {
            Outcome::Written => {
                self.leader.grants_mut().written();
                self.at += 1;
            }
            Outcome::Unknown => {
                self.leader.grants_mut().unknown();
                // It reads the resourceVersion before it writes again; where another leads, that write is refused.
            }
            Outcome::Refused => return false,
        }
        true
    }

    fn order(&mut self, world: &mut World) {
        for ordered in self.leader.orders() {
            let Some(pod) = (0..world.pods.len()).find(|pod| uid(*pod) == ordered) else { continue };
            let sent = self.leader.order(&ordered, settings(world.limit), key());
            self.deliver(world, pod, sent);
        }
    }

    fn deliver(&mut self, world: &mut World, pod: usize, sent: Option<Sent>) {
        let Some(sent) = sent else { return };
        if let Some(answer) = world.deliver(pod, sent) {
            self.hear(pod, &answer);
        }
    }

    pub fn hear(&mut self, pod: usize, answer: &Answer) {
        if self.leader.answered(&uid(pod), answer).is_ok() {
            self.reached.insert(pod);
        }
    }

    fn look(&mut self, world: &World) {
        if !self.judge.is_asked() || !world.pods.iter().any(|pod| pod.lives() && pod.open() > 0) {
            return;
        }
        let rows = world.server.backends();
        let seen = Seen {
            asked: world.now(),
            answered: world.now(),
            upstream: world.server.upstream(),
            authentication_timeout: AUTHENTICATION_TIMEOUT,
            invisible: 0,
            cut: false,
            rows: &rows,
        };
        let living = world.pods.iter().filter(|pod| pod.lives());
        let charged: BTreeSet<_> = living
            .clone()
            .filter_map(|pod| pod.process.as_ref())
            .flat_map(|process| process.account.charges().attempts())
            .collect();
        let complete = living.clone().all(|pod| pod.process.is_some() && self.reached.contains(&pod.index));
        let claims = Claims {
            complete,
            upstreams: living.filter(|pod| pod.open() > 0).map(|_| world.server.upstream()).collect(),
            backends: world.server.of(&charged).collect(),
        };
        for cleared in self.judge.judge(&seen, &claims).cleared {
            self.leader.grants_mut().ended(&cleared);
            self.cleared.extend((0..world.pods.len()).filter(|pod| uid(*pod) == cleared));
        }
    }
}
