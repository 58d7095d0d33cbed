//! A PostgreSQL of actors against the real books and the real journal: backends that start late, wait for catalogs, notice late and
//! leave slowly, networks that lose either end, restarts of the server, disks that fail, crashes of the sidecar between any two steps,
//! and nodes that lose their power.
//!
//! Checked after every step: each backend that holds a slot is on the books. With a budget the charge grows only up to the maximum
//! that was taken last, and no crash and no loss of power changes it; without one a loss of power may lose attempts that were not
//! synced, and those are not looked for. And at the end, when everybody has had time: nothing stays unconfirmed.

mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use self::step::{Step, steps};
use super::super::{Account, Connections, Fence, History, Journal, Taken};
use super::memory::{Fate, Memory};
use super::{KERNEL, fence};
use crate::sidecar::charge::{Answer, Attempt, BootId, Identity, Incarnation, Look, Row};

const MAX: u32 = 3;
const AUTHENTICATION_TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// In the listener's queue until then: no backend yet.
    Queued(Duration),
    /// Holds a slot, shows no row; gives up at authentication_timeout.
    Authenticating { until: Duration },
    /// Holds a slot, shows no row, and looks at nothing.
    Blocked,
    /// Holds a slot and shows a row.
    Running,
    /// Holds a slot until then and shows no row.
    Leaving(Duration),
    /// Waits for a startup packet that nobody sends, and holds no slot for that.
    Silent,
    /// Holds nothing: the server went down, and our socket has not heard.
    Dead,
}

impl Phase {
    const fn holds_a_slot(self) -> bool {
        !matches!(self, Self::Queued(_) | Self::Silent | Self::Dead)
    }

    /// Has a transaction, and no row.
    const fn is_invisible(self) -> bool {
        matches!(self, Self::Authenticating { .. } | Self::Blocked)
    }
}

#[derive(Clone, Debug)]
struct Connection {
    phase: Phase,
    pid: i32,
    started: u64,
    incarnation: Incarnation,
    application_name: String,
    /// The sidecar still has the socket.
    open: bool,
    /// When the backend finds out that it has not.
    notices: Option<Duration>,
    logged_in: bool,
}

struct World {
    memory: Memory,
    budget: bool,
    account: Option<Account<Journal<Memory>>>,
    boots: u8,
    /// The maximum in force, and the last message that was taken.
    max: u32,
    taken: Option<Fence>,
    sequence: u64,
    /// Whether an act of the disk may have failed since this boot began.
    doubt: bool,
    charged: u32,
    /// Monotonic over boots here; each boot sees it from its own start.
    now: Duration,
    booted: Duration,
    server: Incarnation,
    pids: i32,
    clock: u64,
    connections: BTreeMap<Attempt, Connection>,
    look: Option<Look>,
    identities: Vec<(Attempt, Identity)>,
}

fn address() -> SocketAddr {
    "192.0.2.1:5432".parse().unwrap()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl World {
    fn new(budget: bool) -> Self {
        let mut world = Self {
            memory: Memory::default(),
            budget,
            account: None,
            boots: 0,
            max: MAX,
            taken: None,
            sequence: 0,
            doubt: false,
            charged: 0,
            now: Duration::ZERO,
            booted: Duration::ZERO,
            server: Incarnation { system: 1, started: 1 },
            pids: 0,
            clock: 0,
            connections: BTreeMap::new(),
            look: None,
            identities: Vec::new(),
        };
        world.boot();
        world
    }

    fn boot(&mut self) {
        self.account = None;
        self.look = None;
        self.identities.clear();
        self.boots += 1;
        self.booted = self.now;
        // Boots are not in the order of their ids.
        let boot = BootId([self.boots.wrapping_mul(0x9d); 16]);
        self.memory.fail(&[]);
        let (journal, history) = Journal::resume(self.memory.clone(), &self.memory.bytes(), KERNEL, boot).unwrap();
        assert_eq!(history.damage, None);
        if self.budget {
            assert!(history.fence >= self.taken, "what was taken is taken for ever");
            self.taken = history.fence;
            self.max = history.grant.map_or(self.max, Connections::get);
        }
        let mut account = Account::inherit(journal, &history, boot, self.max, Duration::ZERO);
        if self.budget {
            account.join_budget().unwrap();
        }
        self.account = Some(account);
    }

    /// The next boot is charged with what the last one was.
    fn restart(&mut self) {
        let before = self.account().charges().charged();
        self.boot();
        let after = self.account().charges().charged();
        if self.budget {
            assert!(after == before || (self.doubt && after < before), "{before} before the restart, {after} after it");
        }
        self.charged = after;
        self.doubt = false;
    }

    fn account(&mut self) -> &mut Account<Journal<Memory>> {
        self.account.as_mut().unwrap()
    }

    fn time(&self) -> Duration {
        self.now.saturating_sub(self.booted)
    }

    fn choose(&self, which: usize, wanted: impl Fn(&Connection) -> bool) -> Option<Attempt> {
        let found: Vec<_> = self.connections.iter().filter(|(_, connection)| wanted(connection)).collect();
        (!found.is_empty()).then(|| *found[which % found.len()].0)
    }

    fn step(&mut self, step: &Step) {
        let time = self.time();
        match *step {
            Step::Begin { delay, refused, looking, silent } => self.begin(delay, refused, looking, silent),
            Step::Block { which } => {
                let authenticating = |connection: &Connection| matches!(connection.phase, Phase::Authenticating { .. });
                if let Some(attempt) = self.choose(which, authenticating) {
                    self.connections.get_mut(&attempt).unwrap().phase = Phase::Blocked;
                }
            }
            Step::Unblock => {
                for connection in self.connections.values_mut().filter(|c| c.phase == Phase::Blocked) {
                    connection.phase = Phase::Running;
                }
            }
            Step::Login { which, crash } => self.login(which, crash),
            Step::Identify { which } => self.identify(which),
            Step::Identified => {
                for (attempt, identity) in std::mem::take(&mut self.identities) {
                    if self.connections.get(&attempt).is_some_and(|connection| connection.open) {
                        self.account().identified(attempt, identity, time);
                    }
                }
            }
            Step::Lose { which, notices } => {
                if let Some(attempt) = self.choose(which, |connection| connection.open) {
                    self.lose(attempt, notices);
                    self.account().lost(attempt, time);
                }
            }
            Step::Terminate { which } => {
                let left = self.now + ms(900);
                if let Some(attempt) = self.choose(which, |connection| connection.phase == Phase::Running) {
                    self.connections.get_mut(&attempt).unwrap().phase = Phase::Leaving(left);
                }
            }
            Step::Look { which } => {
                let ready = |connection: &Connection| connection.open && connection.phase == Phase::Running;
                if let Some(via) = self.choose(which, ready)
                    && let Some(look) = self.account().look(via, time)
                {
                    self.look = Some(look);
                }
            }
            Step::Answer { lost } => {
                if let Some(look) = self.look.take()
                    && !lost
                    && self.connections.get(&look.via()).is_some_and(|via| via.open && via.phase == Phase::Running)
                {
                    let answer = self.rows();
                    self.account().looked(&look, &answer, time);
                }
            }
            Step::Looks { which, apart } => {
                for wait in [apart, 0] {
                    self.step(&Step::Look { which });
                    self.step(&Step::Answer { lost: false });
                    self.check();
                    self.wait(ms(wait));
                }
            }
            Step::Restart => {
                self.server.started += 1;
                // Connections in the listener's queue go with it.
                self.connections.retain(|_, connection| connection.open);
                self.connections.values_mut().for_each(|connection| connection.phase = Phase::Dead);
            }
            Step::Crash { notices } => self.crash(notices),
            Step::LosePower { fate, renamed } => self.lose_power(fate, renamed),
            Step::Disk(ref acts) => {
                self.doubt = true;
                self.memory.fail(acts);
            }
            Step::Order { grant } => self.order(grant),
            Step::Wait(wait) => self.wait(ms(wait)),
        }
    }

    fn begin(&mut self, delay: u64, refused: bool, looking: bool, silent: bool) {
        let time = self.time();
        let account = self.account();
        let begun = if looking { account.begin_looking(time, address()) } else { account.begin(address()) };
        let Ok(Some(attempt)) = begun else { return };
        if refused {
            self.account().failed_before_start(attempt);
            return;
        }
        if !silent {
            self.account().starting(attempt);
        }
        // A handful of pids, so that they come again, and each is one process.
        let taken: BTreeSet<_> = self.connections.values().filter(|c| c.phase != Phase::Dead).map(|c| c.pid).collect();
        let pids = 7 + i32::try_from(taken.len()).unwrap();
        self.pids = (0..pids).map(|step| (self.pids + step) % pids + 1).find(|pid| !taken.contains(pid)).unwrap();
        self.clock += 1;
        let connection = Connection {
            phase: if silent { Phase::Silent } else { Phase::Queued(self.now + ms(delay)) },
            pid: self.pids,
            started: self.clock,
            incarnation: self.server,
            application_name: attempt.application_name(),
            open: true,
            notices: None,
            logged_in: false,
        };
        self.connections.insert(attempt, connection);
        self.wait(Duration::ZERO);
    }

    fn login(&mut self, which: usize, crash: bool) {
        let pending = |connection: &Connection| {
            matches!(connection.phase, Phase::Authenticating { .. })
                || (connection.phase == Phase::Running && connection.open && !connection.logged_in)
        };
        let Some(attempt) = self.choose(which, pending) else { return };
        let connection = self.connections.get_mut(&attempt).unwrap();
        connection.phase = Phase::Running;
        if !connection.open {
            return;
        }
        let pid = connection.pid;
        if self.account().connected(attempt, pid).is_err() {
            // It is closed unused.
            let time = self.time();
            self.lose(attempt, 1_000);
            self.account().lost(attempt, time);
        } else if crash {
            self.crash(1_000);
        } else {
            let connection = self.connections.get_mut(&attempt).unwrap();
            connection.logged_in = true;
            connection.application_name = "a client's".to_owned();
        }
    }

    fn identify(&mut self, which: usize) {
        let ready =
            |connection: &Connection| connection.open && connection.logged_in && connection.phase == Phase::Running;
        let Some(attempt) = self.choose(which, ready) else { return };
        let connection = &self.connections[&attempt];
        let identity = Identity {
            incarnation: connection.incarnation,
            backend_started: connection.started,
            authentication_timeout: AUTHENTICATION_TIMEOUT,
        };
        self.identities.push((attempt, identity));
    }

    fn lose(&mut self, attempt: Attempt, notices: u64) {
        let at = self.now + ms(notices);
        let connection = self.connections.get_mut(&attempt).unwrap();
        connection.open = false;
        connection.notices = Some(at);
        if matches!(connection.phase, Phase::Dead | Phase::Silent) {
            self.connections.remove(&attempt);
        }
    }

    fn crash(&mut self, notices: u64) {
        let open: Vec<_> = self.connections.iter().filter(|(_, c)| c.open).map(|(attempt, _)| *attempt).collect();
        for attempt in open {
            self.lose(attempt, notices);
        }
        self.restart();
    }

    fn lose_power(&mut self, fate: Fate, renamed: bool) {
        let open: Vec<_> = self.connections.iter().filter(|(_, c)| c.open).map(|(attempt, _)| *attempt).collect();
        for attempt in open {
            self.lose(attempt, 7_200_000);
        }
        self.memory.lose_power(fate, renamed);
        if !self.budget {
            let history = History::read(&self.memory.bytes()).0;
            let left: BTreeMap<_, _> = history.left().map(|left| (left.attempt, left.backend)).collect();
            let told = |attempt: &Attempt, connection: &Connection| {
                left.get(attempt).is_some_and(|backend| backend.is_some() || !connection.logged_in)
            };
            self.connections.retain(|attempt, connection| told(attempt, connection));
        }
        self.restart();
    }

    /// As a leader does: also in the middle of everything. What can't be written is not honoured.
    fn order(&mut self, grant: u32) {
        if !self.budget {
            return;
        }
        self.sequence += 1;
        let fence = fence(1, self.sequence);
        let taken = Taken { fence, grant: Connections::new(grant), settings: None };
        if self.account().take(taken).is_ok() {
            (self.max, self.taken) = (grant, Some(fence));
            self.account().limit(grant);
        }
    }

    /// What the look's statement would return now. More rows than asked for do no harm.
    fn rows(&self) -> Answer {
        let visible = self.connections.values().filter(|connection| connection.phase == Phase::Running);
        let row = |connection: &Connection| Row {
            pid: connection.pid,
            started: Some(connection.started),
            application_name: Some(connection.application_name.as_bytes().into()),
        };
        Answer {
            incarnation: self.server,
            authentication_timeout: AUTHENTICATION_TIMEOUT,
            rows: visible.map(row).collect(),
            invisible: Some(
                self.connections.values().filter(|connection| connection.phase.is_invisible()).map(|c| c.pid).collect(),
            ),
        }
    }

    /// When the next backend acts.
    fn next_act(&self) -> Option<Duration> {
        let times = self.connections.values().flat_map(|connection| {
            let until = match connection.phase {
                Phase::Queued(until) | Phase::Authenticating { until } | Phase::Leaving(until) => Some(until),
                _ => None,
            };
            [until, connection.notices]
        });
        times.flatten().filter(|at| *at > self.now).min()
    }

    /// Time passes, and backends act.
    fn wait(&mut self, wait: Duration) {
        let end = self.now + wait;
        loop {
            let now = self.now;
            let mut gone = Vec::new();
            for (attempt, connection) in &mut self.connections {
                let noticed = connection.notices.is_some_and(|at| at <= now);
                connection.phase = match connection.phase {
                    Phase::Queued(until) if until <= now => {
                        Phase::Authenticating { until: until + AUTHENTICATION_TIMEOUT }
                    }
                    Phase::Authenticating { until } if until <= now => Phase::Leaving(now + ms(900)),
                    // Trust lets it in without a word from us, but only a read tells it that we are gone.
                    Phase::Authenticating { .. } if noticed => Phase::Running,
                    Phase::Running if noticed => Phase::Leaving(now + ms(900)),
                    Phase::Leaving(until) if until <= now => {
                        gone.push(*attempt);
                        continue;
                    }
                    phase => phase,
                };
            }
            for attempt in gone {
                if self.connections.remove(&attempt).unwrap().open {
                    self.account().eof(attempt);
                }
            }
            if self.now >= end {
                return;
            }
            self.now = self.next_act().map_or(end, |at| at.min(end));
        }
    }

    fn check(&mut self) {
        let books: Vec<_> = self.account().charges().attempts().collect();
        for (attempt, connection) in &self.connections {
            assert!(
                books.contains(attempt) || !connection.phase.holds_a_slot(),
                "{attempt:?} holds a slot and is not on the books: {connection:?}"
            );
        }
        let slots = self.connections.values().filter(|connection| connection.phase.holds_a_slot()).count();
        let sums = self.account().charges();
        let (charged, beyond) = (sums.charged(), sums.looking());
        let bound = usize::try_from(charged + beyond).unwrap();
        assert!(slots <= bound, "{slots} slots held, {bound} charged");
        if self.budget {
            assert_eq!(beyond, 0);
            assert!(
                charged <= self.charged.max(self.max),
                "{charged} charged, {} before, of {}",
                self.charged,
                self.max
            );
            self.charged = charged;
        }
    }

    /// One connection after another looks, until nothing is unconfirmed. False where that never comes to be.
    fn look_around(&mut self, rounds: u32) -> bool {
        for _ in 0..rounds {
            self.check();
            if self.account().charges().unconfirmed() == 0 {
                return true;
            }
            if self.choose(0, |connection| connection.open).is_none() {
                // With a budget nobody may look while all is lost: the operator orders one more.
                let charged = self.account().charges().charged();
                self.order(charged + 1);
                self.begin(0, false, false, false);
                self.begin(0, false, true, false);
            }
            for which in 0..4 {
                self.login(which, false);
                self.identify(which);
                self.step(&Step::Identified);
                self.step(&Step::Look { which });
                self.step(&Step::Answer { lost: false });
            }
            self.wait(ms(1_000));
        }
        false
    }

    /// Everything comes to rest: first what is bounded by a time, then backends get their locks, and notice.
    fn settle(&mut self, pause: u64) {
        self.memory.fail(&[]);
        self.wait(Duration::from_secs(pause));
        self.look_around(20);
        for _ in 0..10 {
            self.wait(Duration::from_secs(15));
            self.check();
        }
        self.step(&Step::Unblock);
        self.wait(Duration::from_secs(7_600));
        let over = |phase| matches!(phase, Phase::Dead | Phase::Silent);
        let dead: Vec<_> =
            self.connections.iter().filter(|(_, c)| over(c.phase)).map(|(attempt, _)| *attempt).collect();
        for attempt in dead {
            self.lose(attempt, 0);
            let time = self.time();
            self.account().lost(attempt, time);
        }
        assert!(self.look_around(200), "never confirmed: {:?}", self.account().charges());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { ..ProptestConfig::default() })]

    #[test]
    fn every_backend_is_charged_until_it_is_gone_and_no_longer(
        steps in steps(),
        pause in 0..140u64,
        budget in any::<bool>(),
    ) {
        let mut world = World::new(budget);
        for step in &steps {
            world.step(step);
            world.check();
        }
        world.settle(pause);
    }
}
