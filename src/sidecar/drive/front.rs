//! Clients, up to their login.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use super::peer::Peer;
use super::{CLIENT, Client, LISTENER, Loop};
use crate::sidecar::client::{Key, Opening, Phase, Startup, Step};
use crate::sidecar::statement::Names;
use crate::sidecar::wire::{Refusal, Version, fatal, message};
use crate::sidecar::{pool, server};

/// From accept to a whole start-up packet; PostgreSQL's authentication_timeout.
pub(super) const OPENING_TIMEOUT: Duration = Duration::from_mins(1);
/// No descriptor was left: how long nobody is accepted.
const DEAF: Duration = Duration::from_millis(100);

/// Lets the listeners wake the loop. Level-triggered, one accept each: the rest comes with the next wait.
pub(super) fn listen(epoll: &OwnedFd, listeners: &[OwnedFd]) -> rustix::io::Result<()> {
    for (at, listener) in (0..).zip(listeners) {
        match epoll::add(epoll, listener, EventData::new_u64(LISTENER | at), EventFlags::IN) {
            // It wakes us already.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Loop {
    /// From one of the listeners.
    pub(super) fn accept(&mut self, at: usize) {
        let Some(listener) = self.listeners.get(at) else { return };
        if self.clients.len() >= pool::clients(&self.limits, self.descriptors) + pool::REFUSED_AT_ONCE {
            // A listener stays readable, so waiting for it would not be waiting.
            self.deaf |= self.turn_deaf();
            return;
        }
        let fd = match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(fd) => fd,
            Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                // As above.
                if self.turn_deaf() {
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
        self.clients.insert(Client {
            peer,
            phase,
            startup: None,
            identity: None,
            told: None,
            key: Key::default(),
            version: Version::V3_0,
            names: Names::default(),
            tries: 0,
            looked_at: false,
            noticed: false,
            since,
        });
        self.transient += 1;
        self.due(self.now + OPENING_TIMEOUT);
        self.figures.clients_accepted.fetch_add(1, Relaxed);
    }

    /// Whether clients are to be accepted again that were not because there were so many.
    pub(super) fn has_room(&self) -> bool {
        self.deaf && self.clients.len() < pool::clients(&self.limits, self.descriptors) + pool::REFUSED_AT_ONCE
    }

    pub(super) fn listen_again(&mut self) {
        (self.deaf, self.deaf_until) = (false, None);
        let _ = listen(&self.epoll, &self.listeners);
    }

    /// No listener wakes us any more. False if none did before: an event of this turn may still speak of one.
    fn turn_deaf(&self) -> bool {
        self.listeners.iter().filter(|listener| epoll::delete(&self.epoll, listener).is_ok()).count() > 0
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

    pub(super) fn client_readable(&mut self, i: usize) {
        let Some(client) = self.clients.get_mut(i).filter(|client| client.peer.readable) else { return };
        match client.phase {
            Phase::Opening(_) => self.greet(i),
            // It has ended its stream, and takes the rest of its answer first: then there is an event.
            Phase::Idle if client.peer.closing && client.peer.unsent() && !client.peer.broken() => {}
            Phase::Idle => self.want(i),
            Phase::Attached(j)
                if matches!(self.servers.get(j).map(|server| &server.phase), Some(server::Phase::Attached)) =>
            {
                self.pump_client(i);
            }
            Phase::Attached(_) | Phase::Waiting(_) | Phase::Greeting(_) => self.still_there(i),
            Phase::Canceling => {}
            Phase::Leaving => self.ignore(i),
        }
    }

    /// Reads the packets before the login.
    pub(super) fn greet(&mut self, i: usize) {
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
                Ok(Step::Cancel(key)) => return self.cancel_by(i, &key),
                Ok(Step::Login(startup, len)) => {
                    client.peer.unread(data.get(len..).unwrap_or_default());
                    return self.log_in(i, &startup);
                }
                Err(refusal) => return self.refuse(i, &refusal),
            }
        }
    }

    pub(super) fn log_in(&mut self, i: usize, startup: &Startup) {
        if startup.stray > 0 {
            self.figures.stray_parameters.fetch_add(startup.stray, Relaxed);
        }
        if let Err(refusal) = startup.admit(&self.target.client) {
            return self.refuse(i, &refusal);
        }
        if let Some(refusal) = self.crowd() {
            return self.refuse(i, &refusal);
        }
        let Some(client) = self.clients.get_mut(i) else { return };
        let mut wishes = startup.parameters.clone();
        if wishes.get(b"application_name").is_none() {
            wishes.set(b"application_name", self.target.application_name.as_deref().unwrap_or_default());
        }
        client.startup = Some(self.identities.of(wishes));
        client.identity.clone_from(&client.startup);
        client.version = startup.version;
        client.phase = Phase::Idle;
        self.transient -= 1;
        self.out.clear();
        startup.negotiate(&mut self.out);
        if client.peer.write(&self.epoll, &self.out).is_err() {
            return self.close(i, false);
        }
        if self.identities.can_greet() {
            self.welcome(i);
        } else {
            // The very first: nobody knows yet what to tell it.
            self.enqueue(i);
        }
    }

    /// Why no more clients may log in.
    fn crowd(&mut self) -> Option<Refusal> {
        let (clients, most) = (
            self.logged_in_clients as usize + self.greeting.len() as usize,
            pool::clients(&self.limits, self.descriptors),
        );
        if clients < most {
            // Not at once: clients that come and go at the limit must not fill the log.
            self.crowded &= clients >= most - most / 10;
            return None;
        }
        if !std::mem::replace(&mut self.crowded, true) {
            tracing::warn!(
                clients,
                descriptors = self.descriptors,
                "no more clients are let in: the limit of open files"
            );
        }
        Some(pool::crowded(clients, self.descriptors))
    }

    /// Tells a client that it is logged in.
    pub(super) fn welcome(&mut self, i: usize) {
        let Some(client) = self.clients.get_mut(i) else { return };
        let key = self.keys.make(i, client.version);
        self.out.clear();
        message(&mut self.out, b'R', |out| out.extend_from_slice(&[0; 4]));
        let told = client.identity.as_ref().and_then(|identity| self.identities.greet(identity, &mut self.out));
        client.phase = Phase::Idle;
        let (Some(told), Some(key)) = (told, key) else {
            return self.refuse(i, &fatal(*b"53000", "no random bytes for a cancel key"));
        };
        (client.told, client.key) = (Some(told), key);
        message(&mut self.out, b'K', |out| key.write(out));
        message(&mut self.out, b'Z', |out| out.push(b'I'));
        self.logged_in_clients += 1;
        if client.peer.write(&self.epoll, &self.out).is_err() {
            return self.close(i, false);
        }
        self.client_readable(i);
    }
}
