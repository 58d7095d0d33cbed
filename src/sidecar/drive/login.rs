//! Logging in at PostgreSQL, TLS included; and what a failure means, that of a connect() too.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustix::io::Errno;

use super::peer::Gone;
use super::{Loop, blame};
use crate::sidecar::charge::identify;
use crate::sidecar::client::Phase as Client;
use crate::sidecar::login::{LoggedIn, Login};
use crate::sidecar::pool::Cause;
use crate::sidecar::server::{Phase, Purpose, dress, query};
use crate::sidecar::state::WHO;
use crate::sidecar::wire::{Parameters, Refusal, Version};

impl Loop {
    /// The answer to SSLRequest.
    pub(super) fn negotiated(&mut self, j: usize) -> Result<bool, Gone> {
        let Some(server) = self.servers.get_mut(j) else { return Ok(false) };
        let n = server.peer.read(&mut self.buffer)?;
        let data = self.buffer.get(..n).unwrap_or_default();
        if data.is_empty() {
            return Ok(true);
        }
        let Phase::Negotiating(negotiation) = std::mem::replace(&mut server.phase, Phase::Handshaking) else {
            return Ok(false);
        };
        match negotiation.answer(data) {
            Ok(transport) => server.transport = transport,
            Err(error) => {
                let refusal = blame::tls(&server.target, server.address, &error);
                self.login_failed(j, refusal);
                return Ok(false);
            }
        }
        if server.transport.is_plain() {
            self.start_login(j);
            return Ok(true);
        }
        self.cipher.clear();
        server.transport.drain(&mut self.cipher);
        server.peer.write(&self.epoll, &self.cipher)?;
        Ok(true)
    }

    pub(super) fn start_login(&mut self, j: usize) {
        let Some(server) = self.servers.get_mut(j) else { return };
        self.books.starting(server.attempt);
        // Of a server that an earlier URL named nothing is known any more.
        let current = Arc::ptr_eq(&server.target, &self.target);
        let asked = if current { self.offer.version() } else { Version::V3_0 };
        let mut login = Login::new(&server.target, &server.attempt.application_name(), asked);
        self.out.clear();
        login.start(&mut self.out);
        server.phase = Phase::LoggingIn(Box::new(login));
        if server.write(&self.epoll, &self.out, &mut self.cipher).is_err() {
            self.login_ended(j, Gone::Broken);
        }
    }

    /// TLS handshake and login.
    pub(super) fn log_in_at_server(&mut self, j: usize) -> Result<bool, Gone> {
        let Some(server) = self.servers.get_mut(j) else { return Ok(false) };
        if matches!(server.phase, Phase::Handshaking) {
            let n = server.peer.receive(&mut self.buffer)?;
            self.plain.clear();
            let done = server.transport.decrypt(self.buffer.get(..n).unwrap_or_default(), &mut self.plain);
            self.cipher.clear();
            server.transport.drain(&mut self.cipher);
            server.peer.write(&self.epoll, &self.cipher)?;
            if let Err(error) = done {
                let refusal = blame::tls(&server.target, server.address, &error);
                self.login_failed(j, refusal);
                return Ok(false);
            }
            server.peer.hold(&self.plain);
            if !server.transport.is_handshaking() {
                self.start_login(j);
            }
            return Ok(true);
        }
        let data = server.read(&self.epoll, &mut self.buffer, &mut self.plain, &mut self.cipher)?;
        let Phase::LoggingIn(login) = &mut server.phase else { return Ok(false) };
        self.out.clear();
        let fed = login.feed(data, &mut self.out);
        match fed {
            Ok((used, logged_in)) => {
                server.peer.hold(data.get(used..).unwrap_or_default());
                server.write(&self.epoll, &self.out, &mut self.cipher)?;
                if let Some(logged_in) = logged_in {
                    self.logged_in(j, logged_in);
                }
                Ok(true)
            }
            Err(error) => {
                let (asked, reaction) = (login.asked(), login.reaction());
                let current = Arc::ptr_eq(&server.target, &self.target);
                let refusal = blame::login(&server.target, server.address, &error);
                if current && self.offer.failed(asked, reaction, Some(&error)) {
                    tracing::info!(error = refusal.message, "PostgreSQL is asked for protocol 3.0 from now on");
                    self.dismiss(j);
                } else {
                    self.login_failed(j, refusal);
                }
                Ok(false)
            }
        }
    }

    fn logged_in(&mut self, j: usize, logged_in: LoggedIn) {
        let Some(server) = self.servers.get_mut(j) else { return };
        if let Phase::LoggingIn(login) = &server.phase
            && Arc::ptr_eq(&server.target, &self.target)
        {
            self.offer.succeeded(login.asked());
        }
        if !self.books.connected(server.attempt, logged_in.pid) {
            return self.login_failed(j, blame::unwritten());
        }
        let parameters: Parameters = logged_in.parameters.iter().map(|(name, value)| (name, value)).collect();
        server.parameters = self.identities.share(parameters.clone());
        server.key = (logged_in.pid, logged_in.secret);
        let took = self.now - std::mem::replace(&mut server.since, self.now);
        self.figures.login_times.record(took);
        let expires = server.age.next(self.now);
        self.opening -= 1;
        self.open += 1;
        // Another login may begin.
        self.restless = true;
        self.backoff.succeeded();
        self.resolver.prefer(server.address);
        self.figures.logins.fetch_add(1, Relaxed);
        self.figures.last_login.store(1, Relaxed);
        self.identities.logged_in(parameters);
        self.out.clear();
        query(&mut self.out, &identify());
        query(&mut self.out, WHO);
        let mut statements = 2;
        if let Some(identity) = &self.fashion {
            statements += dress(None, &identity.parameters, &mut self.out);
            server.dressed = Some(Rc::clone(identity));
        }
        if let Some(expires) = expires {
            self.due(expires);
        }
        self.send_errand(j, statements, Purpose::Identify);
        self.welcome_all();
    }

    /// Those who waited for the first login.
    fn welcome_all(&mut self) {
        loop {
            let clients = &self.clients;
            let waits =
                |i: usize, ticket| clients.get(i).is_some_and(|client| client.phase == Client::Greeting(ticket));
            let Some(waiter) = self.greeting.pop(waits) else { return };
            self.figures.waits.record(self.now - waiter.since);
            self.welcome(waiter.client);
        }
    }

    /// The stream ended during the login.
    pub(super) fn login_ended(&mut self, j: usize, how: Gone) {
        let Some(server) = self.servers.try_remove(j) else { return };
        self.opening -= 1;
        match how {
            Gone::End => self.books.eof(server.attempt),
            Gone::Broken => self.books.lost(server.attempt, self.now),
        }
        self.due_look();
        if Arc::ptr_eq(&server.target, &self.target) {
            if let Phase::LoggingIn(login) = &server.phase {
                self.offer.failed(login.asked(), login.reaction(), None);
            }
            let why = "it closed the connection during the login";
            self.failed(blame::unreachable(*b"08006", &server.target, server.address, why));
        }
    }

    pub(super) fn login_too_late(&mut self, j: usize) {
        if self.servers.get(j).is_some_and(|server| matches!(server.phase, Phase::Connecting)) {
            // The kernel should have given it up before. Its handshake may end just now, and nothing follows that.
            if let Some(server) = self.servers.try_remove(j) {
                self.opening -= 1;
                self.books.lost(server.attempt, self.now);
                self.due_look();
                self.connect_failed(&server.target, server.address, server.tried, Errno::TIMEDOUT);
            }
            return;
        }
        let Some(server) = self.servers.get(j) else { return };
        let refusal = blame::unreachable(*b"08006", &server.target, server.address, "the login took too long");
        self.login_failed(j, refusal);
    }

    fn login_failed(&mut self, j: usize, refusal: Refusal) {
        // What an earlier URL led to says nothing of the one in force.
        let current = self.servers.get(j).is_some_and(|server| Arc::ptr_eq(&server.target, &self.target));
        self.dismiss(j);
        if current {
            self.failed(refusal);
        }
    }

    /// A login failed: a pause before the next, and an error for those whom waiting does not help.
    pub(super) fn failed(&mut self, refusal: Refusal) {
        self.figures.login_failed(refusal.code);
        tracing::warn!(code = refusal.code(), error = refusal.message, "a login at PostgreSQL failed");
        let cause = Cause::new(refusal);
        let random = self.random();
        self.backoff.failed(cause.clone(), self.now, random);
        if let Some(until) = self.backoff.pause(self.now) {
            // Nothing else may happen until then.
            self.due(until);
        }
        self.restless = true;
        if cause.passing || self.open > 0 {
            return;
        }
        let waits = |phase| matches!(phase, Client::Waiting(_) | Client::Greeting(_));
        let waiting: Vec<_> = self.clients.iter().filter(|(_, client)| waits(client.phase)).map(|(i, _)| i).collect();
        for i in waiting {
            self.refuse(i, &cause.refusal);
        }
    }
}
