//! What a budget asks of the books: that their sum moves only by what is proven and written down.
//!
//! The leader adds up what pods answered, so a charge must never come back. With a budget none is stranded, none is made beyond the
//! maximum, a server counts as replaced only by a later start of itself, and an end counts only once the journal has it.

use std::collections::BTreeSet;

use super::{Attempt, Charges, Life};

impl Charges {
    /// A budget holds from now on, for good. Everything on the books counts.
    pub fn join_budget(&mut self) {
        self.budgeted = true;
        for charge in self.books.values_mut() {
            charge.looking = false;
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

    /// `attempt` is proven gone and was freed, but the journal can't be told: it is charged, unconfirmed, until
    /// [`Charges::release`].
    pub fn keep(&mut self, attempt: Attempt) {
        self.kept.insert(attempt);
        self.recount();
    }

    /// What is charged only for the sake of the journal.
    pub const fn kept(&self) -> &BTreeSet<Attempt> {
        &self.kept
    }

    /// The journal has the end of `attempt`, which was kept.
    pub fn release(&mut self, attempt: Attempt) {
        self.kept.remove(&attempt);
        self.recount();
    }
}
