//! How old a server connection may get, and how long it may idle.

use std::time::{Duration, Instant};

use super::Counts;
use crate::policy::limits::Limits;

/// Of its lifetime: so long before its end a connection may have a successor, but not longer than [`SUCCESSION_MAX`].
const SUCCESSION: f64 = 0.05;
const SUCCESSION_MAX: Duration = Duration::from_secs(30);

/// The times of one server connection. Those that were opened together do not end together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Age {
    /// From then on it is expiring.
    expires: Instant,
    /// It is not used again from then on.
    retire: Instant,
    /// From 0 to 1, by chance.
    share: f64,
}

impl Age {
    /// Of one that is opened `now`: maxLifetime, give or take a tenth by chance.
    pub fn new(limits: &Limits, now: Instant, random: u32) -> Self {
        let share = f64::from(random) / f64::from(u32::MAX);
        let lifetime = limits.max_lifetime.mul_f64(0.9 + 0.2 * share);
        let young = lifetime.mul_f64(1.0 - SUCCESSION).max(lifetime.saturating_sub(SUCCESSION_MAX));
        Self { expires: now + young, retire: now + lifetime, share }
    }

    /// It ends then, without a successor.
    pub fn end(&mut self, at: Instant) {
        (self.expires, self.retire) = (at, at);
    }

    /// Whether it is too old to be used again.
    pub fn is_over(&self, now: Instant) -> bool {
        self.retire <= now
    }

    /// Whether it needs a successor: soon it will be too old. One that its client still has beyond that needs none, since nobody knows
    /// when it comes back.
    pub fn is_expiring(&self, now: Instant) -> bool {
        self.expires <= now && now < self.retire
    }

    /// When that next begins or ends.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        [self.expires, self.retire].into_iter().find(|at| *at > now)
    }

    /// When it is to be closed if it is idle since `since` and nobody needs it. Of so many `open` ones, so many are `expiring`: those
    /// have or get successors, which must not be closed for being one too many.
    pub fn closes_at(&self, limits: &Limits, open: u32, expiring: u32, since: Instant) -> Instant {
        if open > limits.max {
            since
        } else if open.saturating_sub(expiring) > limits.min {
            // Up to a tenth earlier.
            self.retire.min(since + limits.idle_timeout.mul_f64(1.0 - 0.1 * self.share))
        } else {
            self.retire
        }
    }
}

/// Whether an expiring connection that nobody uses may go before its time: without it there are enough for `min`, for those that are
/// in use and for those who wait. Where there is no room for successors, one after the other goes, instead of all at once later.
pub fn may_go(limits: &Limits, counts: Counts) -> bool {
    let no_room = counts.open >= limits.max && counts.opening == 0;
    no_room || counts.open > limits.min.max(counts.busy + counts.waiting)
}
