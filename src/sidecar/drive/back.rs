//! Server connections once they are logged in: in use, given back, running our own statements, and ending.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;

use super::peer::{BUFFER, Gone};
use super::{Loop, Server, TURN};
use crate::sidecar::charge::{Answer, Identity as Backend, identify_without_system};
use crate::sidecar::client::{Identity, Phase as Client};
use crate::sidecar::pool::{self, Release};
use crate::sidecar::server::{Errand, Phase, Purpose, Reply, discard, dress, query, report};
use crate::sidecar::tls::Transport;
use crate::sidecar::wire::{Abandoned, Fields, Malformed, Parameters, message, next};

/// From this many missing bytes of one message on, the kernel wakes us only once they, or a full buffer, are there.
const WAIT_FOR_MORE: usize = 16 * 1024;
/// For statements of our own.
const ERRAND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a statement whose client has said goodbye may go on before it is cancelled; then again as long until the connection
/// is closed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest message that an idle connection may receive.
const NOTICE_MAX: u32 = 64 * 1024;

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
        let n = self.peer.receive(buffer)?;
        plain.clear();
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
            if was_full && let Some(i) = self.servers.get(j).and_then(|server| server.client) {
                self.pump_client(i);
            }
        }
        if let Some(server) = self.servers.get(j) {
            self.again.push(server.peer.token);
        }
    }

    /// From the server to its client.
    fn pass_back(&mut self, j: usize) -> Result<bool, Gone> {
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
        let mut changed: Option<Parameters> = None;
        let current = &server.parameters;
        let fed = server.exchange.from_server(data, |name, value| {
            changed.get_or_insert_with(|| Parameters::clone(current)).set(name, value);
        });
        let Ok(to) = fed else { return Err(self.desynchronized(j)) };
        let (pass, rest) = data.split_at_checked(to).unwrap_or((data, &[]));
        server.peer.hold(rest);
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
        self.figures.bytes_out.fetch_add(pass.len() as u64, Relaxed);
        if sent.is_err() {
            self.close(i, false);
            return Ok(false);
        }
        if self.release.now(&server.exchange) {
            self.release(j);
            return Ok(false);
        }
        if server.bare && server.exchange.free() {
            self.dress_again(i, j);
        }
        Ok(true)
    }

    /// The name that we logged in by has come back: the client has reset all settings, or discarded everything, and expects its own
    /// start-up parameters then, as from a start-up packet.
    fn dress_again(&mut self, i: usize, j: usize) {
        let Some(identity) = self.clients.get(i).and_then(|client| client.identity.clone()) else { return };
        if let Some(server) = self.servers.get_mut(j) {
            (server.bare, server.dressed) = (false, None);
        }
        self.out.clear();
        let statements = dress(None, &identity.parameters, &mut self.out);
        self.send_errand(j, statements, Purpose::DressAgain);
    }

    /// Gives a server connection back whose client stays.
    pub(super) fn release(&mut self, j: usize) {
        let Some(server) = self.servers.get_mut(j) else { return };
        if std::mem::take(&mut server.bare) {
            server.dressed = None;
        }
        if let Some(i) = server.client.take() {
            self.attached -= 1;
            if let Some(client) = self.clients.get_mut(i) {
                client.phase = Client::Idle;
                client.told = Some(Rc::clone(&server.parameters));
                if client.peer.readable {
                    self.again.push(client.peer.token);
                }
            }
        }
        if server.canceling {
            server.phase = Phase::Draining;
            return;
        }
        self.rest(j);
    }

    /// The client of server connection `j` is gone.
    pub(super) fn abandon(&mut self, j: usize, polite: bool) {
        let Some(server) = self.servers.get_mut(j) else { return };
        server.client = None;
        self.attached -= 1;
        if !matches!(server.phase, Phase::Attached) {
            // Its start-up parameters are being set, and what follows that will find no client.
            return;
        }
        server.phase = Phase::Draining;
        let fate = server.exchange.abandon();
        server.deadline = Some(self.now + DRAIN_TIMEOUT);
        self.due(self.now + DRAIN_TIMEOUT);
        match fate {
            Abandoned::Ready => return self.give_back(j),
            Abandoned::Wait => {}
            Abandoned::Sync => {
                self.out.clear();
                message(&mut self.out, b'S', |_| ());
                let Some(server) = self.servers.get_mut(j) else { return };
                server.exchange.sync();
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

    /// Reads on after the client is gone, until the exchange is over.
    fn drain(&mut self, j: usize) -> Result<bool, Gone> {
        let Some(server) = self.servers.get_mut(j) else { return Ok(false) };
        let data = server.read(&self.epoll, &mut self.buffer, &mut self.plain, &mut self.cipher)?;
        if data.is_empty() {
            return Ok(true);
        }
        let mut parameters = Parameters::clone(&server.parameters);
        let fed = server.exchange.from_server(data, |name, value| parameters.set(name, value));
        let Ok(to) = fed else { return Err(self.desynchronized(j)) };
        server.peer.hold(data.get(to..).unwrap_or_default());
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
        if server.canceling {
            return;
        }
        if self.worn(j) {
            return self.dismiss(j);
        }
        self.out.clear();
        let Some(server) = self.servers.get(j) else { return };
        let status = server.exchange.status();
        let mut statements = discard(status, &mut self.out);
        if let Some(identity) = &server.dressed {
            statements += dress(None, &identity.parameters, &mut self.out);
        }
        self.send_errand(j, statements, Purpose::Reset);
    }

    /// Sends statements of our own, which are in `out`.
    pub(super) fn send_errand(&mut self, j: usize, statements: u32, purpose: Purpose) {
        let Some(server) = self.servers.get_mut(j) else { return };
        server.phase = Phase::Busy(Errand::new(statements), purpose);
        server.deadline = Some(self.now + ERRAND_TIMEOUT);
        let sent = server.write(&self.epoll, &self.out, &mut self.cipher);
        self.due(self.now + ERRAND_TIMEOUT);
        if sent.is_err() {
            self.broken(j);
        }
    }

    /// Reads answers to statements of our own.
    fn run(&mut self, j: usize) -> Result<bool, Gone> {
        let Some(server) = self.servers.get_mut(j) else { return Ok(false) };
        let data = server.read(&self.epoll, &mut self.buffer, &mut self.plain, &mut self.cipher)?;
        let Phase::Busy(errand, purpose) = &mut server.phase else { return Ok(false) };
        let mut parameters = Parameters::clone(&server.parameters);
        let Ok(used) = errand.feed(data, &mut parameters) else { return Err(self.desynchronized(j)) };
        server.peer.hold(data.get(used..).unwrap_or_default());
        let (done, purpose) = (errand.done(), *purpose);
        if parameters != *server.parameters {
            server.parameters = self.identities.share(parameters);
        }
        let Some(replies) = done else { return Ok(true) };
        match purpose {
            Purpose::Identify => self.identified(j, &replies, false),
            Purpose::IdentifyAgain => self.identified(j, &replies, true),
            Purpose::Dress | Purpose::DressAgain => self.dressed(j, &replies),
            Purpose::Reset => self.was_reset(j, &replies),
            Purpose::Look => self.looked(j, &replies),
        }
        Ok(false)
    }

    fn identified(&mut self, j: usize, replies: &[Reply], again: bool) {
        let Some(server) = self.servers.get_mut(j) else { return };
        let Some((reply, clothes)) = replies.split_first() else { return };
        if let Some(last) = clothes.last()
            && last.error.is_some()
        {
            server.dressed = None;
        }
        if let Some(error) = &reply.error {
            if error.code == *b"42501" && !again {
                self.out.clear();
                query(&mut self.out, &identify_without_system());
                return self.send_errand(j, 1, Purpose::IdentifyAgain);
            }
            tracing::warn!(code = error.code(), "the server does not say which server it is");
        } else if let Ok(identity) = Backend::parse(reply.rows.iter().map(|row| &**row)) {
            server.system = identity.incarnation.system;
            self.books.identified(server.attempt, identity, self.now);
        }
        self.learn(j);
        self.rest(j);
    }

    /// A client waited for its start-up parameters.
    fn dressed(&mut self, j: usize, replies: &[Reply]) {
        let Some(server) = self.servers.get_mut(j) else { return };
        let client = server.client.and_then(|i| Some((i, self.clients.get(i)?)));
        let Some((i, client)) = client else {
            // It left meanwhile.
            return self.give_back(j);
        };
        let identity = client.identity.clone();
        match replies.iter().find_map(|reply| reply.error.clone()) {
            None => {
                server.dressed.clone_from(&identity);
                server.phase = Phase::Attached;
                server.deadline = None;
                self.fashion = identity;
                self.learn(j);
                self.correct(i, j);
                self.pump_client(i);
            }
            Some(error) => {
                // The statement had no effect; a RESET ALL before it had.
                if replies.len() > 1 {
                    server.dressed = None;
                }
                self.refuse(i, &error);
                self.give_back(j);
            }
        }
    }

    fn was_reset(&mut self, j: usize, replies: &[Reply]) {
        let Some(server) = self.servers.get_mut(j) else { return };
        // ROLLBACK and DISCARD ALL must succeed; after them a failure to dress only leaves the connection bare.
        let expected = if server.dressed.is_some() { replies.len().saturating_sub(1) } else { replies.len() };
        if replies.iter().take(expected).any(|reply| reply.error.is_some()) {
            return self.dismiss(j);
        }
        if replies.iter().any(|reply| reply.error.is_some()) {
            server.dressed = None;
        }
        self.learn(j);
        self.rest(j);
    }

    /// The reports of a connection are what clients with its parameters are to be told.
    fn learn(&mut self, j: usize) {
        if let Some(server) = self.servers.get(j)
            && let Some(identity) = &server.dressed
        {
            self.identities.learn(identity, &server.parameters);
        }
    }

    /// Nobody uses server connection `j` any more, and it is clean.
    pub(super) fn rest(&mut self, j: usize) {
        if self.worn(j) {
            return self.dismiss(j);
        }
        let open = self.open;
        let Some(server) = self.servers.get_mut(j) else { return };
        (server.phase, server.since, server.deadline) = (Phase::Idle, self.now, None);
        let close = pool::closes_at(&self.limits, open, server.since, server.retire);
        self.idle.push(j);
        self.due(close);
        self.look(j);
    }

    /// Whether a connection should end instead of being used again.
    fn worn(&self, j: usize) -> bool {
        let Some(server) = self.servers.get(j) else { return true };
        server.stained
            || server.retire <= self.now
            || self.open > self.limits.max
            || !std::sync::Arc::ptr_eq(&server.target, &self.target)
    }

    /// Looks for lost backends through the idle connection `j`, if that may decide something.
    pub(super) fn look(&mut self, j: usize) {
        if self.books.charges().look_due().is_none() {
            return;
        }
        let Some(server) = self.servers.get_mut(j).filter(|server| matches!(server.phase, Phase::Idle)) else { return };
        let Some(look) = self.books.look(server.attempt, self.now) else { return };
        self.out.clear();
        query(&mut self.out, &look.sql(server.system));
        server.look = Some(look);
        self.idle.retain(|idle| *idle != j);
        self.send_errand(j, 1, Purpose::Look);
    }

    fn looked(&mut self, j: usize, replies: &[Reply]) {
        let Some(server) = self.servers.get_mut(j) else { return };
        if let (Some(look), [reply]) = (server.look.take(), replies)
            && reply.error.is_none()
            && let Ok(answer) = Answer::parse(reply.rows.iter().map(|row| &**row))
        {
            self.books.looked(&look, &answer, self.now);
            self.restless = true;
        }
        self.rest(j);
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
        let statements = dress(old, &identity.parameters, &mut self.out);
        self.send_errand(j, statements, Purpose::Dress);
    }

    /// Gives idle connections to those who wait.
    pub(super) fn serve(&mut self) {
        while !self.idle.is_empty() {
            let clients = &self.clients;
            let waits = |i: usize, ticket| clients.get(i).is_some_and(|client| client.phase == Client::Waiting(ticket));
            let Some(waiter) = self.queue.pop(waits) else { return };
            let i = waiter.client;
            if let Some(client) = self.clients.get_mut(i) {
                client.phase = Client::Idle;
            }
            let Some((j, _)) = self.fitting(i) else { return };
            self.attach(i, j, self.now - waiter.since);
            self.prepare(i, j);
        }
    }

    /// What an idle connection says by itself: changed parameters, notices, notifications; or that it ends.
    fn listen_to_idle(&mut self, j: usize) -> Result<bool, Gone> {
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
                        ends = true;
                    }
                    _ => ends = true,
                },
                Ok(None) => break,
                Err(Malformed::Length | Malformed::TooLong(_) | _) => {
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
    fn discard_all(&mut self, j: usize) -> Result<bool, Gone> {
        let Some(server) = self.servers.get_mut(j) else { return Ok(false) };
        server.peer.receive(&mut self.buffer)?;
        Ok(true)
    }

    /// Says goodbye; the connection stays charged until its end is received.
    pub(super) fn dismiss(&mut self, j: usize) {
        let Some(server) = self.servers.get_mut(j) else { return };
        let before = std::mem::replace(&mut server.phase, Phase::Closing);
        server.deadline = None;
        server.peer.held();
        self.cipher.clear();
        if before.is_open() {
            self.open -= 1;
            self.idle.retain(|idle| *idle != j);
            if server.exchange.client_at_border() && !matches!(before, Phase::Closing) {
                let _ = server.write(&self.epoll, b"X\0\0\0\x04", &mut self.cipher);
                self.cipher.clear();
            }
        } else if before.is_opening() {
            self.opening -= 1;
        } else {
            return;
        }
        if let Some(server) = self.servers.get_mut(j) {
            server.transport.close(&mut self.cipher);
            let _ = server.peer.write(&self.epoll, &self.cipher);
            // The end of our stream ends a backend that does not read the goodbye: it stands where a message goes on.
            server.peer.finish();
            if server.peer.readable {
                self.again.push(server.peer.token);
            }
        }
        self.restless = true;
    }

    /// What the server sends is not the protocol, or does not fit what was asked. Its end is still waited for.
    fn desynchronized(&mut self, j: usize) -> Gone {
        tracing::warn!(server = j, "PostgreSQL's answers do not fit; the server connection is closed");
        Gone::Broken
    }

    pub(super) fn broken(&mut self, j: usize) {
        self.gone(j, Gone::Broken);
    }

    /// The stream of server connection `j` has ended.
    pub(super) fn gone(&mut self, j: usize, how: Gone) {
        if self.servers.get(j).is_some_and(|server| server.phase.is_opening()) {
            return self.login_ended(j, how);
        }
        let Some(server) = self.servers.get_mut(j) else { return };
        let client = server.client.take();
        if server.phase.is_open() {
            self.open -= 1;
            self.idle.retain(|idle| *idle != j);
        }
        let untouched = matches!(server.phase, Phase::Busy(_, Purpose::Dress));
        let attempt = server.attempt;
        match how {
            Gone::End => self.books.eof(attempt),
            Gone::Broken => self.books.lost(attempt),
        }
        drop(self.servers.try_remove(j));
        self.restless = true;
        let Some(i) = client else { return };
        self.attached -= 1;
        if let Some(client) = self.clients.get_mut(i) {
            client.phase = Client::Idle;
            if untouched {
                // Its request is still in its socket, so another connection can have it.
                self.again.push(client.peer.token);
            } else {
                self.part(i);
            }
        }
    }

    /// A server connection's time for what it does is over.
    pub(super) fn overdue(&mut self, j: usize) {
        let Some(server) = self.servers.get_mut(j) else { return };
        match server.phase {
            Phase::Connecting | Phase::Negotiating(_) | Phase::Handshaking | Phase::LoggingIn(_) => {
                self.login_too_late(j)
            }
            Phase::Draining if server.stained => self.dismiss(j),
            Phase::Draining => {
                // The second time is the last.
                server.stained = true;
                server.deadline = Some(self.now + DRAIN_TIMEOUT);
                self.cancel(j);
            }
            Phase::Busy(..) => {
                let client = server.client;
                self.cancel(j);
                if let Some(i) = client {
                    let refusal = crate::sidecar::wire::fatal(
                        *b"08006",
                        "PostgreSQL did not set the start-up parameters in time",
                    );
                    self.refuse(i, &refusal);
                }
                self.dismiss(j);
            }
            Phase::Idle | Phase::Attached | Phase::Closing => {}
        }
    }

    /// Whether a client that leaves loses what it had on the connection.
    pub(super) fn sessions(&self) -> bool {
        self.release == Release::AtDisconnect
    }
}

fn wears(dressed: Option<&Rc<Identity>>, identity: &Rc<Identity>) -> bool {
    dressed.is_some_and(|dressed| Rc::ptr_eq(dressed, identity))
}
