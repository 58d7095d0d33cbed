//! A leader: from idle by a claim to leading, and what it does then.

use std::collections::BTreeSet;
use std::time::Duration;

use weir::policy::budget::exchange::{Answer, Backend, RoleId, Upstream};
use weir::policy::budget::grants::{Grants, Plan, Standing};
use weir::policy::budget::judge::{Claims, Judge, Seen};
use weir::policy::budget::ledger::{Existing, Ledger, Name, Spec};
use weir::policy::budget::{BootId, Connections, Epoch};
use weir::sidecar::charge::Attempt;

use crate::cached::Cached;
use crate::moves::Wish;
use crate::pod::{LIMIT, Pod, pool, uid};
use crate::world::{PODS, World};

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
    pub fn write(&mut self, plan: &Plan) -> Option<(Cached<Ledger>, u8)> {
        let Self::Leads { grants, at } = self else { return None };
        Some((Cached::new(grants.write(plan)?), *at))
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

    /// Whether it would hear an answer.
    pub fn awaits(&self, answer: &Answer) -> bool {
        self.clone().hear(answer).is_some()
    }

    /// `None` where it is not what it waits for.
    pub fn hear(&mut self, answer: &Answer) -> Option<()> {
        self.leading()?.answered(&answer.pod, answer).ok().map(drop)
    }

    pub fn leading(&mut self) -> Option<&mut Grants> {
        match self {
            Self::Leads { grants, .. } => Some(grants),
            _ => None,
        }
    }
}

/// What the search asks of a leader again and again.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub epoch: Epoch,
    pub sent: u64,
    /// What it counts, of all pods.
    pub counted: u64,
    pub remainder: Option<u64>,
    pub pods: [Option<Standing>; PODS],
    pub boots: [Option<BootId>; PODS],
}

/// What a pod is to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listed {
    exists: bool,
    budgeted: bool,
}

impl Leader {
    pub fn figures(&self) -> Option<Figures> {
        let grants = self.grants()?;
        let remainder = grants.remainder();
        Some(Figures {
            epoch: grants.epoch(),
            sent: grants.sent(),
            counted: grants.held() + remainder.unwrap_or(0),
            remainder,
            pods: std::array::from_fn(|pod| grants.standing(&uid(pod))),
            boots: std::array::from_fn(|pod| grants.boot(&uid(pod))),
        })
    }
}

fn existing(pods: [Listed; PODS]) -> Vec<Existing> {
    let existing = |(pod, of): (usize, Listed)| {
        let unasked = (!of.budgeted).then_some(Connections::at_most(LIMIT));
        of.exists.then(|| Existing { pod: uid(pod), name: Name::default(), unasked })
    };
    pods.into_iter().enumerate().filter_map(existing).collect()
}

impl World {
    pub fn listed(&self) -> [Listed; PODS] {
        // A budgeted pod that never ran can't have been granted anything.
        self.pods
            .each_ref()
            .map(|pod| Listed { exists: !pod.dead && (pod.boots > 0 || !pod.budgeted), budgeted: pod.budgeted })
    }

    /// The ledger with a claim on it, made from what a read shows now, the version that it is good for, and the epoch before it.
    pub fn claim(&self, id: u64) -> (Cached<Ledger>, u8, Option<Epoch>) {
        let listed = self.listed();
        self.stored.fact(("claim", id, listed, &self.spec), |stored| {
            let (ledger, at) = match stored {
                Some((ledger, at)) => (Ledger::clone(ledger), *at),
                None => (Ledger::found(Spec::clone(&self.spec), &existing(listed), false), 0),
            };
            let before = ledger.claim.map(|claim| claim.epoch);
            (Cached::new(ledger.claimed(id, 1)), at, before)
        })
    }

    /// Compare and swap.
    pub fn put(&mut self, ledger: &Cached<Ledger>, at: u8) -> bool {
        self.stored.step(("put", ledger, at), |stored| {
            let version = stored.as_ref().map_or(0, |(_, version)| *version);
            // As the API server does: what changes nothing keeps its version.
            if version == at && stored.as_ref().is_none_or(|(stored, _)| stored != ledger) {
                *stored = Some((ledger.clone(), version + 1));
            }
            version == at
        })
    }

    /// Who made a claim reads the ledger.
    pub fn read_claim(&self, id: u64, before: Option<Epoch>) -> Cached<Leader> {
        let listed = self.listed();
        self.stored.fact(("leads", id, before, listed), |stored| {
            let leads = || {
                let (ledger, at) = stored.as_ref()?;
                let mut grants = Grants::claimed(pool(), Ledger::clone(ledger), before, id)?;
                grants.listed(existing(listed).into_iter().map(|pod| (pod.pod, pod.name)));
                Some(Leader::Leads { grants, at: *at })
            };
            Cached::new(leads().unwrap_or(Leader::Idle))
        })
    }

    pub fn plan(&self, wish: Wish) -> Plan {
        Plan {
            spec: Spec::clone(&self.spec),
            ceiling: Connections::at_most(self.limit),
            want: if wish == Wish::All { self.spec.budget.get().into() } else { 0 },
            looks: wish == Wish::All,
            lower: wish == Wish::Least,
        }
    }

    /// The rows that a look would show, and the judge's two looks at them. All that lives claims what it has.
    pub fn is_cleared(&self, pod: usize) -> bool {
        self.backends.fact(("cleared", pod, &self.pods), |backends| cleared(pod, backends, &self.pods))
    }
}

fn cleared(pod: usize, backends: &BTreeSet<(usize, Attempt)>, pods: &[Cached<Pod>; PODS]) -> bool {
    let upstream = Upstream { system: 1, started: 1, role: RoleId([0; 8]) };
    let row = |(pod, attempt): &(usize, Attempt)| Backend {
        pid: i32::try_from(pod * 1000 + usize::from(attempt.boot.0[1]) * 100).unwrap_or(1)
            + i32::try_from(attempt.number).unwrap_or(1),
        started: 1,
    };
    let rows: Vec<Backend> = backends.iter().map(row).collect();
    let living = |(of, attempt): &&(usize, Attempt)| {
        pods[*of].process.as_ref().is_some_and(|process| process.open.contains(attempt))
    };
    let backends: BTreeSet<Backend> = backends.iter().filter(living).map(row).collect();
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
