//! Clients and server connections find each other, and part.

use std::rc::Rc;
use std::time::Instant;

use super::Loop;
use super::cancel::Canceling;
use super::leave::GLANCE;
use crate::sidecar::client::{Identity, Phase, corrections};
use crate::sidecar::exchange::Awaited;
use crate::sidecar::fault::{Fault, planted};
use crate::sidecar::figures::add;
use crate::sidecar::pool::{Cause, TRIES};
use crate::sidecar::server::{self, Purpose, dress, query};
use crate::sidecar::state::Pins;
use crate::sidecar::wire::Refusal;

impl Loop {
    /// A client without a server connection has sent something.
    pub(super) fn want(&mut self, i: usize) {
        let Some(client) = self.clients.get_mut(i) else { return };
        (client.tries, client.noticed) = (0, false);
        match if self.queue.is_empty() { self.fitting(i) } else { None } {
            Some(fits) => self.take(i, fits, self.now),
            // Its request stays in its socket, unseen.
            None => self.enqueue(i),
        }
    }

    /// Client `i` may have server connection `j`, after it has waited: it takes it if it has something to say there. With the client's
    /// parameters on, its request is read and passed on at once.
    fn take(&mut self, i: usize, (j, wears): (usize, bool), since: Instant) {
        let Some(client) = self.clients.get_mut(i) else { return };
        if wears {
            let Ok(n) = client.peer.read(&mut self.buffer) else { return self.close(i, false) };
            match self.buffer.get(..n).unwrap_or_default() {
                [] => {}
                [b'X', ..] => self.close(i, true),
                // Not worth a server connection yet.
                data @ ([_] | [_, _] | [_, _, _] | [_, _, _, _]) => {
                    client.peer.hold(data);
                    if client.peer.readable || client.peer.closing {
                        // The rest, or the end, may already be there: no edge will tell of it.
                        self.again.push(client.peer.token);
                    }
                }
                _ => {
                    self.attach(i, j, since);
                    self.correct(i, j);
                    if self.forward(i, j, n) {
                        self.pump_client(i);
                    }
                }
            }
            return;
        }
        let mut first = [0; 5];
        match client.peer.peek(&mut first) {
            Ok(n) if n > 0 && first.first() == Some(&b'X') => self.close(i, true),
            Ok(5) => {
                self.attach(i, j, since);
                self.prepare(i, j);
            }
            // Less than a header, and nothing comes behind it.
            Ok(_) if client.peer.closing => self.close(i, true),
            // The rest is a new edge.
            Ok(_) => client.peer.readable = false,
            Err(_) => self.close(i, false),
        }
    }

    /// The idle connection that suits client `i` best, and whether it has the client's parameters on already.
    pub(super) fn fitting(&self, i: usize) -> Option<(usize, bool)> {
        let identity = self.clients.get(i)?.identity.as_ref()?;
        let wears = |j: &&usize| self.servers.get(**j).is_some_and(|server| wears(server.dressed.as_ref(), identity));
        match self.idle.iter().rev().find(wears) {
            Some(j) => Some((*j, true)),
            None => self.idle.last().map(|j| (*j, false)),
        }
    }

    /// Client `i` waits: for a server connection, or for the first login if it was not greeted yet.
    pub(super) fn enqueue(&mut self, i: usize) {
        if let Some(cause) = self.hopeless() {
            return self.refuse(i, &cause.refusal);
        }
        let Some(client) = self.clients.get_mut(i) else { return };
        client.phase = match client.told {
            Some(_) => Phase::Waiting(self.queue.join(i, self.now)),
            None => Phase::Greeting(self.greeting.join(i, self.now)),
        };
        (client.since, client.looked_at) = (self.now, false);
        self.restless = true;
        self.due(self.now + GLANCE);
        // No edge will tell of an end that is already there.
        self.still_there(i);
    }

    /// Client `i` had a server connection that failed before anything was sent on it, for the reason `why`, which is none of the
    /// client's: its request is still in its socket, and it is the first again.
    pub(super) fn wait_again(&mut self, i: usize, why: &Refusal) {
        let Some(client) = self.clients.get_mut(i) else { return };
        client.phase = Phase::Idle;
        client.tries += 1;
        tracing::info!(
            code = why.code(),
            tries = client.tries,
            "a server connection failed before its client was served"
        );
        if client.tries >= TRIES {
            return self.refuse(i, why);
        }
        client.phase = Phase::Waiting(self.queue.rejoin(i, client.since));
        self.restless = true;
        self.still_there(i);
    }

    /// Why waiting is no use: no server connection exists, and the last login failed for good.
    fn hopeless(&self) -> Option<Cause> {
        let cause = self.backoff.cause().filter(|cause| !cause.passing)?;
        (self.open == 0 && self.backoff.pause(self.now).is_some()).then(|| cause.clone())
    }

    /// Gives idle connections to those who wait.
    pub(super) fn serve(&mut self) {
        while !self.idle.is_empty() {
            let clients = &self.clients;
            let waits = |i: usize, ticket| clients.get(i).is_some_and(|client| client.phase == Phase::Waiting(ticket));
            let Some(waiter) = self.queue.pop(waits) else { return };
            let i = waiter.client;
            if let Some(client) = self.clients.get_mut(i) {
                client.phase = Phase::Idle;
            }
            let Some(fits) = self.fitting(i) else { return };
            self.take(i, fits, waiter.since);
        }
    }

    /// Client `i`, which has waited since `since`, gets server connection `j`, which nobody uses.
    pub(super) fn attach(&mut self, i: usize, j: usize, since: Instant) {
        self.idle.retain(|idle| *idle != j);
        if let (Some(client), Some(server)) = (self.clients.get_mut(i), self.servers.get_mut(j)) {
            (client.phase, client.since) = (Phase::Attached(j), since);
            server.client = Some(i);
            server.phase = server::Phase::Attached;
            (server.awaited, server.deadline) = (Awaited::Nobody, None);
            server.bare = false;
            server.exchange.reset();
            server.pins = Pins::NONE;
            self.attached += 1;
            server.tenure.begin(self.now);
            if client.tries == 0 {
                add(&self.figures.acquired, 1);
                self.figures.waits.record(self.now - since);
            }
        }
    }

    /// Client `i` was given server connection `j`: set its start-up parameters where they differ, then read it.
    pub(super) fn prepare(&mut self, i: usize, j: usize) {
        let (Some(client), Some(server)) = (self.clients.get(i), self.servers.get(j)) else { return };
        let Some(identity) = &client.identity else { return };
        if wears(server.dressed.as_ref(), identity) {
            self.correct(i, j);
            return self.pump_client(i);
        }
        self.out.clear();
        let old = server.dressed.as_ref().map(|old| &old.parameters);
        let mut statements = dress(old, &identity.parameters, &mut self.out);
        if !server.dressed.as_ref().is_some_and(|old| Rc::ptr_eq(&old.parsing, &identity.parsing)) {
            // See `tools::ask`.
            query(&mut self.out, "DISCARD PLANS");
            statements += 1;
        }
        self.send_errand(j, statements, Purpose::Dress);
    }

    /// Reports to client `i` what its server connection calls otherwise than it was told.
    pub(super) fn correct(&mut self, i: usize, j: usize) {
        let (Some(client), Some(server)) = (self.clients.get_mut(i), self.servers.get(j)) else { return };
        let Some(told) = &client.told else { return };
        if Rc::ptr_eq(told, &server.parameters) || planted(Fault::ParameterStatusCrossed) {
            return;
        }
        self.out.clear();
        corrections(told, &server.parameters, &mut self.out);
        client.told = Some(Rc::clone(&server.parameters));
        if client.peer.write(&self.epoll, &self.out).is_err() {
            self.close(i, false);
        }
    }

    /// Gives a server connection back whose client stays.
    pub(super) fn release(&mut self, j: usize) {
        let Some(server) = self.servers.get_mut(j) else { return };
        if std::mem::take(&mut server.bare) {
            server.dressed = None;
        }
        server.stained |= server.is_torn() || server.exchange.lost();
        if let Some(i) = server.client.take() {
            server.tenure.end(&self.figures, self.now);
            self.attached -= 1;
            if let Some(client) = self.clients.get_mut(i) {
                client.phase = Phase::Idle;
                client.told = Some(Rc::clone(&server.parameters));
                if client.peer.readable || client.peer.closing {
                    self.again.push(client.peer.token);
                }
            }
        }
        if server.cancel != Canceling::No {
            server.phase = server::Phase::Draining;
            return;
        }
        self.rest(j);
    }
}

fn wears(dressed: Option<&Rc<Identity>>, identity: &Rc<Identity>) -> bool {
    dressed.is_some_and(|dressed| Rc::ptr_eq(dressed, identity))
}
