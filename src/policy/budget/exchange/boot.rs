//! The boot's side: which messages it takes, and what it may answer.
//!
//! Invariant: what a pod takes is strictly ascending in (epoch, sequence), over all its boots, provided that records are written and
//! told in one order. A refused message changes nothing, and an accepted one nothing before it is journalled: what a hello or an
//! answer tells, a later boot of the pod knows too.
//!
//! Several messages may be accepted before one of them is journalled: [`Boot::take`] knows nothing of them. If then a record is told
//! that is not above what was told before, [`Boot::journalled`] refuses it, and the fence never falls.
//!
//! No clock: times are monotonic and count from the start of the process.

use std::time::Duration;

use crate::policy::budget::fault::{Fault, planted};

use super::{
    Accepted, Answer, BootId, Epoch, Fence, Hello, KEYS_MAX, Keys, LastRecord, Looked, Looking, Nonce, PROTOCOL,
    PodUid, PoolName, Refusal, Report, Said, Sighting, Taken, Unknown, Verified, VerifiedLook,
};

/// How long a nonce proves anything, on the boot's own clock.
pub const NONCE_VALID: Duration = Duration::from_secs(2);
/// How long hellos share a nonce. Each is good for at least another second when it is told, and however many ask, none of them
/// takes another's away.
const NONCE_SHARED: Duration = Duration::from_secs(1);

/// One run of a sidecar, as it takes part in the exchange.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Boot {
    pool: PoolName,
    pod: PodUid,
    id: BootId,
    /// Of this pod, earlier boots included; always in the journal.
    fence: Option<Fence>,
    /// The epoch in which this boot itself has taken something.
    opened: Option<Epoch>,
    nonce: Option<Issued>,
    /// Its predecessor, which may be fresh yet.
    earlier: Option<Issued>,
    /// Whether the journal's last word on a grant is the 0 of this boot's end.
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Issued {
    nonce: Nonce,
    at: Duration,
}

impl Boot {
    /// `fence` is what the journal tells of earlier boots of the pod.
    pub const fn new(pool: PoolName, pod: PodUid, id: BootId, fence: Option<Fence>) -> Self {
        Self { pool, pod, id, fence, opened: None, nonce: None, earlier: None, ended: false }
    }

    /// Where the pod stands, as journalled.
    pub const fn fence(&self) -> Option<Fence> {
        self.fence
    }

    /// Answers whoever asks. `random` comes from the kernel, anew each time.
    pub fn hello(&mut self, now: Duration, random: [u8; 16], keys: &Keys) -> Hello {
        let issued = match self.nonce {
            Some(issued) if issued.is_younger(now, NONCE_SHARED) => issued,
            old => {
                self.earlier = old;
                *self.nonce.insert(Issued { nonce: Nonce(random), at: now })
            }
        };
        // The newest come last.
        let known = keys.ids().count();
        Hello {
            pod: self.pod.clone(),
            boot: self.id,
            nonce: issued.nonce,
            epoch: self.fence.map(|fence| fence.epoch),
            protocol: PROTOCOL,
            keys: keys.ids().skip(known.saturating_sub(KEYS_MAX)).collect(),
            unknown: Unknown::default(),
        }
    }

    /// Accepts a message or says why not.
    pub fn accept(&self, now: Duration, bytes: &[u8], keys: &Keys) -> Result<Accepted, Refusal> {
        self.take(now, Verified::open(bytes, keys)?)
    }

    /// [`Boot::accept`] after the signature was checked.
    pub fn take(&self, now: Duration, message: Verified) -> Result<Accepted, Refusal> {
        let (statement, digest) = message.into_parts();
        self.is_for_me(&statement.pool, &statement.pod, statement.boot)?;
        let fence = statement.fence();
        self.is_above(fence)?;
        let fresh = match statement.nonce {
            Some(nonce) => self.is_fresh(now, nonce),
            None => self.opened == Some(fence.epoch),
        };
        // (The nonce alone would hide most of what that fault does.)
        if !fresh && !planted(Fault::DiscoveryWithoutFence) {
            return Err(Refusal::StaleNonce);
        }
        // Nothing may reach the journal that the last word did not give back.
        let order = statement.order.filter(|_| !self.ended);
        Ok(Accepted { fence, order, digest })
    }

    /// Takes what was accepted, now that its record is on disk. To be told in the order in which records are written.
    ///
    /// Refuses what was overtaken, since a higher one was told meanwhile: a journal's reader overlooks its record, so honour and answer
    /// nothing. An order that was accepted before the boot ended and is told after it stands in the journal behind that end, which is
    /// then none any more: journal a new [`LastRecord`].
    pub fn journalled(&mut self, accepted: &Accepted) -> Result<Taken, Refusal> {
        self.is_above(accepted.fence)?;
        if accepted.order.is_none() && planted(Fault::DiscoveryWithoutFence) {
            return Ok(Taken(accepted.clone()));
        }
        self.fence = Some(accepted.fence);
        self.opened = Some(accepted.fence.epoch);
        self.ended &= accepted.order.is_none();
        Ok(Taken(accepted.clone()))
    }

    /// What to journal once this boot opens nothing more, whatever it is granted: with its last word the leader gives away what a later
    /// boot of the pod would else continue with. (That one may be granted something anew.)
    pub const fn last_record(&self) -> LastRecord {
        LastRecord { fence: self.fence }
    }

    /// The boot has ended, now that this record is on disk: no message orders it anything from now on. To be told in the order in which
    /// records are written. Refuses a record that a message was journalled after: make another.
    pub fn end(&mut self, journalled: &LastRecord) -> Result<(), Refusal> {
        if journalled.fence != self.fence {
            return Err(Refusal::OldSequence);
        }
        self.ended = true;
        Ok(())
    }

    /// Whether it has ended, and no order came between.
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// The answer to a message that was taken. It is the last word if the boot has ended, nothing is charged, and no other message was
    /// taken since: the leader that sent that one would hold it against the wrong one.
    pub fn answer(&self, to: &Taken, report: Report) -> Answer {
        let fence = to.fence();
        let last = self.ended && self.fence == Some(fence) && report.is_of_nothing();
        Answer {
            pod: self.pod.clone(),
            boot: self.id,
            epoch: self.fence.unwrap_or(fence).epoch,
            digest: to.digest(),
            said: if last { Said::Final } else { Said::Report(report) },
            unknown: Unknown::default(),
        }
    }

    /// Accepts a look or says why not. It moves nothing: neither fence nor epoch.
    pub fn look(&self, message: &VerifiedLook) -> Result<Looking, Refusal> {
        let look = message.look();
        self.is_for_me(&look.pool, &look.pod, look.boot)?;
        if self.fence.is_some_and(|last| look.epoch < last.epoch) {
            return Err(Refusal::LowerEpoch);
        }
        Ok(Looking { digest: message.digest() })
    }

    /// The answer to a look, with what was seen after it came.
    pub fn looked(&self, to: &Looking, sighting: Sighting) -> Looked {
        Looked { pod: self.pod.clone(), boot: self.id, digest: to.digest, sighting, unknown: Unknown::default() }
    }

    fn is_for_me(&self, pool: &PoolName, pod: &PodUid, boot: BootId) -> Result<(), Refusal> {
        if *pool != self.pool {
            return Err(Refusal::OtherPool);
        }
        if *pod != self.pod {
            return Err(Refusal::OtherPod);
        }
        if boot == self.id { Ok(()) } else { Err(Refusal::OtherBoot) }
    }

    fn is_above(&self, fence: Fence) -> Result<(), Refusal> {
        match self.fence {
            _ if planted(Fault::FenceIgnored) => Ok(()),
            Some(last) if fence.epoch < last.epoch => Err(Refusal::LowerEpoch),
            Some(last) if fence <= last => Err(Refusal::OldSequence),
            _ => Ok(()),
        }
    }

    fn is_fresh(&self, now: Duration, nonce: Nonce) -> bool {
        let issued = [self.nonce, self.earlier];
        issued.iter().flatten().any(|issued| issued.nonce == nonce && issued.is_younger(now, NONCE_VALID))
    }
}

impl Issued {
    /// A time before its own is none at which it was known.
    fn is_younger(&self, now: Duration, than: Duration) -> bool {
        now.checked_sub(self.at).is_some_and(|age| age < than)
    }
}
