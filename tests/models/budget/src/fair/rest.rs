//! What must come to be once the faults have ended, and what stands in its way.

use std::collections::BTreeSet;

use super::TURN_ROUNDS;
use super::pod::Pod;
use super::world::World;
use crate::pod::uid;

impl World {
    /// Which of the states that nothing leaves but a person this is, if any.
    pub fn known_freeze(&self) -> Option<&'static str> {
        let leader = self.leader.as_ref()?;
        let (ledger, _) = self.stored.as_ref()?;
        let nobody_sees = self.pods.iter().filter(|pod| pod.lives()).all(|pod| pod.open() == 0);
        let used = leader.grants().held() + leader.grants().remainder()?;
        (nobody_sees && used >= ledger.effective()?)
            .then_some("all that is promised is lost or the dead's, and nobody has a connection to look with")
    }

    /// All figures, for a trace.
    pub fn figures(&self) -> String {
        let pod = |pod: &Pod| {
            let (charge, open, max) = (pod.charge(), pod.open(), pod.max());
            format!("{}{:?} {max}/{charge}/{open}/p{}/w{}", pod.index, pod.life, pod.pins, pod.wants)
        };
        let pods: Vec<String> = self.pods.iter().map(pod).collect();
        let ledger = self.stored.as_ref().map(|(ledger, _)| (ledger.total, ledger.spec.budget.get(), ledger.doubt));
        let leads = self.leader.as_ref().map(|leader| {
            let grants = leader.grants();
            (grants.held(), grants.remainder(), grants.room(), leader.leader.looker(), leader.leader.targets())
        });
        format!("T, B, doubt {ledger:?}; held, R, room, looker, targets {leads:?}; max/charge/open {}", pods.join(", "))
    }

    /// Whether each living pod could have a connection that serves, by what the dead, the lost and the pinned leave.
    fn is_enough(&self) -> bool {
        let Some(leader) = &self.leader else { return false };
        let grants = leader.grants();
        let living: u64 =
            self.pods.iter().filter(|pod| pod.lives()).map(|pod| u64::from(pod.lost().max(pod.pins))).sum();
        let dead = |pod: &&Pod| !pod.lives();
        let held = |pod: &Pod| grants.standing(&uid(pod.index)).and_then(|standing| standing.held);
        let dead: u64 = self.pods.iter().filter(dead).filter_map(held).map(|held| u64::from(held.get())).sum();
        let reserved = u64::from(self.spec.budget.reserved().get());
        let used = grants.remainder().unwrap_or(u64::MAX / 2) + living + dead + reserved;
        used + self.living() as u64 <= self.spec.budget.get().into()
    }

    /// Who wants a connection, could have one, and has none.
    pub fn unserved(&self) -> Option<usize> {
        let waits = |pod: &&Pod| pod.lives() && pod.wants > 0 && pod.open() == 0;
        self.pods.iter().filter(|_| self.is_enough()).find(waits).map(|pod| pod.index)
    }

    /// Whether everybody has what division says, and the ledger what is needed; else why not.
    pub fn unsettled(&self) -> Option<String> {
        let Some(leader) = &self.leader else { return Some("nobody leads".to_owned()) };
        let Some((ledger, _)) = &self.stored else { return Some("no ledger".to_owned()) };
        if ledger.doubt {
            return Some("doubt".to_owned());
        }
        let living: BTreeSet<_> = self.pods.iter().filter(|pod| pod.lives()).map(|pod| uid(pod.index)).collect();
        if let Some(dead) = ledger.names.keys().find(|name| !living.contains(*name)) {
            return Some(format!("{dead:?} is dead and named"));
        }
        let budget = self.spec.budget;
        let pinned = self.pods.iter().any(|pod| pod.lives() && pod.charge() > pod.max());
        if ledger.effective() != Some(budget.get().into()) && !pinned {
            return Some(format!("effective {:?} of {budget}", ledger.effective()));
        }
        let reserved = u64::from(budget.reserved().get());
        let room = leader.grants().room().saturating_sub(reserved);
        let enough = self.living() as u64 + reserved <= u64::from(budget.get());
        let lives = || self.pods.iter().filter(|pod| pod.lives());
        let wanted: u64 = lives().map(|pod| u64::from(pod.wants.min(self.limit))).sum();
        let scarce = wanted + reserved >= u64::from(budget.get());
        for pod in lives() {
            let target = leader.target(pod.index);
            // Where clients want more than there is, who waits gets one more after a while, and another one less.
            let swaps = scarce && target.is_some_and(|target| target.abs_diff(pod.max()) <= 1);
            let excused = (pinned && room == 0) || !enough || swaps;
            if target != Some(pod.max()) && !excused {
                return Some(format!("{} has {} of {target:?}, room {room}", pod.index, pod.max()));
            }
            if pod.charge() < pod.wants.min(pod.max()) || (pod.open() < pod.charge() && pod.max() > 0) {
                return Some(format!(
                    "{} can't use {}: {} open, {} charged",
                    pod.index,
                    pod.max(),
                    pod.open(),
                    pod.charge()
                ));
            }
            let turns = self.living() as u64 * TURN_ROUNDS;
            if !pinned && self.round.saturating_sub(pod.served) > turns {
                return Some(format!("{} starves since {}", pod.index, pod.served));
            }
        }
        let grants: u32 = lives().map(Pod::max).sum();
        let limits: u32 = lives().map(|_| self.limit).sum();
        let given = (budget.get() - budget.reserved().get()).min(limits);
        if enough && !pinned && given.abs_diff(grants) > u32::from(scarce) {
            return Some(format!("{grants} are granted of {budget}"));
        }
        None
    }
}
