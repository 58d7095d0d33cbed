//! Addresses of the target's hosts, as the control thread looks them up.
//!
//! They are asked for anew for each group of logins, and an old answer is kept while a new one fails: a changed record is noticed at
//! the next login, and nobody is sent away because a name server is down.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use crate::sidecar::figures::Request;
use crate::sidecar::target::Target;

/// An answer serves the logins that begin within this time.
const FRESH: Duration = Duration::from_secs(1);
/// Longest wait for a look-up.
pub const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// One address to try, and which of the target's hosts it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub socket: SocketAddr,
    pub host: usize,
}

pub struct Resolver {
    requests: UnboundedSender<Request>,
    next: u64,
    known: Vec<Address>,
    fetched: Option<Instant>,
    pending: Option<Pending>,
    /// Where the last login succeeded: tried first, so that a dead first host does not slow every login down.
    preferred: usize,
}

struct Pending {
    request: u64,
    host: usize,
    since: Instant,
    found: Vec<Address>,
    failure: Option<String>,
}

/// What there is to connect to.
pub enum Lookup {
    /// Addresses in the order to try.
    Ready,
    /// Ask again when the answer has come, or at this time.
    Waiting(Instant),
    /// No host has an address.
    Failed(String),
}

impl Resolver {
    pub fn new(requests: UnboundedSender<Request>) -> Self {
        Self { requests, next: 0, known: Vec::new(), fetched: None, pending: None, preferred: 0 }
    }

    /// The hosts are others now.
    pub fn forget(&mut self) {
        (self.fetched, self.pending, self.preferred) = (None, None, 0);
        self.known.clear();
    }

    /// The `tried`-th address to try, from the preferred one on; `None` when all were tried.
    pub fn address(&self, tried: usize) -> Option<Address> {
        let count = self.known.len();
        (tried < count).then(|| self.known.get((self.preferred + tried) % count).copied()).flatten()
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.known.iter().map(|address| address.socket).collect()
    }

    /// A login at `address` succeeded.
    pub fn prefer(&mut self, address: Address) {
        self.preferred = self.known.iter().position(|known| *known == address).unwrap_or(0);
    }

    pub fn look_up(&mut self, target: &Target, now: Instant) -> Lookup {
        if self.pending.is_none() {
            if self.fetched.is_some_and(|at| now < at + FRESH) {
                return Lookup::Ready;
            }
            self.pending = Some(Pending { request: 0, host: 0, since: now, found: Vec::new(), failure: None });
            self.ask(target);
        }
        let Some(pending) = &mut self.pending else { return Lookup::Ready };
        let late = now >= pending.since + LOOK_UP_TIMEOUT;
        if pending.host < target.hosts.len() && !late {
            return Lookup::Waiting(pending.since + LOOK_UP_TIMEOUT);
        }
        let failure = pending.failure.take();
        let found = std::mem::take(&mut pending.found);
        self.pending = None;
        if !found.is_empty() {
            let preferred = self.known.get(self.preferred).copied();
            self.preferred = preferred.and_then(|old| found.iter().position(|new| *new == old)).unwrap_or(0);
            self.known = found;
        } else if self.known.is_empty() {
            return Lookup::Failed(failure.unwrap_or_else(|| "the look-up of the host took too long".to_owned()));
        }
        self.fetched = Some(now);
        Lookup::Ready
    }

    /// An answer of the control thread. Those to requests that were given up are ignored.
    pub fn resolved(&mut self, target: &Target, request: u64, addresses: Result<Vec<IpAddr>, String>) {
        let Some(pending) = &mut self.pending else { return };
        if pending.request != request {
            return;
        }
        match addresses {
            Ok(addresses) => pending.add(target, &addresses),
            Err(failure) => pending.failure = Some(failure),
        }
        pending.host += 1;
        self.ask(target);
    }

    /// Asks for the pending host, and adds those that are addresses already.
    fn ask(&mut self, target: &Target) {
        let Some(pending) = &mut self.pending else { return };
        while let Some(host) = target.hosts.get(pending.host) {
            let place = host.address.as_ref().unwrap_or(&host.name);
            let Ok(address) = place.parse() else {
                self.next += 1;
                pending.request = self.next;
                // Without a control thread no answer comes, and the look-up ends by its time.
                let _ = self.requests.send(Request::Resolve { request: self.next, host: place.clone() });
                return;
            };
            pending.add(target, &[address]);
            pending.host += 1;
        }
    }
}

impl Pending {
    fn add(&mut self, target: &Target, addresses: &[IpAddr]) {
        let Some(host) = target.hosts.get(self.host) else { return };
        self.found
            .extend(addresses.iter().map(|ip| Address { socket: SocketAddr::new(*ip, host.port), host: self.host }));
    }
}
