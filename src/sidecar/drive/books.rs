//! Charges and their journal, kept together: what must be written before it is done is written here.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::sidecar::charge::{Answer, Attempt, Charges, Identity, Look};
use crate::sidecar::journal::{Entry, Journal};

pub struct Books {
    pub charges: Charges,
    journal: Journal,
    epoch: Instant,
}

impl Books {
    pub fn new(charges: Charges, journal: Journal, epoch: Instant) -> Self {
        Self { charges, journal, epoch }
    }

    pub fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch)
    }

    /// The permission to connect, written down. `None` when as much is charged as may be, or when it can't be written.
    pub fn begin(&mut self, now: Instant, address: SocketAddr, role: &[u8]) -> Option<Attempt> {
        let attempt = self.charges.begin(self.time(now), address, role)?;
        self.noted(attempt, address, role)
    }

    /// The same for a login that only looks.
    pub fn begin_looking(&mut self, now: Instant, address: SocketAddr, role: &[u8]) -> Option<Attempt> {
        let attempt = self.charges.begin_looking(self.time(now), address, role)?;
        self.noted(attempt, address, role)
    }

    fn noted(&mut self, attempt: Attempt, address: SocketAddr, role: &[u8]) -> Option<Attempt> {
        if self.write(Entry::Begin { attempt, address, role: role.into() }) {
            return Some(attempt);
        }
        self.charges.failed_before_start(attempt);
        None
    }

    pub fn connected(&mut self, attempt: Attempt, pid: i32) {
        self.charges.connected(attempt, pid);
        self.write(Entry::Backend { attempt, pid });
    }

    pub fn identified(&mut self, attempt: Attempt, identity: Identity, now: Instant) {
        let now = self.time(now);
        self.write(Entry::Identified {
            attempt,
            incarnation: identity.incarnation,
            backend_started: identity.backend_started,
        });
        let freed = self.charges.identified(attempt, identity, now);
        self.ended(&freed);
    }

    pub fn looked(&mut self, look: &Look, answer: &Answer, now: Instant) {
        let now = self.time(now);
        let freed = self.charges.looked(look, answer, now);
        self.ended(&freed);
    }

    /// connect() failed by the kernel's word.
    pub fn refused(&mut self, attempt: Attempt) {
        self.charges.failed_before_start(attempt);
        self.ended(&[attempt]);
    }

    /// EOF was received.
    pub fn eof(&mut self, attempt: Attempt) {
        self.charges.eof(attempt);
        self.ended(&[attempt]);
    }

    /// The socket ended without EOF.
    pub fn lost(&mut self, attempt: Attempt) {
        self.charges.lost(attempt);
    }

    fn ended(&mut self, attempts: &[Attempt]) {
        for attempt in attempts {
            // Not written: the next boot charges it once more, until a look.
            self.write(Entry::End { attempt: *attempt });
        }
    }

    fn write(&mut self, entry: Entry) -> bool {
        match self.journal.append(&entry) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "the journal can't be written");
                false
            }
        }
    }
}
