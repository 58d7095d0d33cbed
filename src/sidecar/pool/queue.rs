//! Clients that wait, first come, first served.

use std::collections::VecDeque;
use std::time::Instant;

/// A client in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// Its place in the table of clients.
    pub client: usize,
    /// Tells it from a later client at the same place, and from its own earlier waits.
    pub ticket: u32,
    /// When it came.
    pub since: Instant,
    /// How many stood before it then.
    pub ahead: u32,
}

/// The queue. Who leaves it early stays in it as a mark that is skipped later: leaving is cheap, however long the queue is.
#[derive(Debug, Default)]
pub struct Queue {
    waiters: VecDeque<Waiter>,
    tickets: u32,
    /// Those that have not left.
    waiting: u32,
}

impl Queue {
    /// Clients that wait.
    pub fn len(&self) -> u32 {
        self.waiting
    }

    /// Nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Puts a client at the end and returns its ticket.
    pub fn join(&mut self, client: usize, now: Instant) -> u32 {
        self.tickets = self.tickets.wrapping_add(1);
        self.waiters.push_back(Waiter { client, ticket: self.tickets, since: now, ahead: self.waiting });
        self.waiting += 1;
        self.tickets
    }

    /// Puts a client before all others, which has waited since `since` and got a server connection that could not serve it.
    pub fn rejoin(&mut self, client: usize, since: Instant) -> u32 {
        self.tickets = self.tickets.wrapping_add(1);
        self.waiters.push_front(Waiter { client, ticket: self.tickets, since, ahead: 0 });
        self.waiting += 1;
        self.tickets
    }

    /// A client that waited is gone; its mark is told by its ticket.
    pub fn leave(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
        if self.waiting == 0 {
            self.waiters.clear();
        }
    }

    /// The first who still waits, as `waits` tells of place and ticket.
    pub fn first(&mut self, waits: impl Fn(usize, u32) -> bool) -> Option<Waiter> {
        while let Some(waiter) = self.waiters.front() {
            if waits(waiter.client, waiter.ticket) {
                return Some(*waiter);
            }
            self.waiters.pop_front();
        }
        None
    }

    /// Takes the first out, as [`Queue::first`].
    pub fn pop(&mut self, waits: impl Fn(usize, u32) -> bool) -> Option<Waiter> {
        let first = self.first(waits)?;
        self.waiters.pop_front();
        self.waiting = self.waiting.saturating_sub(1);
        Some(first)
    }
}
