//! Opening server connections, up to the end of connect().

use std::rc::Rc;
use std::sync::Arc;
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
use crate::sidecar::exchange::{Awaited, Exchange};
use crate::sidecar::figures::Tenure;
use crate::sidecar::pool::{self, Age, Counts, Release};
use crate::sidecar::server::Phase;
use crate::sidecar::state::{Hints, Pins, Roles};
use crate::sidecar::statement::Copies;
use crate::sidecar::target::{Keepalive, Target, arrives_at};
use crate::sidecar::tls::{Negotiation, Transport};
use crate::sidecar::wire::fatal;

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
        let (mut returning, mut expiring) = (0, 0);
        for (_, server) in self.servers.iter().filter(|(_, server)| server.phase.is_open()) {
            let alone = server.client.is_none();
            returning += u32::from(alone && matches!(server.phase, Phase::Busy(..) | Phase::Draining));
            expiring += u32::from(server.age.is_expiring(self.now));
        }
        Counts {
            opening: self.opening,
            open: self.open,
            expiring,
            busy: if self.release == Release::AtReadyForQuery { self.attached } else { 0 },
            returning,
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
        let age = Age::new(&self.limits, self.now, random);
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
            copies: Copies::default(),
            attempt,
            target: Arc::clone(&self.target),
            address,
            tried,
            client: None,
            parameters: Rc::default(),
            dressed: None,
            key: (0, Box::default()),
            system: 0,
            look: None,
            cancel: Canceling::No,
            bare: false,
            login: Roles::of_login(&self.target.user),
            pins: Pins::NONE,
            asked: Hints::NONE,
            waits: false,
            tenure: Tenure::default(),
            stained: false,
            awaited: Awaited::Nobody,
            last_word: None,
            since: self.now,
            deadline: Some(deadline),
            age,
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

    pub(super) fn connect_failed(&mut self, target: &Arc<Target>, address: Address, tried: usize, error: Errno) {
        self.restless = true;
        if !Arc::ptr_eq(target, &self.target) {
            return;
        }
        if matches!(error, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) {
            // Our own shortage says nothing of the server.
            return self.failed(fatal(*b"53000", format!("could not make a socket: {error}")));
        }
        self.offer.unreachable();
        if self.open(tried + 1) {
            return;
        }
        self.failed(
            blame::unreachable(*b"08001", target, address, error)
                .hint("Check that PostgreSQL runs and that the pod can reach it."),
        );
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
