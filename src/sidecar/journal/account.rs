//! The books and their journal as one: what is charged is written down before anyone may act on it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::{Durability, Entry, History, Journal, JournalError, Store, Taken};
use crate::sidecar::charge::{Answer, Attempt, BootId, Charges, Identity, Look};

/// [`Charges`] of a boot, each change of which is in the [`Journal`]. What only reads is reached through [`Account::charges`].
///
/// Without a budget an end that can't be written makes the next boot look for it once more, and nothing else depends on it. With one
/// the end counts only once it is written: until then its attempt stays charged, see [`Account::settle`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account<S = Journal> {
    pub(super) charges: Charges,
    pub(super) journal: S,
}

impl Account {
    /// Opens the journal and charges what earlier boots left. Where [`History::damage`] tells that attempts may be missing, a pool
    /// with a budget must open nothing before its next statement, as if there were no journal; one without goes on and says so.
    pub fn open(
        directory: &Path,
        kernel_boot: [u8; 16],
        boot: BootId,
        max: u32,
        now: Duration,
    ) -> Result<(Self, History), JournalError> {
        let (journal, history) = Journal::open(directory, kernel_boot, boot)?;
        Ok((Self::inherit(journal, &history, boot, max, now), history))
    }
}

impl<S: Store> Account<S> {
    /// The account of a boot that follows what `history` tells.
    pub fn inherit(journal: S, history: &History, boot: BootId, max: u32, now: Duration) -> Self {
        let mut charges = Charges::new(boot, max);
        charges.inherit(history.left().cloned(), now);
        Self { charges, journal }
    }

    /// What it is journalled in.
    pub fn into_journal(self) -> S {
        self.journal
    }

    /// The books.
    pub const fn charges(&self) -> &Charges {
        &self.charges
    }

    /// A budget holds from now on, for good: [`Charges::join_budget`], and everything is [`Durability::Durable`]. On an error nothing
    /// has changed: neither honour nor answer anything of a budget.
    pub fn join_budget(&mut self) -> Result<(), JournalError> {
        if self.charges.is_budgeted() {
            return Ok(());
        }
        self.journal.endure()?;
        self.charges.join_budget();
        // Ends that could not be written before: the next boot would charge them, so this one does.
        let known: BTreeSet<_> = self.charges.attempts().collect();
        for left in self.journal.history().left().filter(|left| !known.contains(&left.attempt)) {
            self.charges.keep(left.attempt, left.server);
        }
        let _ = self.settle();
        Ok(())
    }

    /// See [`Charges::limit`].
    pub fn limit(&mut self, limit: u32) {
        self.charges.limit(limit);
    }

    /// See [`Charges::grant`].
    pub fn grant(&mut self, grant: u32) {
        self.charges.grant(grant);
    }

    /// See [`Charges::serve`].
    pub fn serve(&mut self, addresses: &[SocketAddr], now: Duration) {
        self.charges.serve(addresses, now);
    }

    /// Remembers what was taken from the operator, before it is honoured or answered. On an error do neither.
    pub fn take(&mut self, taken: Taken) -> Result<(), JournalError> {
        self.journal.record(&Entry::Taken(taken))
    }

    /// See [`Charges::begin`]. On an error do not connect.
    pub fn begin(&mut self, address: SocketAddr) -> Result<Option<Attempt>, JournalError> {
        self.settle()?;
        let attempt = self.charges.begin(address);
        self.begun(attempt, address)
    }

    /// See [`Charges::begin_looking`]. On an error do not connect.
    pub fn begin_looking(&mut self, now: Duration, address: SocketAddr) -> Result<Option<Attempt>, JournalError> {
        let attempt = self.charges.begin_looking(now, address);
        self.begun(attempt, address)
    }

    /// See [`Charges::only_looks`].
    pub fn only_looks(&mut self, attempt: Attempt) -> bool {
        self.charges.only_looks(attempt)
    }

    fn begun(&mut self, attempt: Option<Attempt>, address: SocketAddr) -> Result<Option<Attempt>, JournalError> {
        let Some(attempt) = attempt else { return Ok(None) };
        if let Err(error) = self.journal.record(&Entry::Begin { attempt, address }) {
            self.charges.failed_before_start(attempt);
            if self.journal.durability() == Durability::Durable {
                // A record that was written and not synced may still be read by the next boot.
                self.charges.keep(attempt, None);
            }
            return Err(error);
        }
        Ok(Some(attempt))
    }

    /// See [`Charges::starting`].
    pub fn starting(&mut self, attempt: Attempt) {
        self.charges.starting(attempt);
    }

    /// See [`Charges::connected`]. On an error close the connection without having used it, and call [`Account::lost`].
    pub fn connected(&mut self, attempt: Attempt, pid: i32) -> Result<(), JournalError> {
        self.charges.connected(attempt, pid);
        if pid == 0 { Ok(()) } else { self.journal.record(&Entry::Backend { attempt, pid }) }
    }

    /// See [`Charges::identified`]. A record that can't be written costs precision, not safety.
    pub fn identified(&mut self, attempt: Attempt, identity: Identity, now: Duration) {
        let Identity { incarnation, backend_started, .. } = identity;
        // First: what counts only there must not count everywhere again after a restart.
        let written = self.journal.record(&Entry::Identified { attempt, incarnation, backend_started });
        let freed = self.charges.identified(attempt, identity, now);
        if written.is_ok() {
            self.charges.told(attempt);
        }
        self.ended(freed);
    }

    /// See [`Charges::failed_before_start`].
    pub fn failed_before_start(&mut self, attempt: Attempt) {
        let freed = self.charges.failed_before_start(attempt);
        self.ended(freed.then_some(attempt));
    }

    /// See [`Charges::eof`].
    pub fn eof(&mut self, attempt: Attempt) {
        let freed = self.charges.eof(attempt);
        self.ended(freed.then_some(attempt));
    }

    /// See [`Charges::lost`].
    pub fn lost(&mut self, attempt: Attempt, now: Duration) {
        let freed = self.charges.lost(attempt, now);
        self.ended(freed.then_some(attempt));
    }

    /// See [`Charges::look`]. Before it, [`Account::settle`].
    pub fn look(&mut self, via: Attempt, now: Duration) -> Option<Look> {
        if self.charges.look_due()? <= now {
            let _ = self.settle();
        }
        self.charges.look(via, now)
    }

    /// See [`Charges::looked`].
    pub fn looked(&mut self, look: &Look, answer: &Answer, now: Duration) {
        let freed = self.charges.looked(look, answer, now);
        self.ended(freed);
    }

    /// Writes the ends that could not be written when they came, and are charged for that, until one can't be written again.
    pub fn settle(&mut self) -> Result<(), JournalError> {
        while let Some(attempt) = self.charges.kept().keys().next().copied() {
            self.journal.record(&Entry::End { attempt })?;
            self.charges.release(attempt);
        }
        Ok(())
    }

    fn ended(&mut self, attempts: impl IntoIterator<Item = Attempt>) {
        for attempt in attempts {
            let written = self.journal.record(&Entry::End { attempt });
            if written.is_err() && self.journal.durability() == Durability::Durable {
                let left = self.journal.history().left().find(|left| left.attempt == attempt);
                self.charges.keep(attempt, left.and_then(|left| left.server));
            }
        }
    }
}
