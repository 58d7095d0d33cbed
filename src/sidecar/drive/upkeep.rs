//! What is due by time rather than by an event, the commands of the control thread, and the end.
//!
//! Nothing ticks: each bounded phase says when it is due, the loop sleeps until the earliest of these times, and then looks at all.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rustix::event::epoll::Event;

use super::{Final, Loop};
use crate::sidecar::charge::CONFIRMATION;
use crate::sidecar::figures::{Command, Request, add};
use crate::sidecar::login::Offer;
use crate::sidecar::server::Phase;
use crate::sidecar::wire::fatal;

/// For the ends of server connections, after the last client is gone.
const FAREWELL: Duration = Duration::from_millis(1500);

impl Loop {
    /// Between events: what is due, what is wanted, and the figures.
    pub(super) fn upkeep(&mut self) {
        if self.sweep.is_some_and(|at| at <= self.now) {
            self.sweep();
        }
        self.sweep_queues();
        self.notify_waiting();
        if self.has_room() {
            self.listen_again();
        }
        if self.restless || !self.queue.is_empty() || !self.greeting.is_empty() {
            self.open_wanted();
        }
        if std::mem::take(&mut self.restless) {
            self.publish_all();
        }
        self.publish();
        // After the figures, which are then looked at.
        let size = (self.open, self.limits.max);
        if std::mem::replace(&mut self.told, size) != size {
            let _ = self.requests.send(Request::Utilization);
        }
    }

    /// When the loop must wake without an event.
    pub(super) fn next_time(&mut self) -> Option<Instant> {
        let waiting = self.longest_waiting().map(|waiter| waiter.since + self.limits.connection_timeout);
        [self.sweep, waiting, self.next_notice(), self.draining].into_iter().flatten().min()
    }

    fn sweep(&mut self) {
        self.sweep = None;
        self.restless = true;
        if self.deaf_until.is_some_and(|until| until <= self.now) {
            self.listen_again();
        }
        let late: Vec<_> = self
            .servers
            .iter()
            .filter(|(_, server)| server.deadline.is_some_and(|deadline| deadline <= self.now))
            .map(|(j, _)| j)
            .collect();
        for j in late {
            self.overdue(j);
        }
        self.close_idle();
        self.look_by_idle();
        let times = [
            self.deaf_until,
            self.servers.iter().filter_map(|(_, server)| server.deadline).min(),
            self.sweep_clients(),
            self.look_at_waiting(),
            self.sweep_cancels(),
            self.next_age(),
            self.next_look(),
        ];
        for at in times.into_iter().flatten() {
            self.due(at);
        }
        self.serve();
    }

    /// From the bottom of the stack: those that nobody has needed for longest.
    pub(super) fn close_idle(&mut self) {
        for j in self.idle.clone() {
            let expiring = self.counts().expiring;
            let Some(server) = self.servers.get(j) else { continue };
            let closes = server.age.closes_at(&self.limits, self.open, expiring, server.since);
            if closes <= self.now || self.is_succeeded(j, false) {
                self.dismiss(j);
            }
        }
    }

    /// When the next idle connection may be closed, or the next open one needs a successor.
    fn next_age(&self) -> Option<Instant> {
        let expiring = self.counts().expiring;
        let idle = self.idle.iter().filter_map(|j| self.servers.get(*j));
        let closes = idle.map(|server| server.age.closes_at(&self.limits, self.open, expiring, server.since));
        let open = self.servers.iter().filter(|(_, server)| server.phase.is_open());
        closes.chain(open.filter_map(|(_, server)| server.age.next(self.now))).min()
    }

    fn look_by_idle(&mut self) {
        match self.onlooker() {
            Some(j) => self.look(j),
            None => self.books.settle(),
        }
    }

    fn next_look(&self) -> Option<Instant> {
        match self.books.look_due(self.now)? {
            due if due > self.now => Some(due),
            // Due, but without a connection to look through: tried again as soon as one is idle.
            _ if self.onlooker().is_none() && self.books.charges().kept().is_empty() => None,
            _ => Some(self.now + CONFIRMATION),
        }
    }

    /// Charges were lost, or found to be gone.
    pub(super) fn due_look(&mut self) {
        self.unconfirmed = self.books.charges().unconfirmed();
        if let Some(due) = self.books.look_due(self.now) {
            self.due(due);
        }
        self.restless = true;
    }

    /// Commands of the control thread.
    pub(super) fn obey(&mut self) {
        self.commands.answer();
        while let Some(command) = self.commands.next() {
            match command {
                Command::Target(target) => {
                    self.target = target;
                    self.resolver.forget();
                    self.backoff.retry();
                    self.offer = Offer::default();
                    self.close_worn();
                }
                Command::Resolved { request, addresses } => {
                    let target = std::sync::Arc::clone(&self.target);
                    self.resolver.resolved(&target, request, addresses);
                }
                Command::Limits(limits) => {
                    let before = std::mem::replace(&mut self.limits, limits);
                    self.time_again(&before);
                    self.books.limit(limits.max);
                    self.due(self.now);
                }
                Command::Drain { grace } => {
                    self.listeners.clear();
                    self.draining = Some(self.now + grace);
                }
                Command::Publish => {}
            }
            self.restless = true;
        }
    }

    /// Idle connections of an earlier target; those in use follow when they are given back.
    fn close_worn(&mut self) {
        for j in self.idle.clone() {
            if self.servers.get(j).is_some_and(|server| !std::sync::Arc::ptr_eq(&server.target, &self.target)) {
                self.dismiss(j);
            }
        }
    }

    /// What changes with each client.
    fn publish(&self) {
        let figures = &self.figures;
        add(&figures.turns, 1);
        figures.active.store(self.attached, Relaxed);
        figures.idle.store(self.open.saturating_sub(self.attached), Relaxed);
        figures.waiting.store(self.queue.len() + self.greeting.len(), Relaxed);
        figures.clients.store(self.logged_in_clients, Relaxed);
    }

    /// What changes with the number of server connections, and what is too dear to be counted at each change.
    fn publish_all(&mut self) {
        let charges = self.books.charges();
        self.unconfirmed = charges.unconfirmed();
        let ending = self.servers.iter().filter(|(_, server)| matches!(server.phase, Phase::Closing)).count();
        self.figures.charged.store(charges.charged(), Relaxed);
        self.figures.unconfirmed.store(self.unconfirmed + u32::try_from(ending).unwrap_or(u32::MAX), Relaxed);
        self.figures.max.store(self.limits.max, Relaxed);
        let sizes = self.servers.iter().map(|(_, server)| server.copies.size());
        let copies = sizes.fold((0, 0), |(all, bytes), (some, more)| (all + some, bytes + more));
        self.figures.hold(self.texts.size(), copies);
    }

    /// Whether a drain is done: nobody is left who has logged in or waits for it, or the time is over.
    pub(super) fn drained(&self) -> bool {
        let nobody = self.clients.len() <= self.transient as usize;
        self.draining.is_some_and(|until| nobody || until <= self.now)
    }

    /// The last acts: clients that are still there are told, server connections are closed, and their ends awaited.
    pub(super) fn finish(&mut self, events: &mut Vec<Event>) -> Final {
        self.limits.min = 0;
        let reason = fatal(*b"57P01", "terminating connection because the pod is being stopped");
        for i in self.clients.iter().map(|(i, _)| i).collect::<Vec<_>>() {
            self.refuse(i, &reason);
        }
        for j in self.servers.iter().map(|(j, _)| j).collect::<Vec<_>>() {
            self.cancel(j);
            self.dismiss(j);
        }
        let until = Instant::now() + FAREWELL;
        while !self.servers.is_empty() && self.now < until {
            self.draining = Some(until);
            if self.wait(events).is_err() {
                break;
            }
        }
        self.draining = None;
        self.publish_all();
        self.publish();
        Final { charged: self.books.charges().charged() }
    }
}
