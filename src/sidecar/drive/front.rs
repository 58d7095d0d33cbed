//! Clients: accepting, greeting, reading them, and letting them go.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use super::peer::Peer;
use super::{CLIENT, Client, LISTENER, Loop, TURN};
use crate::sidecar::client::{Key, Opening, Phase, Startup, Step, corrections};
use crate::sidecar::pool::{self, Cause};
use crate::sidecar::server;
use crate::sidecar::wire::{Refusal, Stop, fatal, message};

/// From accept to a whole start-up packet; PostgreSQL's authentication_timeout.
const OPENING_TIMEOUT: Duration = Duration::from_mins(1);
/// A client that was refused may take so long to read why.
const LEAVING_TIMEOUT: Duration = Duration::from_secs(2);
/// No descriptor was left: how long nobody is accepted.
const DEAF: Duration = Duration::from_millis(100);

impl Loop {
    pub(super) fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        let fd = match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(fd) => fd,
            Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                // The listener stays readable, so waiting for it would not be waiting.
                if epoll::delete(&self.epoll, listener).is_ok() {
                    self.deaf_until = Some(self.now + DEAF);
                    self.due(self.now + DEAF);
                }
                return;
            }
            Err(_) => return,
        };
        let at = self.clients.vacant_key();
        let token = self.token(CLIENT, at);
        let Ok(peer) = Peer::new(&self.epoll, fd, token, false) else { return };
        let (phase, since) = (Phase::Opening(Opening::default()), self.now);
        self.clients.insert(Client { peer, phase, identity: None, told: None, key: Key::default(), since });
        self.transient += 1;
        self.due(self.now + OPENING_TIMEOUT);
        self.figures.clients_accepted.fetch_add(1, Relaxed);
    }

    pub(super) fn listen_again(&mut self) {
        self.deaf_until = None;
        if let Some(listener) = &self.listener {
            let _ = epoll::add(&self.epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN);
        }
    }

    pub(super) fn client_event(&mut self, i: usize, flags: EventFlags) {
        let Some(client) = self.clients.get_mut(i) else { return };
        client.peer.note(flags);
        if client.peer.unsent() {
            if client.peer.flush(&self.epoll).is_err() {
                return self.close(i, false);
            }
            if !client.peer.unsent() {
                match client.phase {
                    Phase::Leaving => client.peer.finish(),
                    Phase::Attached(j) if self.servers.get(j).is_some_and(|server| server.peer.readable) => {
                        self.pump_server(j);
                    }
                    _ => {}
                }
            }
        }
        self.client_readable(i);
    }

    fn client_readable(&mut self, i: usize) {
        let Some(client) = self.clients.get_mut(i).filter(|client| client.peer.readable) else { return };
        match client.phase {
            Phase::Opening(_) => self.greet(i),
            Phase::Idle => self.want(i),
            Phase::Attached(j)
                if matches!(self.servers.get(j).map(|server| &server.phase), Some(server::Phase::Attached)) =>
            {
                self.pump_client(i);
            }
            Phase::Attached(_) | Phase::Waiting(_) | Phase::Greeting(_) => self.still_there(i),
            Phase::Leaving => self.ignore(i),
        }
    }

    /// Reads the packets before the login.
    fn greet(&mut self, i: usize) {
        while let Some(client) = self.clients.get_mut(i)
            && let Phase::Opening(mut opening) = client.phase
            && client.peer.readable
        {
            let Ok(n) = client.peer.read(&mut self.buffer) else { return self.close(i, true) };
            let data = self.buffer.get(..n).unwrap_or_default();
            if data.is_empty() {
                continue;
            }
            let step = opening.feed(data);
            client.phase = Phase::Opening(opening);
            match step {
                Ok(Step::More) => client.peer.hold(data),
                Ok(Step::Decline) => {
                    if client.peer.write(&self.epoll, b"N").is_err() {
                        return self.close(i, false);
                    }
                }
                Ok(Step::Cancel(key)) => {
                    self.close(i, true);
                    return self.cancel_by(key);
                }
                Ok(Step::Login(startup, len)) => {
                    client.peer.unread(data.get(len..).unwrap_or_default());
                    return self.log_in(i, &startup);
                }
                Err(refusal) => return self.refuse(i, &refusal),
            }
        }
    }

    fn log_in(&mut self, i: usize, startup: &Startup) {
        if startup.stray > 0 {
            self.figures.stray_parameters.fetch_add(startup.stray, Relaxed);
        }
        if let Err(refusal) = startup.admit(&self.target.client) {
            return self.refuse(i, &refusal);
        }
        let Some(client) = self.clients.get_mut(i) else { return };
        let mut wishes = startup.parameters.clone();
        if wishes.get(b"application_name").is_none() {
            wishes.set(b"application_name", self.target.application_name.as_deref().unwrap_or_default());
        }
        client.identity = Some(self.identities.of(wishes));
        self.transient -= 1;
        self.out.clear();
        startup.negotiate(&mut self.out);
        if client.peer.write(&self.epoll, &self.out).is_err() {
            client.phase = Phase::Idle;
            return self.close(i, false);
        }
        if self.identities.can_greet() {
            return self.welcome(i);
        }
        // The very first: nobody knows yet what to tell it.
        client.phase = Phase::Greeting(self.greeting.join(i, self.now));
        self.restless = true;
        if let Some(cause) = self.hopeless() {
            self.refuse(i, &cause.refusal);
        }
    }

    /// Tells a client that it is logged in.
    pub(super) fn welcome(&mut self, i: usize) {
        let key = self.keys.make(i);
        let Some(client) = self.clients.get_mut(i) else { return };
        self.out.clear();
        message(&mut self.out, b'R', |out| out.extend_from_slice(&[0; 4]));
        let told = client.identity.as_ref().and_then(|identity| self.identities.greet(identity, &mut self.out));
        client.phase = Phase::Idle;
        let (Some(told), Some(key)) = (told, key) else {
            return self.refuse(i, &fatal(*b"53000", "no random bytes for a cancel key"));
        };
        (client.told, client.key) = (Some(told), key);
        message(&mut self.out, b'K', |out| {
            out.extend_from_slice(&key.pid.to_be_bytes());
            out.extend_from_slice(&key.secret.to_be_bytes());
        });
        message(&mut self.out, b'Z', |out| out.push(b'I'));
        self.logged_in_clients += 1;
        if client.peer.write(&self.epoll, &self.out).is_err() {
            return self.close(i, false);
        }
        self.client_readable(i);
    }

    /// A client without a server connection has sent something.
    pub(super) fn want(&mut self, i: usize) {
        let fits = if self.queue.is_empty() { self.fitting(i) } else { None };
        let Some(client) = self.clients.get_mut(i) else { return };
        if let Some((j, true)) = fits {
            let Ok(n) = client.peer.read(&mut self.buffer) else { return self.close(i, false) };
            match self.buffer.get(..n).unwrap_or_default() {
                [] => {}
                [b'X', ..] => self.close(i, true),
                // Not worth a server connection yet.
                data @ ([_] | [_, _] | [_, _, _] | [_, _, _, _]) => client.peer.hold(data),
                _ => {
                    self.attach(i, j, Duration::ZERO);
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
            Ok(5) => match fits {
                Some((j, _)) => {
                    self.attach(i, j, Duration::ZERO);
                    self.prepare(i, j);
                }
                None => self.enqueue(i),
            },
            // The rest is a new edge.
            Ok(_) => client.peer.readable = client.peer.closing,
            Err(_) => self.close(i, false),
        }
    }

    fn enqueue(&mut self, i: usize) {
        if let Some(cause) = self.hopeless() {
            return self.refuse(i, &cause.refusal);
        }
        let ticket = self.queue.join(i, self.now);
        if let Some(client) = self.clients.get_mut(i) {
            client.phase = Phase::Waiting(ticket);
        }
        self.restless = true;
        self.still_there(i);
    }

    /// Why waiting is no use: no server connection exists, and the last login failed for good.
    fn hopeless(&self) -> Option<Cause> {
        let cause = self.backoff.cause().filter(|cause| !cause.passing)?;
        (self.open == 0 && self.backoff.pause(self.now).is_some()).then(|| cause.clone())
    }

    /// A client that waits may have left: an end, or a goodbye, needs no server connection.
    fn still_there(&mut self, i: usize) {
        let Some(client) = self.clients.get_mut(i).filter(|client| client.peer.closing) else { return };
        let mut first = [0];
        match client.peer.peek(&mut first) {
            Ok(n) if n == 0 || first != *b"X" => {}
            _ => self.close(i, true),
        }
    }

    /// Sends what the client of a server connection has to say.
    pub(super) fn pump_client(&mut self, i: usize) {
        for _ in 0..TURN {
            let Some(client) = self.clients.get_mut(i) else { return };
            let Phase::Attached(j) = client.phase else { return };
            let Some(server) = self.servers.get(j) else { return };
            if !client.peer.readable
                || server.peer.unsent()
                || server.exchange.full()
                || !matches!(server.phase, server::Phase::Attached)
            {
                return;
            }
            match client.peer.read(&mut self.buffer) {
                Ok(0) => {}
                Ok(n) => {
                    if !self.forward(i, j, n) {
                        return;
                    }
                }
                Err(_) => return self.close(i, false),
            }
        }
        if let Some(client) = self.clients.get(i) {
            self.again.push(client.peer.token);
        }
    }

    /// Passes on what was read from client `i`, the first `n` bytes of the buffer. False when the pair is one no more.
    fn forward(&mut self, i: usize, j: usize, n: usize) -> bool {
        let (Some(client), Some(server)) = (self.clients.get_mut(i), self.servers.get_mut(j)) else { return false };
        let data = self.buffer.get(..n).unwrap_or_default();
        let fed = server.exchange.from_client(data);
        let (pass, rest) = data.split_at_checked(fed.to).unwrap_or((data, &[]));
        client.peer.hold(if fed.stop.is_none() { rest } else { &[] });
        let broken = server.write(&self.epoll, pass, &mut self.cipher).is_err();
        self.figures.bytes_in.fetch_add(pass.len() as u64, Relaxed);
        match fed.stop {
            _ if broken => {
                self.broken(j);
                return false;
            }
            Some(Stop::Goodbye) => {
                self.close(i, true);
                return false;
            }
            Some(Stop::Malformed(malformed)) => {
                self.refuse(i, &fatal(*b"08P01", malformed.to_string()));
                return false;
            }
            None => {}
        }
        if self.release.now(&server.exchange) {
            self.release(j);
            return false;
        }
        true
    }

    /// Client `i` gets server connection `j`, which nobody uses.
    pub(super) fn attach(&mut self, i: usize, j: usize, waited: Duration) {
        self.idle.retain(|idle| *idle != j);
        if let (Some(client), Some(server)) = (self.clients.get_mut(i), self.servers.get_mut(j)) {
            client.phase = Phase::Attached(j);
            server.client = Some(i);
            server.phase = server::Phase::Attached;
            server.deadline = None;
            server.bare = false;
            server.exchange = crate::sidecar::wire::Exchange::default();
            self.attached += 1;
            self.figures.acquired.fetch_add(1, Relaxed);
            if !waited.is_zero() {
                self.figures.waited_micros.fetch_add(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX), Relaxed);
            }
        }
    }

    /// Reports to client `i` what its server connection calls otherwise than it was told.
    pub(super) fn correct(&mut self, i: usize, j: usize) {
        let (Some(client), Some(server)) = (self.clients.get_mut(i), self.servers.get(j)) else { return };
        let Some(told) = &client.told else { return };
        if Rc::ptr_eq(told, &server.parameters) {
            return;
        }
        self.out.clear();
        corrections(told, &server.parameters, &mut self.out);
        client.told = Some(Rc::clone(&server.parameters));
        if client.peer.write(&self.epoll, &self.out).is_err() {
            self.close(i, false);
        }
    }

    /// Sends a client away, with the reason. What it had queued is dropped.
    pub(super) fn refuse(&mut self, i: usize, refusal: &Refusal) {
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
    fn ignore(&mut self, i: usize) {
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
    fn leave(&mut self, i: usize, polite: bool) {
        let Some(client) = self.clients.get_mut(i) else { return };
        let phase = std::mem::replace(&mut client.phase, Phase::Idle);
        if client.told.take().is_some() {
            self.logged_in_clients -= 1;
        }
        match phase {
            Phase::Opening(_) | Phase::Leaving => self.transient -= 1,
            Phase::Greeting(_) => self.greeting.leave(),
            Phase::Waiting(_) => self.queue.leave(),
            Phase::Attached(j) => self.abandon(j, polite),
            Phase::Idle => {}
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
        late.into_iter().for_each(|i| self.close(i, true));
        next
    }

    /// Sends away those who have waited for connectionTimeout.
    pub(super) fn sweep_queues(&mut self) {
        let timeout = self.limits.connection_timeout;
        while let Some(waiter) = self.longest_waiting().filter(|waiter| waiter.since + timeout <= self.now) {
            let cause = self.backoff.cause().filter(|_| self.open < self.limits.max);
            let refusal = pool::timed_out(&self.limits, &waiter, self.now - waiter.since, cause);
            self.figures.timed_out.fetch_add(1, Relaxed);
            let waited = u64::try_from((self.now - waiter.since).as_micros()).unwrap_or(u64::MAX);
            self.figures.waited_micros.fetch_add(waited, Relaxed);
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
