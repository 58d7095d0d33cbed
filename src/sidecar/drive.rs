//! The loop: one thread that owns every socket of the data plane.
//!
//! It reads and writes, keeps time, and does what the state machines say; it decides nothing itself. Sockets enter epoll once,
//! edge-triggered; nobody owns a buffer at rest: all reads go through one, and are sent from it. While nothing happens it sleeps.
//! It takes no lock and resolves no name: the control thread does that ([`super::figures`]).
//!
//! - Clients: `front` lets them in, `pair` finds them a server connection, `traffic` passes the bytes, `settle` decides whether they
//!   keep it, `notice` tells those who wait for long, `leave` lets them go.
//! - Server connections: `open` connects, `login` logs in, `errands` runs our own statements, `back` has those without a client.
//! - Beside these: `timeouts` (queries and transactions that take too long), `cancel` (cancel requests), `upkeep` (time, demand, commands, the end), `books` (charges and journal), `resolve`
//!   (addresses), `blame` (what is said when there is no server) and `peer` (one socket).

mod back;
mod blame;
mod books;
mod cancel;
mod errands;
mod front;
mod leave;
mod login;
mod notice;
mod open;
mod pair;
mod peer;
mod resolve;
mod settle;
mod timeouts;
mod traffic;
mod upkeep;

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use slab::Slab;
use tokio::sync::mpsc::UnboundedSender;

use self::books::Books;
use self::peer::{BUFFER, Peer};
use self::resolve::Resolver;
use super::charge::{Attempt, Look};
use super::client::{Identities, Identity, Key, Keys, Phase};
use super::exchange::{Awaited, Exchange};
use super::figures::{Commands, Figures, Request, Tenure};
use super::journal::Account;
use super::login::Offer;
use super::pool::{Age, Backoff, Queue, Release};
use super::server;
use super::state::{Hints, Pins, Roles};
use super::statement::{Copies, Names, Texts};
use super::target::Target;
use super::tls::Transport;
use super::wire::{Parameters, Refusal, Version};
use crate::policy::limits::Limits;
use crate::policy::settings::Verify;

/// What the loop is given.
pub struct Start {
    /// Bound to loopback: clients are let in without a password. Made non-blocking here.
    pub listener: TcpListener,
    /// From [`super::socket::bind`], for clients that take this instead. Made non-blocking here.
    pub socket: Option<UnixListener>,
    /// Files that the process may have open, all its threads together.
    pub descriptors: usize,
    /// Where server connections go; replaced by [`Command::Target`](super::figures::Command::Target).
    pub target: Arc<Target>,
    /// Limits of this instance.
    pub limits: Limits,
    /// When a server connection is given back.
    pub release: Release,
    /// When PostgreSQL is asked what a transaction has left in the session.
    pub verify: Verify,
    /// Where the loop publishes what it does.
    pub figures: Arc<Figures>,
    /// What this instance may be costing PostgreSQL, with what an earlier boot in this pod left; written before every connect().
    pub account: Account,
    /// What times in `account` count from.
    pub epoch: Instant,
    /// From [`super::figures::commands`].
    pub commands: Commands,
    /// Names to look up, and whether to look at the figures.
    pub requests: UnboundedSender<Request>,
}

/// How it ended, after a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Final {
    /// What this instance may still be costing PostgreSQL. 0: every server connection was seen to end.
    pub charged: u32,
}

/// Why the loop could not start or go on. Whatever goes wrong with one connection ends that connection, not the loop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The epoll instance, or a socket of our own in it.
    #[error("failed to set the event loop up")]
    Prepare(#[source] std::io::Error),
    /// Clients are let in without a password, so they must come from the pod itself.
    #[error("refused to listen on {0}, which is not a loopback address")]
    NotLoopback(SocketAddr),
    /// epoll_wait.
    #[error("failed to wait for events")]
    Wait(#[source] std::io::Error),
}

/// Full reads of one socket before others get their turn.
const TURN: usize = 16;
const EVENTS: usize = 256;
/// Clients that may wait in the kernel to be accepted; it lowers it to net.core.somaxconn.
const BACKLOG: i32 = 4096;

const LISTENER: u64 = 1 << 60;
const BELL: u64 = 2 << 60;
const CLIENT: u64 = 3 << 60;
const SERVER: u64 = 4 << 60;
const CANCEL: u64 = 5 << 60;
const KIND: u64 = 15 << 60;

struct Client {
    peer: Peer,
    phase: Phase,
    /// What it asked for at its start, and the settings that it has now; from the login on.
    startup: Option<Rc<Identity>>,
    identity: Option<Rc<Identity>>,
    /// The parameters that it was told.
    told: Option<Rc<Parameters>>,
    key: Key,
    /// Its prepared statements.
    names: Names,
    /// What it speaks, from the login on.
    version: Version,
    /// Server connections that could not serve its present request.
    tries: u8,
    /// It was looked at whether it says goodbye instead.
    looked_at: bool,
    /// It was told that its present request waits.
    noticed: bool,
    /// When its phase began, where that is bounded; attached, when its wait began.
    since: Instant,
}

struct Server {
    peer: Peer,
    transport: Transport,
    phase: server::Phase,
    exchange: Exchange,
    /// What is prepared on it.
    copies: Copies,
    attempt: Attempt,
    target: Arc<Target>,
    /// Index in the resolver's addresses, and how many were tried before it for the same login.
    address: resolve::Address,
    tried: usize,
    client: Option<usize>,
    /// What it reports.
    parameters: Rc<Parameters>,
    /// Whose start-up parameters it has on; none right after the login.
    dressed: Option<Rc<Identity>>,
    key: (i32, Box<[u8]>),
    /// [`Incarnation::system`](super::charge::Incarnation::system), for looks.
    system: u64,
    look: Option<Look>,
    cancel: cancel::Canceling,
    /// The name of our login has come back, so the identity is off.
    bare: bool,
    /// Who it is without a client's doing.
    login: Roles,
    /// Why its client keeps it, and what it was asked about.
    pins: Pins,
    asked: Hints,
    /// Its client has a message that waits for an answer.
    waits: bool,
    tenure: Tenure,
    /// Must not be used again.
    stained: bool,
    /// Who has to act next, with a client that is timed.
    awaited: Awaited,
    /// What its client is told, and nothing after that, once the message is over that it has a part of.
    last_word: Option<Box<Refusal>>,
    /// The login, and later when it became idle, another had to act, its client was lost, or it was dismissed at work.
    since: Instant,
    /// When its phase has lasted too long.
    deadline: Option<Instant>,
    age: Age,
}

struct Loop {
    epoll: OwnedFd,
    /// The loopback one, and the Unix socket if there is one; none in a drain. Their places are in their tokens.
    listeners: Vec<OwnedFd>,
    /// Where the loopback one listens.
    listen: SocketAddr,
    descriptors: usize,
    /// No descriptors were left: accept again then.
    deaf_until: Option<Instant>,
    /// There are as many clients as may be: accept again when one has left.
    deaf: bool,
    /// Said in the log, once until there is room again.
    crowded: bool,
    limits: Limits,
    release: Release,
    /// The server is asked after every transaction.
    verify: Verify,
    target: Arc<Target>,
    figures: Arc<Figures>,
    books: Books,
    commands: Commands,
    resolver: Resolver,
    requests: UnboundedSender<Request>,
    /// How many are open, and may be, as the control thread was told.
    told: (u32, u32),
    keys: Keys,
    identities: Identities,
    texts: Texts,
    /// The names of clients that left before the last answer.
    nobody: Names,
    /// The identity that new connections put on ahead: that of the last client.
    fashion: Option<Rc<Identity>>,

    clients: Slab<Client>,
    servers: Slab<Server>,
    cancels: Slab<cancel::Cancel>,
    /// Last in, first out: the warmest backend works, the others age.
    idle: Vec<usize>,
    queue: Queue,
    greeting: Queue,
    backoff: Backoff,
    /// What logins ask for.
    offer: Offer,
    /// Servers in [`server::Phase::is_open`], those with a client, those on their way to be open.
    open: u32,
    attached: u32,
    opening: u32,
    logged_in_clients: u32,
    /// Clients whose phase is bounded in time, queues apart.
    transient: u32,

    now: Instant,
    /// No deadline is earlier.
    sweep: Option<Instant>,
    draining: Option<Instant>,
    /// Demand, or what is charged, may have changed.
    restless: bool,
    /// Lost charges, which looks are about.
    unconfirmed: u32,
    generation: u64,
    /// Sockets that used up their turn, and room for the next such list.
    again: Vec<u64>,
    spare: Vec<u64>,
    /// All reads go through it.
    buffer: Vec<u8>,
    /// What was decrypted.
    plain: Vec<u8>,
    /// Messages of our own.
    out: Vec<u8>,
    /// What was encrypted.
    cipher: Vec<u8>,
}

/// Runs until a [`Command::Drain`](super::figures::Command::Drain) is done.
pub fn run(start: Start) -> Result<Final, Error> {
    let address = start.listener.local_addr().map_err(Error::Prepare)?;
    if !address.ip().is_loopback() {
        return Err(Error::NotLoopback(address));
    }
    let mut this = Loop::new(start, address).map_err(Error::Prepare)?;
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        this.upkeep();
        if this.drained() {
            return Ok(this.finish(&mut events));
        }
        this.wait(&mut events)?;
    }
}

impl Loop {
    fn new(start: Start, listen: SocketAddr) -> std::io::Result<Self> {
        start.listener.set_nonblocking(true)?;
        // Accepted sockets inherit it.
        rustix::net::sockopt::set_tcp_nodelay(&start.listener, true)?;
        let mut listeners = vec![OwnedFd::from(start.listener)];
        if let Some(socket) = start.socket {
            socket.set_nonblocking(true)?;
            listeners.push(socket.into());
        }
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for listener in &listeners {
            rustix::net::listen(listener, BACKLOG)?;
        }
        front::listen(&epoll, &listeners)?;
        epoll::add(&epoll, &start.commands, EventData::new_u64(BELL), EventFlags::IN)?;
        Ok(Self {
            epoll,
            listeners,
            listen,
            descriptors: start.descriptors,
            deaf_until: None,
            deaf: false,
            crowded: false,
            limits: start.limits,
            release: start.release,
            verify: start.verify,
            target: start.target,
            figures: start.figures,
            books: Books::new(start.account, start.epoch),
            commands: start.commands,
            resolver: Resolver::new(start.requests.clone()),
            requests: start.requests,
            told: (0, 0),
            keys: Keys::default(),
            identities: Identities::default(),
            texts: Texts::default(),
            nobody: Names::default(),
            fashion: None,
            clients: Slab::new(),
            servers: Slab::new(),
            cancels: Slab::new(),
            idle: Vec::new(),
            queue: Queue::default(),
            greeting: Queue::default(),
            backoff: Backoff::default(),
            offer: Offer::default(),
            open: 0,
            attached: 0,
            opening: 0,
            logged_in_clients: 0,
            transient: 0,
            now: Instant::now(),
            sweep: None,
            draining: None,
            restless: true,
            unconfirmed: 0,
            generation: 0,
            again: Vec::new(),
            spare: Vec::new(),
            buffer: vec![0; BUFFER],
            plain: Vec::new(),
            out: Vec::new(),
            cipher: Vec::new(),
        })
    }

    /// Waits for events, and lets each be dealt with.
    fn wait(&mut self, events: &mut Vec<Event>) -> Result<(), Error> {
        let timeout = self.timeout();
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Error::Wait(error.into())),
        }
        self.now = Instant::now();
        let mut again = std::mem::replace(&mut self.again, std::mem::take(&mut self.spare));
        for token in again.drain(..) {
            self.event(token, EventFlags::IN);
            self.serve();
        }
        self.spare = again;
        for event in events.iter() {
            self.event(event.data.u64(), event.flags);
            self.serve();
        }
        Ok(())
    }

    fn timeout(&mut self) -> Option<Timespec> {
        if !self.again.is_empty() {
            return Some(Timespec::default());
        }
        let until = self.next_time()?.saturating_duration_since(self.now);
        // Rounded up to a millisecond, so that whatever is due is due when we wake.
        let millis = u64::try_from(until.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        Some(Timespec { tv_sec: (millis / 1000).cast_signed(), tv_nsec: ((millis % 1000) * 1_000_000).cast_signed() })
    }

    /// An event is a hint: it may be about an earlier owner of the slot, whose token then differs.
    fn event(&mut self, token: u64, flags: EventFlags) {
        let at = (token & 0xffff_ffff) as usize;
        match token & KIND {
            LISTENER => self.accept(at),
            BELL => self.obey(),
            CLIENT if self.clients.get(at).is_some_and(|client| client.peer.token == token) => {
                self.client_event(at, flags);
            }
            SERVER if self.servers.get(at).is_some_and(|server| server.peer.token == token) => {
                self.server_event(at, flags);
            }
            CANCEL if self.cancels.get(at).is_some_and(|cancel| cancel.peer.token == token) => {
                self.cancel_event(at, flags);
            }
            _ => {}
        }
    }

    /// The token of a new socket in a slot: of its kind, with a number that the slot's earlier owners did not have.
    fn token(&mut self, kind: u64, at: usize) -> u64 {
        self.generation = (self.generation + 1) & 0x0fff_ffff;
        kind | self.generation << 32 | (at as u64 & 0xffff_ffff)
    }

    /// Something is due then at the latest.
    fn due(&mut self, at: Instant) {
        if self.sweep.is_none_or(|sweep| at < sweep) {
            self.sweep = Some(at);
        }
    }

    fn random(&mut self) -> u32 {
        self.keys.number().unwrap_or(u32::MAX / 2)
    }
}
