//! The boot's side: which messages it takes, and what it may answer.
//!
//! Invariant: what a pod takes is strictly ascending in (epoch, sequence), over all its boots, provided that the fence is journalled
//! before anything is answered or honoured. A refused message changes nothing.
//!
//! No clock: times are monotonic and count from the start of the process.

use std::time::Duration;

use super::{
    Answer, BootId, Digest, Epoch, Fence, Hello, KEYS_MAX, Keys, Nonce, Order, PROTOCOL, PodUid, PoolName, Refusal,
    Report, Said, Unknown, Verified,
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
    /// Of this pod, earlier boots included.
    fence: Option<Fence>,
    /// The epoch in which this boot itself has taken something.
    opened: Option<Epoch>,
    nonce: Option<Issued>,
    /// Its predecessor, which may be fresh yet.
    earlier: Option<Issued>,
    /// Whether this boot opens nothing more.
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Issued {
    nonce: Nonce,
    at: Duration,
}

/// A message that was taken. Journal `fence`, and the order's grant where there is one, before acting upon it or answering it; where
/// that fails do neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use = "what was taken is to be journalled, honoured and answered"]
pub struct Accepted {
    /// Where the pod stands from now on.
    pub fence: Fence,
    /// What to honour; `None` after a discovery, and once the boot has ended.
    pub order: Option<Order>,
    /// Of the message.
    pub digest: Digest,
}

impl Boot {
    /// `fence` is what the journal tells of earlier boots of the pod.
    pub const fn new(pool: PoolName, pod: PodUid, id: BootId, fence: Option<Fence>) -> Self {
        Self { pool, pod, id, fence, opened: None, nonce: None, earlier: None, ended: false }
    }

    /// Where the pod stands.
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

    /// Takes a message or says why not.
    pub fn accept(&mut self, now: Duration, bytes: &[u8], keys: &Keys) -> Result<Accepted, Refusal> {
        self.take(now, Verified::open(bytes, keys)?)
    }

    /// [`Boot::accept`] after the signature was checked.
    pub fn take(&mut self, now: Duration, message: Verified) -> Result<Accepted, Refusal> {
        let (statement, digest) = message.into_parts();
        if statement.pool != self.pool {
            return Err(Refusal::OtherPool);
        }
        if statement.pod != self.pod {
            return Err(Refusal::OtherPod);
        }
        if statement.boot != self.id {
            return Err(Refusal::OtherBoot);
        }
        let fence = statement.fence();
        if self.fence.is_some_and(|last| fence.epoch < last.epoch) {
            return Err(Refusal::LowerEpoch);
        }
        if self.fence.is_some_and(|last| fence <= last) {
            return Err(Refusal::OldSequence);
        }
        let fresh = match statement.nonce {
            Some(nonce) => self.is_fresh(now, nonce),
            None => self.opened == Some(fence.epoch),
        };
        if !fresh {
            return Err(Refusal::StaleNonce);
        }
        self.fence = Some(fence);
        self.opened = Some(fence.epoch);
        // Nothing may reach the journal that the last word did not give back.
        let order = statement.order.filter(|_| !self.ended);
        Ok(Accepted { fence, order, digest })
    }

    /// From now on this boot opens nothing, whatever it is granted. Journal a grant of 0 first: with the last word the leader gives
    /// away what a later boot of the pod would else continue with. (That one may be granted something anew.)
    pub const fn end(&mut self) {
        self.ended = true;
    }

    /// The answer to a message that was taken: the last word once nothing more is opened and nothing is charged.
    pub fn answer(&self, to: &Accepted, report: Report) -> Answer {
        let last = self.ended && report.charge.get() == 0;
        Answer {
            pod: self.pod.clone(),
            boot: self.id,
            epoch: self.fence.map_or(to.fence.epoch, |fence| fence.epoch),
            digest: to.digest,
            said: if last { Said::Final } else { Said::Report(report) },
            unknown: Unknown::default(),
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
