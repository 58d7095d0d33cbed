//! A pod: its journal, which outlives its processes, and at most one process.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{LazyLock, RwLock};
use std::time::Duration;

use weir::policy::budget::exchange::{
    Answer, Digest, Document, Hello, Keys, PoolName, Report, Sent, SigningKey, Taken, Verified,
};
use weir::policy::budget::{BootId, Connections, PodUid};
use weir::sidecar::charge::Attempt;
use weir::sidecar::holder::{Holder, Injected};
use weir::sidecar::journal::{Account, Entry, History, Store as _};

/// What pods without a budget may open, and the most that any order says.
pub const LIMIT: u32 = 2;
/// Nothing here depends on time: a nonce is always young, which is the worst case.
pub const NOW: Duration = Duration::ZERO;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pod {
    pub budgeted: bool,
    /// It will never run again.
    pub dead: bool,
    pub boots: u8,
    pub journal: History,
    pub process: Option<Process>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub boot: BootId,
    pub holder: Holder,
    pub account: Account<History>,
    pub attempts: u8,
    /// Those before the search began.
    pub attempts_before: u8,
    /// Sockets that are open.
    pub open: BTreeSet<Attempt>,
    pub finishing: bool,
    /// What it has taken, and is slow to answer.
    pub waits: Option<Taken>,
}

/// What the search asks of a pod again and again.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// See [`Pod::cap`].
    pub cap: u32,
    pub boot: Option<BootId>,
    /// More is charged than it may have.
    pub beyond: bool,
}

impl Pod {
    pub fn new(budgeted: bool) -> Self {
        Self { budgeted, dead: false, boots: 0, journal: History::default(), process: None }
    }

    pub fn start(&mut self, pod: usize) -> Option<()> {
        if self.process.is_some() || self.dead {
            return None;
        }
        self.boots += 1;
        let boot = BootId([u8::try_from(pod).ok()?, self.boots, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let injected =
            Injected { pool: pool(), pod: uid(pod), budgeted: self.budgeted, limit: Connections::at_most(LIMIT) };
        let (holder, account) = begin(&injected, boot, &self.journal, NOW);
        self.process = Some(Process {
            boot,
            holder,
            account,
            attempts: 0,
            attempts_before: 0,
            open: BTreeSet::new(),
            finishing: false,
            waits: None,
        });
        // Every hello of a boot is the same one here, so it may have said it at once.
        self.hello().map(drop)
    }

    pub fn kill(&mut self) -> Option<()> {
        self.journal = self.process.take()?.account.into_journal();
        Some(())
    }

    pub fn hello(&mut self) -> Option<Hello> {
        Some(self.process.as_mut()?.holder.exchange().hello(NOW, [0; 16], keys()))
    }

    pub fn figures(&self) -> Figures {
        let charged = |process: &Process| process.account.charges().charged();
        let beyond = |process: &Process| charged(process) > process.holder.max().get();
        Figures {
            cap: self.cap(),
            boot: self.process.as_ref().map(|process| process.boot),
            beyond: self.process.as_ref().is_some_and(beyond),
        }
    }

    /// The most that it can come to cost without another message.
    fn cap(&self) -> u32 {
        match &self.process {
            Some(process) => process.account.charges().charged().max(process.holder.max().get()),
            None => self.left(),
        }
    }

    /// What the next boot would come to cost: the journal says.
    fn left(&self) -> u32 {
        let mut next = self.clone();
        next.dead = false;
        match next.start(0).and(next.process) {
            Some(process) if !self.dead => process.account.charges().charged().max(process.holder.max().get()),
            Some(process) => process.account.charges().charged(),
            None => 0,
        }
    }

    /// Begins an attempt, the backend of which exists at once: the worst case.
    pub fn connect(&mut self) -> Option<Attempt> {
        let process = self.process.as_mut()?;
        let address = SocketAddr::from(([10, 0, 0, 1], 5432));
        let attempt = process.account.begin(address).ok()??;
        process.attempts += 1;
        process.account.starting(attempt);
        let pid = i32::from(self.boots) * 10 + i32::from(process.attempts);
        process.account.connected(attempt, pid).ok()?;
        process.open.insert(attempt);
        Some(attempt)
    }

    /// Takes a message. The answer is to follow.
    pub fn take(&mut self, digest: Digest) -> Option<Taken> {
        let Process { holder, account, .. } = self.process.as_mut()?;
        holder.take(NOW, message(digest), account).ok()
    }

    /// Answers what it has taken.
    pub fn answer(&mut self, taken: &Taken) -> Option<Answer> {
        let Process { holder, account, finishing, .. } = self.process.as_mut()?;
        if *finishing {
            holder.finish(taken, account).ok()?;
        }
        Some(holder.answer(taken, account, &Report::default()))
    }

    pub fn finish(&mut self) -> Option<()> {
        self.process.as_mut()?.finishing = true;
        Some(())
    }

    /// The socket ends without EOF.
    pub fn lose(&mut self) -> Option<()> {
        let process = self.process.as_mut()?;
        let attempt = process.open.pop_first()?;
        process.account.lost(attempt, NOW);
        Some(())
    }

    /// The backend of `attempt` ended: whoever still has the socket receives EOF.
    pub fn ended(&mut self, attempt: Attempt) {
        if let Some(process) = &mut self.process
            && process.open.remove(&attempt)
        {
            process.account.eof(attempt);
        }
    }

    pub fn may_take(&self, digest: Digest) -> bool {
        self.process.as_ref().is_some_and(|process| process.holder.would_take(NOW, message(digest)))
    }

    /// Of the sockets that are open, any: they are alike until one is lost.
    pub fn open(&self) -> Option<Attempt> {
        self.process.as_ref()?.open.first().copied()
    }
}

pub fn pool() -> PoolName {
    PoolName::new("shop/orders").expect("it is one")
}

pub fn uid(pod: usize) -> PodUid {
    PodUid::new(&format!("pod-{pod}")).expect("it is one")
}

/// A key for this run, and the public keys that every pod has.
static PAIR: LazyLock<(SigningKey, Keys)> = LazyLock::new(|| {
    use ring::rand::SystemRandom;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("the kernel has randomness");
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("it was just made");
    let public = pair.public_key().as_ref().try_into().expect("it is 32 bytes long");
    (SigningKey::from_pkcs8(pkcs8.as_ref()).expect("it was just made"), Keys::new([public]))
});

pub fn keys() -> &'static Keys {
    &PAIR.1
}

pub fn key() -> &'static SigningKey {
    &PAIR.0
}

/// Every message that was ever sent, by its digest: what checking its signature gives does not depend on the state.
static MESSAGES: LazyLock<RwLock<HashMap<Digest, Verified>>> = LazyLock::new(RwLock::default);

pub fn remember(sent: &Sent) -> Digest {
    if !MESSAGES.read().expect("nobody panics with it").contains_key(&sent.digest) {
        let verified = Verified::open(&sent.bytes, keys()).expect("our own key signed it");
        MESSAGES.write().expect("nobody panics with it").insert(sent.digest, verified);
    }
    sent.digest
}

pub fn message(digest: Digest) -> Verified {
    MESSAGES.read().expect("nobody panics with it")[&digest].clone()
}

/// What every order says, but for the limit.
pub fn settings(limit: u32) -> Document {
    use weir::policy::limits::{Limits, Profile};
    use weir::policy::settings::{PoolMode, SETTINGS_VERSION, Settings, Thresholds, Verify};
    let limits = Limits {
        min: 1,
        max: limit,
        idle_timeout: Duration::from_secs(30),
        connection_timeout: Duration::from_secs(10),
        max_lifetime: Duration::from_mins(30),
        idle_transaction_timeout: None,
        query_timeout: None,
    };
    Document::write(&Settings {
        version: SETTINGS_VERSION,
        pool: pool().as_str().to_owned(),
        generation: 1,
        profile: Profile::Production,
        pool_mode: PoolMode::Session,
        verify: Verify::Hints,
        client: "none".to_owned(),
        limits,
        thresholds: Thresholds { warning: 80, critical: 90 },
        placeholders: None,
        unknown: serde_json::Map::new(),
    })
    .expect("they can be signed")
}

/// A boot enters the journal and follows what it tells.
pub fn begin(injected: &Injected, boot: BootId, history: &History, now: Duration) -> (Holder, Account<History>) {
    let mut journal = history.clone();
    journal.record(&Entry::Boot { kernel_boot: [0; 16], boot }).expect("memory takes it");
    let mut account = Account::inherit(journal, history, boot, 0, now);
    let holder = Holder::new(injected, boot, history, &mut account).expect("memory takes it");
    (holder, account)
}
