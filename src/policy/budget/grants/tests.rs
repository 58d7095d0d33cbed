//! Leaders and pods that talk by the real messages; a pod here is its boot and what it was granted.

mod changes;
mod ends;
mod growth;
mod writes;

use std::time::Duration;

use super::*;
use crate::policy::budget::BootId;
use crate::policy::budget::exchange::tests::{connections, key, keys, pool};
use crate::policy::budget::exchange::{self, Answer, Boot, Document, Fence, Keys, Report, Sent, SigningKey};
use crate::policy::budget::ledger::{Existing, Spec};

/// The most that any order says, where a test does not say otherwise.
const CEILING: u32 = 10;

pub struct Pod {
    pub uid: PodUid,
    boots: u8,
    boot: Boot,
    /// In its journal.
    fence: Option<Fence>,
    pub grant: Option<Connections>,
    pub charge: u32,
    /// Of these, what has no socket.
    pub lost: u32,
    pub incomplete: bool,
}

pub struct Keyring {
    pub own: SigningKey,
    public: Keys,
}

pub fn keyring() -> Keyring {
    Keyring { own: key(1).0, public: keys() }
}

pub fn spec(budget: u32) -> Spec {
    Spec { pool: "uid".to_owned(), generation: 1, budget: connections(budget) }
}

/// Which, does not matter here.
pub fn settings() -> Document {
    Document::write(&exchange::tests::settings()).unwrap()
}

impl Pod {
    pub fn new(name: &str) -> Self {
        let uid = PodUid::new(name).unwrap();
        let boot = Boot::new(pool(), uid.clone(), BootId([1; 16]), None);
        Self { uid, boots: 1, boot, fence: None, grant: Some(Connections::NONE), charge: 0, lost: 0, incomplete: false }
    }

    /// Its container starts again and reads the journal.
    fn restart(&mut self) {
        self.boots += 1;
        self.boot = Boot::new(pool(), self.uid.clone(), BootId([self.boots; 16]), self.fence);
    }

    /// `None` where it refuses.
    pub fn take(&mut self, sent: &Sent, keys: &Keyring) -> Option<Answer> {
        let accepted = self.boot.accept(Duration::ZERO, &sent.bytes, &keys.public).ok()?;
        self.fence = Some(accepted.fence());
        if let Some(order) = accepted.order() {
            self.grant = Some(order.grant);
        }
        let taken = self.boot.journalled(&accepted).unwrap();
        let (limit, charge) = (connections(CEILING), connections(self.charge));
        let (open, unconfirmed) = (connections(self.charge.saturating_sub(self.lost)), connections(self.lost));
        let figures = Report { open, active: open, unconfirmed, ..Report::default() };
        let report = Report { grant: self.grant, limit, charge, incomplete: self.incomplete, ..figures };
        Some(self.boot.answer(&taken, report))
    }

    /// Stops in order, and says so in its answer to the next message.
    fn end(&mut self) {
        let last = self.boot.last_record();
        self.grant = Some(last.grant());
        self.boot.end(&last).unwrap();
    }
}

/// What a leader wants that gives everything away.
fn plan(budget: u32) -> Plan {
    Plan { spec: spec(budget), ceiling: connections(CEILING), want: budget.into(), looks: false, lower: false }
}

/// Claims what is stored.
pub fn claim(stored: &mut Ledger, id: u64) -> Grants {
    let before = stored.claim.map(|claim| claim.epoch);
    *stored = stored.claimed(id, 1);
    Grants::claimed(pool(), stored.clone(), before, id).unwrap()
}

pub fn write(grants: &mut Grants, stored: &mut Ledger, plan: &Plan) {
    if let Some(next) = grants.write(plan) {
        *stored = next;
        grants.written();
    }
}

pub fn greet(grants: &mut Grants, pod: &mut Pod, keys: &Keyring) {
    let hello = pod.boot.hello(Duration::ZERO, [pod.boots; 16], &keys.public);
    grants.hello(&hello).unwrap();
}

/// Hello, discovery, answer.
pub fn fence(grants: &mut Grants, pod: &mut Pod, keys: &Keyring) -> Heard {
    greet(grants, pod, keys);
    let sent = grants.discovery(&pod.uid, &keys.own).unwrap();
    let answer = pod.take(&sent, keys).unwrap();
    grants.answered(&pod.uid, &answer).unwrap()
}

/// Order and answer.
fn give(grants: &mut Grants, pod: &mut Pod, want: u32, keys: &Keyring) -> Connections {
    let sent = grants.order(&pod.uid, connections(want), settings(), &keys.own).unwrap();
    let answer = pod.take(&sent, keys).unwrap();
    grants.answered(&pod.uid, &answer).unwrap();
    pod.grant.unwrap()
}

/// A leader, and pods that have these grants and use them.
fn fleet(budget: u32, grants: &[u32], keys: &Keyring) -> (Ledger, Grants, Vec<Pod>) {
    let mut stored = Ledger::found(spec(budget), &[], false);
    let mut leader = claim(&mut stored, 1);
    let mut pods: Vec<Pod> = (0..grants.len()).map(|n| Pod::new(&format!("pod-{n}"))).collect();
    for pod in &mut pods {
        assert_eq!(fence(&mut leader, pod, keys), Heard::Known);
    }
    write(&mut leader, &mut stored, &plan(budget));
    for (pod, grant) in pods.iter_mut().zip(grants) {
        assert_eq!(give(&mut leader, pod, *grant, keys), connections(*grant));
        pod.charge = *grant;
    }
    (stored, leader, pods)
}
