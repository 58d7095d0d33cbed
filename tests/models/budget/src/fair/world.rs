//! A fleet with its server, its ledger and its leaders, and what can go wrong.

use std::collections::{BTreeMap, BTreeSet};
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

    /// Which of the states that nothing leaves but a person this is, if any.
    pub fn known_freeze(&self) -> Option<&'static str> {
        let leader = self.leader.as_ref()?;
        let (ledger, _) = self.stored.as_ref()?;
        let nobody_sees = self.pods.iter().filter(|pod| pod.lives()).all(|pod| pod.open() == 0);
        let used = leader.grants().held() + leader.grants().remainder()?;
        (nobody_sees && used >= ledger.effective()?)
            .then_some("all that is promised is lost or the dead's, and nobody has a connection to look with")
    }

    /// All figures, for a trace.
    pub fn figures(&self) -> String {
        let pod = |pod: &Pod| {
            let (charge, open, max) = (pod.charge(), pod.open(), pod.max());
            format!("{}{:?} {max}/{charge}/{open}/p{}/w{}", pod.index, pod.life, pod.pins, pod.wants)
        };
        let pods: Vec<String> = self.pods.iter().map(pod).collect();
        let ledger = self.stored.as_ref().map(|(ledger, _)| (ledger.total, ledger.spec.budget.get(), ledger.doubt));
        let leads = self.leader.as_ref().map(|leader| {
            let grants = leader.grants();
            (grants.held(), grants.remainder(), grants.room(), leader.leader.looker(), leader.leader.targets())
        });
        format!("T, B, doubt {ledger:?}; held, R, room, looker, targets {leads:?}; max/charge/open {}", pods.join(", "))
    }

    /// Whether each living pod could have a connection that serves, by what the dead, the lost and the pinned leave.
    fn is_enough(&self) -> bool {
        let Some(leader) = &self.leader else { return false };
        let grants = leader.grants();
        let living: u64 =
            self.pods.iter().filter(|pod| pod.lives()).map(|pod| u64::from(pod.lost().max(pod.pins))).sum();
        let dead = |pod: &&Pod| !pod.lives();
        let held = |pod: &Pod| grants.standing(&uid(pod.index)).and_then(|standing| standing.held);
        let dead: u64 = self.pods.iter().filter(dead).filter_map(held).map(|held| u64::from(held.get())).sum();
        let reserved = u64::from(self.spec.budget.reserved().get());
        let used = grants.remainder().unwrap_or(u64::MAX / 2) + living + dead + reserved;
        used + self.living() as u64 <= self.spec.budget.get().into()
    }

    /// Who wants a connection, could have one, and has none.
    pub fn unserved(&self) -> Option<usize> {
        let waits = |pod: &&Pod| pod.lives() && pod.wants > 0 && pod.open() == 0;
        self.pods.iter().filter(|_| self.is_enough()).find(waits).map(|pod| pod.index)
    }

    /// Whether everybody has what division says, and the ledger what is needed; else why not.
    pub fn unsettled(&self) -> Option<String> {
        let Some(leader) = &self.leader else { return Some("nobody leads".to_owned()) };
        let Some((ledger, _)) = &self.stored else { return Some("no ledger".to_owned()) };
        if ledger.doubt {
            return Some("doubt".to_owned());
        }
        let living: BTreeSet<_> = self.pods.iter().filter(|pod| pod.lives()).map(|pod| uid(pod.index)).collect();
        if let Some(dead) = ledger.names.keys().find(|name| !living.contains(*name)) {
            return Some(format!("{dead:?} is dead and named"));
        }
        let budget = self.spec.budget;
        let pinned = self.pods.iter().any(|pod| pod.lives() && pod.charge() > pod.max());
        if ledger.effective() != Some(budget.get().into()) && !pinned {
            return Some(format!("effective {:?} of {budget}", ledger.effective()));
        }
        let reserved = u64::from(budget.reserved().get());
        let room = leader.grants().room().saturating_sub(reserved);
        let enough = self.living() as u64 + reserved <= u64::from(budget.get());
        let lives = || self.pods.iter().filter(|pod| pod.lives());
        let wanted: u64 = lives().map(|pod| u64::from(pod.wants.min(self.limit))).sum();
        let scarce = wanted + reserved >= u64::from(budget.get());
        for pod in lives() {
            let target = leader.target(pod.index);
            // Where clients want more than there is, who waits gets one more after a while, and another one less.
            let swaps = scarce && target.is_some_and(|target| target.abs_diff(pod.max()) <= 1);
            let excused = (pinned && room == 0) || !enough || swaps;
            if target != Some(pod.max()) && !excused {
                return Some(format!("{} has {} of {target:?}, room {room}", pod.index, pod.max()));
            }
            if pod.charge() < pod.wants.min(pod.max()) || (pod.open() < pod.charge() && pod.max() > 0) {
                return Some(format!(
                    "{} can't use {}: {} open, {} charged",
                    pod.index,
                    pod.max(),
                    pod.open(),
                    pod.charge()
                ));
            }
            let turns = self.living() as u64 * super::TURN_ROUNDS;
            if !pinned && self.round.saturating_sub(pod.served) > turns {
                return Some(format!("{} starves since {}", pod.index, pod.served));
            }
        }
        let grants: u32 = lives().map(Pod::max).sum();
        let limits: u32 = lives().map(|_| self.limit).sum();
        let given = (budget.get() - budget.reserved().get()).min(limits);
        if enough && !pinned && given.abs_diff(grants) > u32::from(scarce) {
            return Some(format!("{grants} are granted of {budget}"));
        }
        None
    }
}
