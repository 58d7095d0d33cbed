//! A leader's round: hello, discovery, division, write, orders that shrink, then those that grow, the judge's look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir::policy::budget::Connections;
use weir::policy::budget::division::{self, Demand, Fleet, Memory};
use weir::policy::budget::exchange::{Answer, Report, Said, Sent};
use weir::policy::budget::grants::{Grants, Plan};
use weir::policy::budget::judge::{Claims, Judge, Seen};
use weir::policy::budget::ledger::Name;

use super::pod::Life;
use super::server::AUTHENTICATION_TIMEOUT;
use super::world::{Outcome, World};
use crate::pod::{key, settings, uid};

/// The total is lowered once in so many rounds.
const LOWER: u64 = 3;

pub struct Leader {
    pub grants: Grants,
    judge: Judge,
    cleared: BTreeSet<usize>,
    /// The resourceVersion that its next write is good for.
    pub at: u64,
    memory: BTreeMap<usize, Memory>,
    reports: BTreeMap<usize, Report>,
    /// Who answered the last message.
    pub reached: BTreeSet<usize>,
    pub targets: BTreeMap<usize, u32>,
    /// Who has the connection that is kept for looking.
    pub looker: Option<usize>,
    /// What division had for those within reach.
    pub free: u32,
}

impl Leader {
    pub fn new(grants: Grants, at: u64) -> Self {
        Self {
            grants,
            judge: Judge::default(),
            cleared: BTreeSet::new(),
            at,
            memory: BTreeMap::new(),
            reports: BTreeMap::new(),
            reached: BTreeSet::new(),
            targets: BTreeMap::new(),
            looker: None,
            free: 0,
        }
    }

    /// Whether it still leads afterwards.
    pub fn round(&mut self, world: &mut World) -> bool {
        if !self.greet(world) {
            return false;
        }
        self.bury(world);
        for pod in self.unfenced(world) {
            let sent = self.grants.discovery(&uid(pod), key());
            self.deliver(world, pod, sent);
        }
        let want = self.divide(world);
        let plan = Plan {
            spec: world.spec.clone(),
            // One that looks may have one more than the pool's max: at its max it could look for nothing that it lost.
            ceiling: Connections::at_most(world.limit + 1),
            want,
            looks: self.looker.is_some(),
            lower: world.round.is_multiple_of(LOWER),
        };
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
                && self.grants.hello(&hello).is_err()
            {
                return false;
            }
        }
        self.reached.clear();
        let listed = world.pods.iter().filter(|pod| pod.lives()).map(|pod| (uid(pod.index), Name::default()));
        self.grants.listed(listed.collect::<Vec<_>>());
        true
    }

    fn bury(&mut self, world: &World) {
        for pod in &world.pods {
            let known = match pod.life {
                Life::Lives => false,
                Life::Ended => true,
                Life::Vanished(proof) => world.round >= proof,
            };
            let counts = self.grants.standing(&uid(pod.index)).is_some_and(|standing| standing.named);
            if known && counts && !self.cleared.contains(&pod.index) {
                self.grants.died(&uid(pod.index));
                let upstream = world.connected_last.get(&pod.index).copied();
                self.judge.died(uid(pod.index), world.now(), 0, upstream, &[]);
            }
        }
    }

    fn unfenced(&self, world: &World) -> Vec<usize> {
        let asks = |pod: &usize| {
            self.grants.standing(&uid(*pod)).is_some_and(|standing| standing.held.is_none() && standing.speaks)
        };
        (0..world.pods.len()).filter(asks).collect()
    }

    fn held(&self) -> BTreeMap<usize, u32> {
        let held = |pod: usize| Some((pod, self.grants.standing(&uid(pod))?.held?.get()));
        (0..super::world::PODS_MAX).filter_map(held).collect()
    }

    /// Sets the targets; the sum of what the fenced should have, with one for looking.
    fn divide(&mut self, world: &World) -> u64 {
        let held = self.held();
        let budget = world.spec.budget;
        let pods: Vec<(usize, division::Pod)> = held
            .iter()
            .map(|(pod, held)| {
                let of = &world.pods[*pod];
                let report = self.reports.get(pod).cloned().unwrap_or_default();
                let demand = Demand { active: report.active.get(), waiting: report.waiting, waited: report.wait };
                let shape = division::Pod {
                    limit: Connections::at_most(world.limit),
                    floor: Connections::at_most(1),
                    outstanding: Connections::at_most(*held),
                    charge: report.charge,
                    demand,
                    reachable: of.lives() && !world.is_cut_off(*pod) && of.process.is_some(),
                    age: Duration::from_secs(1000 - u64::try_from(*pod).unwrap_or(0)),
                    memory: self.memory.get(pod).copied().unwrap_or_default(),
                };
                (*pod, shape)
            })
            .collect();
        let remainder = self.grants.remainder().unwrap_or(budget.get().into());
        let shapes: Vec<division::Pod> = pods.iter().map(|(_, pod)| *pod).collect();
        let silent = Connections::at_most(u32::try_from(remainder).unwrap_or(u32::MAX));
        let fleet = Fleet { budget, held: silent, pods: &shapes };
        self.free = fleet.free();
        let shares = division::divide(&fleet, world.now());
        self.targets.clear();
        for ((pod, _), share) in pods.iter().zip(&shares) {
            self.memory.insert(*pod, share.memory);
            self.targets.insert(*pod, share.target.get());
        }
        self.looker = self.who_looks(world, &shapes, &pods);
        // The one for looking is in the total only while somebody looks: else a later leader would have to leave it to the unheard.
        let sum: u64 = self.targets.values().map(|target| u64::from(*target)).sum();
        let more = u64::from(budget.reserved().get());
        if self.looker.is_some() { sum.max(self.grants.held()) + more } else { sum }
    }

    /// One that can't look for what it has lost; or, where the dead are to be looked for and nobody has a connection, anybody.
    fn who_looks(&self, world: &World, shapes: &[division::Pod], pods: &[(usize, division::Pod)]) -> Option<usize> {
        let reached = || pods.iter().zip(shapes).filter(|(_, shape)| shape.reachable).map(|((pod, _), _)| *pod);
        let blind = |pod: &usize| {
            self.reports.get(pod).is_some_and(|report| report.charge.get() > 0 && report.unconfirmed == report.charge)
        };
        // It keeps the connection until it is done with it.
        let done = |pod: &usize| {
            self.reports.get(pod).is_none_or(|report| report.unconfirmed.get() == 0)
                && !(self.judge.is_asked() && self.seers(world).all(|seer| seer == *pod))
        };
        if let Some(looker) = self.looker.filter(|looker| reached().any(|pod| pod == *looker) && !done(looker)) {
            return Some(looker);
        }
        let seen = !self.judge.is_asked() || self.seers(world).next().is_some();
        // Oldest losses first would be as good: any order ends.
        reached().find(blind).or_else(|| if seen { None } else { reached().next() })
    }

    fn seers<'a>(&'a self, world: &'a World) -> impl Iterator<Item = usize> + 'a {
        self.reports
            .iter()
            .filter(|(pod, report)| report.open.get() > 0 && world.pods[**pod].lives())
            .map(|(pod, _)| *pod)
    }

    fn write(&mut self, world: &mut World, plan: &Plan) -> bool {
        let Some(ledger) = self.grants.write(plan) else { return true };
        match world.write(&ledger, self.at) {
            Outcome::Written => {
                self.grants.written();
                self.at += 1;
            }
            Outcome::Unknown => {
                self.grants.unknown();
                // It reads the resourceVersion before it writes again; where another leads, that write is refused.
            }
            Outcome::Refused => return false,
        }
        true
    }

    fn order(&mut self, world: &mut World) {
        let held = self.held();
        let mut grows = Vec::new();
        for (pod, target) in self.targets.clone() {
            let more = u32::from(self.looker == Some(pod) && world.spec.budget.get() >= 2);
            // What it has lost it has beside the one that it looks with.
            let lost = self.reports.get(&pod).map_or(0, |report| report.charge.get()) * more;
            let (has, want) = (held.get(&pod).copied().unwrap_or(0), target.max(lost) + more);
            if !world.pods[pod].lives() {
                continue;
            }
            if want > has {
                grows.push((pod, want, more));
            } else {
                self.order_one(world, pod, want, more);
            }
        }
        // One that looks comes first, and only it may have the last connection.
        grows.sort_by_key(|(_, _, more)| std::cmp::Reverse(*more));
        for (pod, want, more) in grows {
            let has = self.held().get(&pod).copied().unwrap_or(0);
            let unwritten = u64::from(world.spec.budget.get()).saturating_sub(self.grants.ledger().total);
            let reserved = u64::from(world.spec.budget.reserved().get());
            let kept = if more > 0 { 0 } else { reserved.saturating_sub(unwritten) };
            let room = u32::try_from(self.grants.room().saturating_sub(kept)).unwrap_or(u32::MAX);
            self.order_one(world, pod, want.min(has.saturating_add(room)), more);
        }
    }

    fn order_one(&mut self, world: &mut World, pod: usize, want: u32, more: u32) {
        let sent = self.grants.order(&uid(pod), Connections::at_most(want), settings(world.limit + more), key());
        self.deliver(world, pod, sent);
    }

    fn deliver(&mut self, world: &mut World, pod: usize, sent: Option<Sent>) {
        let Some(sent) = sent else { return };
        if let Some(answer) = world.deliver(pod, sent) {
            self.hear(pod, &answer);
        }
    }

    pub fn hear(&mut self, pod: usize, answer: &Answer) {
        if self.grants.answered(&uid(pod), answer).is_ok() {
            self.reached.insert(pod);
            if let Said::Report(report) = &answer.said {
                self.reports.insert(pod, report.clone());
            }
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
            self.grants.ended(&cleared);
            self.cleared.extend((0..world.pods.len()).filter(|pod| uid(*pod) == cleared));
        }
    }
}
