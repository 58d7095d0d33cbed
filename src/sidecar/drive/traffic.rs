//! Bytes between a client and its server connection, sent from where they were read.
//!
//! While one side takes nothing more, the other is not read: at most one buffer waits for each side that is slow.

use std::rc::Rc;

use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;

use super::peer::{BUFFER, Gone};
use super::{Loop, Server, TURN};
use crate::sidecar::client::{Identity, Phase as Client};
use crate::sidecar::exchange::{Abandoned, Event, Stop, Tracked};
use crate::sidecar::figures::add;
use crate::sidecar::pool::Release;
use crate::sidecar::server::Phase;
use crate::sidecar::state::{Pin, Pins};
use crate::sidecar::statement::{Copies, Names, Texts};
use crate::sidecar::tls::Transport;
use crate::sidecar::wire::{Parameters, fatal};

/// From this many missing bytes of one message on, the kernel wakes us only once they, or a full buffer, are there.
const WAIT_FOR_MORE: usize = 16 * 1024;

impl Server {
    /// What was held and what has come, decrypted.
    pub(super) fn read<'a>(
        &mut self,
        epoll: &OwnedFd,
        buffer: &'a mut [u8],
        plain: &'a mut Vec<u8>,
        cipher: &mut Vec<u8>,
    ) -> Result<&'a [u8], Gone> {
        if matches!(self.transport, Transport::Plain) {
            let n = self.peer.read(buffer)?;
            return Ok(buffer.get(..n).unwrap_or_default());
        }
        plain.clear();
        if let Some(fresh) = self.peer.fresh() {
            plain.extend_from_slice(&fresh);
            return Ok(plain);
        }
        let n = self.peer.receive(buffer)?;
        plain.extend_from_slice(&self.peer.held());
        let held = plain.len();
        let decrypted = self.transport.decrypt(buffer.get(..n).unwrap_or_default(), plain);
        cipher.clear();
        self.transport.drain(cipher);
        self.peer.write(epoll, cipher)?;
        decrypted.map_err(|_| Gone::Broken)?;
        if plain.len() == held {
            // Nothing new: keep it for later, so that an empty answer always means that.
            self.peer.hold(plain);
            return Ok(&[]);
        }
        Ok(plain)
    }

    pub(super) fn write(&mut self, epoll: &OwnedFd, data: &[u8], cipher: &mut Vec<u8>) -> Result<(), Gone> {
        if self.transport.is_plain() {
            return self.peer.write(epoll, data);
        }
        cipher.clear();
        self.transport.encrypt(data, cipher);
        self.peer.write(epoll, cipher)
    }
}

impl Loop {
    /// Sends what the client of a server connection has to say.
    pub(super) fn pump_client(&mut self, i: usize) {
        for _ in 0..TURN {
            let Some(client) = self.clients.get_mut(i) else { return };
            let Client::Attached(j) = client.phase else { return };
            let Some(server) = self.servers.get(j) else { return };
            if !client.peer.readable
                || server.peer.unsent()
                || server.exchange.full()
                || !matches!(server.phase, Phase::Attached)
                || server.last_word.is_some()
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
                Err(_) => return self.ended(i, j),
            }
        }
        if let Some(client) = self.clients.get(i) {
            self.again.push(client.peer.token);
        }
    }

    /// Passes on what was read from client `i`, the first `n` bytes of the buffer. False when the pair is one no more.
    pub(super) fn forward(&mut self, i: usize, j: usize, n: usize) -> bool {
        let (Some(client), Some(server)) = (self.clients.get_mut(i), self.servers.get_mut(j)) else { return false };
        let data = self.buffer.get(..n).unwrap_or_default();
        let mut tracked = track(
            self.release,
            &mut client.names,
            client.identity.as_ref(),
            &mut server.copies,
            &mut self.texts,
            server.pins,
        );
        self.out.clear();
        let fed = server.exchange.from_client(data, tracked.as_mut(), &mut self.out);
        let rest = data.get(fed.to..).unwrap_or_default();
        if fed.wait {
            client.peer.unread(rest);
            server.waits = true;
        } else if fed.stop.is_none() {
            client.peer.hold(rest);
        }
        let pass = fed.bytes(data, &mut self.out);
        let broken = server.write(&self.epoll, pass, &mut self.cipher).is_err();
        add(&self.figures.bytes_in, pass.len() as u64);
        if server.exchange.active() {
            server.tenure.sent(self.now);
        }
        let free = self.release.now(&server.exchange);
        if broken {
            self.broken(j);
        }
        self.clock(j, true);
        match fed.stop {
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
        let kept = !free || self.settle(j);
        kept && !broken && !fed.wait
    }

    pub(super) fn server_event(&mut self, j: usize, flags: EventFlags) {
        let Some(server) = self.servers.get_mut(j) else { return };
        if matches!(server.phase, Phase::Connecting) {
            return self.connected(j, flags);
        }
        server.peer.note(flags);
        if server.peer.unsent() {
            if server.peer.flush(&self.epoll).is_err() {
                return self.broken(j);
            }
            if let (false, Some(i)) = (server.peer.unsent(), server.client) {
                self.clock(j, false);
                self.pump_client(i);
            }
        }
        self.pump_server(j);
    }

    /// Reads server connection `j` for whatever it is doing.
    pub(super) fn pump_server(&mut self, j: usize) {
        for _ in 0..TURN {
            let Some(server) = self.servers.get_mut(j).filter(|server| server.peer.readable) else { return };
            let was_full = server.exchange.full();
            let more = match server.phase {
                Phase::Connecting => return,
                Phase::Negotiating(_) => self.negotiated(j),
                Phase::Handshaking | Phase::LoggingIn(_) => self.log_in_at_server(j),
                Phase::Attached => self.pass_back(j),
                Phase::Draining => self.drain(j),
                Phase::Busy(..) => self.run(j),
                Phase::Idle => self.listen_to_idle(j),
                Phase::Closing => self.discard_all(j),
            };
            match more {
                Ok(true) => {}
                Ok(false) => return,
                Err(gone) => return self.gone(j, gone),
            }
            if let Some(server) = self.servers.get_mut(j)
                && (std::mem::take(&mut server.waits) || was_full)
                && let Some(i) = server.client
            {
                self.pump_client(i);
            }
        }
        if let Some(server) = self.servers.get(j) {
            self.again.push(server.peer.token);
        }
    }

    /// From the server to its client.
    pub(super) fn pass_back(&mut self, j: usize) -> Result<bool, Gone> {
        let Some(server) = self.servers.get_mut(j) else { return Ok(false) };
        let Some(i) = server.client else { return Ok(false) };
        let Some(client) = self.clients.get_mut(i) else { return Ok(false) };
        if client.peer.unsent() {
            return Ok(false);
        }
        let data = server.read(&self.epoll, &mut self.buffer, &mut self.plain, &mut self.cipher)?;
        if data.is_empty() {
            return Ok(true);
        }
        let until = server.last_word.as_ref().map_or(data.len(), |_| server.exchange.missing().min(data.len()));
        let (data, beyond) = data.split_at(until);
        let mut changed: Option<Parameters> = None;
        let current = &server.parameters;
        let mut tracked = track(
            self.release,
            &mut client.names,
            client.identity.as_ref(),
            &mut server.copies,
            &mut self.texts,
            server.pins,
        );
        self.out.clear();
        let fed = server.exchange.from_server(data, tracked.as_mut(), &mut self.out, |event| match event {
            Event::Parameter(name, value) => {
                changed.get_or_insert_with(|| Parameters::clone(current)).set(name, value);
            }
            event => self.figures.note(&event),
        });
        let Ok(fed) = fed else { return Ok(self.desynchronized(j)) };
        server.peer.hold(data.get(fed.to..).unwrap_or_default());
        server.peer.unread(beyond);
        let pass = fed.bytes(data, &mut self.out);
        if let Some(parameters) = changed {
            let name = parameters.get(b"application_name");
            server.bare = name == Some(server.attempt.application_name().as_bytes());
            server.parameters = self.identities.share(parameters);
            client.told = Some(Rc::clone(&server.parameters));
        }
        if server.transport.is_plain() {
            let missing = server.exchange.missing();
            server.peer.low_water(if missing >= WAIT_FOR_MORE { missing.min(BUFFER) } else { 0 });
        }
        let sent = client.peer.write(&self.epoll, pass);
        add(&self.figures.bytes_out, pass.len() as u64);
        if server.exchange.quiet() {
            server.tenure.answered(&self.figures, self.now);
        }
        if sent.is_err() {
            self.close(i, false);
            return Ok(false);
        }
        let free = self.release.now(&server.exchange);
        let bare = server.bare && server.exchange.quiet() && server.exchange.status() != b'E';
        let ends = client.peer.closing && server.exchange.abandon() != Abandoned::Wait;
        if ends && !free {
            self.again.push(client.peer.token);
        }
        if !free && server.exchange.free() {
            server.tenure.keep(&self.figures, self.now, Pins::NONE);
        }
        if self.say_last_word(i, j) {
            return Ok(false);
        }
        self.clock(j, false);
        if free {
            return Ok(self.settle(j));
        }
        if bare {
            self.dress_again(i, j);
        }
        Ok(true)
    }
}

/// What is followed of a client with these names and settings on a server connection with these copies and pins: nothing in session pooling.
fn track<'a>(
    release: Release,
    names: &'a mut Names,
    identity: Option<&'a Rc<Identity>>,
    copies: &'a mut Copies,
    texts: &'a mut Texts,
    pins: Pins,
) -> Option<Tracked<'a>> {
    let identity = identity.filter(|_| release == Release::AtReadyForQuery)?;
    Some(Tracked { names, copies, texts, settings: &identity.parsing, listens: pins.contains(Pin::Listen) })
}
