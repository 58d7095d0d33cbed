//! A PostgreSQL of actors against the real books and the real journal: backends that start late, notice late and leave slowly,
//! networks that lose either end, restarts of the server, and crashes of the sidecar between any two steps.
//!
//! Checked after every step: each backend that holds a slot is on the books, and no more than the maximum are charged. And at the
//! end, when everybody has had time: nothing stays unconfirmed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::super::Account;
use super::{Directory, KERNEL};
use crate::sidecar::charge::{Answer, Attempt, BootId, Identity, Incarnation, Look, Row};

const MAX: u32 = 3;
const AUTHENTICATION_TIMEOUT: Duration = Duration::from_mins(1);

/// What happens next. Numbers choose among what is there, by remainder.
#[derive(Clone, Debug)]
enum Step {
    /// A login begins; its backend starts after so many ms, or the connection is refused.
    Begin { delay: u64, refused: bool, looking: bool },
    /// The server ends a login and the sidecar reads BackendKeyData; it may crash before it has sent anything else.
    Login { which: usize, crash: bool },
    /// The sidecar asks who the server is; the answer may take its time.
    Identify { which: usize },
    /// The answers to that arrive.
    Identified,
    /// The sidecar closes, or a RST arrives; the backend notices after so many ms.
    Lose { which: usize, notices: u64 },
    /// The server ends a backend; the client sees EOF once the slot is free.
    Terminate { which: usize },
    /// A look is sent through a connection.
    Look { which: usize },
    /// The server reads the rows and answers, or the answer is lost.
    Answer { lost: bool },
    /// Two looks that are answered at once, so many ms apart.
    Looks { which: usize, apart: u64 },
    /// All backends end at once; the sidecar finds out when it loses the connections.
    Restart,
    /// The sidecar's process is killed and starts again; backends notice after so many ms.
    Crash { notices: u64 },
    /// Nothing happens for so many ms.
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = any::<usize>;
    let notices = || prop_oneof![0..50u64, 0..5_000u64, 0..200_000u64];
    let step = prop_oneof![
        6 => (prop_oneof![Just(0u64), 0..9_000u64], prop::bool::weighted(0.1), prop::bool::weighted(0.2))
            .prop_map(|(delay, refused, looking)| Step::Begin { delay, refused, looking }),
        6 => (which(), prop::bool::weighted(0.05)).prop_map(|(which, crash)| Step::Login { which, crash }),
        4 => which().prop_map(|which| Step::Identify { which }),
        4 => Just(Step::Identified),
        4 => (which(), 900..4_000u64).prop_map(|(which, apart)| Step::Looks { which, apart }),
        4 => (which(), notices()).prop_map(|(which, notices)| Step::Lose { which, notices }),
        2 => which().prop_map(|which| Step::Terminate { which }),
        4 => which().prop_map(|which| Step::Look { which }),
        4 => prop::bool::weighted(0.2).prop_map(|lost| Step::Answer { lost }),
        1 => Just(Step::Restart),
        1 => notices().prop_map(|notices| Step::Crash { notices }),
        5 => prop_oneof![0..100u64, 0..3_000u64, 0..90_000u64].prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..120)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// In the listener's queue until then: no backend yet.
    Queued(Duration),
    /// Holds a slot, shows no row; gives up at authentication_timeout.
    Authenticating { until: Duration },
    /// Holds a slot and shows a row.
    Running,
    /// Holds a slot until then and shows no row.
    Leaving(Duration),
    /// Holds nothing: the server went down, and our socket has not heard.
    Dead,
}

impl Phase {
    const fn holds_a_slot(self) -> bool {
        !matches!(self, Self::Queued(_) | Self::Dead)
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
    directory: Directory,
    account: Option<Account>,
    boots: u8,
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
    fn new() -> Self {
        let mut world = Self {
            directory: Directory::new(),
            account: None,
            boots: 0,
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
        let boot = BootId([self.boots; 16]);
        let (account, history) = Account::open(&self.directory.0, KERNEL, boot, MAX, Duration::ZERO).unwrap();
        assert_eq!(history.damage, None);
        self.account = Some(account);
    }

    fn account(&mut self) -> &mut Account {
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
            Step::Begin { delay, refused, looking } => self.begin(delay, refused, looking),
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
            Step::Wait(wait) => self.wait(ms(wait)),
        }
    }

    fn begin(&mut self, delay: u64, refused: bool, looking: bool) {
        let time = self.time();
        let account = self.account();
        let begun = if looking { account.begin_looking(time, address()) } else { account.begin(address()) };
        let Some(attempt) = begun.unwrap() else { return };
        if refused {
            self.account().failed_before_start(attempt);
            return;
        }
        self.account().starting(attempt);
        // A handful of pids, so that they come again.
        self.pids = (self.pids + 1) % 7;
        self.clock += 1;
        let connection = Connection {
            phase: Phase::Queued(self.now + ms(delay)),
            pid: self.pids + 1,
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
        self.account().connected(attempt, pid).unwrap();
        if crash {
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
        if connection.phase == Phase::Dead {
            self.connections.remove(&attempt);
        }
    }

    fn crash(&mut self, notices: u64) {
        let open: Vec<_> = self.connections.iter().filter(|(_, c)| c.open).map(|(attempt, _)| *attempt).collect();
        for attempt in open {
            self.lose(attempt, notices);
        }
        self.boot();
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
            invisible: Some([].into()),
        }
    }

    /// Time passes in small steps, in which backends act.
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
            self.now = (self.now + ms(100)).min(end);
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
        let charges = self.account().charges();
        let bound = usize::try_from(charges.charged() + charges.looking()).unwrap();
        assert!(slots <= bound, "{slots} slots held, {bound} charged");
    }

    /// Everything comes to rest: backends notice, and one connection after another looks until nothing is unconfirmed.
    fn settle(&mut self) {
        self.wait(Duration::from_secs(400));
        let dead: Vec<_> =
            self.connections.iter().filter(|(_, c)| c.phase == Phase::Dead).map(|(attempt, _)| *attempt).collect();
        for attempt in dead {
            self.lose(attempt, 0);
            let time = self.time();
            self.account().lost(attempt, time);
        }
        for _ in 0..200 {
            self.check();
            if self.account().charges().unconfirmed() == 0 {
                return;
            }
            if self.choose(0, |connection| connection.open).is_none() {
                self.begin(0, false, false);
                self.begin(0, false, true);
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
        panic!("never confirmed: {:?}", self.account().charges());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { ..ProptestConfig::default() })]

    #[test]
    fn every_backend_is_charged_until_it_is_gone_and_no_longer(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.check();
        }
        world.settle();
    }
}
