//! What each step does.

use std::hash::Hash;
use std::sync::LazyLock;

use weir::policy::budget::Connections;
use weir::policy::budget::exchange::{Digest, Document, Sent};
use weir::policy::budget::ledger::Ledger;

use crate::bounds::{Bounds, Trouble};
use crate::cached::Cached;
use crate::leader::Leader;
use crate::moves::{Echo, Move, Wish};
use crate::pod::{LIMIT, Pod, key, remember, settings, uid};
use crate::world::{Late, World};

/// Written once: each order has them.
static SETTINGS: LazyLock<Document> = LazyLock::new(|| settings(LIMIT));

impl World {
    pub fn make(&mut self, step: &Move) -> Option<()> {
        match *step {
            Move::Claim(leader) => {
                let id = self.next_claim();
                let (ledger, at, before) = self.claim(id);
                self.put(&ledger, at).then_some(())?;
                self.leaders[leader] = self.read_claim(id, before);
            }
            Move::ClaimLate(leader) => {
                let id = self.next_claim();
                let (ledger, at, before) = self.claim(id);
                self.goes_late(Late { ledger, at });
                self.leaders[leader] = Cached::new(Leader::Claiming { id, before });
            }
            Move::ReadClaim(leader) => {
                let Leader::Claiming { id, before } = *self.leaders[leader] else { return None };
                self.leaders[leader] = self.read_claim(id, before);
            }
            Move::Ask(leader, pod) => {
                let hello = self.pods[pod].step("hello", Pod::hello)?;
                let ask = |leader: &mut Leader| {
                    let grants = leader.leading()?;
                    grants.hello(&hello).ok()?;
                    grants.discovery(&uid(pod), key())
                };
                let asked = (step, hello.boot, hello.epoch);
                self.send(leader, asked, ask)?;
            }
            Move::Order(leader, pod, want) => {
                let order = |leader: &mut Leader| {
                    leader.leading()?.order(&uid(pod), Connections::at_most(want), SETTINGS.clone(), key())
                };
                self.send(leader, step, order)?;
            }
            Move::Hear(leader, digest) => {
                let answer = self.answers.step(step, |answers| answers.remove(&digest))?;
                self.leaders[leader].step(("hear", &answer), |leader| leader.hear(&answer))?;
            }
            Move::Write(leader, wish) => {
                let (ledger, base) = self.write(leader, wish)?;
                if self.put(&ledger, base) {
                    self.leaders[leader].step("written", Leader::written);
                } else {
                    self.leaders[leader] = Cached::new(Leader::Idle);
                }
            }
            Move::WriteLate(leader, wish) => {
                let (ledger, at) = self.write(leader, wish)?;
                self.leaders[leader].step("unknown", |leader| leader.leading().map(|grants| grants.unknown()))?;
                self.goes_late(Late { ledger, at });
            }
            Move::Bury(leader, pod) => {
                let cleared = self.is_cleared(pod);
                self.leaders[leader].step((step, cleared), |leader| {
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
                let Late { ledger, at } = self.late.step(step, |late| late.remove(index));
                if self.put(&ledger, at) {
                    let seen =
                        |leader: &mut Cached<Leader>| leader.step(("sees", &ledger), |leader| leader.sees(&ledger));
                    self.leaders.iter_mut().for_each(seen);
                }
            }
            Move::Budget(budget) => self.spec.step(step, |spec| {
                spec.generation += 1;
                spec.budget = Connections::at_most(budget);
            }),
            Move::Limit(limit) => self.limit = limit,
            Move::Leave => {
                let left = self.backends.iter().filter(|backend| self.has_socket(backend)).copied().collect();
                self.backends = Cached::new(left);
            }
            _ => self.make_pod(step)?,
        }
        Some(())
    }

    /// Steps of pods.
    fn make_pod(&mut self, step: &Move) -> Option<()> {
        match *step {
            Move::Deliver(pod, digest, echo) => self.deliver(pod, digest, echo)?,
            Move::Answer(pod) => {
                let (digest, answer) = self.pods[pod].step(step, |of| {
                    let taken = of.process.as_mut()?.waits.take()?;
                    Some((taken.digest(), of.answer(&taken)?))
                })?;
                self.answers.step((digest, &answer), |answers| drop(answers.insert(digest, answer.clone())));
            }
            Move::Connect(pod) => {
                let attempt = self.pods[pod].step(step, Pod::connect)?;
                self.backends.step((step, attempt), |backends| backends.insert((pod, attempt)));
            }
            Move::Close(pod) | Move::Reset(pod) => self.pods[pod].step(step, Pod::lose)?,
            Move::Finish(pod) => self.pods[pod].step(step, Pod::finish)?,
            Move::Kill(pod) => self.pods[pod].step(step, |of| of.kill().and_then(|()| of.start(pod)))?,
            Move::Die(pod) => self.pods[pod].step(step, |pod| {
                pod.dead = true;
                pod.kill()
            })?,
            Move::End(pod) => {
                let attempt = self.pods[pod].step(step, |of| {
                    let attempt = of.open()?;
                    of.ended(attempt);
                    Some(attempt)
                })?;
                self.backends.step((step, attempt), |backends| backends.remove(&(pod, attempt)));
            }
            _ => return None,
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

    const fn next_claim(&mut self) -> u64 {
        self.used.epochs += 1;
        self.used.epochs as u64
    }

    fn goes_late(&mut self, late: Late) {
        self.late.step(("goes", &late), |on_their_way| on_their_way.push(late.clone()));
    }

    fn send(&mut self, leader: usize, step: impl Hash, send: impl FnOnce(&mut Leader) -> Option<Sent>) -> Option<()> {
        let digest = self.leaders[leader].step(step, |leader| send(leader).as_ref().map(remember))?;
        self.used.messages += 1;
        self.sent.step(("send", digest), |sent| sent.insert(digest));
        Some(())
    }

    fn write(&mut self, leader: usize, wish: Wish) -> Option<(Cached<Ledger>, u8)> {
        let plan = self.plan(wish);
        self.used.writes += 1;
        self.leaders[leader].step(("write", &plan), |leader| leader.write(&plan))
    }

    fn deliver(&mut self, pod: usize, digest: Digest, echo: Echo) -> Option<()> {
        let answer = self.pods[pod].step((digest, echo), |of| {
            let taken = of.take(digest)?;
            match echo {
                Echo::Heard => Some(of.answer(&taken)),
                Echo::Late => {
                    of.process.as_mut()?.waits = Some(taken);
                    Some(None)
                }
                Echo::Killed => {
                    of.kill()?;
                    of.start(pod)?;
                    Some(None)
                }
            }
        })?;
        if let Some(answer) = answer {
            for leader in &mut self.leaders {
                // It hears what it asked last; else the answer is lost.
                let hear = |leader: &mut Leader| {
                    let asked = leader.grants().is_some_and(|grants| grants.epoch() == answer.epoch);
                    asked.then(|| leader.hear(&answer)).flatten()
                };
                leader.step(("hears", &answer), hear);
            }
        }
        Some(())
    }
}
