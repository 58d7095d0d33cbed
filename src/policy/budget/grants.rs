//! Grants: what each pod of one pool may have, as its leader knows it. Here the invariant lives on the leader's side.
//!
//! # What is known
//!
//! For a pod that has answered a message of this leader (it is *fenced*: it refuses every lower epoch for ever), *held* is the most it
//! has or can come to have without another message: the larger of grant and charge in its last answer, and every grant that was sent
//! to it after the message which that answers. For all named pods that are not fenced there is one number, the *remainder*.
//!
//! **sum(held) + remainder <= total, as the ledger has it.** Each step keeps it:
//!
//! | step | what it does | why it keeps the invariant |
//! | --- | --- | --- |
//! | [`Grants::claimed`] | remainder = total, nobody is fenced | older leaders can only move connections within the total that they wrote, among pods that they named: every later write of theirs fails |
//! | [`Grants::answered`], first | the pod is fenced; what it has leaves the remainder | an older leader that hears no answer of it any more counts it with at least that, for ever |
//! | [`Grants::answered`] | held = what it says | it took every message up to the one it answers, and no later one was sent |
//! | [`Grants::order`] | held rises to the grant before the order leaves, within the total and the budget | *shrink before grow*: room comes from answers alone |
//! | [`Grants::write`] | names, a higher total: used after the write; a lower total, an end: felt before it | while a write's outcome is unknown the ledger may say either, and what is used fits both |
//! | [`Grants::ended`] | held is free once a write without the name has succeeded | else an older leader could use the same end too |
//! | all named pods are fenced | remainder = 0 | there is nobody else who could have it |
//!
//! The remainder is never above the ceiling for each of those who share it. A pod that was not named when the ledger was claimed
//! takes nothing from the remainder: what it says that it has is added.
//!
//! A write of unknown outcome is settled only by a later one that succeeds, never by reading: it may still be on its way.

mod answer;
mod order;
mod pod;
mod write;

#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;

pub use answer::{Heard, NotHeard};
pub use pod::Standing;
pub use write::Plan;

use pod::Pod;

use super::exchange::{Hello, PoolName};
use super::fault::{Fault, planted};
use super::ledger::{Claim, Ledger, Name};
use super::{BootId, Connections, Epoch, PodUid};

/// One pool's grants, from a claim to the end of that leadership.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grants {
    pool: PoolName,
    claim: Claim,
    /// The epoch before the claim.
    before: Option<Epoch>,
    /// The least that the ledger may say; more than it only where that harms nobody (`claim`, `writes`).
    ledger: Ledger,
    writing: Option<Ledger>,
    /// A write's outcome is unknown, or the ledger does not say yet that it is doubtful: something is to be written.
    unsettled: bool,
    /// The write that is under way does not say that the ledger is doubtful.
    doubted: bool,
    /// The ceiling of the ledger that was claimed: those who share the remainder have no more.
    claimed_ceiling: Connections,
    /// What pods that are not fenced may have together; `None` where the ledger does not know.
    rest: Option<u64>,
    /// How many more than the budget are to be granted, to look: 1 or 0, see [`Plan::looks`].
    to_look: u64,
    /// Every pod that exists is known, since the claim and the last doubt.
    surveyed: bool,
    /// Messages that were sent. One count for all pods: one that has ended and is named anew must not see a number twice.
    sent: u64,
    pods: BTreeMap<PodUid, Pod>,
}

/// A pod knows a later leader, or the ledger was set back: read it. If it still has this leader's claim, it was set back: call
/// [`Grants::doubt`], write that, and claim anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pod follows epoch {}, this leader has {}", .follows.get(), .ours.get())]
pub struct Ahead {
    /// What the pod follows.
    pub follows: Epoch,
    /// Ours.
    pub ours: Epoch,
}

impl Grants {
    /// Begins to lead. `written` is the ledger after the claim succeeded, `before` the epoch that was read before it. `None` where the
    /// ledger is another's.
    pub fn claimed(pool: PoolName, written: Ledger, before: Option<Epoch>, id: u64) -> Option<Self> {
        let next = before.map_or(1, |before| before.get() + 1);
        let same = |claim: &Claim| planted(Fault::SameEpochTwice) && claim.epoch.get() == next;
        let claim = written.claim.filter(|claim| claim.id == id || same(claim))?;
        let pods = written.names.keys().map(|pod| (pod.clone(), Pod::found(true))).collect();
        let claimed_ceiling = written.ceiling;
        let rest = (!written.doubt).then_some(written.total);
        Some(Self {
            pool,
            claim,
            before,
            ledger: written,
            writing: None,
            unsettled: false,
            doubted: false,
            claimed_ceiling,
            rest,
            to_look: 0,
            surveyed: false,
            sent: 0,
            pods,
        })
    }

    /// Ours.
    pub const fn epoch(&self) -> Epoch {
        self.claim.epoch
    }

    /// The least that the ledger may say.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What a pod says of itself. Takes note of a boot, which is to be sent a message next, within [`super::exchange::NONCE_VALID`].
    pub fn hello(&mut self, hello: &Hello) -> Result<(), Ahead> {
        let ours = self.claim.epoch;
        if let Some(follows) = hello.epoch {
            if follows > ours {
                return Err(Ahead { follows, ours });
            }
            // It follows a leader after the one whose claim we read: the ledger was set back.
            if follows != ours && Some(follows) > self.before && !self.ledger.doubt {
                self.doubt();
            }
        }
        let doubt = self.ledger.doubt;
        let pod = self.pods.entry(hello.pod.clone()).or_insert_with(|| Pod::found(doubt));
        pod.greeted(hello);
        Ok(())
    }

    /// There may be pods with a grant that the ledger does not name: nothing grows until every pod that is known has answered.
    pub fn doubt(&mut self) {
        self.unsettled |= !self.ledger.doubt;
        self.doubted |= self.writing.is_some();
        self.ledger.doubt = true;
        self.rest = None;
        self.surveyed = false;
        for pod in self.pods.values_mut().filter(|pod| pod.held().is_none()) {
            pod.inherit();
        }
    }

    /// Every pod that carries our container, by a quorum read made after the claim; without those that were injected with a budget and
    /// whose container has never run, since these have nothing. Those that are not known yet are to be asked.
    pub fn listed(&mut self, pods: impl IntoIterator<Item = (PodUid, Name)>) {
        let doubt = self.ledger.doubt;
        for (uid, name) in pods {
            self.pods.entry(uid).or_insert_with(|| Pod::found(doubt)).name = Some(name);
        }
        self.surveyed = true;
    }

    /// What is known of each pod, in the order of their UIDs.
    pub fn pods(&self) -> impl Iterator<Item = (&PodUid, Standing)> {
        self.pods.iter().map(|(uid, pod)| (uid, pod.standing(self.ledger.names.contains_key(uid))))
    }

    /// What is known of one.
    pub fn standing(&self, uid: &PodUid) -> Option<Standing> {
        Some(self.pods.get(uid)?.standing(self.ledger.names.contains_key(uid)))
    }

    /// What pods that are not fenced may have together; `None` where nobody knows.
    pub fn remainder(&self) -> Option<u64> {
        let unfenced = self.pods.values().filter(|pod| pod.shares_the_remainder()).count() as u64;
        if unfenced == 0 && (self.surveyed || !self.ledger.doubt) {
            return Some(0);
        }
        self.rest.map(|rest| rest.min(unfenced.saturating_mul(self.claimed_ceiling.get().into())))
    }

    /// What fenced pods may have together.
    pub fn held(&self) -> u64 {
        self.pods.values().filter_map(Pod::held).map(|held| u64::from(held.get())).sum()
    }

    /// What may be granted beyond that now, without writing.
    pub fn room(&self) -> u64 {
        let Some(remainder) = self.remainder() else { return 0 };
        let budget = u64::from(self.ledger.spec.budget.get());
        let total = if planted(Fault::TotalRaisedAfterSending) { budget } else { self.ledger.total };
        let needed = self.held().saturating_add(remainder);
        total.min(budget.max(needed.saturating_add(self.to_look))).saturating_sub(needed)
    }

    /// The pod will never open a connection again, by the word of the kubelet or of its node: no message goes to it. What it has is
    /// held until [`super::judge`] has seen that nothing of it is left.
    pub fn died(&mut self, uid: &PodUid) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.die();
        }
        if planted(Fault::OrphanForgotten) {
            self.ended(uid);
        }
    }

    /// The pod costs PostgreSQL nothing and never will: it died and the judge has cleared it, or a person says so. (Its final answer
    /// does the same.) To be written.
    pub fn ended(&mut self, uid: &PodUid) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.end();
        let nothing_to_write = self.writing.is_none() && !self.unsettled && !self.ledger.names.contains_key(uid);
        if nothing_to_write && pod.held().is_none() {
            self.pods.remove(uid);
            return;
        }
        if planted(Fault::DeathReleasedWhileUnfenced) && pod.shares_the_remainder() {
            self.rest = self.rest.map(|rest| rest.saturating_sub(1));
        }
    }

    /// Which run of a pod's sidecar said hello last.
    pub fn boot(&self, uid: &PodUid) -> Option<BootId> {
        self.pods.get(uid)?.boot()
    }

    /// How many messages were sent.
    pub const fn sent(&self) -> u64 {
        self.sent
    }
}
