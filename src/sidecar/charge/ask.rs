//! When to look, about whom, and what the answer frees.

use std::time::Duration;

use super::look::{self, Answer, Look};
use super::{Attempt, CONFIRMATION, Charge, Charges, Life};

/// Between looks that decide nothing: from 1 s, doubled up to this.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(10);

impl Charges {
    /// When a look may next decide something, or the journal may take what is kept; `None` while nothing is unconfirmed.
    pub fn look_due(&self) -> Option<Duration> {
        if self.counts.unconfirmed == 0 && self.counts.lost == 0 {
            return None;
        }
        let timeout = self.authentication_timeout();
        let kept = self.kept.first_key_value().map(|_| Duration::ZERO);
        self.books
            .values()
            .filter_map(|charge| charge.decidable(timeout))
            .chain(kept)
            .min()
            .map(|due| self.last_look.map_or(due, |last| due.max(last + self.look_interval)))
    }

    /// A look through the idle, identified server connection `via`, if it may decide something. At most one at a time; a look that
    /// is never answered is simply dropped.
    pub fn look(&mut self, via: Attempt, now: Duration) -> Option<Look> {
        if self.look_due()? > now {
            return None;
        }
        let through = self.books.get(&via).filter(|charge| charge.life == Life::Open)?;
        let (address, server) = (through.address, through.server?);
        let timeout = self.authentication_timeout();
        let decidable: Vec<_> = self
            .books
            .iter()
            .filter(|(_, charge)| charge.decidable(timeout).is_some_and(|due| due <= now))
            .filter(|(_, charge)| self.is_told_by(charge, address, server, now))
            .map(|(attempt, charge)| look::Asked { attempt: *attempt, pid: charge.backend.map(|backend| backend.pid) })
            .collect();
        let asked = self.turn(decidable);
        if self.last_look.replace(now).is_some() {
            self.look_interval = (self.look_interval * 2).min(LOOK_INTERVAL_MAX);
        }
        // That the server answers may be enough.
        let replaced = self.replaced(address);
        let by_answer = |charge: &Charge| replaced(charge) || self.is_elsewhere(charge, server);
        let useful = !asked.is_empty() || self.books.values().any(by_answer);
        let event = self.happened();
        useful.then(|| Look::new(via, asked, now, event))
    }

    /// The answer of a look, received `now`. Returns what was freed.
    pub fn looked(&mut self, look: &Look, answer: &Answer, now: Duration) -> Vec<Attempt> {
        let Some(through) = self.books.get(&look.via()).map(|charge| charge.address) else { return Vec::new() };
        let server = self.servers.as_known(answer.incarnation);
        let tells: Vec<Attempt> = look
            .asked()
            .iter()
            .map(|asked| asked.attempt)
            .filter(|attempt| {
                self.books.get(attempt).is_some_and(|charge| self.is_told_by(charge, through, server, look.sent()))
            })
            .collect();
        self.hear(server, Some(look.sent()), now);
        let mut freed = self.answered(through, look.event(), server, answer.authentication_timeout, now);
        let timeout = self.authentication_timeout();
        for attempt in tells {
            let Some(charge) = self.books.get_mut(&attempt) else { continue };
            if charge.looked(attempt, answer, look.sent(), now, timeout) {
                self.books.remove(&attempt);
                freed.push(attempt);
            }
        }
        if !freed.is_empty() {
            self.look_interval = CONFIRMATION;
        }
        self.strand(now);
        self.recount();
        freed
    }

    /// As many as one look can ask about. Where that is not all, the next look goes on behind them.
    fn turn(&mut self, mut decidable: Vec<look::Asked>) -> Vec<look::Asked> {
        if decidable.len() > look::ASKED_MAX {
            let done = decidable.partition_point(|asked| self.asked.is_some_and(|last| asked.attempt <= last));
            decidable.rotate_left(done);
            decidable.truncate(look::ASKED_MAX);
            self.asked = decidable.last().map(|asked| asked.attempt);
        }
        decidable
    }
}
