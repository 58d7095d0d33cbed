//! The whole: who there is, and what a step makes of it.

use std::collections::{BTreeMap, BTreeSet};

use weir::policy::budget::Connections;
use weir::policy::budget::exchange::{Answer, Digest};
use weir::policy::budget::fault::{Fault, planted};
use weir::policy::budget::ledger::{Ledger, Spec};
use weir::sidecar::charge::Attempt;

use crate::bounds::{Bounds, Trouble};
use crate::cached::Cached;
use crate::leader::{self, Leader};
use crate::moves::{Echo, Move, Wish};
use crate::pod::{self, LIMIT, Pod, uid};

pub const PODS: usize = 2;

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub spec: Cached<Spec>,
    /// The pool's max.
    pub limit: u32,
    /// What the API server has, and its resourceVersion.
    pub stored: Cached<Option<(Cached<Ledger>, u8)>>,
    /// Writes that are still on their way though whoever sent them has given up waiting.
    pub late: Cached<Vec<Late>>,
    pub leaders: [Cached<Leader>; 2],
    pub pods: [Cached<Pod>; PODS],
    /// Alive at PostgreSQL: which pod opened it, and by which attempt.
    pub backends: Cached<BTreeSet<(usize, Attempt)>>,
    /// Messages that were sent and may still be taken.
    pub sent: Cached<BTreeSet<Digest>>,
    /// By the message that they answer.
    pub answers: Cached<BTreeMap<Digest, Answer>>,
    pub used: Used,
    /// Messages that the first leader had sent at the start.
    pub sent_before: u64,
    /// The pods were alike at the start, and nothing was sent since.
    pub alike: bool,
    /// The effective budget rose though the spec's did not.
    pub rose: bool,
}

/// What of the bounds is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Used {
    pub epochs: u8,
    pub writes: u8,
    pub messages: u8,
    /// Of the two that may be.
    pub trouble: [bool; 2],
}

/// A write that may still take effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Late {
    pub ledger: Cached<Ledger>,
    /// The resourceVersion that it is good for.
    pub at: u8,
}

impl World {
    /// A leader leads, two pods follow it and have these grants, all used. The total is the budget, or `tight`: what is needed.
    pub fn at_rest(bounds: &Bounds, grants: [u32; PODS], tight: bool) -> Self {
        let mut world = Self::new(bounds, true);
        let answered = |world: &mut Self, pod: usize| {
            let digest = *world.sent.first().expect("one message was sent");
            world.make(&Move::Deliver(pod, digest, Echo::Heard)).expect("the pod takes it");
            world.sent = Cached::new(BTreeSet::new());
        };
        world.make(&Move::Claim(0)).expect("nobody leads");
        for pod in 0..PODS {
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
        world.start_counting();
        world.alike = grants[0] == grants[1];
        world
    }

    /// Two pods run that were injected without a budget. Now there is one.
    pub fn without_a_budget(bounds: &Bounds) -> Self {
        let mut world = Self::new(bounds, false);
        for pod in 0..PODS {
            world.make(&Move::Connect(pod)).expect("it may");
        }
        world.start_counting();
        world
    }

    /// What was used on the way here is not counted.
    fn start_counting(&mut self) {
        for pod in &mut self.pods {
            pod.step("start counting", |pod| {
                if let Some(process) = &mut pod.process {
                    process.attempts_before = process.attempts;
                }
            });
        }
        self.used.writes = 0;
        self.used.messages = 0;
        self.sent_before = self.leads(0).map_or(0, |figures| figures.sent);
    }

    fn new(bounds: &Bounds, budgeted: bool) -> Self {
        let spec = Spec { pool: "uid".to_owned(), generation: 1, budget: Connections::at_most(bounds.budget) };
        let pod = |pod| {
            let mut of = Pod::new(budgeted);
            of.start(pod).expect("it does not run");
            Cached::new(of)
        };
        Self {
            spec: Cached::new(spec),
            limit: LIMIT,
            stored: Cached::new(None),
            late: Cached::new(Vec::new()),
            leaders: [(); 2].map(|()| Cached::new(Leader::Idle)),
            pods: std::array::from_fn(pod),
            backends: Cached::new(BTreeSet::new()),
            sent: Cached::new(BTreeSet::new()),
            answers: Cached::new(BTreeMap::new()),
            used: Used::default(),
            sent_before: 0,
            alike: true,
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
            Move::Close(_) | Move::Reset(_) => Some(Trouble::Loss),
            Move::Kill(_) | Move::Deliver(_, _, Echo::Killed) => Some(Trouble::Kill),
            Move::Die(_) => Some(Trouble::Death),
            Move::Budget(_) => Some(Trouble::Budget),
            Move::Limit(_) => Some(Trouble::Limit),
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
        next.alike &= !matches!(step, Move::Ask(..) | Move::Order(..));
        next.forget(step);
        Some(next)
    }

    /// What a leader knows, if it leads.
    pub fn leads(&self, leader: usize) -> Option<leader::Figures> {
        self.leaders[leader].fact("figures", Leader::figures)
    }

    pub fn figures(&self, pod: usize) -> pod::Figures {
        self.pods[pod].fact("figures", Pod::figures)
    }

    /// Whether a process has the socket of a backend.
    pub fn has_socket(&self, (pod, attempt): &(usize, Attempt)) -> bool {
        self.pods[*pod].process.as_ref().is_some_and(|process| process.open.contains(attempt))
    }

    pub fn effective(&self) -> Option<u64> {
        self.stored.as_ref().and_then(|(ledger, _)| ledger.effective())
    }

    /// There are at most as many backends as there may be.
    pub fn is_within(&self) -> bool {
        self.effective().is_none_or(|effective| self.backends.len() as u64 <= effective)
    }

    /// The ledger, and the leaders whose it is: one, unless a fault is planted.
    fn leading(&self) -> impl Iterator<Item = (&Ledger, leader::Figures)> {
        let ledger = Option::as_ref(&self.stored).map(|(ledger, _)| &**ledger);
        let whose = move |leader| {
            let (ledger, figures) = ledger.zip(self.leads(leader))?;
            (ledger.claim.map(|claim| claim.epoch) == Some(figures.epoch)).then_some((ledger, figures))
        };
        (0..self.leaders.len()).filter_map(whose)
    }

    /// What the present leader counts is within the total.
    pub fn is_counted(&self) -> bool {
        self.leading().all(|(ledger, figures)| ledger.doubt || figures.counted <= ledger.total)
    }

    /// What a pod that follows the present leader can come to have is within what that holds for it, and what the others can, within the
    /// remainder.
    pub fn is_held(&self) -> bool {
        let caps: [u32; PODS] = std::array::from_fn(|pod| self.figures(pod).cap);
        self.leading().all(|(ledger, figures)| {
            let mut unfenced = 0;
            for (pod, cap) in caps.into_iter().enumerate() {
                match figures.pods[pod].and_then(|standing| standing.held) {
                    Some(held) if cap > held.get() => return false,
                    Some(_) => {}
                    None if ledger.names.contains_key(&uid(pod)) => unfenced += u64::from(cap),
                    None => {}
                }
            }
            figures.remainder.is_none_or(|remainder| unfenced <= remainder)
        })
    }

    /// Drops what can't have an effect any more, so that states are the same that differ in nothing else.
    fn forget(&mut self, step: &Move) {
        // A message at or below its receiver's fence is refused for ever, as is one to an earlier boot.
        if matches!(step, Move::Ask(..) | Move::Order(..) | Move::Deliver(..) | Move::Kill(_) | Move::Die(_)) {
            let pods = &self.pods;
            let may_be_taken = |digest: &Digest| pods.iter().any(|pod| pod.fact(digest, |pod| pod.may_take(*digest)));
            if !self.sent.iter().all(may_be_taken) {
                self.sent = Cached::new(self.sent.iter().filter(|digest| may_be_taken(digest)).copied().collect());
            }
        }
        // The version only grows.
        let version = self.stored.as_ref().map_or(0, |(_, version)| *version);
        if self.late.iter().any(|late| late.at < version) {
            self.late.step(("still good", version), |late| late.retain(|late| late.at >= version));
        }
        // A leader that does not wait for an answer now never will: it waits for the one to its last message alone.
        if !self.answers.is_empty() && !planted(Fault::AnswerOfAnotherBoot) {
            let awaited = |digest: &Digest, answer: &Answer| {
                self.leaders
                    .iter()
                    .any(|leader| leader.fact(("awaits", digest, answer), |leader| leader.awaits(answer)))
            };
            if !self.answers.iter().all(|(digest, answer)| awaited(digest, answer)) {
                let answers = BTreeMap::clone(&self.answers);
                let still = answers.into_iter().filter(|(digest, answer)| awaited(digest, answer)).collect();
                self.answers = Cached::new(still);
            }
        }
    }
}
