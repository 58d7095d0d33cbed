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
    /// It was told that it waits.
    told: bool,
}

/// The queue. Who leaves it early stays in it as a mark that is skipped later: leaving is cheap, however long the queue is.
#[derive(Debug, Default)]
pub struct Queue {
    waiters: VecDeque<Waiter>,
    /// So many at the front were told, or have left.
    told: usize,
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
        let ahead = self.waiting;
        self.waiters.push_back(Waiter { client, ticket: self.tickets, since: now, ahead, told: false });
        self.waiting += 1;
        self.tickets
    }

    /// Puts a client back that got a server connection which could not serve it: before all who came later than it, at `since`.
    pub fn rejoin(&mut self, client: usize, since: Instant) -> u32 {
        self.tickets = self.tickets.wrapping_add(1);
        let place = self.waiters.iter().take_while(|waiter| waiter.since < since).count();
        self.waiters.insert(place, Waiter { client, ticket: self.tickets, since, ahead: 0, told: false });
        self.told = self.told.min(place);
        self.waiting += 1;
        self.tickets
    }

    /// A client that waited is gone; its mark is told by its ticket.
    pub fn leave(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
        if self.waiting == 0 {
            self.waiters.clear();
            self.told = 0;
        }
    }

    /// The first who still waits, as `waits` tells of place and ticket.
    pub fn first(&mut self, waits: impl Fn(usize, u32) -> bool) -> Option<Waiter> {
        while let Some(waiter) = self.waiters.front() {
            if waits(waiter.client, waiter.ticket) {
                return Some(*waiter);
            }
            self.drop_first();
        }
        None
    }

    /// Takes the first out, as [`Queue::first`].
    pub fn pop(&mut self, waits: impl Fn(usize, u32) -> bool) -> Option<Waiter> {
        let first = self.first(waits)?;
        self.drop_first();
        self.waiting = self.waiting.saturating_sub(1);
        Some(first)
    }

    fn drop_first(&mut self) {
        self.waiters.pop_front();
        self.told = self.told.saturating_sub(1);
    }

    /// The first who still waits, as [`Queue::first`], and was not told so.
    pub fn untold(&mut self, waits: impl Fn(usize, u32) -> bool) -> Option<Waiter> {
        while let Some(waiter) = self.waiters.get(self.told) {
            if !waiter.told && waits(waiter.client, waiter.ticket) {
                return Some(*waiter);
            }
            self.told += 1;
        }
        None
    }

    /// All who have waited since `since` or longer and were not told so, with how many stand before each now. They count as told.
    pub fn tell(&mut self, since: Instant, waits: impl Fn(usize, u32) -> bool) -> Vec<(Waiter, u32)> {
        let (mut ahead, mut untold) = (0, Vec::new());
        for waiter in self.waiters.iter_mut().take_while(|waiter| waiter.since <= since) {
            if waits(waiter.client, waiter.ticket) {
                if !std::mem::replace(&mut waiter.told, true) {
                    untold.push((*waiter, ahead));
                }
                ahead += 1;
            }
        }
        untold
    }
}
