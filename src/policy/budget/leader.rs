//! A leader's round: from what pods answered to what each should have, who looks, and what is written.
//!
//! It decides nothing that the invariant rests on: [`Grants`] bounds every order. What rests on it is that nobody waits for what
//! nobody uses.
//!
//! - What a pod has *lost* (it is charged, and its socket is gone) serves nobody, and PostgreSQL carries it. So it is left to the pod and
//!   taken from what is divided, and the pod's share comes on top of it.
//! - One connection of each budget of 2 or more is granted to nobody, so that one pod can *look*: one that has lost all that it had, or
//!   anyone, where the dead are to be looked for and no pod has a connection. It is in the ledger's total only meanwhile: a later
//!   leader, which must leave the total to those that it has not heard, could not give it to anybody.
//! - The total is raised as orders need it. It is lowered at once where it leaves no room to look, else now and then: each time is a write.

mod looker;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use super::Connections;
use super::PodUid;
use super::division::{self, Demand, Fleet, Memory, divide};
use super::exchange::{Answer, Document, Report, Said, Sent, SigningKey};
use super::grants::{Grants, Heard, NotHeard, Plan};
use super::ledger::Spec;

pub use looker::LOOKS;
use looker::Looker;

/// Between two writes that lower the total for no other reason than that it is too high.
pub const LOWERED: Duration = Duration::from_secs(30);

/// One pool's leader.
#[derive(Clone, Debug)]
pub struct Leader {
    grants: Grants,
    /// What each pod said last.
    reports: BTreeMap<PodUid, Report>,
    memory: BTreeMap<PodUid, Memory>,
    targets: BTreeMap<PodUid, Connections>,
    looker: Option<Looker>,
    lowered: Duration,
}

/// What is known of a pod beside its answers.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Most that it may have open: the pool's max.
    pub limit: Connections,
    /// What it should keep open while idle: the pool's min.
    pub floor: Connections,
    /// Since its creation.
    pub age: Duration,
    /// It lives, and answered its last message.
    pub reachable: bool,
}

/// What the pool wants.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Its budget.
    pub spec: &'a Spec,
    /// Its pods. One that is not among them is out of reach.
    pub members: &'a BTreeMap<PodUid, Member>,
    /// [`super::judge::Judge::is_asked`].
    pub seek: bool,
}

impl Leader {
    /// Begins with what the claim gave it.
    pub const fn new(grants: Grants) -> Self {
        Self {
            grants,
            reports: BTreeMap::new(),
            memory: BTreeMap::new(),
            targets: BTreeMap::new(),
            looker: None,
            lowered: Duration::ZERO,
        }
    }

    /// Who has what.
    pub const fn grants(&self) -> &Grants {
        &self.grants
    }

    /// For hellos, lists, discoveries, ends, and the outcomes of writes.
    pub const fn grants_mut(&mut self) -> &mut Grants {
        &mut self.grants
    }

    /// What a pod said last.
    pub fn report(&self, uid: &PodUid) -> Option<&Report> {
        self.reports.get(uid)
    }

    /// What each pod that is fenced should have, by the last division. What it has lost is in it.
    pub const fn targets(&self) -> &BTreeMap<PodUid, Connections> {
        &self.targets
    }

    /// Who has the connection that is kept for looking.
    pub fn looker(&self) -> Option<&PodUid> {
        self.looker.as_ref().map(|looker| &looker.pod)
    }

    /// See [`Grants::answered`].
    pub fn answered(&mut self, uid: &PodUid, answer: &Answer) -> Result<Heard, NotHeard> {
        let heard = self.grants.answered(uid, answer)?;
        match &answer.said {
            Said::Report(report) => self.reports.insert(uid.clone(), report.clone()),
            Said::Final => self.reports.remove(uid),
        };
        Ok(heard)
    }

    /// Divides anew, at the time `now` of the leader's own clock. The plan is for [`Grants::write`]; then come the orders.
    pub fn divide(&mut self, wish: &Wish<'_>, now: Duration) -> Plan {
        self.choose_looker(wish, now);
        let fenced: Vec<(PodUid, Connections)> =
            self.grants.pods().filter_map(|(uid, standing)| Some((uid.clone(), standing.held?))).collect();
        let pods: Vec<Place> = fenced.iter().map(|(uid, held)| self.place(wish, uid, *held)).collect();
        let (budget, reserved) = (wish.spec.budget, wish.spec.budget.reserved());
        let lost: u64 = pods.iter().map(|pod| u64::from(pod.lost)).sum();
        let remainder = self.grants.remainder().unwrap_or_else(|| budget.get().into());
        let held = Connections::at_most(u32::try_from(remainder.saturating_add(lost)).unwrap_or(u32::MAX));
        let fleet: Vec<division::Pod> = pods.iter().map(|pod| pod.shape).collect();
        let shares = divide(&Fleet { budget, held, pods: &fleet }, now);

        self.memory.clear();
        self.targets.clear();
        let (mut want, mut largest) = (0, 0);
        for (((uid, _), pod), share) in fenced.iter().zip(&pods).zip(shares) {
            let target = share.target.get().saturating_add(pod.beside());
            want += u64::from(target);
            largest = target.max(largest);
            self.memory.insert(uid.clone(), share.memory);
            self.targets.insert(uid.clone(), Connections::at_most(target));
        }
        self.reports.retain(|uid, _| self.targets.contains_key(uid));

        let limit = wish.members.values().map(|member| member.limit.get()).max().unwrap_or(0);
        let looks = self.looker.is_some();
        let total = self.grants.ledger().total;
        let too_high = !looks && total > want.saturating_add(remainder);
        let no_room = total.saturating_add(reserved.get().into()) > budget.get().into();
        let lower = too_high && (no_room || now >= self.lowered.saturating_add(LOWERED));
        if lower || !too_high {
            self.lowered = now;
        }
        // One more, so that who looks needs no write of its own.
        let ceiling = Connections::at_most(limit.saturating_add(1).max(largest));
        Plan { spec: wish.spec.clone(), ceiling, want, looks, lower }
    }

    /// Those that can be sent an order, in the order in which it is to be done: who gives back, who looks, who gets.
    pub fn orders(&self) -> Vec<PodUid> {
        let rank = |(uid, standing): (&PodUid, super::grants::Standing)| {
            let (held, want) = (standing.held?, *self.targets.get(uid)?);
            let ordered = standing.named && standing.speaks;
            ordered.then(|| (want > held, want > held && self.looker() != Some(uid), uid.clone()))
        };
        let mut orders: Vec<_> = self.grants.pods().filter_map(rank).collect();
        orders.sort();
        orders.into_iter().map(|(.., uid)| uid).collect()
    }

    /// Orders a pod what it should have, or as much of it as there is. See [`Grants::order`].
    pub fn order(&mut self, uid: &PodUid, settings: Document, key: &SigningKey) -> Option<Sent> {
        let want = *self.targets.get(uid)?;
        let held = u64::from(self.grants.standing(uid)?.held?.get());
        let room = self.grants.room();
        let to_look = self.looker.as_ref().and_then(|looker| {
            let has = self.grants.standing(&looker.pod)?.held?;
            let lost = self.reports.get(&looker.pod).map_or(0, |report| report.unconfirmed.get());
            let needs = Connections::at_most(lost.saturating_add(1));
            Some((&looker.pod, needs, has >= needs))
        });
        let ledger = self.grants.ledger();
        let unwritten = u64::from(ledger.spec.budget.get()).saturating_sub(ledger.total);
        let reserved = u64::from(ledger.spec.budget.reserved().get()).saturating_sub(unwritten);
        // What is kept for looking is there for who looks, and for nothing else, until he has it.
        let kept = if to_look.is_some_and(|(.., has_it)| has_it) { 0 } else { reserved };
        let ordinary = held.saturating_add(room.saturating_sub(kept));
        let grant = match to_look {
            Some((looker, needs, _)) if looker == uid => {
                ordinary.max(held.saturating_add(room).min(needs.get().into()))
            }
            _ => ordinary,
        };
        let grant = Connections::at_most(u32::try_from(grant).unwrap_or(u32::MAX));
        self.grants.order(uid, want.min(grant), settings, key)
    }

    fn place(&self, wish: &Wish<'_>, uid: &PodUid, held: Connections) -> Place {
        let member = wish.members.get(uid);
        let report = self.reports.get(uid);
        let (Some(member), Some(report)) =
            (member.filter(|member| member.reachable), report.filter(|report| !report.incomplete))
        else {
            let limit = member.map_or(held, |member| member.limit);
            let shape = division::Pod { limit, outstanding: held, ..division::Pod::default() };
            return Place { shape, lost: 0, looks: 0 };
        };
        let lost = report.unconfirmed.get().min(held.get());
        let looks = if self.looker() == Some(uid) { wish.spec.budget.reserved().get() } else { 0 };
        let beside = |count: Connections| Connections::at_most(count.get().saturating_sub(lost + looks));
        let shape = division::Pod {
            limit: member.limit,
            floor: member.floor,
            outstanding: beside(held),
            charge: beside(report.charge),
            demand: Demand { active: report.active.get(), waiting: report.waiting, waited: report.wait },
            reachable: true,
            age: member.age,
            memory: self.memory.get(uid).copied().unwrap_or_default(),
        };
        Place { shape, lost, looks }
    }
}

/// A pod as division sees it: without what it has lost, and what it has to look with.
struct Place {
    shape: division::Pod,
    lost: u32,
    looks: u32,
}

impl Place {
    const fn beside(&self) -> u32 {
        self.lost.saturating_add(self.looks)
    }
}
