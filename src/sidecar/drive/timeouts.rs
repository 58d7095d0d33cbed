//! queryTimeout and idleTransactionTimeout: how long a server may work on what its client has asked, and how long a client may leave a
//! transaction open without a word.
//!
//! While both are off nothing is kept. Else a time is noted where another has to act than before, and where a client that is awaited
//! has spoken; the sweep finds what is over.

use std::time::Duration;

use super::{Loop, Server};
use crate::policy::limits::Limits;
use crate::sidecar::exchange::Awaited;
use crate::sidecar::pool;
use crate::sidecar::server::Phase;

/// How long a client may take for the rest of a message, before it is sent away without a reason.
const REST_TIMEOUT: Duration = Duration::from_secs(2);

impl Server {
    fn awaits(&self) -> Awaited {
        match self.exchange.awaits() {
            // It does not take what there is to say.
            Awaited::Client if self.peer.unsent() => Awaited::Server(0),
            awaited => awaited,
        }
    }

    fn limit(&self, limits: &Limits) -> Option<Duration> {
        match self.awaited {
            Awaited::Nobody => None,
            Awaited::Server(_) => limits.query_timeout,
            Awaited::Client => limits.idle_transaction_timeout,
        }
    }
}

impl Loop {
    /// Something has passed on server connection `j`; `spoke`: from its client.
    #[inline]
    pub(super) fn clock(&mut self, j: usize, spoke: bool) {
        if is_timed(&self.limits) {
            self.note_turn(j, spoke);
        }
    }

    fn note_turn(&mut self, j: usize, spoke: bool) {
        let Some(server) = self.servers.get_mut(j) else { return };
        if !matches!(server.phase, Phase::Attached) || server.last_word.is_some() {
            return;
        }
        let awaited = server.awaits();
        if awaited != server.awaited || (spoke && awaited == Awaited::Client) {
            (server.awaited, server.since) = (awaited, self.now);
            self.time(j);
        }
    }

    fn time(&mut self, j: usize) {
        let Some(server) = self.servers.get_mut(j) else { return };
        server.deadline = server.limit(&self.limits).map(|limit| server.since + limit);
        if let Some(deadline) = server.deadline {
            self.due(deadline);
        }
    }

    /// Other limits are in force than `before`.
    pub(super) fn time_again(&mut self, before: &Limits) {
        let attached = self.servers.iter().filter(|(_, server)| matches!(server.phase, Phase::Attached));
        for j in attached.map(|(j, _)| j).collect::<Vec<_>>() {
            if let Some(server) = self.servers.get_mut(j).filter(|_| !is_timed(before)) {
                server.awaited = Awaited::Nobody;
            }
            self.clock(j, false);
            if self.servers.get(j).is_some_and(|server| server.last_word.is_none()) {
                self.time(j);
            }
        }
    }

    /// The time of server connection `j`, which has a client, is over.
    pub(super) fn client_overdue(&mut self, j: usize) {
        let Some(server) = self.servers.get_mut(j) else { return };
        let Some(i) = server.client else { return };
        if server.last_word.is_some() {
            return self.close(i, false);
        }
        let passed = self.now - server.since;
        let word = match server.awaited {
            Awaited::Nobody => return server.deadline = None,
            Awaited::Server(_) => pool::query_too_long(passed),
            Awaited::Client => pool::transaction_too_idle(passed),
        };
        if !server.exchange.midway() {
            return self.refuse(i, &word);
        }
        server.last_word = Some(Box::new(word));
        server.deadline = Some(self.now + REST_TIMEOUT);
        self.due(self.now + REST_TIMEOUT);
        self.cancel(j);
    }

    /// Sends client `i` away if it has all of the message that it had a part of.
    pub(super) fn say_last_word(&mut self, i: usize, j: usize) -> bool {
        let Some(server) = self.servers.get_mut(j).filter(|server| !server.exchange.midway()) else { return false };
        let Some(word) = server.last_word.take() else { return false };
        self.refuse(i, &word);
        true
    }
}

fn is_timed(limits: &Limits) -> bool {
    limits.query_timeout.is_some() || limits.idle_transaction_timeout.is_some()
}
