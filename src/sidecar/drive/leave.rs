//! Clients that go: by themselves, or because they are sent away.
//!
//! Who resets its connection, or says goodbye, is gone: its place in the queue is free at once, what it had queued is dropped, and what
//! it runs is cancelled, unless it said goodbye. An end of its stream alone does not say whether it still reads, as who ends it behind
//! its last request does; PostgreSQL answers what it was asked and then ends. So a request that is followed by an end keeps its place
//! and is answered, if the client still reads ([`Loop::probe`]) and needs to say no more for it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::front::OPENING_TIMEOUT;
use super::{Loop, TURN};
use crate::sidecar::client::{Phase, repetition};
use crate::sidecar::exchange::Abandoned;
use crate::sidecar::pool;
use crate::sidecar::state::Pin;
use crate::sidecar::wire::Refusal;

/// From the begin of a wait to the look whether its client has said goodbye.
pub(super) const GLANCE: Duration = Duration::from_millis(100);
/// A client that was refused may take so long to read why.
const LEAVING_TIMEOUT: Duration = Duration::from_secs(2);

impl Loop {
    /// Sends a client away, with the reason, unless that would come into the middle of a message. What it had queued is dropped.
    pub(super) fn refuse(&mut self, i: usize, refusal: &Refusal) {
        if self.is_midway(i) {
            return self.part(i);
        }
        self.leave(i, false);
        self.out.clear();
        refusal.encode(&mut self.out);
        if let Some(client) = self.clients.get_mut(i)
            && client.peer.write(&self.epoll, &self.out).is_err()
        {
            return self.close(i, false);
        }
        self.part(i);
    }

    /// Whether client `i` has been sent a part of a message.
    fn is_midway(&self, i: usize) -> bool {
        let Some(Phase::Attached(j)) = self.clients.get(i).map(|client| client.phase) else { return false };
        self.servers.get(j).is_some_and(|server| server.exchange.midway())
    }

    /// Ends a client's stream: what was written is still sent, and what it says is ignored.
    pub(super) fn part(&mut self, i: usize) {
        self.leave(i, true);
        let Some(client) = self.clients.get_mut(i) else { return };
        (client.phase, client.since) = (Phase::Leaving, self.now);
        client.peer.held();
        if !client.peer.unsent() {
            client.peer.finish();
        }
        self.transient += 1;
        self.due(self.now + LEAVING_TIMEOUT);
        self.ignore(i);
    }

    /// Reads a client that was refused until its end: bytes left unread would make the kernel reset the connection, and the client
    /// might never see why.
    pub(super) fn ignore(&mut self, i: usize) {
        for _ in 0..TURN {
            let Some(client) = self.clients.get_mut(i) else { return };
            if !client.peer.readable {
                return;
            }
            if client.peer.receive(&mut self.buffer).is_err() {
                return self.close(i, true);
            }
        }
        if let Some(client) = self.clients.get(i) {
            self.again.push(client.peer.token);
        }
    }

    /// A client is gone. `polite`: it said so, or nothing of it is worth stopping.
    pub(super) fn close(&mut self, i: usize, polite: bool) {
        self.leave(i, polite);
        drop(self.clients.try_remove(i));
    }

    /// Takes a client out of whatever it is in.
    pub(super) fn leave(&mut self, i: usize, polite: bool) {
        let Some(client) = self.clients.get_mut(i) else { return };
        let phase = std::mem::replace(&mut client.phase, Phase::Idle);
        if client.told.take().is_some() {
            self.logged_in_clients -= 1;
        }
        match phase {
            Phase::Opening(_) | Phase::Canceling | Phase::Leaving => self.transient -= 1,
            Phase::Greeting(_) => {
                self.figures.waits.record(self.now - client.since);
                self.greeting.leave();
            }
            Phase::Waiting(_) => {
                if client.tries == 0 {
                    self.figures.waits.record(self.now - client.since);
                }
                self.queue.leave();
            }
            Phase::Attached(j) => {
                if let Some(server) = self.servers.get_mut(j).filter(|_| client.names.pins()) {
                    server.pins.insert(Pin::Statement);
                }
                self.abandon(j, polite);
            }
            Phase::Idle => {}
        }
    }

    /// A client that waits may have left: an end, a reset or a goodbye needs no server connection.
    pub(super) fn still_there(&mut self, i: usize) {
        let Some(client) = self.clients.get_mut(i).filter(|client| client.peer.closing) else { return };
        let mut first = [0; 5];
        match client.peer.peek(&mut first) {
            Ok(0) => {}
            // Less than a header, and nothing comes behind it, is no request.
            Ok(5) if first.first() != Some(&b'X') && !client.peer.broken() => self.probe(i),
            _ => self.close(i, true),
        }
    }

    /// Clients that have waited for a moment are looked at once: a goodbye needs no server connection, and who says it may wait for our
    /// end of the stream. Not sooner, since nearly all waits are shorter, and a look is a system call. The time of the next look.
    pub(super) fn look_at_waiting(&mut self) -> Option<Instant> {
        if self.queue.is_empty() {
            return None;
        }
        let (mut due, mut next) = (Vec::new(), None::<Instant>);
        for (i, client) in &mut self.clients {
            if !matches!(client.phase, Phase::Waiting(_)) || client.looked_at {
                continue;
            }
            let at = client.since + GLANCE;
            if at <= self.now {
                client.looked_at = true;
                due.push(i);
            } else {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        for i in due {
            let Some(client) = self.clients.get_mut(i) else { continue };
            let mut first = [0];
            if !matches!(client.peer.peek(&mut first), Ok(n) if n == 0 || first != *b"X") {
                self.close(i, true);
            }
        }
        next
    }

    /// The stream of client `i`, which has server connection `j`, has ended.
    pub(super) fn ended(&mut self, i: usize, j: usize) {
        let (Some(client), Some(server)) = (self.clients.get_mut(i), self.servers.get(j)) else { return };
        let over = server.exchange.abandon() != Abandoned::Wait && !client.peer.unsent();
        if over || client.peer.broken() {
            return self.close(i, false);
        }
        // Looked at again once that is no more so; a reset is an event.
        (client.peer.readable, client.peer.closing) = (false, true);
        // Nothing may come into the middle of a message, and its rest tells as well.
        if server.exchange.missing() == 0 {
            self.probe(i);
        }
    }

    /// Finds out whether client `i`, whose stream has ended, still reads: a closed socket answers whatever it is sent with a reset.
    fn probe(&mut self, i: usize) {
        let Some(client) = self.clients.get_mut(i).filter(|client| !client.peer.unsent()) else { return };
        let Some(told) = &client.told else { return };
        self.out.clear();
        repetition(told, &mut self.out);
        if client.peer.write(&self.epoll, &self.out).is_err() {
            self.close(i, false);
        }
    }

    /// Clients whose time is over, queues apart; and the next such time.
    pub(super) fn sweep_clients(&mut self) -> Option<Instant> {
        if self.transient == 0 {
            return None;
        }
        let (mut late, mut next) = (Vec::new(), None::<Instant>);
        for (i, client) in &self.clients {
            let timeout = match client.phase {
                Phase::Opening(_) => OPENING_TIMEOUT,
                Phase::Leaving => LEAVING_TIMEOUT,
                _ => continue,
            };
            let at = client.since + timeout;
            if at <= self.now {
                late.push(i);
            } else {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        for i in late {
            self.close(i, true);
        }
        next
    }

    /// Sends away those who have waited for connectionTimeout.
    pub(super) fn sweep_queues(&mut self) {
        let timeout = self.limits.connection_timeout;
        while let Some(waiter) = self.longest_waiting().filter(|waiter| waiter.since + timeout <= self.now) {
            let cause = self.backoff.cause().filter(|_| self.open < self.limits.max);
            let refusal = pool::timed_out(&self.limits, waiter.ahead, self.now - waiter.since, cause);
            self.figures.timed_out.fetch_add(1, Relaxed);
            self.refuse(waiter.client, &refusal);
        }
    }

    /// The head of the older one of the two queues.
    pub(super) fn longest_waiting(&mut self) -> Option<pool::Waiter> {
        let clients = &self.clients;
        let phase = |i: usize| clients.get(i).map(|client| client.phase);
        let waiting = self.queue.first(|i, ticket| phase(i) == Some(Phase::Waiting(ticket)));
        let greeting = self.greeting.first(|i, ticket| phase(i) == Some(Phase::Greeting(ticket)));
        waiting.into_iter().chain(greeting).min_by_key(|waiter| waiter.since)
    }
}
