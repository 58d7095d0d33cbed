//! What is sent.

use super::Grants;
use super::pod::Latest;
use crate::policy::budget::exchange::{Document, Order, Sent, Sequence, SigningKey, Statement, Unknown};
use crate::policy::budget::fault::{Fault, planted};
use crate::policy::budget::{Connections, PodUid};

impl Grants {
    /// Asks a pod what it has, and fences it. `None` while it has not said hello, and once it is dead.
    pub fn discovery(&mut self, uid: &PodUid, key: &SigningKey) -> Option<Sent> {
        self.send(uid, None, key)
    }

    /// Orders a pod to have `want`, or as much of it as there is room for. `None` while it is not fenced and named, or has not said
    /// hello, once it is dead, and where its journal was damaged.
    pub fn order(&mut self, uid: &PodUid, want: Connections, settings: Document, key: &SigningKey) -> Option<Sent> {
        let known = self.pods.get(uid).filter(|pod| !pod.forgets() && self.ledger.names.contains_key(uid));
        let held = known?.held()?;
        let room = u32::try_from(self.room()).unwrap_or(u32::MAX);
        let ceiling = if planted(Fault::CeilingIgnored) { want } else { self.ledger.ceiling };
        let grant = want.min(Connections::at_most(held.get().saturating_add(room))).min(ceiling.max(held));
        self.send(uid, Some(Order { settings, grant }), key)
    }

    fn send(&mut self, uid: &PodUid, order: Option<Order>, key: &SigningKey) -> Option<Sent> {
        let pod = self.pods.get_mut(uid)?;
        let (boot, nonce) = pod.next()?;
        self.sent = self.sent.checked_add(1)?;
        let sequence = Sequence::new(self.sent)?;
        let grant = order.as_ref().map(|order| order.grant);
        let statement = Statement {
            pool: self.pool.clone(),
            pod: uid.clone(),
            boot,
            nonce,
            epoch: self.claim.epoch,
            sequence,
            order,
            unknown: Unknown::default(),
        };
        let sent = statement.sign(key);
        pod.sent(Latest { boot, digest: sent.digest }, grant);
        Some(sent)
    }
}
