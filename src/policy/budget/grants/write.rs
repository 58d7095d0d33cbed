//! What is written: one write of the ledger at a time.

use super::Grants;
use super::pod::Pod;
use crate::policy::budget::Connections;
use crate::policy::budget::fault::{Fault, planted};
use crate::policy::budget::ledger::{Ledger, Spec};

/// What a leader would like the ledger to say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// The pool's budget, as last seen; one that is older than the ledger's is ignored.
    pub spec: Spec,
    /// The most that any pod is to be granted: the pool's effective max.
    pub ceiling: Connections,
    /// What the pods that are fenced should have together. The total is raised to this and the remainder, at most to the budget.
    pub want: u64,
    /// One of them is to have one more, to look: the total is raised for it also above the budget, within what was promised.
    pub looks: bool,
    /// Lower the total to what is needed, also where it is not above the budget. Not each time that something is given back: each is a
    /// write.
    pub lower: bool,
}

impl Grants {
    /// The next write; `None` while one is under way, and where there is nothing to write. Its outcome is to be told by
    /// [`Grants::written`] or [`Grants::unknown`]. Where it failed because the ledger was written by another, this leader is none.
    pub fn write(&mut self, plan: &Plan) -> Option<Ledger> {
        self.to_look = plan.looks.into();
        if self.writing.is_some() {
            return None;
        }
        if planted(Fault::LimitLoweredWhileCutOff) {
            self.pods.values_mut().for_each(|pod| pod.believe_a_limit(plan.ceiling));
        }
        let mut next = self.next(plan);
        if next == self.ledger && !self.unsettled {
            return None;
        }
        next.writes = self.ledger.writes.saturating_add(1);
        // The lower of both counts until it is known which of them the ledger says.
        self.ledger.writes = next.writes;
        if !planted(Fault::LoweredTotalFeltLate) {
            let ledger = &mut self.ledger;
            ledger.promised = ledger.promised.min(next.promised);
            ledger.total = ledger.total.min(next.total);
            ledger.spec.budget = ledger.spec.budget.min(next.spec.budget);
            ledger.ceiling = ledger.ceiling.min(next.ceiling);
            ledger.names.retain(|uid, _| next.names.contains_key(uid));
        }
        self.writing = Some(next.clone());
        Some(next)
    }

    fn next(&self, plan: &Plan) -> Ledger {
        let mut next = self.ledger.clone();
        if plan.spec.is_after(&next.spec) {
            next.spec.clone_from(&plan.spec);
        }
        next.names.retain(|uid, _| !self.pods.get(uid).is_some_and(Pod::has_ended));
        let fenced = self.pods.iter().filter(|(_, pod)| pod.held().is_some() && !pod.has_ended());
        for (uid, pod) in fenced {
            next.names.entry(uid.clone()).or_insert_with(|| pod.name.clone().unwrap_or_default());
        }
        let budget = u64::from(next.spec.budget.get());
        next.promised = next.promised.max(budget);
        let held = self.pods.values().filter_map(Pod::held).max().unwrap_or_default();
        if let Some(remainder) = self.remainder() {
            let needed = self.held().saturating_add(remainder);
            let most = if planted(Fault::EffectiveRaised) { u64::MAX } else { budget };
            let promised = if planted(Fault::PromiseExceeded) { u64::MAX } else { next.promised };
            let one_more = if plan.looks { needed.saturating_add(1).min(promised) } else { 0 };
            let wanted = plan.want.saturating_add(remainder).min(most).max(needed).max(one_more);
            let above = next.total > budget;
            next.total = if plan.lower || above { wanted } else { wanted.max(next.total) };
            if !self.pods.values().any(Pod::shares_the_remainder) {
                next.doubt = false;
                next.ceiling = plan.ceiling.max(held);
            }
        }
        next.ceiling = next.ceiling.max(plan.ceiling).max(held);
        let to_look = u64::from(next.total > budget);
        next.promised = next.promised.min(next.total.saturating_add(to_look)).max(next.total).max(budget);
        next
    }

    /// The write succeeded.
    pub fn written(&mut self) {
        let Some(written) = self.writing.take() else { return };
        self.unsettled = std::mem::take(&mut self.doubted);
        self.pods.retain(|uid, pod| !pod.has_ended() || written.names.contains_key(uid));
        self.ledger = written;
        self.ledger.doubt |= self.unsettled;
        if !self.ledger.doubt && self.rest.is_none() {
            self.rest = Some(0);
        }
    }

    /// Nobody knows whether it did, or will.
    pub fn unknown(&mut self) {
        if planted(Fault::UnknownWriteBelieved) {
            return self.written();
        }
        self.unsettled |= self.writing.take().is_some();
        self.doubted = false;
    }
}
