//! What a budget asks of the books: that their sum moves only by what is proven and written down.
//!
//! The leader adds up what pods answered, so a charge must never come back. With a budget none is stranded, none is made beyond the
//! grant, no server counts as replaced (a standby that started later looks like a later run of its primary), and an end counts
//! only once the journal has it.
//!
//! A budget is one server's: what a failover left behind on the old one costs the new one nothing. So the charge is **what may be on
//! any one server at most**: all attempts that have not told theirs, and of the others those on the server that has most of them. No
//! step but [`Charges::begin`], which the grant bounds, raises that, whichever server an address leads to, also where it leads
//! back to the old one: to tell a server moves an attempt from what counts everywhere to what counts there. Where it does not lead back
//! for [`LEFT`](crate::policy::budget::LEFT), what was left there ends: else nobody could be granted less than it had when its server failed. See
//! [`super::heard`].

use std::collections::BTreeMap;

use super::{Attempt, Charge, Charges, Incarnation, Life};
use crate::policy::budget::exchange::Backend as Listed;

impl Charges {
    /// A budget holds from now on, for good. Everything on the books counts.
    pub fn join_budget(&mut self) {
        self.budgeted = true;
        for charge in self.books.values_mut() {
            charge.looking = false;
            charge.server = charge.told();
            if let Life::Unconfirmed { stranded, .. } = &mut charge.life {
                *stranded = false;
            }
        }
        self.recount();
    }

    /// Whether a budget holds.
    pub const fn is_budgeted(&self) -> bool {
        self.budgeted
    }

    /// What may be charged, usable or not. The limit then bounds only what is open: so one that has lost its connections can be
    /// granted others beside them.
    pub fn grant(&mut self, grant: u32) {
        self.grant = Some(grant);
    }

    /// The journal has which server `attempt` told: it counts there alone.
    pub fn told(&mut self, attempt: Attempt) {
        if let Some(charge) = self.books.get_mut(&attempt) {
            charge.identified = charge.server.is_some();
        }
        self.recount();
    }

    /// `attempt` is proven gone and was freed, but the journal, which tells that it is at `server`, can't be told: it is charged,
    /// unconfirmed, until [`Charges::release`].
    pub fn keep(&mut self, attempt: Attempt, server: Option<Incarnation>) {
        self.kept.insert(attempt, server);
        self.recount();
    }

    /// What is charged only for the sake of the journal.
    pub const fn kept(&self) -> &BTreeMap<Attempt, Option<Incarnation>> {
        &self.kept
    }

    /// The journal has the end of `attempt`, which was kept.
    pub fn release(&mut self, attempt: Attempt) {
        self.kept.remove(&attempt);
        self.recount();
    }

    /// The backends at `server` that are charged and of which pid and start are known.
    pub fn backends(&self, server: Incarnation) -> impl Iterator<Item = Listed> {
        let at = move |charge: &&Charge| charge.told().is_some_and(|told| told.started == server.started);
        let there = self.books.values().filter(at);
        there.filter_map(|charge| {
            let backend = charge.backend?;
            Some(Listed { pid: backend.pid, started: backend.started? })
        })
    }

    /// The most that may be on one server, of those that `counts` and of all that are kept. (A server is told by its start alone:
    /// whether its role may see the system identifier can change while it runs.)
    pub(super) fn on_one_server(&self, counts: impl Fn(&Charge) -> bool) -> u32 {
        let counted = self.books.values().filter(|charge| counts(charge));
        let told = counted.map(Charge::told);
        let mut servers: Vec<(u64, u32)> = Vec::new();
        let mut anywhere = 0;
        for server in told.chain(self.kept.values().copied()) {
            let Some(Incarnation { started, .. }) = server else {
                anywhere += 1;
                continue;
            };
            match servers.iter_mut().find(|(of, _)| *of == started) {
                Some((_, there)) => *there += 1,
                None => servers.push((started, 1)),
            }
        }
        anywhere + servers.iter().map(|(_, there)| *there).max().unwrap_or(0)
    }
}
