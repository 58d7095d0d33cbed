//! Which steps there are, and what each does.

use std::sync::LazyLock;

use weir::policy::budget::Connections;
use weir::policy::budget::Epoch;
use weir::policy::budget::exchange::{Answer, Digest, Document};

use crate::bounds::{Bounds, Trouble};
use crate::cached::Cached;
use crate::leader::Leader;
use crate::pod::{LIMIT, Pod, key, remember, settings, uid};
use crate::world::{Echo, Late, Move, Wish, World};

/// Written once: each order has them.
static SETTINGS: LazyLock<Document> = LazyLock::new(|| settings(LIMIT));

pub fn possible(bounds: &Bounds, world: &World, moves: &mut Vec<Move>) {
    let may = |trouble| world.spend(bounds, trouble).is_some();
    for leader in 0..world.leaders.len() {
        leader_moves(bounds, world, leader, moves);
    }
    moves.extend((0..world.late.len()).map(Move::Land));
    for (pod, of) in world.pods.iter().enumerate() {
        for digest in world.sent.iter().filter(|digest| of.may_take(**digest)) {
            moves.push(Move::Deliver(pod, *digest, Echo::Heard));
            if may(Trouble::LateAnswer) {
                moves.push(Move::Deliver(pod, *digest, Echo::Late));
            }
        }
        if let Some(process) = &of.process {
            if process.attempts < process.attempts_before + bounds.attempts {
                moves.push(Move::Connect(pod));
            }
            moves.extend(may(Trouble::Finish).then_some(Move::Finish(pod)));
            moves.extend(may(Trouble::Loss).then_some(Move::Lose(pod)));
            moves.extend(may(Trouble::Kill).then_some(Move::Kill(pod)));
            // Who died before there was a ledger is not promised anything about.
            let counted = Option::is_some(&world.stored);
            moves.extend((counted && may(Trouble::Death)).then_some(Move::Die(pod)));
        } else if of.boots < of.boots_before + bounds.boots && !of.dead {
            moves.push(Move::Start(pod));
        }
    }
    moves.extend(world.backends.iter().map(|(pod, attempt)| Move::End(*pod, *attempt)));
    moves.extend(may(Trouble::Limit).then_some(Move::Limit));
    if may(Trouble::Budget) {
        let other = (1..=bounds.budget).filter(|budget| *budget != world.spec.budget.get());
        moves.extend(other.map(Move::Budget));
    }
}

fn leader_moves(bounds: &Bounds, world: &World, leader: usize, moves: &mut Vec<Move>) {
    let may = |trouble| world.spend(bounds, trouble).is_some();
    let other = matches!(*world.leaders[1 - leader], Leader::Leads { .. });
    let Leader::Leads { grants, .. } = &*world.leaders[leader] else {
        if matches!(*world.leaders[leader], Leader::Claiming { .. }) {
            moves.push(Move::ReadClaim(leader));
        }
        // Who claims where nobody leads is all the same.
        if (other && may(Trouble::Takeover)) || (!other && leader == 0) {
            moves.push(Move::Claim(leader));
        }
        moves.extend(may(Trouble::LateClaim).then_some(Move::ClaimLate(leader)));
        return;
    };
    let first = grants.epoch() == Epoch::FIRST && world.sent_before > 0;
    let may_send = if first { world.sent_before + bounds.messages_first } else { bounds.messages };
    if grants.sent() < may_send {
        for pod in 0..world.pods.len() {
            let standing = grants.standing(&uid(pod));
            let held = standing.and_then(|standing| standing.held);
            // Another question while one is under way to the same boot is the same question.
            let asked = standing.is_some_and(|standing| standing.asked && !world.has_new_boot(leader, pod));
            let teaches =
                held.is_none_or(|held| world.pods[pod].cap() != held.get()) || world.has_new_boot(leader, pod);
            moves.extend((!asked && teaches).then_some(Move::Ask(leader, pod)));
            let orders = (0..=LIMIT).filter(|want| held.is_some_and(|held| held.get() != *want));
            moves.extend(orders.map(|want| Move::Order(leader, pod, want)));
        }
    }
    moves.extend((0..world.pods.len()).map(|pod| Move::Bury(leader, pod)));
    let hear = |(digest, answer): (&Digest, &Answer)| {
        let pod = (0..world.pods.len()).find(|pod| uid(*pod) == answer.pod)?;
        Some(Move::Hear(leader, pod, *digest))
    };
    moves.extend(world.answers.iter().filter_map(hear));
    if world.used.writes < bounds.writes {
        for wish in [Wish::All, Wish::Least] {
            moves.push(Move::Write(leader, wish));
            moves.extend(may(Trouble::LateWrite).then_some(Move::WriteLate(leader, wish)));
        }
    }
    moves.extend(may(Trouble::Stop).then_some(Move::Stop(leader)));
}

impl World {
    pub fn make(&mut self, step: &Move) -> Option<()> {
        match *step {
            Move::Claim(leader) => {
                let id = self.next_claim();
                let (ledger, at, before) = self.claim(id);
                self.put(&ledger, at).then_some(())?;
                self.leaders[leader] = Cached::new(self.leads(id, &ledger, before, at + 1));
            }
            Move::ClaimLate(leader) => {
                let id = self.next_claim();
                let (ledger, at, before) = self.claim(id);
                self.late.with(|late| late.push(Late { ledger, at }));
                self.leaders[leader] = Cached::new(Leader::Claiming { id, before });
            }
            Move::ReadClaim(leader) => {
                let Leader::Claiming { id, before } = *self.leaders[leader] else { return None };
                let (ledger, at) = Option::clone(&self.stored)?;
                self.leaders[leader] = Cached::new(self.leads(id, &ledger, before, at));
            }
            Move::Ask(leader, pod) => self.ask(leader, pod)?,
            Move::Order(leader, pod, want) => {
                let order = |leader: &mut Leader| {
                    leader.leading()?.order(&uid(pod), Connections::at_most(want), SETTINGS.clone(), key())
                };
                let sent = self.leaders[leader].with(order)?;
                self.sent.insert(remember(&sent));
            }
            Move::Hear(leader, pod, digest) => {
                let answer = self.answers.with(|answers| answers.remove(&digest))?;
                self.leaders[leader].with(|leader| leader.leading()?.answered(&uid(pod), &answer).ok())?;
            }
            Move::Write(leader, wish) => {
                let plan = self.plan(wish);
                let (ledger, base) = self.leaders[leader].with(|leader| leader.write(&plan))?;
                self.used.writes += 1;
                if self.put(&ledger, base) {
                    self.leaders[leader].with(Leader::written);
                } else {
                    self.leaders[leader] = Cached::new(Leader::Idle);
                }
            }
            Move::WriteLate(leader, wish) => {
                let plan = self.plan(wish);
                let (ledger, at) = self.leaders[leader].with(|leader| {
                    let written = leader.write(&plan)?;
                    leader.leading()?.unknown();
                    Some(written)
                })?;
                self.late.with(|late| late.push(Late { ledger, at }));
                self.used.writes += 1;
            }
            Move::Bury(leader, pod) => {
                self.pods[pod].dead.then_some(())?;
                let cleared = self.is_cleared(pod);
                self.leaders[leader].with(|leader| {
                    let grants = leader.leading()?;
                    grants.died(&uid(pod));
                    if cleared {
                        grants.ended(&uid(pod));
                    }
                    Some(())
                })?;
            }
            Move::Stop(leader) => self.leaders[leader] = Cached::new(Leader::Idle),
            Move::Land(index) => {
                let Late { ledger, at } = self.late.with(|late| late.remove(index));
                if self.put(&ledger, at) {
                    self.leaders.iter_mut().for_each(|leader| leader.with(|leader| leader.sees(&ledger)));
                }
            }
            Move::Deliver(pod, digest, echo) => self.deliver(pod, digest, echo)?,
            Move::Start(pod) => self.pods[pod].with(|of| of.start(pod))?,
            Move::Connect(pod) => {
                let attempt = self.pods[pod].with(Pod::connect)?;
                self.backends.insert((pod, attempt));
            }
            Move::Lose(pod) => self.pods[pod].with(Pod::lose)?,
            Move::Finish(pod) => self.pods[pod].with(Pod::finish)?,
            Move::Kill(pod) => self.pods[pod].with(Pod::kill)?,
            Move::Die(pod) => self.pods[pod].with(|pod| {
                pod.dead = true;
                pod.kill()
            })?,
            Move::End(pod, attempt) => {
                self.backends.remove(&(pod, attempt)).then_some(())?;
                self.pods[pod].with(|pod| pod.ended(attempt));
            }
            Move::Limit => self.limit = 1,
            Move::Budget(budget) => {
                self.spec.generation += 1;
                self.spec.budget = Connections::at_most(budget);
            }
        }
        Some(())
    }

    /// What is left once a trouble has happened; `None` where it may not.
    pub fn spend(&self, bounds: &Bounds, trouble: Trouble) -> Option<[bool; 2]> {
        let slot = (0..2).find(|slot| bounds.trouble[*slot] == trouble && !self.used.trouble[*slot])?;
        let mut spent = self.used.trouble;
        spent[slot] = true;
        Some(spent)
    }

    fn next_claim(&mut self) -> u64 {
        self.used.epochs += 1;
        self.used.epochs.into()
    }

    fn deliver(&mut self, pod: usize, digest: Digest, echo: Echo) -> Option<()> {
        let answer = self.pods[pod].with(|pod| pod.take(digest))?;
        match echo {
            Echo::Late => {
                self.answers.with(|answers| answers.insert(digest, answer));
            }
            Echo::Heard => {
                let leads =
                    |leader: &Cached<Leader>| leader.grants().is_some_and(|grants| grants.epoch() == answer.epoch);
                // It hears what it asked last; else the answer is lost.
                if let Some(leader) = self.leaders.iter_mut().find(|leader| leads(leader)) {
                    leader.with(|leader| leader.leading().map(|grants| grants.answered(&uid(pod), &answer).is_ok()));
                }
            }
        }
        Some(())
    }
}
