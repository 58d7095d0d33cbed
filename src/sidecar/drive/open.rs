//! Opening server connections: connect(), TLS, login; and what their failure means.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use super::blame;
use super::cancel::Canceling;
use super::peer::{Gone, Peer};
use super::resolve::{Address, Lookup};
use super::{Loop, SERVER, Server};
use crate::sidecar::charge::identify;
use crate::sidecar::client::Phase as Client;
use crate::sidecar::login::{LoggedIn, Login};
use crate::sidecar::pool::{self, Cause, Counts};
use crate::sidecar::server::{Phase, Purpose, dress, query};
use crate::sidecar::target::{Keepalive, Target, arrives_at};
use crate::sidecar::tls::{Negotiation, Transport};
use crate::sidecar::wire::{Exchange, Parameters, Refusal, fatal};

/// Silence that ends a server connection where the URL says nothing: the kernel's default is two hours, and no data that a dead
/// host was sent is given up in less than a quarter of one.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_COUNT: u32 = 3;
const USER_TIMEOUT: Duration = Duration::from_mins(1);
/// Beyond the time in which the kernel itself gives a connect() up.
const MARGIN: Duration = Duration::from_secs(5);

impl Loop {
    /// Opens as many server connections as are wanted and may be.
    pub(super) fn open_wanted(&mut self) {
        if self.open + self.opening >= self.limits.max {
            return;
        }
        let wanted = pool::openings(&self.limits, self.counts());
        if wanted == 0 {
            return;
        }
        if let Some(until) = self.backoff.pause(self.now) {
            return self.due(until);
        }
        match self.resolver.look_up(&self.target, self.now) {
            Lookup::Ready => {}
            Lookup::Waiting(until) => return self.due(until),
            Lookup::Failed(why) => {
                return self.failed(blame::unknown(&self.target, &why));
            }
        }
        self.books.serve(&self.resolver.addresses(), self.now);
        for _ in 0..wanted {
            if !self.open(0) {
                return;
            }
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let returning = self
            .servers
            .iter()
            .filter(|(_, server)| server.client.is_none() && matches!(server.phase, Phase::Busy(..) | Phase::Draining));
        Counts {
            opening: self.opening,
            open: self.open,
            returning: u32::try_from(returning.count()).unwrap_or(u32::MAX),
            waiting: self.queue.len(),
            greeting: self.greeting.len(),
        }
    }

    /// Connects to the `tried`-th address. False when nothing more can be begun now.
    fn open(&mut self, tried: usize) -> bool {
        let Some(address) = self.resolver.address(tried) else { return false };
        if arrives_at(self.listen, address.socket) {
            if self.open(tried + 1) {
                return true;
            }
            self.failed(blame::itself(&self.target, address));
            return false;
        }
        let attempt = match self.books.begin(self.now, address.socket) {
            Ok(Some(attempt)) => attempt,
            Ok(None) => {
                self.due_look();
                return false;
            }
            Err(_) => {
                self.failed(blame::unwritten());
                return false;
            }
        };
        let timeout = self.target.connect_timeout.unwrap_or(self.limits.connection_timeout);
        let at = self.servers.vacant_key();
        let token = self.token(SERVER, at);
        let connecting =
            connecting(address, &self.target.keepalive, timeout).and_then(|fd| Peer::new(&self.epoll, fd, token, true));
        let random = self.random();
        let lifetime = pool::lifetime(&self.limits, random);
        let peer = match connecting {
            Ok(peer) => peer,
            Err(error) => {
                self.books.refused(attempt);
                let target = Arc::clone(&self.target);
                self.connect_failed(&target, address, tried, error);
                return false;
            }
        };
        let deadline = self.now + timeout + MARGIN;
        self.servers.insert(Server {
            peer,
            transport: Transport::Plain,
            phase: Phase::Connecting,
            exchange: Exchange::default(),
            attempt,
            target: Arc::clone(&self.target),
            address,
            tried,
            client: None,
            parameters: std::rc::Rc::default(),
            dressed: None,
            key: (0, Box::default()),
            system: 0,
            look: None,
            cancel: Canceling::No,
            bare: false,
            stained: false,
            since: self.now,
            deadline: Some(deadline),
            retire: self.now + lifetime,
        });
        self.opening += 1;
        self.restless = true;
        self.due(deadline);
        true
    }

    /// connect() has ended.
    pub(super) fn connected(&mut self, j: usize, flags: EventFlags) {
        let Some(server) = self.servers.get_mut(j) else { return };
        if let Err(error) = server.peer.connected(&self.epoll) {
            let Some(server) = self.servers.try_remove(j) else { return };
            self.opening -= 1;
            self.books.refused(server.attempt);
            return self.connect_failed(&server.target, server.address, server.tried, error);
        }
        if !flags.contains(EventFlags::OUT) {
            return;
        }
        server.peer.user_timeout(server.target.keepalive.user_timeout.unwrap_or(USER_TIMEOUT));
        server.peer.note(flags);
        self.out.clear();
        let host = server.target.hosts.get(server.address.host).map_or("", |host| &host.name);
        match Negotiation::new(&server.target.tls, host) {
            Some(negotiation) => {
                negotiation.start(&mut self.out);
                server.phase = Phase::Negotiating(negotiation);
                if server.peer.write(&self.epoll, &self.out).is_err() {
                    self.login_ended(j, Gone::Broken);
                }
            }
            None => self.start_login(j),
        }
    }

    fn connect_failed(&mut self, target: &Arc<Target>, address: Address, tried: usize, error: Errno) {
        self.restless = true;
        if !Arc::ptr_eq(target, &self.target) {
            return;
        }
        if matches!(error, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) {
            // Our own shortage says nothing of the server.
            return self.failed(fatal(*b"53000", format!("could not make a socket: {error}")));
        }
        if self.open(tried + 1) {
            return;
        }
        self.failed(
            blame::unreachable(*b"08001", target, address, error)
                .hint("Check that PostgreSQL runs and that the pod can reach it."),
        );
    }

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

    fn start_login(&mut self, j: usize) {
        let Some(server) = self.servers.get_mut(j) else { return };
        self.books.starting(server.attempt);
        let mut login = Login::new(&server.target, &server.attempt.application_name());
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
                let refusal = blame::login(&server.target, server.address, &error);
                self.login_failed(j, refusal);
                Ok(false)
            }
        }
    }

    fn logged_in(&mut self, j: usize, logged_in: LoggedIn) {
        let Some(server) = self.servers.get_mut(j) else { return };
        if !self.books.connected(server.attempt, logged_in.pid) {
            return self.login_failed(j, blame::unwritten());
        }
        let parameters: Parameters = logged_in.parameters.iter().map(|(name, value)| (name, value)).collect();
        server.parameters = self.identities.share(parameters.clone());
        server.key = (logged_in.pid, logged_in.secret);
        server.since = self.now;
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
        let mut statements = 1;
        if let Some(identity) = &self.fashion {
            statements += dress(None, &identity.parameters, &mut self.out);
            server.dressed = Some(std::rc::Rc::clone(identity));
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
    fn failed(&mut self, refusal: Refusal) {
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

/// A socket on its way to `address`.
pub(super) fn connecting(address: Address, keepalive: &Keepalive, timeout: Duration) -> Result<OwnedFd, Errno> {
    let family = if address.socket.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    sockopt::set_tcp_nodelay(&fd, true)?;
    if !keepalive.disabled {
        sockopt::set_socket_keepalive(&fd, true)?;
        // The kernel refuses longer times and higher counts (MAX_TCP_KEEPIDLE and its likes).
        let bounded = |time: Duration| time.clamp(Duration::from_secs(1), Duration::from_secs(32_767));
        sockopt::set_tcp_keepidle(&fd, bounded(keepalive.idle.unwrap_or(KEEPALIVE_IDLE)))?;
        sockopt::set_tcp_keepintvl(&fd, bounded(keepalive.interval.unwrap_or(KEEPALIVE_INTERVAL)))?;
        sockopt::set_tcp_keepcnt(&fd, keepalive.count.unwrap_or(KEEPALIVE_COUNT).clamp(1, 127))?;
    }
    // Bounds the connect() too, so that it is the kernel who gives it up and we know that no backend was made.
    let user_timeout = keepalive.user_timeout.unwrap_or(USER_TIMEOUT).min(timeout.max(Duration::from_secs(1)));
    sockopt::set_tcp_user_timeout(&fd, millis(user_timeout))?;
    match connect(&fd, &address.socket) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
        Err(error) => Err(error),
    }
}

/// As the kernel takes a time: a signed number of milliseconds.
pub(super) fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX).min(i32::MAX.unsigned_abs())
}
