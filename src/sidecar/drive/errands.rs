//! Our own statements on server connections, and what follows from their answers.

use std::time::Duration;

use super::Loop;
use super::peer::Gone;
use crate::sidecar::charge::{Answer as Found, Identity as Backend, identify_without_system};
use crate::sidecar::exchange::Awaited;
use crate::sidecar::server::{Errand, Phase, Purpose, Reply, dress_again, query};
use crate::sidecar::state::Answer;
use crate::sidecar::wire::Parameters;

const ERRAND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a login that only looks may last: its looks come 0, 1 and 3 s after the login ([`CONFIRMATION`](crate::sidecar::charge::CONFIRMATION),
/// doubled), so that one that ends a second after its socket is found too.
const LOOKING_TIME: Duration = Duration::from_secs(4);

impl Loop {
    /// Sends statements of our own, which are in `out`.
    pub(super) fn send_errand(&mut self, j: usize, statements: u32, purpose: Purpose) {
        let Some(server) = self.servers.get_mut(j) else { return };
        // Only start-up parameters are set again inside of a transaction.
        let within = if purpose == Purpose::DressAgain { server.exchange.status() } else { b'I' };
        server.phase = Phase::Busy(Errand::within(statements, within), purpose);
        if purpose != Purpose::Ask {
            // A Query has dropped it, or a Parse replaced it: by none that any client knows.
            server.copies.set_unnamed(Some(0));
        }
        (server.awaited, server.deadline) = (Awaited::Nobody, Some(self.now + ERRAND_TIMEOUT));
        let sent = server.write(&self.epoll, &self.out, &mut self.cipher);
        self.due(self.now + ERRAND_TIMEOUT);
        if sent.is_err() {
            self.broken(j);
        }
    }

    /// Reads answers to statements of our own.
    pub(super) fn run(&mut self, j: usize) -> Result<bool, Gone> {
        let Some(server) = self.servers.get_mut(j) else { return Ok(false) };
        let data = server.read(&self.epoll, &mut self.buffer, &mut self.plain, &mut self.cipher)?;
        let Phase::Busy(errand, purpose) = &mut server.phase else { return Ok(false) };
        let mut parameters = Parameters::clone(&server.parameters);
        let Ok(used) = errand.feed(data, &mut parameters) else { return Ok(self.desynchronized(j)) };
        server.peer.hold(data.get(used..).unwrap_or_default());
        let (done, purpose) = (errand.done(), *purpose);
        let notifications = if done.is_some() { errand.notifications() } else { Vec::new() };
        if parameters != *server.parameters {
            server.parameters = self.identities.share(parameters);
        }
        let Some(replies) = done else { return Ok(true) };
        match purpose {
            Purpose::Identify => self.identified(j, &replies, false),
            Purpose::IdentifyAgain => self.identified(j, &replies, true),
            Purpose::Dress => self.dressed(j, &replies, false),
            Purpose::DressAgain => self.dressed(j, &replies, true),
            Purpose::Ask => self.answered(j, &replies, &notifications),
            Purpose::Reset => self.was_reset(j, &replies),
            Purpose::Calm if replies.iter().any(|reply| reply.error.is_some()) => self.dismiss(j),
            Purpose::Calm => self.rest(j),
            Purpose::Look => self.looked(j, &replies),
        }
        Ok(false)
    }

    pub(super) fn identified(&mut self, j: usize, replies: &[Reply], again: bool) {
        let Some(server) = self.servers.get_mut(j) else { return };
        let Some((reply, others)) = replies.split_first() else { return };
        if let Some((who, clothes)) = others.split_first() {
            if let (None, Ok(found)) = (&who.error, Answer::parse(who.rows.iter().map(|row| &**row))) {
                server.login = found.roles().clone();
            }
            if clothes.iter().any(|reply| reply.error.is_some()) {
                server.dressed = None;
            }
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
            // What a restarted server has lost is free again.
            self.due_look();
        }
        self.learn(j);
        self.rest(j);
        // It may be a successor.
        self.close_idle();
    }

    /// A client waited for its start-up parameters.
    pub(super) fn dressed(&mut self, j: usize, replies: &[Reply], again: bool) {
        let Some(server) = self.servers.get_mut(j) else { return };
        let client = server.client.and_then(|i| Some((i, self.clients.get(i)?)));
        let Some((i, client)) = client else {
            // It left meanwhile, with its parameters on.
            server.exchange.unknown();
            return self.give_back(j);
        };
        let identity = client.identity.clone();
        match replies.iter().find_map(|reply| reply.error.clone()) {
            None => {
                server.dressed.clone_from(&identity);
                server.phase = Phase::Attached;
                server.deadline = None;
                if !again {
                    // Else it may also report what the client has set itself.
                    self.fashion = identity;
                    self.learn(j);
                }
                self.correct(i, j);
                self.pump_client(i);
            }
            Some(error) if error.is_the_servers() && !again => {
                // Perhaps of what its last client has set.
                self.detach(j);
                self.dismiss(j);
                self.wait_again(i, &error);
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

    /// The name that we logged in by has come back: the client has reset this setting or all, or discarded everything, and expects its
    /// own start-up parameters then, as from a start-up packet.
    pub(super) fn dress_again(&mut self, i: usize, j: usize) {
        let Some(identity) = self.clients.get(i).and_then(|client| client.startup.clone()) else { return };
        if let Some(server) = self.servers.get_mut(j) {
            (server.bare, server.dressed) = (false, None);
        }
        self.out.clear();
        let statements = dress_again(&identity.parameters, &mut self.out);
        self.send_errand(j, statements, Purpose::DressAgain);
    }

    pub(super) fn was_reset(&mut self, j: usize, replies: &[Reply]) {
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
    pub(super) fn learn(&mut self, j: usize) {
        if let Some(server) = self.servers.get(j)
            && let Some(identity) = &server.dressed
        {
            self.identities.learn(identity, &server.parameters);
        }
    }

    /// Server connection `j` is one more than may be: it looks, serves nobody, and ends before long.
    pub(super) fn rest_aside(&mut self, j: usize) {
        let Some(server) = self.servers.get_mut(j) else { return };
        let end = server.since + LOOKING_TIME;
        (server.phase, server.deadline) = (Phase::Idle, Some(end));
        server.age.end(end);
        self.due(end);
        self.look(j);
    }

    /// Through which connection to look: one that nobody uses.
    pub(super) fn onlooker(&self) -> Option<usize> {
        let aside = || self.servers.iter().find(|(_, server)| matches!(server.phase, Phase::Idle)).map(|(j, _)| j);
        self.idle.last().copied().or_else(aside)
    }

    /// Looks for lost backends through the idle connection `j`, if that may decide something.
    pub(super) fn look(&mut self, j: usize) {
        if self.unconfirmed == 0 {
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

    pub(super) fn looked(&mut self, j: usize, replies: &[Reply]) {
        let Some(server) = self.servers.get_mut(j) else { return };
        if let (Some(look), [reply]) = (server.look.take(), replies)
            && reply.error.is_none()
            && let Ok(answer) = Found::parse(reply.rows.iter().map(|row| &**row))
        {
            self.books.looked(&look, &answer, self.now);
            self.due_look();
        }
        self.rest(j);
    }
}
