//! What a leader knows of one pod.

use crate::policy::budget::exchange::{BootId, Digest, Hello, Nonce};
use crate::policy::budget::fault::{Fault, planted};
use crate::policy::budget::ledger::Name;
use crate::policy::budget::{Connections, Epoch};

/// One pod, from when it is heard of until its end is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pod {
    /// Where it is known.
    pub(super) name: Option<Name>,
    life: Life,
    /// It was named when the ledger was claimed, so what it has is in the remainder until it is fenced.
    inherited: bool,
    /// `None` until it is fenced.
    held: Option<Connections>,
    boot: Option<Boot>,
    /// The last message that was sent, unless it was answered.
    latest: Option<Latest>,
    /// The boot before, a late hello of which says nothing.
    past: Option<BootId>,
    /// The highest epoch that it was heard to follow.
    follows: Option<Epoch>,
    /// Its journal was lost or is damaged: what it says may be too little.
    forgetful: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Life {
    Lives,
    /// It opens nothing more, but backends may be left.
    Dead,
    /// Nothing is left.
    Ended,
}

/// The run of its sidecar that said hello last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Boot {
    id: BootId,
    nonce: Nonce,
    /// It has answered a message of this epoch, and so needs no nonce.
    opened: bool,
}

/// What an answer must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Latest {
    pub(super) boot: BootId,
    pub(super) digest: Digest,
}

/// What a leader knows of one pod, for those who decide what it should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The most that it has, or can come to have without another message; `None` until it is fenced.
    pub held: Option<Connections>,
    /// The ledger names it, so it may be sent orders.
    pub named: bool,
    /// It said hello, and is not known to be dead.
    pub speaks: bool,
    /// A message is under way to it.
    pub asked: bool,
}

impl Pod {
    /// `inherited`: what it has is in the remainder.
    pub(super) const fn found(inherited: bool) -> Self {
        Self {
            name: None,
            life: Life::Lives,
            inherited,
            held: None,
            boot: None,
            latest: None,
            past: None,
            follows: None,
            forgetful: false,
        }
    }

    pub(super) const fn inherit(&mut self) {
        self.inherited = true;
    }

    pub(super) const fn held(&self) -> Option<Connections> {
        self.held
    }

    pub(super) const fn shares_the_remainder(&self) -> bool {
        self.inherited && self.held.is_none()
    }

    pub(super) fn standing(&self, named: bool) -> Standing {
        let speaks = self.life == Life::Lives && self.boot.is_some();
        Standing { held: self.held, named, speaks, asked: self.latest.is_some() }
    }

    pub(super) fn greeted(&mut self, hello: &Hello) {
        if self.past == Some(hello.boot) {
            return;
        }
        if self.life == Life::Dead {
            // Whoever said so was wrong.
            self.life = Life::Lives;
        }
        let id = hello.boot;
        let same = self.boot.filter(|boot| boot.id == id);
        if same.is_none() {
            self.past = self.boot.map(|boot| boot.id);
            // What a pod follows is in its journal, over its restarts.
            self.forgetful |= hello.epoch < self.follows;
            if planted(Fault::GrantFreedByRestart) && self.held.is_some() {
                self.held = Some(Connections::NONE);
            }
        }
        self.follows = self.follows.max(hello.epoch);
        self.boot = Some(Boot { id, nonce: hello.nonce, opened: same.is_some_and(|boot| boot.opened) });
    }

    /// To whom the next message goes, and the nonce that it must repeat, if it must.
    pub(super) fn next(&self) -> Option<(BootId, Option<Nonce>)> {
        let boot = self.boot.filter(|_| self.life == Life::Lives)?;
        Some((boot.id, (!boot.opened).then_some(boot.nonce)))
    }

    pub(super) fn sent(&mut self, latest: Latest, grant: Option<Connections>) {
        self.latest = Some(latest);
        if let (Some(held), Some(grant)) = (&mut self.held, grant) {
            *held = if planted(Fault::GrowBeforeConfirmation) { grant } else { grant.max(*held) };
        }
    }

    pub(super) fn boot(&self) -> Option<BootId> {
        self.boot.map(|boot| boot.id)
    }

    pub(super) const fn latest(&self) -> Option<Latest> {
        self.latest
    }

    /// It answered the latest message. `has` is what it has; `whole` says that this is not too little. Returns what leaves the
    /// remainder.
    pub(super) fn answered(&mut self, ours: Epoch, has: Connections, whole: bool) -> Option<Connections> {
        self.follows = Some(ours);
        self.forgetful |= !whole;
        let asked = self.latest.take().map(|latest| latest.boot);
        if let Some(boot) = self.boot.as_mut().filter(|boot| Some(boot.id) == asked) {
            boot.opened = true;
        }
        match (&mut self.held, !self.forgetful) {
            (Some(held), true) => *held = has,
            (Some(held), false) => *held = has.max(*held),
            (None, true) => {
                self.held = Some(has);
                return self.inherited.then_some(has);
            }
            // At least that. What else it may have is in the remainder, if anywhere.
            (None, false) if !self.inherited => self.held = Some(has),
            (None, false) => {}
        }
        None
    }

    pub(super) fn believe_a_limit(&mut self, limit: Connections) {
        self.held = self.held.map(|held| held.min(limit));
    }

    pub(super) const fn forgets(&self) -> bool {
        self.forgetful
    }

    pub(super) fn die(&mut self) {
        if self.life == Life::Lives {
            self.life = Life::Dead;
        }
    }

    pub(super) fn end(&mut self) {
        self.life = Life::Ended;
        if planted(Fault::EndUsedBeforeWritten) && self.held.is_some() {
            self.held = Some(Connections::NONE);
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.life == Life::Ended
    }
}
