//! When servers answered: which of them a pool with a budget still has to do with.
//!
//! A lost attempt that has told its server is looked for there, and ends where that server was *left*: it has not answered for
//! [`LEFT`], by which time another was asked and answered. One that has not told its server may be on any that was in use then or
//! is since: so it is looked for only once [`LEFT`] has passed, and no other server has answered within it.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Attempt, Charge, Charges, Incarnation, Life};
use crate::policy::budget::LEFT;

/// A server that has answered. It is known by its start alone: whether its role may see the system identifier can change while it
/// runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Heard {
    started: u64,
    /// When its last answer was read.
    read: Duration,
    /// When the last look was sent that it answered.
    asked: Option<Duration>,
}

impl Charges {
    /// A server answered, a look that was sent at `asked` or anything else.
    pub(super) fn hear(&mut self, server: Incarnation, asked: Option<Duration>, now: Duration) {
        match self.heard.iter_mut().find(|heard| heard.started == server.started) {
            Some(heard) => *heard = Heard { read: now, asked: asked.or(heard.asked), ..*heard },
            None => self.heard.push(Heard { started: server.started, read: now, asked }),
        }
        let books = &self.books;
        let needed =
            |started| books.values().any(|charge| charge.server.is_some_and(|server| server.started == started));
        self.heard.retain(|heard| now < heard.read + LEFT || needed(heard.started));
    }

    /// Whether a look at `server`, reached at the charge's address or another and sent at `sent`, tells of it.
    pub(super) fn is_told_by(&self, charge: &Charge, through: SocketAddr, server: Incarnation, sent: Duration) -> bool {
        if !self.budgeted {
            return charge.may_be_on(through, server);
        }
        match (charge.told(), charge.life.ended()) {
            (Some(told), _) => told.started == server.started,
            (None, Some(ended)) => {
                let others = self.heard.iter().filter(|heard| heard.started != server.started);
                ended + LEFT <= sent && others.map(|other| other.read).all(|read| read + LEFT <= sent)
            }
            (None, None) => false,
        }
    }

    /// Whether it was lost on another server than this, so that an answer of this one may show that the other was left.
    pub(super) fn is_elsewhere(&self, charge: &Charge, server: Incarnation) -> bool {
        let other = charge.told().is_some_and(|told| told.started != server.started);
        self.budgeted && charge.life != Life::Open && other
    }

    /// Ends what was lost on servers that were left. Returns it.
    pub(super) fn leave(&mut self) -> Vec<Attempt> {
        let open = |charge: &&Charge| charge.life == Life::Open;
        let in_use: Vec<_> =
            self.books.values().filter(open).filter_map(|charge| Some(charge.server?.started)).collect();
        let heard = &self.heard;
        let left = |_: &Attempt, charge: &mut Charge| {
            let (Some(told), Some(ended)) = (charge.told(), charge.life.ended()) else { return false };
            let its = heard.iter().find(|heard| heard.started == told.started);
            let last = its.map_or(ended, |its| its.read.max(ended));
            let others = heard.iter().filter(|other| other.started != told.started).filter_map(|other| other.asked);
            !in_use.contains(&told.started) && others.max().is_some_and(|asked| asked >= last + LEFT)
        };
        self.books.extract_if(.., left).map(|(attempt, _)| attempt).collect()
    }
}
