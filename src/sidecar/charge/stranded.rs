//! Without a budget: what was lost on servers that the URL no longer leads to.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Charges, Life};

impl Charges {
    /// The addresses that the URL leads to now, after each look-up. Without a budget unconfirmed charges on other servers are
    /// stranded, and count again when their address comes back.
    pub fn serve(&mut self, addresses: &[SocketAddr], now: Duration) {
        addresses.clone_into(&mut self.served);
        self.strand(now);
        self.recount();
    }

    /// A charge is stranded while its address is not among those served, at least one of these has been seen, and none of them is the
    /// charge's own server under another address. With a budget none is. An attempt without a pid is not stranded while its
    /// backend may still be authenticating.
    pub(super) fn strand(&mut self, now: Duration) {
        if self.budgeted {
            return;
        }
        let timeout = self.authentication_timeout();
        let seen: Vec<_> = self.served.iter().flat_map(|address| self.servers.current(*address)).collect();
        for charge in self.books.values_mut() {
            let shown = charge.backend.is_some() || charge.latest_row(timeout).is_some_and(|latest| latest < now);
            let Life::Unconfirmed { stranded, .. } = &mut charge.life else { continue };
            *stranded = !seen.is_empty()
                && !self.served.contains(&charge.address)
                && !charge.server.is_some_and(|server| seen.contains(&server))
                && shown;
        }
    }
}
