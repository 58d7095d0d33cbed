//! The boot's half of a budget: which messages it takes, what it may open, what it answers. No I/O but through the journal's store.
//!
//! | step | what comes first |
//! | --- | --- |
//! | [`Holder::take`] | fence and grant are in the journal as one record, then they are honoured, then answered |
//! | [`Holder::answer`] | grant and charge are read together, by the one that opens |
//! | [`Holder::finish`] | grant 0 is in the journal, then the answer is the last |
//!
//! A boot continues with its predecessor's grant. One that was injected with a budget and finds no grant may open nothing; one that was
//! injected without may open up to its limit, until it has taken an order.

use std::time::Duration;

use crate::policy::budget::exchange::{
    self, Answer, Backends, Boot, Document, Fence, PoolName, Refusal, Report, Verified,
};
use crate::policy::budget::{BootId, Connections, PodUid};
use crate::sidecar::charge::Incarnation;
use crate::sidecar::journal::{Account, History, JournalError, SettingsText, Store, Taken};

/// What this boot may hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    exchange: Boot,
    /// `None` where only the limit binds.
    grant: Option<Connections>,
    limit: Connections,
    incomplete: bool,
}

/// Who it is and what it was injected with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// Whose budget.
    pub pool: PoolName,
    /// The pod.
    pub pod: PodUid,
    /// Whether the pool had a budget.
    pub budgeted: bool,
    /// The most that the settings allow, and the pod's own variables.
    pub limit: Connections,
}

/// Why a message was not honoured. Nothing is to be answered but the refusal.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// It is not for us, or not now.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It can't be written down.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Holder {
    /// A boot that follows what `history` tells, and its books. On an error it must open nothing.
    pub fn new<S: Store>(
        injected: &Injected,
        boot: BootId,
        history: &History,
        account: &mut Account<S>,
    ) -> Result<Self, JournalError> {
        let holder = Self {
            exchange: Boot::new(injected.pool.clone(), injected.pod.clone(), boot, history.fence),
            grant: history.grant.or_else(|| injected.budgeted.then_some(Connections::NONE)),
            limit: told(history).as_ref().map_or(injected.limit, limit),
            incomplete: history.damage.is_some(),
        };
        if injected.budgeted || history.fence.is_some() {
            account.join_budget()?;
        }
        holder.bind(account);
        Ok(holder)
    }

    /// What may be charged. With a damaged journal nothing, once there is a budget: what it forgot may be alive, and the grant that it
    /// tells may be an earlier one.
    pub fn max(&self) -> Connections {
        if self.incomplete && self.grant.is_some() {
            return Connections::NONE;
        }
        self.grant.unwrap_or(self.limit)
    }

    /// What may be open, of what may be charged: the rest is for what was lost.
    pub const fn limit(&self) -> Connections {
        self.limit
    }

    fn bind<S: Store>(&self, account: &mut Account<S>) {
        account.limit(self.limit.get());
        if self.grant.is_some() {
            account.grant(self.max().get());
        }
    }

    /// Where the pod stands.
    pub const fn fence(&self) -> Option<Fence> {
        self.exchange.fence()
    }

    /// Its side of the exchange.
    pub const fn exchange(&mut self) -> &mut Boot {
        &mut self.exchange
    }

    /// Whether [`Holder::take`] would not refuse it.
    pub fn would_take(&self, now: Duration, message: Verified) -> bool {
        self.exchange.take(now, message).is_ok()
    }

    /// Takes a message: journals it, then honours it. The answer is to follow.
    pub fn take<S: Store>(
        &mut self,
        now: Duration,
        message: Verified,
        account: &mut Account<S>,
    ) -> Result<exchange::Taken, TakeError> {
        let accepted = self.exchange.take(now, message)?;
        let order = accepted.order();
        let taken = Taken {
            fence: accepted.fence(),
            grant: order.map(|order| order.grant),
            settings: order.map(|order| SettingsText::from(&order.settings)),
        };
        // What was written before there was a budget was not synced.
        account.join_budget()?;
        account.take(taken)?;
        let told = self.exchange.journalled(&accepted)?;
        if let Some(order) = order {
            self.grant = Some(order.grant);
            self.limit = limit(&order.settings);
            self.bind(account);
        }
        Ok(told)
    }

    /// What is said to a message that was taken. `figures` are those of the pool, with the server in use; what is granted, charged and
    /// listed is filled in, as of one moment.
    pub fn answer<S: Store>(&self, to: &exchange::Taken, account: &Account<S>, figures: &Report) -> Answer {
        let charges = account.charges();
        let server =
            figures.upstream.map(|upstream| Incarnation { system: upstream.system, started: upstream.started });
        let backends = Backends::new(server.into_iter().flat_map(|server| charges.backends(server)));
        let report = Report {
            grant: self.grant,
            limit: self.limit,
            charge: Connections::at_most(charges.charged()),
            unconfirmed: Connections::at_most(charges.unconfirmed()),
            incomplete: self.incomplete,
            backends,
            ..*figures
        };
        self.exchange.answer(to, report)
    }

    /// From now on nothing is opened. Only once nothing is charged, and while `waits`, the last message that was taken, waits for its
    /// answer: a pod that stops while nobody leads keeps its grant. Returns whether that answer is the last.
    pub fn finish<S: Store>(
        &mut self,
        waits: &exchange::Taken,
        account: &mut Account<S>,
    ) -> Result<bool, JournalError> {
        let fence = waits.fence();
        if account.charges().charged() > 0 || self.incomplete || self.fence() != Some(fence) {
            return Ok(false);
        }
        let last = self.exchange.last_record();
        account.take(Taken { fence, grant: Some(Connections::NONE), settings: None })?;
        self.grant = Some(Connections::NONE);
        self.bind(account);
        // Nothing was journalled in between.
        Ok(self.exchange.end(&last).is_ok())
    }
}

/// The settings that were taken last.
fn told(history: &History) -> Option<Document> {
    Document::read(history.settings.as_ref()?.as_bytes())
}

fn limit(settings: &Document) -> Connections {
    Connections::at_most(settings.settings().limits.max)
}

#[cfg(test)]
mod tests;
