//! The account of what PostgreSQL may be charged with, in the loop's time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::sidecar::charge::{Answer, Attempt, Charges, Identity, Look};
use crate::sidecar::journal::{Account, JournalError};

pub struct Books {
    account: Account,
    epoch: Instant,
}

impl Books {
    pub fn new(account: Account, epoch: Instant) -> Self {
        Self { account, epoch }
    }

    pub fn charges(&self) -> &Charges {
        self.account.charges()
    }

    pub fn limit(&mut self, max: u32) {
        self.account.limit(max);
    }

    pub fn serve(&mut self, addresses: &[SocketAddr], now: Instant) {
        self.account.serve(addresses, self.time(now));
    }

    /// The permission to connect, written down. `None` when as much is charged as may be. Where all that is charged is lost, one
    /// that only looks.
    pub fn begin(&mut self, now: Instant, address: SocketAddr) -> Result<Option<Attempt>, JournalError> {
        let time = self.time(now);
        let permission = match self.account.begin(address) {
            Ok(None) => self.account.begin_looking(time, address),
            other => other,
        };
        permission.inspect_err(report)
    }

    /// See [`Charges::only_looks`](crate::sidecar::charge::Charges::only_looks).
    pub fn only_looks(&mut self, attempt: Attempt) -> bool {
        self.account.only_looks(attempt)
    }

    /// Its StartupMessage is about to be sent.
    pub fn starting(&mut self, attempt: Attempt) {
        self.account.starting(attempt);
    }

    /// False: the connection must be closed unused.
    pub fn connected(&mut self, attempt: Attempt, pid: i32) -> bool {
        self.account.connected(attempt, pid).inspect_err(report).is_ok()
    }

    pub fn identified(&mut self, attempt: Attempt, identity: Identity, now: Instant) {
        self.account.identified(attempt, identity, self.time(now));
    }

    /// connect() failed by the kernel's word.
    pub fn refused(&mut self, attempt: Attempt) {
        self.account.failed_before_start(attempt);
    }

    /// EOF was received.
    pub fn eof(&mut self, attempt: Attempt) {
        self.account.eof(attempt);
    }

    /// The socket ended without EOF.
    pub fn lost(&mut self, attempt: Attempt, now: Instant) {
        self.account.lost(attempt, self.time(now));
    }

    pub fn look(&mut self, via: Attempt, now: Instant) -> Option<Look> {
        self.account.look(via, self.time(now))
    }

    pub fn looked(&mut self, look: &Look, answer: &Answer, now: Instant) {
        self.account.looked(look, answer, self.time(now));
    }

    /// See [`Account::settle`].
    pub fn settle(&mut self) {
        let _ = self.account.settle();
    }

    /// When a look, or a login that only looks, may next tell something.
    pub fn look_due(&self, now: Instant) -> Option<Instant> {
        let charges = self.charges();
        let due = charges.look_due().into_iter().chain(charges.looking_due()).min()?;
        Some(now + due.saturating_sub(self.time(now)))
    }

    fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch)
    }
}

fn report(error: &JournalError) {
    tracing::error!(%error, "no server connection is opened while the journal can't be written");
}
