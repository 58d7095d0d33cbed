//! One more login than may be, which only looks: where every charge is unconfirmed, nobody else can.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Attempt, Charges};

/// Between two logins that only look.
pub const LOOKING_INTERVAL: Duration = Duration::from_secs(10);

impl Charges {
    /// The permission for one more login that only looks, where every charge is unconfirmed and so nobody else can look. Not for a
    /// pool with a budget, which has a connection reserved for that.
    pub fn begin_looking(&mut self, now: Duration, address: SocketAddr) -> Option<Attempt> {
        (self.looking_due()? <= now).then(|| {
            self.last_looking = Some(now);
            self.open(address, true)
        })
    }

    /// Whether this login is one more than may be: it may look, and serves nobody. As soon as there is room it is an ordinary one,
    /// charged like any other.
    pub fn only_looks(&mut self, attempt: Attempt) -> bool {
        let room = self.has_room();
        let Some(charge) = self.books.get_mut(&attempt).filter(|charge| charge.looking) else { return false };
        charge.looking = !room;
        self.recount();
        !room
    }

    /// When [`Charges::begin_looking`] may next say yes; `None` while it is not needed.
    pub fn looking_due(&self) -> Option<Duration> {
        let stuck = !self.budgeted && !self.has_room() && !self.books.is_empty();
        let all_lost = self.counts.lost as usize == self.books.len();
        (stuck && all_lost).then(|| self.last_looking.map_or(Duration::ZERO, |last| last + LOOKING_INTERVAL))
    }
}
