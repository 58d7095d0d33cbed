//! Clients that wait for long are told so, once in each wait. They have no server connection, and have got all of their last answer, so
//! that a notice may come: PostgreSQL may send one at any time.

use std::time::{Duration, Instant};

use super::Loop;
use crate::sidecar::client::{Identity, Phase};
use crate::sidecar::pool::{holds, still_waiting};

/// A wait that people notice, and may take for a hanging query.
const LONG: Duration = Duration::from_secs(5);

impl Loop {
    /// When the next client is to be told.
    pub(super) fn next_notice(&mut self) -> Option<Instant> {
        if self.limits.connection_timeout <= LONG {
            return None;
        }
        let clients = &self.clients;
        let waits = |i: usize, ticket| clients.get(i).is_some_and(|client| client.phase == Phase::Waiting(ticket));
        self.queue.untold(waits).map(|waiter| waiter.since + LONG)
    }

    /// Tells those who have waited for long.
    pub(super) fn notify_waiting(&mut self) {
        if self.next_notice().is_none_or(|at| at > self.now) {
            return;
        }
        let Some(since) = self.now.checked_sub(LONG) else { return };
        let clients = &self.clients;
        let waits = |i: usize, ticket| clients.get(i).is_some_and(|client| client.phase == Phase::Waiting(ticket));
        let untold = self.queue.tell(since, waits);
        let counts = self.counts();
        for (waiter, ahead) in untold {
            let Some(client) = self.clients.get_mut(waiter.client) else { continue };
            let told = std::mem::replace(&mut client.noticed, true);
            // Who takes no answers would not see it either.
            if told || client.peer.unsent() || client.identity.as_ref().is_some_and(|identity| is_quiet(identity)) {
                continue;
            }
            let holds = holds(&self.limits, counts, self.backoff.cause());
            let notice = still_waiting(&self.limits, ahead, self.now - waiter.since, holds);
            self.out.clear();
            notice.notify(&mut self.out);
            if client.peer.write(&self.epoll, &self.out).is_err() {
                self.close(waiter.client, false);
            }
        }
    }
}

/// Whether the client wants no notices. What the role or the database has as default is not told by the server.
fn is_quiet(identity: &Identity) -> bool {
    let level = identity.parameters.get(b"client_min_messages").unwrap_or_default();
    ["warning", "error", "fatal", "panic"].iter().any(|quiet| level.eq_ignore_ascii_case(quiet.as_bytes()))
}
