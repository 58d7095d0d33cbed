//! Server connections without a client: given back, idle, and ending.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Loop;
use super::cancel::Canceling;
use super::peer::Gone;
use crate::policy::settings::Verify;
use crate::sidecar::client::Phase as Client;
use crate::sidecar::exchange::{Abandoned, Event, Tracked};
use crate::sidecar::fault::{Fault, planted};
use crate::sidecar::pool::{self, Counts, Release};
use crate::sidecar::server::{Phase, Purpose, calm, discard, dress, query, report};
use crate::sidecar::state::Pins;
use crate::sidecar::statement::Names;
use crate::sidecar::wire::{Fields, Parameters, fatal, next};

/// How long a statement whose client has said goodbye may go on before it is cancelled.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long whatever a client has left may go on before the connection is closed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// From the first cancel request to the second.
const CANCEL_AGAIN: Duration = Duration::from_secs(1);
/// Longest message that an idle connection may receive.
const NOTICE_MAX: u32 = 64 * 1024;

impl Loop {
    /// The client of server connection `j` is gone.
    pub(super) fn abandon(&mut self, j: usize, polite: bool) {
        let Some(server) = self.servers.get_mut(j) else { return };
        (server.client, server.last_word) = (None, None);
        server.tenure.end(&self.figures, self.now);
        self.attached -= 1;
        if !matches!(server.phase, Phase::Attached) {
            // Its start-up parameters are being set, and what follows that will find no client.
            return;
        }
        (server.phase, server.since) = (Phase::Draining, self.now);
        // What is left may be less than what was waited for on the client's behalf, and then no event would tell of it.
        server.peer.low_water(0);
        let fate = server.exchange.abandon();
        let deadline = self.now + if polite { GOODBYE_TIMEOUT } else { CANCEL_AGAIN };
        server.deadline = Some(deadline);
        self.due(deadline);
        match fate {
            Abandoned::Ready => return self.give_back(j),
            Abandoned::Wait => {}
            Abandoned::Sync => {
                self.out.clear();
                let Some(server) = self.servers.get_mut(j) else { return };
                server.exchange.end(&mut self.out);
                if server.write(&self.epoll, &self.out, &mut self.cipher).is_err() {
                    return self.broken(j);
                }
            }
            Abandoned::Close => {
                self.cancel(j);
                return self.dismiss(j);
            }
        }
        if !polite {
            self.cancel(j);
        }
        if self.servers.get(j).is_some_and(|server| server.peer.readable) {
            self.pump_server(j);
        }
    }

    /// Takes the client off server connection `j`, and nothing else.
    pub(super) fn detach(&mut self, j: usize) {
        if self.servers.get_mut(j).is_some_and(|server| server.client.take().is_some()) {
            self.attached -= 1;
        }
    }

    /// Reads on after the client is gone, until the exchange is over.
    pub(super) fn drain(&mut self, j: usize) -> Result<bool, Gone> {
        let Some(server) = self.servers.get_mut(j) else { return Ok(false) };
        let data = server.read(&self.epoll, &mut self.buffer, &mut self.plain, &mut self.cipher)?;
        if data.is_empty() {
            return Ok(true);
        }
        let mut parameters = Parameters::clone(&server.parameters);
        let nothing = Rc::default();
        let mut tracked = (self.release == Release::AtReadyForQuery).then_some(Tracked {
            names: &mut self.nobody,
            copies: &mut server.copies,
            texts: &mut self.texts,
            settings: &nothing,
            listens: true,
        });
        self.out.clear();
        let fed = server.exchange.from_server(data, tracked.as_mut(), &mut self.out, |event| {
            if let Event::Parameter(name, value) = event {
                parameters.set(name, value);
            }
        });
        let Ok(fed) = fed else { return Ok(self.desynchronized(j)) };
        self.nobody = Names::default();
        server.peer.hold(data.get(fed.to..).unwrap_or_default());
        server.parameters = self.identities.share(parameters);
        match server.exchange.abandon() {
            Abandoned::Ready => self.give_back(j),
            Abandoned::Close => self.dismiss(j),
            Abandoned::Wait | Abandoned::Sync => return Ok(true),
        }
        Ok(false)
    }

    /// The exchange is over and the client gone: throw away what it left, once no cancel request is on its way any more.
    pub(super) fn give_back(&mut self, j: usize) {
        let Some(server) = self.servers.get_mut(j) else { return };
        if server.cancel != Canceling::No {
            return;
        }
        let transactions = self.release == Release::AtReadyForQuery;
        if planted(Fault::DirtyHandOver) {
            return self.rest(j);
        }
        let pinned = transactions && !server.pins.is_empty();
        if pinned || self.worn(j) {
            // DISCARD ALL does not undo everything that a pin may stand for.
            return self.dismiss(j);
        }
        self.out.clear();
        let Some(server) = self.servers.get_mut(j) else { return };
        let status = server.exchange.status();
        if transactions && !server.exchange.hints().asks(Pins::NONE) && self.verify == Verify::Hints {
            if status == b'I' {
                return self.rest(j);
            }
            query(&mut self.out, "ROLLBACK");
            return self.send_errand(j, 1, Purpose::Reset);
        }
        server.copies.clear();
        let mut statements = discard(status, &mut self.out);
        if let Some(identity) = &server.dressed {
            statements += dress(None, &identity.parameters, &mut self.out);
        }
        self.send_errand(j, statements, Purpose::Reset);
    }

    /// Nobody uses server connection `j` any more, and it is clean.
    pub(super) fn rest(&mut self, j: usize) {
        if self.worn(j) || self.is_succeeded(j, true) {
            return self.dismiss(j);
        }
        let open = self.open;
        let Some(server) = self.servers.get_mut(j) else { return };
        if self.books.only_looks(server.attempt) {
            return self.rest_aside(j);
        }
        if let Some(worn) = server.dressed.as_ref().filter(|worn| worn.ends_idle) {
            self.out.clear();
            let rest = calm(&worn.parameters, &mut self.out);
            server.dressed = Some(self.identities.of(rest));
            return self.send_errand(j, 1, Purpose::Calm);
        }
        (server.phase, server.since, server.deadline) = (Phase::Idle, self.now, None);
        // At the earliest: how many are expiring is counted when it is due.
        let close = server.age.closes_at(&self.limits, open, 0, server.since);
        self.idle.push(j);
        self.due(close);
        self.look(j);
    }

    /// Whether a connection should end instead of being used again.
    pub(super) fn worn(&self, j: usize) -> bool {
        let Some(server) = self.servers.get(j) else { return true };
        server.stained
            || server.age.is_over(self.now)
            || self.open > self.limits.max
            || !Arc::ptr_eq(&server.target, &self.target)
    }

    /// Whether server connection `j`, which nobody uses, ends before its time, since there are enough others. `returned`: a client has
    /// just given it back, and will want one again.
    pub(super) fn is_succeeded(&self, j: usize, returned: bool) -> bool {
        if !self.servers.get(j).is_some_and(|server| server.age.is_expiring(self.now)) {
            return false;
        }
        let counts = self.counts();
        let busy = counts.busy + u32::from(returned && self.release == Release::AtReadyForQuery);
        pool::may_go(&self.limits, Counts { busy, ..counts })
    }

    /// What an idle connection says by itself: changed parameters, notices, notifications; or that it ends.
    pub(super) fn listen_to_idle(&mut self, j: usize) -> Result<bool, Gone> {
        let Some(server) = self.servers.get_mut(j) else { return Ok(false) };
        let data = server.read(&self.epoll, &mut self.buffer, &mut self.plain, &mut self.cipher)?;
        let mut rest = data;
        let mut parameters = Parameters::clone(&server.parameters);
        let mut ends = false;
        loop {
            match next(&mut rest, NOTICE_MAX) {
                Ok(Some(message)) => match message.kind {
                    b'S' => report(message.body, &mut parameters),
                    b'N' | b'A' => {}
                    b'E' => {
                        let code = Fields::new(message.body).get(b'C').map(String::from_utf8_lossy);
                        tracing::info!(code = code.as_deref(), "PostgreSQL ends an idle server connection");
                        // It does not read any more: a goodbye would turn its end into a reset, which proves nothing.
                        server.stained = true;
                        ends = true;
                    }
                    _ => ends = true,
                },
                Ok(None) => break,
                Err(_) => {
                    ends = true;
                    break;
                }
            }
        }
        server.peer.hold(rest);
        if parameters != *server.parameters {
            server.parameters = self.identities.share(parameters);
            self.learn(j);
        }
        if ends {
            self.dismiss(j);
            return Ok(false);
        }
        Ok(true)
    }

    /// After our goodbye nothing that comes counts, but its end does.
    pub(super) fn discard_all(&mut self, j: usize) -> Result<bool, Gone> {
        let Some(server) = self.servers.get_mut(j) else { return Ok(false) };
        server.peer.receive(&mut self.buffer)?;
        Ok(true)
    }

    /// Says goodbye; the connection stays charged until its end is received.
    pub(super) fn dismiss(&mut self, j: usize) {
        let Some(server) = self.servers.get_mut(j) else { return };
        let before = std::mem::replace(&mut server.phase, Phase::Closing);
        // The end of one that works may be as far as that of its statement, and it is charged until then.
        let again = server.exchange.active().then(|| self.now + CANCEL_AGAIN);
        (server.since, server.deadline) = (self.now, again);
        server.peer.held();
        if before.is_open() {
            self.open -= 1;
            self.idle.retain(|idle| *idle != j);
            if server.exchange.client_at_border() && !server.stained {
                let _ = server.write(&self.epoll, b"X\0\0\0\x04", &mut self.cipher);
                self.cipher.clear();
            }
        } else if before.is_opening() {
            self.opening -= 1;
        } else {
            return;
        }
        if let Some(server) = self.servers.get_mut(j) {
            // No close_notify: the server does not read what follows the goodbye, and what is left unread when it closes becomes a
            // reset, which proves nothing. A backend that stands in the middle of a message, and so takes no goodbye, is ended by
            // the end of our stream.
            server.peer.finish();
            if server.peer.readable {
                self.again.push(server.peer.token);
            }
        }
        if let Some(again) = again {
            self.due(again);
        }
        self.restless = true;
    }

    /// What the server sends is not the protocol, or does not fit what was asked. Its end is still waited for.
    pub(super) fn desynchronized(&mut self, j: usize) -> bool {
        tracing::warn!(server = j, "PostgreSQL's answers do not fit; the server connection is closed");
        if let Some(i) = self.servers.get_mut(j).and_then(|server| server.client.take()) {
            self.attached -= 1;
            if let Some(client) = self.clients.get_mut(i) {
                client.phase = Client::Idle;
                self.part(i);
            }
        }
        if let Some(server) = self.servers.get_mut(j) {
            server.tenure.end(&self.figures, self.now);
            // No goodbye: where a message of ours would begin is not known either.
            server.stained = true;
        }
        self.dismiss(j);
        false
    }

    /// A write to server connection `j` has failed. What it sent before is still passed on, a last error for one; then its end tells
    /// how it ended.
    pub(super) fn broken(&mut self, j: usize) {
        if let Some(server) = self.servers.get_mut(j) {
            server.stained = true;
            server.peer.read_to_end();
            self.again.push(server.peer.token);
        }
    }

    /// The stream of server connection `j` has ended.
    pub(super) fn gone(&mut self, j: usize, how: Gone) {
        if self.servers.get(j).is_some_and(|server| server.phase.is_opening()) {
            return self.login_ended(j, how);
        }
        let Some(server) = self.servers.get_mut(j) else { return };
        let client = server.client.take();
        server.tenure.end(&self.figures, self.now);
        if server.phase.is_open() {
            self.open -= 1;
            self.idle.retain(|idle| *idle != j);
        }
        let untouched = match &server.phase {
            Phase::Busy(errand, Purpose::Dress) => Some(errand.last_error().cloned()),
            _ => None,
        };
        let attempt = server.attempt;
        match how {
            Gone::End => self.books.eof(attempt),
            Gone::Broken => self.books.lost(attempt, self.now),
        }
        self.due_look();
        drop(self.servers.try_remove(j));
        self.restless = true;
        let Some(i) = client else { return };
        self.attached -= 1;
        match untouched {
            Some(last) => {
                let ended = || {
                    fatal(*b"08006", "PostgreSQL ended the server connection before the start-up parameters were set")
                };
                self.wait_again(i, &last.unwrap_or_else(ended));
            }
            None => {
                if let Some(client) = self.clients.get_mut(i) {
                    client.phase = Client::Idle;
                    self.part(i);
                }
            }
        }
    }

    /// A server connection's time for what it does is over.
    pub(super) fn overdue(&mut self, j: usize) {
        let Some(server) = self.servers.get_mut(j) else { return };
        match server.phase {
            Phase::Connecting | Phase::Negotiating(_) | Phase::Handshaking | Phase::LoggingIn(_) => {
                self.login_too_late(j);
            }
            Phase::Draining if server.since + DRAIN_TIMEOUT <= self.now => {
                self.cancel(j);
                self.dismiss(j);
            }
            Phase::Draining => self.cancel_again(j, Some(DRAIN_TIMEOUT)),
            Phase::Closing => self.cancel_again(j, None),
            Phase::Busy(_, purpose) => {
                let client = server.client;
                self.cancel(j);
                let refusal = fatal(*b"08006", "PostgreSQL did not set the start-up parameters in time");
                if purpose == Purpose::Dress {
                    self.detach(j);
                    self.dismiss(j);
                    if let Some(i) = client {
                        self.wait_again(i, &refusal);
                    }
                    return;
                }
                if let Some(i) = client {
                    self.refuse(i, &refusal);
                }
                self.dismiss(j);
            }
            // It has looked for as long as one more than may be is to be there.
            Phase::Idle => self.dismiss(j),
            Phase::Attached => self.client_overdue(j),
        }
    }

    /// What a client has left goes on, whether it was cancelled or not: PostgreSQL ignores a request that it gets before it has read
    /// the query, and one request ends one statement. So again 1, 3, 7 and so on seconds after the first, and looked at again at `most`.
    fn cancel_again(&mut self, j: usize, most: Option<Duration>) {
        let Some(server) = self.servers.get_mut(j) else { return };
        let after = (self.now - server.since) * 2 + CANCEL_AGAIN;
        let deadline = server.since + most.map_or(after, |most| after.min(most));
        server.deadline = Some(deadline);
        self.due(deadline);
        self.cancel(j);
    }
}
