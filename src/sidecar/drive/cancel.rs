//! Cancel requests: a connection of their own each, to the server that the query runs on, with the backend's key.
//!
//! PostgreSQL closes such a connection once the signal is sent. Until then the server connection is not given to anyone else: a
//! signal that arrives late would hit the next client's query. For the same reason the connection that the request came by ends only
//! then: a client that waits for it, as libpq does, knows that no later query of its own is hit. PostgreSQL 12 to 17 signal a
//! backend twice (`signal_child`), so the answer to the cancelled query does not tell that. A cancel request takes no charge, since no
//! backend is made of it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

use super::open::connecting;
use super::peer::{Gone, Peer};
use super::{CANCEL, Loop};
use crate::sidecar::client::{Key, Phase as Client};
use crate::sidecar::fault::{Fault, planted};
use crate::sidecar::pool::CANCELS_AT_ONCE;
use crate::sidecar::server::Phase;
use crate::sidecar::target::Target;
use crate::sidecar::tls::{Negotiation, Transport};
use crate::sidecar::wire::put;

const CANCEL_REQUEST: u32 = 80_877_102;
/// From connect() to the server's end of the connection.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a cancel request for a server connection is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Canceling {
    #[default]
    No,
    Once,
    /// Another one was asked for meanwhile, perhaps about a later query.
    Again,
}

pub(super) struct Cancel {
    pub(super) peer: Peer,
    transport: Transport,
    phase: Progress,
    target: Arc<Target>,
    host: usize,
    server: usize,
    /// The server connection's token, which tells it from a later one in the same slot.
    token: u64,
    key: (i32, Box<[u8]>),
    deadline: Instant,
    /// Tokens of the clients that asked for it.
    asked_by: Vec<u64>,
}

enum Progress {
    Connecting,
    Negotiating(Negotiation),
    Handshaking,
    Sent,
}

impl Loop {
    /// Client `i` has sent this key. It reaches what its owner runs now, and nothing else.
    pub(super) fn cancel_by(&mut self, i: usize, key: &Key) {
        if let Some(j) = self.used_by(key) {
            self.cancel(j);
            let token = self.servers.get(j).map(|server| server.peer.token);
            let under_way = self.cancels.iter_mut().find(|(_, cancel)| Some(cancel.token) == token);
            if let (Some((_, cancel)), Some(client)) = (under_way, self.clients.get_mut(i)) {
                client.phase = Client::Canceling;
                return cancel.asked_by.push(client.peer.token);
            }
        }
        self.close(i, true);
    }

    /// The server connection that the owner of a key uses.
    fn used_by(&self, key: &Key) -> Option<usize> {
        if planted(Fault::CancelToTheWrongBackend) {
            return self.servers.iter().find(|(_, server)| server.exchange.active()).map(|(j, _)| j);
        }
        let client = self.clients.get(key.place()?)?;
        let Client::Attached(j) = client.phase else { return None };
        let attached = matches!(self.servers.get(j)?.phase, Phase::Attached);
        (attached && client.told.is_some() && client.key.matches(key)).then_some(j)
    }

    /// Cancels what server connection `j` runs, if it runs anything.
    pub(super) fn cancel(&mut self, j: usize) {
        let Some(server) = self.servers.get_mut(j) else { return };
        let active = server.exchange.active() || matches!(server.phase, Phase::Busy(..));
        if !active || server.key.0 == 0 {
            return;
        }
        if server.cancel != Canceling::No {
            server.cancel = Canceling::Again;
            return;
        }
        if self.cancels.len() >= CANCELS_AT_ONCE {
            return;
        }
        let (address, target, key, server_token) =
            (server.address, Arc::clone(&server.target), server.key.clone(), server.peer.token);
        let Ok(fd) = connecting(address, &target.keepalive, TIMEOUT) else { return };
        let token = self.token(CANCEL, self.cancels.vacant_key());
        let Ok(peer) = Peer::new(&self.epoll, fd, token, true) else { return };
        let deadline = self.now + TIMEOUT;
        self.cancels.insert(Cancel {
            peer,
            transport: Transport::Plain,
            phase: Progress::Connecting,
            target,
            host: address.host,
            server: j,
            token: server_token,
            key,
            deadline,
            asked_by: Vec::new(),
        });
        if let Some(server) = self.servers.get_mut(j) {
            server.cancel = Canceling::Once;
        }
        self.figures.cancels.fetch_add(1, Relaxed);
        self.due(deadline);
    }

    pub(super) fn cancel_event(&mut self, at: usize, flags: EventFlags) {
        match self.cancel_step(at, flags) {
            Ok(()) => {}
            // PostgreSQL's end says that the signal was sent. A connection that broke before the request was sent did nothing.
            Err(how) => self.cancel_ended(at, how == Gone::End),
        }
    }

    fn cancel_step(&mut self, at: usize, flags: EventFlags) -> Result<(), Gone> {
        let Some(cancel) = self.cancels.get_mut(at) else { return Ok(()) };
        if matches!(cancel.phase, Progress::Connecting) {
            cancel.peer.connected(&self.epoll).map_err(|_| Gone::Broken)?;
            if !flags.contains(EventFlags::OUT) {
                return Ok(());
            }
            let host = cancel.target.hosts.get(cancel.host).map_or("", |host| &host.name);
            self.out.clear();
            match Negotiation::new(&cancel.target.tls, host) {
                Some(negotiation) => {
                    negotiation.start(&mut self.out);
                    cancel.phase = Progress::Negotiating(negotiation);
                    cancel.peer.write(&self.epoll, &self.out)?;
                }
                None => return self.send_cancel(at),
            }
        } else {
            cancel.peer.note(flags);
            if cancel.peer.unsent() {
                cancel.peer.flush(&self.epoll)?;
            }
        }
        while let Some(cancel) = self.cancels.get_mut(at).filter(|cancel| cancel.peer.readable) {
            let n = cancel.peer.receive(&mut self.buffer)?;
            let data = self.buffer.get(..n).unwrap_or_default();
            if data.is_empty() {
                continue;
            }
            match std::mem::replace(&mut cancel.phase, Progress::Handshaking) {
                Progress::Negotiating(negotiation) => {
                    cancel.transport = negotiation.answer(data).map_err(|_| Gone::Broken)?;
                    if cancel.transport.is_plain() {
                        self.send_cancel(at)?;
                        continue;
                    }
                }
                Progress::Handshaking => {
                    self.plain.clear();
                    cancel.transport.decrypt(data, &mut self.plain).map_err(|_| Gone::Broken)?;
                }
                // Nothing that comes behind the request counts but the end.
                other => {
                    cancel.phase = other;
                    continue;
                }
            }
            self.cipher.clear();
            cancel.transport.drain(&mut self.cipher);
            cancel.peer.write(&self.epoll, &self.cipher)?;
            if !cancel.transport.is_handshaking() {
                self.send_cancel(at)?;
            }
        }
        Ok(())
    }

    fn send_cancel(&mut self, at: usize) -> Result<(), Gone> {
        let Some(cancel) = self.cancels.get_mut(at) else { return Ok(()) };
        cancel.phase = Progress::Sent;
        // Its query may have ended meanwhile, and the connection may be idle: then there is nothing to cancel.
        let runs = |server: &super::Server| server.peer.token == cancel.token && server.exchange.active();
        if !self
            .servers
            .get(cancel.server)
            .is_some_and(|server| runs(server) || !matches!(server.phase, Phase::Attached))
        {
            return Err(Gone::End);
        }
        self.out.clear();
        put(&mut self.out, |out| {
            out.extend_from_slice(&CANCEL_REQUEST.to_be_bytes());
            out.extend_from_slice(&cancel.key.0.to_be_bytes());
            out.extend_from_slice(&cancel.key.1);
        });
        self.cipher.clear();
        if cancel.transport.is_plain() {
            return cancel.peer.write(&self.epoll, &self.out);
        }
        cancel.transport.encrypt(&self.out, &mut self.cipher);
        cancel.peer.write(&self.epoll, &self.cipher)
    }

    /// `sure`: the signal has reached the backend, or was never sent.
    fn cancel_ended(&mut self, at: usize, sure: bool) {
        let Some(cancel) = self.cancels.try_remove(at) else { return };
        let j = cancel.server;
        let Some(server) = self.servers.get_mut(j).filter(|server| server.peer.token == cancel.token) else {
            return self.answer_canceling(&cancel.asked_by);
        };
        let before = std::mem::take(&mut server.cancel);
        server.stained |= !sure && matches!(cancel.phase, Progress::Sent);
        if before == Canceling::Again {
            self.cancel(j);
        }
        match self.cancels.iter_mut().find(|(_, next)| next.token == cancel.token) {
            // One of them asked again.
            Some((_, next)) => next.asked_by = cancel.asked_by,
            None => self.answer_canceling(&cancel.asked_by),
        }
        let Some(server) = self.servers.get(j) else { return };
        if server.cancel == Canceling::No && matches!(server.phase, Phase::Draining) && server.exchange.quiet() {
            self.give_back(j);
            self.serve();
        } else if server.cancel == Canceling::No
            && matches!(server.phase, Phase::Attached)
            && self.release.now(&server.exchange)
        {
            self.settle(j);
            self.serve();
        }
    }

    /// Ends the connections that a cancel request was asked for by, unless their clients were faster.
    fn answer_canceling(&mut self, asked_by: &[u64]) {
        for token in asked_by {
            let i = (token & 0xffff_ffff) as usize;
            if self.clients.get(i).is_some_and(|client| client.peer.token == *token) {
                self.close(i, true);
            }
        }
    }

    /// Cancel requests that take too long, and the next such time.
    pub(super) fn sweep_cancels(&mut self) -> Option<Instant> {
        let now = self.now;
        let late: Vec<_> = self.cancels.iter().filter(|(_, cancel)| cancel.deadline <= now).map(|(at, _)| at).collect();
        for at in late {
            self.cancel_ended(at, false);
        }
        self.cancels.iter().map(|(_, cancel)| cancel.deadline).min()
    }
}
