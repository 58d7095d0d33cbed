//! A fleet with its server, its ledger and its leaders, and what can go wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use weir::policy::budget::Connections;
use weir::policy::budget::exchange::{Answer, Sent, Upstream};
use weir::policy::budget::grants::Grants;
use weir::policy::budget::ledger::{Existing, Ledger, Name, Spec};

use super::leader::Leader;
use super::pod::{Life, Pod};
use super::random::Random;
use super::server::Server;
use crate::pod::{pool, uid};

pub const PODS_MAX: usize = 16;

pub enum Outcome {
    Written,
    Unknown,
    Refused,
}

pub struct World {
    pub round: u64,
    pub random: Random,
    pub faulty: bool,
    pub spec: Spec,
    pub limit: u32,
    pub server: Server,
    pub pods: Vec<Pod>,
    pub stored: Option<(Ledger, u64)>,
    /// The pool is known to have had a ledger.
    pub lost: bool,
    /// Writes and messages that are still on their way.
    late_writes: Vec<(Ledger, u64)>,
    late: Vec<(usize, Sent)>,
    pub leader: Option<Leader>,
    pub stale: Option<Leader>,
    /// What each pod was connected to when it was heard last.
    pub connected_last: BTreeMap<usize, Upstream>,
    claims: u64,
    nonces: u64,
    /// Why the run is wrong.
    pub wrong: Option<String>,
    pub trace: Vec<String>,
}

impl World {
    pub fn new(seed: u64, pods: usize, budget: u32, budgeted: bool) -> Self {
        let mut random = Random::new(seed);
        let limit = 1 + random.below(12);
        let pods = (0..pods).map(|pod| Pod::new(pod, budgeted, limit, random.below(10))).collect();
        let mut world = Self {
            round: 0,
            random,
            faulty: false,
            spec: Spec { pool: "uid".to_owned(), generation: 1, budget: Connections::at_most(budget) },
            limit,
            server: Server::new(),
            pods,
            stored: None,
            lost: false,
            late_writes: Vec::new(),
            late: Vec::new(),
            leader: None,
            stale: None,
            connected_last: BTreeMap::new(),
            claims: 0,
            nonces: 0,
            wrong: None,
            trace: Vec::new(),
        };
        world.start_all();
        world
    }

    pub fn start_all(&mut self) {
        let now = self.now();
        self.pods.iter_mut().for_each(|pod| pod.start(now));
    }

    pub const fn now(&self) -> Duration {
        Duration::from_secs(self.round)
    }

    pub const fn nonce(&mut self) -> u64 {
        self.nonces += 1;
        self.nonces
    }

    pub fn note(&mut self, what: impl Into<String>) {
        self.trace.push(format!("{}: {}", self.round, what.into()));
    }

    pub fn is_cut_off(&self, pod: usize) -> bool {
        self.pods[pod].cut_off
    }

    /// The invariant.
    pub fn check(&mut self) {
        // In doubt the ledger does not know what there is.
        let known = self.stored.as_ref().filter(|(ledger, _)| !ledger.doubt);
        let effective = known.and_then(|(ledger, _)| ledger.effective());
        let backends = self.server.rows.len() as u64;
        if effective.is_some_and(|effective| backends > effective) && self.wrong.is_none() {
            self.wrong = Some(format!("round {}: {backends} backends, effective budget {effective:?}", self.round));
        }
    }

    /// Compare and swap, of an outcome that its sender may not learn.
    pub fn write(&mut self, ledger: &Ledger, at: u64) -> Outcome {
        if self.faulty && self.random.chance(15) {
            if self.random.chance(50) {
                self.late_writes.push((ledger.clone(), at));
            } else if self.random.chance(50) {
                self.put(ledger, at);
            }
            self.note("a write of unknown outcome");
            return Outcome::Unknown;
        }
        if self.put(ledger, at) { Outcome::Written } else { Outcome::Refused }
    }

    fn put(&mut self, ledger: &Ledger, at: u64) -> bool {
        let there = self.stored.as_ref().map_or(0, |(_, version)| *version) == at;
        if there {
            self.stored = Some((ledger.clone(), at + 1));
            self.lost = true;
            self.check();
        }
        there
    }

    /// A message to a pod, and its answer, unless one is lost.
    pub fn deliver(&mut self, pod: usize, sent: Sent) -> Option<Answer> {
        if self.is_cut_off(pod) {
            return None;
        }
        if self.faulty && self.random.chance(15) {
            if self.random.chance(50) {
                self.late.push((pod, sent));
            }
            return None;
        }
        let now = self.now();
        let answer = self.pods[pod].take(now, &sent)?;
        self.connected_last.insert(pod, self.server.upstream());
        (!self.faulty || !self.random.chance(15)).then_some(answer)
    }

    fn claim(&mut self) {
        let (ledger, at) = match &self.stored {
            Some((ledger, at)) => (ledger.clone(), *at),
            None => (Ledger::found(self.spec.clone(), &self.existing(), self.lost), 0),
        };
        self.claims += 1;
        let before = ledger.claim.map(|claim| claim.epoch);
        let claimed = ledger.claimed(self.claims, self.round + 1);
        if let Outcome::Written = self.write(&claimed, at) {
            self.leader =
                Grants::claimed(pool(), claimed, before, self.claims).map(|grants| Leader::new(grants, at + 1));
        }
    }

    fn existing(&self) -> Vec<Existing> {
        let existing = |pod: &Pod| Existing {
            pod: uid(pod.index),
            name: Name::default(),
            unasked: (!pod.budgeted).then_some(Connections::at_most(pod.limit)),
        };
        self.pods.iter().filter(|pod| pod.lives()).map(existing).collect()
    }

    /// One second.
    pub fn step(&mut self) {
        self.round += 1;
        self.arrive();
        self.leaders_act();
        let now = self.now();
        for pod in 0..self.pods.len() {
            self.pods[pod].shrink(&mut self.server);
            loop {
                let half = self.faulty && self.random.chance(3);
                if !self.pods[pod].connect(&mut self.server, now, half) {
                    break;
                }
                self.check();
            }
            let server = &self.server;
            self.pods[pod].look(server, now);
            if self.pods[pod].charge() == 0 || self.pods[pod].max() > 0 {
                self.pods[pod].look(server, now);
            }
        }
        let ends: Vec<i32> = self.server.rows.iter().filter(|(_, row)| row.orphan).map(|(pid, _)| *pid).collect();
        for pid in ends {
            if self.random.chance(20) {
                self.server.rows.remove(&pid);
            }
        }
        for pod in &mut self.pods {
            if pod.max() > 0 || pod.wants == 0 {
                pod.served = self.round;
            }
        }
        self.check();
    }

    fn arrive(&mut self) {
        for (ledger, at) in std::mem::take(&mut self.late_writes) {
            if self.faulty && self.random.chance(60) {
                self.late_writes.push((ledger, at));
            } else {
                self.put(&ledger, at);
            }
        }
        let now = self.now();
        for (pod, sent) in std::mem::take(&mut self.late) {
            if self.faulty && self.random.chance(60) {
                self.late.push((pod, sent));
            } else if let Some(answer) = self.pods[pod].take(now, &sent)
                && let Some(leader) = &mut self.leader
            {
                leader.hear(pod, &answer);
            }
        }
        self.check();
    }

    fn leaders_act(&mut self) {
        if let Some(mut stale) = self.stale.take()
            && stale.round(self)
        {
            self.stale = Some(stale);
        }
        if self.leader.is_none() && (!self.faulty || self.random.chance(30)) {
            self.claim();
        }
        if let Some(mut leader) = self.leader.take() {
            // What it reads before a write: the resourceVersion, as long as the claim is its own.
            let ours = self
                .stored
                .as_ref()
                .filter(|(ledger, _)| ledger.claim.is_some_and(|claim| claim.epoch == leader.grants().epoch()));
            leader.at = ours.map_or(leader.at, |(_, at)| *at);
            if leader.round(self) {
                self.leader = Some(leader);
            }
        }
    }

    /// The faults of one round.
    pub fn trouble(&mut self, percent: u32) {
        let now = self.now();
        let blind = self.spec.budget.get() < 2;
        for pod in 0..self.pods.len() {
            if !blind && self.random.chance(percent) {
                self.note(format!("kill {pod}"));
                self.pods[pod].kill(&mut self.server);
            } else if self.random.chance(60) {
                self.pods[pod].start(now);
            }
            if !blind && self.random.chance(percent) {
                self.note(format!("lose {pod}"));
                self.pods[pod].lose(&mut self.server, now);
            }
            if self.random.chance(percent) {
                self.pods[pod].cut_off = !self.pods[pod].cut_off;
                self.note(format!("cut {pod} {}", self.pods[pod].cut_off));
            }
            if self.random.chance(percent) {
                self.pods[pod].wants = self.random.below(10);
            }
            if self.random.chance(percent / 2) {
                self.pods[pod].pins = self.random.below(self.pods[pod].open() + 1);
                self.note(format!("pin {pod} {}", self.pods[pod].pins));
            }
            if !blind && self.random.chance(percent / 3) && self.living() > 1 {
                self.die(pod);
            }
        }
        if self.random.chance(percent / 2) && self.pods.len() < PODS_MAX {
            let index = self.pods.len();
            self.pods.push(Pod::new(index, true, self.limit, self.random.below(10)));
            self.start_all();
            self.note(format!("new {index}"));
        }
        if self.random.chance(percent) {
            self.note("the leader stops");
            let leader = self.leader.take();
            if self.random.chance(50) {
                self.stale = leader;
            }
        }
        if self.stale.is_some() && self.random.chance(20) {
            self.stale = None;
        }
        if !blind && self.random.chance(percent) {
            self.spec.budget = Connections::at_most(2 + self.random.below(3 * 12));
            self.spec.generation += 1;
            self.note(format!("budget {}", self.spec.budget));
        }
        if !blind && self.random.chance(percent / 3) {
            let seen = self.random.chance(50);
            self.crash(seen);
        }
        self.check();
    }

    pub fn crash(&mut self, seen: bool) {
        self.note(format!("PostgreSQL crashes, EOF {seen}"));
        let now = self.now();
        self.server.crash();
        self.pods.iter_mut().for_each(|pod| pod.server_crashed(seen, now));
    }

    pub fn fail_over(&mut self, moves: bool, later: bool) {
        self.note(format!("PostgreSQL fails over, to another address {moves}, to a later start {later}"));
        let now = self.now();
        self.server.fail_over(moves, later);
        self.pods.iter_mut().for_each(|pod| pod.server_crashed(false, now));
    }

    pub fn living(&self) -> usize {
        self.pods.iter().filter(|pod| pod.lives()).count()
    }

    /// A pod ends for good: by the kubelet's word at once, or without a word and with proof only later.
    pub fn die(&mut self, pod: usize) {
        if self.pods[pod].lives() {
            let vanishes = self.random.chance(50);
            let proof = self.round + u64::from(self.random.below(20));
            self.note(format!("die {pod}, proof at {}", if vanishes { proof } else { self.round }));
            self.pods[pod].kill(&mut self.server);
            self.pods[pod].life = if vanishes { Life::Vanished(proof) } else { Life::Ended };
        }
    }

    /// Faults end.
    pub fn calm(&mut self) {
        self.note("calm");
        self.faulty = false;
        self.stale = None;
        for pod in &mut self.pods {
            pod.cut_off = false;
            pod.served = self.round;
        }
        self.start_all();
    }
}
