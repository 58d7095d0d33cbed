//! At the end of a transaction: may the server connection serve others? R7 to R9 of `docs/transactions.md`.

use std::rc::Rc;

use super::cancel::Canceling;
use super::{Loop, Server};
use crate::policy::settings::Verify;
use crate::sidecar::fault::{Fault, planted};
use crate::sidecar::figures::add;
use crate::sidecar::server::{Phase, Purpose, Reply, ask, make_tools};
use crate::sidecar::state::{Answer, Hints, Pin, Pins, settle};
use crate::sidecar::statement::Names;

impl Server {
    /// Whether its next statement will fail: see [`Exchange::mixed`](crate::sidecar::exchange::Exchange::mixed).
    pub(super) fn is_torn(&self) -> bool {
        if !self.exchange.mixed() {
            return false;
        }
        let version = self.parameters.get(b"server_version").unwrap_or_default();
        let major = version.split(|byte| !byte.is_ascii_digit()).next().unwrap_or_default();
        // From 10 on a major version has two digits.
        major >= &b"18"[..]
    }
}

impl Loop {
    /// The transaction on server connection `j` is over. It is given back, or asked first what its client has left, or kept for the
    /// client: true only then.
    pub(super) fn settle(&mut self, j: usize) -> bool {
        let Some(server) = self.servers.get_mut(j) else { return false };
        let Some(client) = server.client.and_then(|i| self.clients.get(i)) else { return false };
        let mut hints = server.exchange.hints();
        if self.verify == Verify::Always || (!hints.is_empty() && server.pins.contains(Pin::Prepared)) {
            hints |= Hints::EVERYTHING;
        }
        let asks = hints.asks(server.pins) && !planted(Fault::SettingsLeaked);
        if asks && server.is_torn() {
            // The next statement will fail: that must not be ours.
            server.pins.insert(Pin::Unknown);
            return self.keep(j);
        }
        if !asks {
            if server.pins.is_empty() && !client.names.pins() {
                self.release(j);
                return false;
            }
            return self.keep(j);
        }
        if server.cancel != Canceling::No {
            // It could hit the question. When it has come to its end, this is tried again.
            return self.keep(j);
        }
        self.out.clear();
        if !server.copies.has_tools() {
            make_tools(&mut self.out);
            server.copies.set_tools();
        }
        let worn = server.dressed.iter().chain(&client.identity).flat_map(|identity| identity.parameters.iter());
        let custom = worn.map(|(name, _)| name).filter(|name| name.contains(&b'.'));
        let custom = custom.chain(server.exchange.custom().iter().map(|name| &**name));
        ask(hints, server.pins, custom, &mut self.out);
        server.asked = hints;
        server.exchange.known();
        add(&self.figures.asks, 1);
        self.send_errand(j, 1, Purpose::Ask);
        false
    }

    /// The client of server connection `j` keeps it, for the reasons that are known now. True.
    fn keep(&mut self, j: usize) -> bool {
        if let Some(server) = self.servers.get_mut(j) {
            let names = server.client.and_then(|i| self.clients.get(i)).map(|client| &client.names);
            let statement = if names.is_some_and(Names::pins) { Pin::Statement.into() } else { Pins::NONE };
            server.tenure.keep(&self.figures, self.now, server.pins | statement);
        }
        true
    }

    /// The answer to the question, and what came meanwhile for whoever listens.
    pub(super) fn answered(&mut self, j: usize, replies: &[Reply], notifications: &[u8]) {
        let Some(server) = self.servers.get_mut(j) else { return };
        let found = replies.first().filter(|reply| reply.error.is_none());
        let found = found.and_then(|reply| Answer::parse(reply.rows.iter().map(|row| &**row)).ok());
        if found.is_none() {
            add(&self.figures.asks_failed, 1);
        }
        let hints = std::mem::take(&mut server.asked);
        (server.phase, server.deadline) = (Phase::Attached, None);
        let Some((i, client)) = server.client.and_then(|i| Some((i, self.clients.get_mut(i)?))) else {
            server.phase = Phase::Draining;
            server.pins.insert(Pin::Unknown);
            return self.give_back(j);
        };
        let Some(found) = found else {
            // Perhaps our own statement is gone, and then others are.
            server.copies.clear();
            server.stained = true;
            server.pins.insert(Pin::Unknown);
            self.keep(j);
            return self.pump_client(i);
        };
        let none = Rc::default();
        let startup = client.startup.as_ref().map_or(&none, |startup| startup);
        let pins = server.pins.answered(found.pins(&server.login, &startup.parameters)) | Pins::of_hints(hints);
        let listens = pins.contains(Pin::Listen) || server.pins.contains(Pin::Listen);
        if listens && client.peer.write(&self.epoll, notifications).is_err() {
            return self.close(i, false);
        }
        // What a temporary schema leaves behind shows for ever.
        server.stained |= pins.contains(Pin::Temporary);
        server.pins = pins;
        // What was reset is told by the answer.
        server.bare = false;
        server.dressed = Some(self.identities.of(found.settings().clone()));
        let settings = settle(&startup.parameters, &found);
        let identity = self.identities.of(settings);
        client.identity = Some(Rc::clone(&identity));
        if pins.is_empty() && !client.names.pins() {
            return self.release(j);
        }
        let undressed = server.dressed.as_ref().is_some_and(|worn| !Rc::ptr_eq(worn, &identity));
        self.keep(j);
        if undressed {
            // It has reset some of its start-up parameters.
            return self.dress_again(i, j);
        }
        self.pump_client(i);
    }
}
