//! The whole: who there is, and what a step makes of it.

use std::collections::{BTreeMap, BTreeSet};

use weir::policy::budget::Connections;
use weir::policy::budget::exchange::{Answer, Digest};
use weir::policy::budget::grants::Grants;
use weir::policy::budget::ledger::{Ledger, Spec};
use weir::sidecar::charge::Attempt;

use crate::bounds::{Bounds, Trouble};
use crate::cached::Cached;
use crate::leader::Leader;
use crate::pod::{LIMIT, Pod, uid};

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub spec: Spec,
    /// The pool's max.
    pub limit: u32,
    /// What the API server has, and its resourceVersion.
    pub stored: Cached<Option<(Ledger, u8)>>,
    /// Writes that are still on their way though whoever sent them has given up waiting.
    pub late: Cached<Vec<Late>>,
    pub leaders: [Cached<Leader>; 2],
    pub pods: [Cached<Pod>; 2],
    /// Alive at PostgreSQL: which pod opened it, and by which attempt.
    pub backends: BTreeSet<(usize, Attempt)>,
    /// Messages that were sent and may still be taken.
    pub sent: BTreeSet<Digest>,
    /// By the message that they answer.
    pub answers: Cached<BTreeMap<Digest, Answer>>,
    pub used: Used,
    /// Messages that the first leader had sent at the start.
    pub sent_before: u64,
    /// The effective budget rose though the spec's did not.
    pub rose: bool,
}

/// What of the bounds is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Used {
    pub epochs: u8,
    pub writes: u8,
    /// Of the two that may be.
    pub trouble: [bool; 2],
}

/// A write that may still take effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Late {
    pub ledger: Ledger,
    /// The resourceVersion that it is good for.
    pub at: u8,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// Leader claims the ledger; its write succeeds.
    Claim(usize),
    /// Its write is on its way, its outcome unknown.
    ClaimLate(usize),
    /// It reads whether it leads.
    ReadClaim(usize),
    /// It hears a pod's hello, and asks it.
    Ask(usize, usize),
    /// It orders a pod to have so many.
    Order(usize, usize, u32),
    /// An answer reaches it.
    Hear(usize, usize, Digest),
    /// It writes, and knows that it succeeded (or that another has written).
    Write(usize, Wish),
    /// It writes, and nobody knows the outcome.
    WriteLate(usize, Wish),
    /// It learns that a pod is dead, and the judge looks.
    Bury(usize, usize),
    /// It ends.
    Stop(usize),
    /// A late write arrives at the API server.
    Land(usize),
    /// A message reaches a pod.
    Deliver(usize, Digest, Echo),
    /// The pod's container starts.
    Start(usize),
    /// It opens a connection.
    Connect(usize),
    /// It gives one up, or receives a reset for it.
    Lose(usize),
    /// It stops in order.
    Finish(usize),
    /// The process is killed.
    Kill(usize),
    /// Its process is killed, and none starts any more.
    Die(usize),
    /// A backend ends.
    End(usize, Attempt),
    /// The spec's budget changes.
    Budget(u32),
    /// The spec's limit is lowered.
    Limit,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Echo {
    /// The leader hears it at once.
    Heard,
    /// It is on its way, perhaps for ever.
    Late,
}

/// What a leader wants to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// As much as the budget.
    All,
    /// No more than is needed.
    Least,
}

impl World {
    /// A leader leads, two pods follow it and have these grants, all used. The total is the budget, or `tight`: what is needed.
    pub fn at_rest(bounds: &Bounds, grants: [u32; 2], tight: bool) -> Self {
        let mut world = Self::new(bounds, true);
        let answered = |world: &mut Self, pod: usize| {
            let digest = *world.sent.first().expect("one message was sent");
            world.make(&Move::Deliver(pod, digest, Echo::Heard)).expect("the pod takes it");
            world.sent.clear();
        };
        world.make(&Move::Claim(0)).expect("nobody leads");
        for pod in [0, 1] {
            world.make(&Move::Start(pod)).expect("it does not run");
            world.make(&Move::Ask(0, pod)).expect("it runs");
            answered(&mut world, pod);
        }
        world.make(&Move::Write(0, Wish::All)).expect("there are names to write");
        for (pod, grant) in grants.into_iter().enumerate().filter(|(_, grant)| *grant > 0) {
            world.make(&Move::Order(0, pod, grant)).expect("it is named");
            answered(&mut world, pod);
            for _ in 0..grant {
                world.make(&Move::Connect(pod)).expect("it was granted");
            }
        }
        if tight {
            world.make(&Move::Write(0, Wish::Least)).expect("the total is lowered to what is needed");
        }
        world.used = Used::default();
        world.start_counting();
        world
    }

    /// Two pods run that were injected without a budget. Now there is one.
    pub fn without_a_budget(bounds: &Bounds) -> Self {
        let mut world = Self::new(bounds, false);
        for pod in [0, 1] {
            world.make(&Move::Start(pod)).expect("it does not run");
            world.make(&Move::Connect(pod)).expect("it may");
        }
        world.start_counting();
        world
    }

    /// What was used on the way here is not counted.
    fn start_counting(&mut self) {
        for pod in &mut self.pods {
            pod.with(|pod| {
                pod.boots_before = pod.boots;
                if let Some(process) = &mut pod.process {
                    process.attempts_before = process.attempts;
                }
            });
        }
        let sent = self.leaders.iter().filter_map(|leader| leader.grants()).map(Grants::sent).max();
        self.sent_before = sent.unwrap_or(0);
    }

    fn new(bounds: &Bounds, budgeted: bool) -> Self {
        let spec = Spec { pool: "uid".to_owned(), generation: 1, budget: Connections::at_most(bounds.budget) };
        Self {
            spec,
            limit: LIMIT,
            stored: Cached::new(None),
            late: Cached::new(Vec::new()),
            leaders: [(); 2].map(|()| Cached::new(Leader::Idle)),
            pods: [(); 2].map(|()| Cached::new(Pod::new(budgeted))),
            backends: BTreeSet::new(),
            sent: BTreeSet::new(),
            answers: Cached::new(BTreeMap::new()),
            used: Used::default(),
            sent_before: 0,
            rose: false,
        }
    }

    /// The state after a step; `None` where it can't be made.
    pub fn after(&self, bounds: &Bounds, step: &Move) -> Option<Self> {
        let mut next = self.clone();
        next.make(step)?;
        let takeover = matches!(step, Move::Claim(leader) if matches!(*self.leaders[1 - leader], Leader::Leads { .. }));
        let trouble = match step {
            Move::Claim(_) => takeover.then_some(Trouble::Takeover),
            Move::ClaimLate(_) => Some(Trouble::LateClaim),
            Move::WriteLate(..) => Some(Trouble::LateWrite),
            Move::Stop(_) => Some(Trouble::Stop),
            Move::Finish(_) => Some(Trouble::Finish),
            Move::Lose(_) => Some(Trouble::Loss),
            Move::Kill(_) => Some(Trouble::Kill),
            Move::Die(_) => Some(Trouble::Death),
            Move::Budget(_) => Some(Trouble::Budget),
            Move::Limit => Some(Trouble::Limit),
            Move::Deliver(_, _, Echo::Late) => Some(Trouble::LateAnswer),
            _ => None,
        };
        if let Some(trouble) = trouble {
            next.used.trouble = self.spend(bounds, trouble)?;
        }
        let (before, after) = (self.effective(), next.effective());
        // An effective budget is the ledger's: without one nobody promised anything.
        let by_spec = self.stored.as_ref().map(|(ledger, _)| &ledger.spec)
            != next.stored.as_ref().map(|(ledger, _)| &ledger.spec);
        let raised = before.zip(after).is_some_and(|(before, after)| after > before);
        next.rose |= raised && !(by_spec && after == Some(next.spec.budget.get().into()));
        next.forget_what_nobody_takes();
        Some(next)
    }

    /// A process runs that the leader has not heard of.
    pub fn has_new_boot(&self, leader: usize, pod: usize) -> bool {
        let heard = self.leaders[leader].grants().and_then(|grants| grants.boot(&uid(pod)));
        self.pods[pod].process.as_ref().is_some_and(|process| Some(process.boot) != heard)
    }

    pub fn effective(&self) -> Option<u64> {
        self.stored.as_ref().and_then(|(ledger, _)| ledger.effective())
    }

    /// There are at most as many backends as there may be.
    pub fn is_within(&self) -> bool {
        self.effective().is_none_or(|effective| self.backends.len() as u64 <= effective)
    }

    /// The ledger, and the leader whose it is.
    fn leading(&self) -> Option<(&Ledger, &Grants)> {
        let (ledger, _) = Option::as_ref(&self.stored)?;
        let epoch = ledger.claim.map(|claim| claim.epoch);
        let mut leaders = self.leaders.iter().filter_map(|leader| leader.grants());
        Some((ledger, leaders.find(|grants| Some(grants.epoch()) == epoch)?))
    }

    /// What the present leader counts is within the total.
    pub fn is_counted(&self) -> bool {
        let Some((ledger, grants)) = self.leading() else { return true };
        ledger.doubt || grants.held() + grants.remainder().unwrap_or(0) <= ledger.total
    }

    /// What a pod that follows the present leader can come to have is within what that holds for it, and what the others can, within the
    /// remainder.
    pub fn is_held(&self) -> bool {
        let Some((ledger, grants)) = self.leading() else { return true };
        let mut unfenced = 0;
        for (pod, of) in self.pods.iter().enumerate() {
            match grants.standing(&uid(pod)).and_then(|standing| standing.held) {
                Some(held) if of.cap() > held.get() => return false,
                Some(_) => {}
                None if ledger.names.contains_key(&uid(pod)) => unfenced += u64::from(of.cap()),
                None => {}
            }
        }
        grants.remainder().is_none_or(|remainder| unfenced <= remainder)
    }

    /// A message at or below its receiver's fence is refused for ever, as is one to an earlier boot: they need not be told apart.
    fn forget_what_nobody_takes(&mut self) {
        let pods = &self.pods;
        self.sent.retain(|digest| pods.iter().any(|pod| pod.may_take(*digest)));
    }
}
