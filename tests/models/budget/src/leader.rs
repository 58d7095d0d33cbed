//! A leader: from idle by a claim to leading, and what it does then.

use std::collections::BTreeSet;
use std::time::Duration;

use weir::policy::budget::Connections;
use weir::policy::budget::Epoch;
use weir::policy::budget::exchange::{Backend, RoleId, Upstream};
use weir::policy::budget::grants::{Grants, Plan};
use weir::policy::budget::judge::{Claims, Judge, Seen};
use weir::policy::budget::ledger::{Existing, Ledger, Name};

use crate::cached::Cached;
use crate::pod::{LIMIT, keys, pool, uid};
use crate::world::{Wish, World};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "a state has two, and shares them")]
pub enum Leader {
    Idle,
    /// Its claim is on its way, or was lost.
    Claiming {
        id: u64,
        before: Option<Epoch>,
    },
    Leads {
        grants: Grants,
        /// The resourceVersion that its next write is good for.
        at: u8,
    },
}

impl Leader {
    pub fn grants(&self) -> Option<&Grants> {
        match self {
            Self::Leads { grants, .. } => Some(grants),
            _ => None,
        }
    }

    /// The next write, and the resourceVersion that it is good for.
    pub fn write(&mut self, plan: &Plan) -> Option<(Ledger, u8)> {
        let Self::Leads { grants, at } = self else { return None };
        Some((grants.write(plan)?, *at))
    }

    /// It succeeded.
    pub fn written(&mut self) {
        if let Self::Leads { grants, at } = self {
            grants.written();
            *at += 1;
        }
    }

    /// A write of its own, the outcome of which it did not learn, took effect. It learns the resourceVersion by a read, and nothing else.
    pub fn sees(&mut self, ledger: &Ledger) {
        if let Self::Leads { grants, at } = self
            && grants.ledger().claim == ledger.claim
        {
            *at += 1;
        }
    }

    pub fn leading(&mut self) -> Option<&mut Grants> {
        match self {
            Self::Leads { grants, .. } => Some(grants),
            _ => None,
        }
    }
}

impl World {
    /// The ledger with a claim on it, made from what a read shows now.
    pub fn claim(&self, id: u64) -> (Ledger, u8, Option<Epoch>) {
        let (ledger, at) = match &*self.stored {
            Some((ledger, at)) => (ledger.clone(), *at),
            None => (Ledger::found(self.spec.clone(), &self.existing(), false), 0),
        };
        let before = ledger.claim.map(|claim| claim.epoch);
        (ledger.claimed(id, 1), at, before)
    }

    fn existing(&self) -> Vec<Existing> {
        let existing = |(pod, of): (usize, &Cached<crate::pod::Pod>)| {
            let unasked = (!of.budgeted).then_some(Connections::at_most(LIMIT));
            (!of.dead).then(|| Existing { pod: uid(pod), name: Name::default(), unasked })
        };
        // A budgeted pod that never ran can't have been granted anything.
        let ran = |(pod, of): &(usize, &Cached<crate::pod::Pod>)| self.pods[*pod].boots > 0 || !of.budgeted;
        self.pods.iter().enumerate().filter(ran).filter_map(existing).collect()
    }

    /// Compare and swap.
    pub fn put(&mut self, ledger: &Ledger, at: u8) -> bool {
        let version = self.stored.as_ref().map_or(0, |(_, version)| *version);
        if version != at {
            return false;
        }
        // As the API server does: what changes nothing keeps its version.
        if Option::as_ref(&self.stored).is_none_or(|(stored, _)| stored != ledger) {
            self.stored = Cached::new(Some((ledger.clone(), version + 1)));
        }
        true
    }

    pub fn leads(&self, id: u64, written: &Ledger, before: Option<Epoch>, at: u8) -> Leader {
        let Some(mut grants) = Grants::claimed(pool(), written.clone(), before, id) else { return Leader::Idle };
        let pods = self.existing().into_iter().map(|pod| (pod.pod, pod.name));
        grants.listed(pods);
        Leader::Leads { grants, at }
    }

    pub fn plan(&self, wish: Wish) -> Plan {
        Plan {
            spec: self.spec.clone(),
            ceiling: Connections::at_most(self.limit),
            want: if wish == Wish::All { self.spec.budget.get().into() } else { 0 },
            looks: wish == Wish::All,
            lower: wish == Wish::Least,
        }
    }

    /// The rows that a look would show, and the judge's two looks at them. All that lives claims what it has.
    pub fn is_cleared(&self, pod: usize) -> bool {
        let upstream = Upstream { system: 1, started: 1, role: RoleId([0; 8]) };
        let row = |(pod, attempt): &(usize, weir::sidecar::charge::Attempt)| Backend {
            pid: i32::try_from(pod * 1000 + usize::from(attempt.boot.0[1]) * 100).unwrap_or(1)
                + i32::try_from(attempt.number).unwrap_or(1),
            started: 1,
        };
        let rows: Vec<Backend> = self.backends.iter().map(row).collect();
        let living = |(of, attempt): &&(usize, weir::sidecar::charge::Attempt)| {
            self.pods[*of].process.as_ref().is_some_and(|process| process.open.contains(attempt))
        };
        let backends: BTreeSet<Backend> = self.backends.iter().filter(living).map(row).collect();
        let claims = Claims { complete: true, upstreams: BTreeSet::from([upstream]), backends };
        let mut judge = Judge::default();
        judge.died(uid(pod), Duration::ZERO, 0, Some(upstream), &[]);
        let look = |at| Seen {
            asked: Duration::from_secs(at),
            answered: Duration::from_secs(at),
            upstream,
            authentication_timeout: Duration::from_mins(1),
            invisible: 0,
            cut: false,
            rows: &rows,
        };
        judge.judge(&look(1000), &claims);
        !judge.judge(&look(2000), &claims).cleared.is_empty()
    }

    /// Hears the hello of a pod's process, and asks it.
    pub fn ask(&mut self, leader: usize, pod: usize) -> Option<()> {
        let greet = |pod: &mut crate::pod::Pod| {
            Some(pod.process.as_mut()?.holder.exchange().hello(crate::pod::NOW, [0; 16], keys()))
        };
        let hello = self.pods[pod].with(greet)?;
        let sent = self.leaders[leader].with(|leader| {
            let grants = leader.leading()?;
            grants.hello(&hello).ok()?;
            grants.discovery(&uid(pod), crate::pod::key())
        })?;
        self.sent.insert(crate::pod::remember(&sent));
        Some(())
    }
}
