use std::net::SocketAddr;

use super::*;
use crate::policy::budget::exchange::{
    Backend, Epoch, Keys, Nonce, Order, RoleId, Said, Sequence, SigningKey, Statement, Unknown, Upstream,
};
use crate::policy::limits::Limits;
use crate::policy::settings::Settings;
use crate::sidecar::charge::{Identity, Incarnation};
use crate::sidecar::journal::{Damage, Entry};

const NOW: Duration = Duration::ZERO;
const SERVER: Incarnation = Incarnation { system: 7, started: 100 };

/// A pod of a pool of at most 2, and a leader of epoch 3.
struct Pod {
    key: SigningKey,
    keys: Keys,
    sequence: u64,
    boots: u8,
    budgeted: bool,
    holder: Holder,
    account: Account<History>,
}

fn settings() -> Document {
    let settings = exchange::tests::settings();
    Document::write(&Settings { limits: Limits { max: 2, ..settings.limits }, ..settings }).unwrap()
}

fn boot(number: u8, budgeted: bool, history: &History) -> (Holder, Account<History>) {
    let injected = Injected {
        pool: exchange::tests::pool(),
        pod: PodUid::new("a").unwrap(),
        budgeted,
        limit: Connections::at_most(2),
    };
    let boot = BootId([number; 16]);
    let mut journal = history.clone();
    journal.record(&Entry::Boot { kernel_boot: [0; 16], boot }).unwrap();
    let mut account = Account::inherit(journal, history, boot, 0, NOW);
    let holder = Holder::new(&injected, boot, history, &mut account).unwrap();
    (holder, account)
}

impl Pod {
    fn new(budgeted: bool) -> Self {
        let (key, public) = exchange::tests::key(1);
        let (holder, account) = boot(1, budgeted, &History::default());
        Self { key, keys: Keys::new([public]), sequence: 0, boots: 1, budgeted, holder, account }
    }

    fn restart(&mut self, spoil: impl FnOnce(&mut History)) {
        self.boots += 1;
        let (_, none) = boot(0, self.budgeted, &History::default());
        let mut history = std::mem::replace(&mut self.account, none).into_journal();
        spoil(&mut history);
        (self.holder, self.account) = boot(self.boots, self.budgeted, &history);
    }

    fn take(&mut self, grant: Option<u32>) -> exchange::Taken {
        self.sequence += 1;
        let nonce: Nonce = self.holder.exchange().hello(NOW, [self.boots; 16], &self.keys).nonce;
        let order = grant.map(|grant| Order { settings: settings(), grant: Connections::at_most(grant) });
        let sent = Statement {
            pool: exchange::tests::pool(),
            pod: PodUid::new("a").unwrap(),
            boot: BootId([self.boots; 16]),
            nonce: Some(nonce),
            epoch: Epoch::new(3).unwrap(),
            sequence: Sequence::new(self.sequence).unwrap(),
            order,
            unknown: Unknown::default(),
        }
        .sign(&self.key);
        let message = Verified::open(&sent.bytes, &self.keys).unwrap();
        self.holder.take(NOW, message, &mut self.account).unwrap()
    }

    fn answer(&mut self, grant: Option<u32>) -> Said {
        let taken = self.take(grant);
        let upstream = Upstream { system: SERVER.system, started: SERVER.started, role: RoleId([1; 8]) };
        let figures = Report { upstream: Some(upstream), ..Report::default() };
        self.holder.answer(&taken, &self.account, &figures).said
    }

    fn report(&mut self, grant: Option<u32>) -> Report {
        match self.answer(grant) {
            Said::Report(report) => report,
            Said::Final => panic!("it is not the last"),
        }
    }

    /// How many more it may open; opens them.
    fn open(&mut self) -> u32 {
        let mut opened = 0;
        while let Some(attempt) = self.account.begin(SocketAddr::from(([192, 0, 2, 1], 5432))).unwrap() {
            opened += 1;
            self.account.starting(attempt);
            let pid = i32::try_from(attempt.number).unwrap() + i32::from(self.boots) * 100;
            self.account.connected(attempt, pid).unwrap();
            let identity = Identity {
                incarnation: SERVER,
                backend_started: attempt.number,
                authentication_timeout: Duration::from_mins(1),
            };
            self.account.identified(attempt, identity, NOW);
        }
        opened
    }
}

fn connections(numbers: [u32; 3]) -> [Connections; 3] {
    numbers.map(Connections::at_most)
}

#[test]
fn one_with_a_budget_opens_nothing_before_an_order_and_one_without_its_limit() {
    assert_eq!((Pod::new(true).open(), Pod::new(false).open()), (0, 2));
    let mut pod = Pod::new(true);
    let report = pod.report(None);
    assert_eq!((report.grant, report.limit), (Some(Connections::NONE), Connections::at_most(2)));
    assert_eq!(pod.open(), 0, "a question grants nothing");
    let mut pod = Pod::new(false);
    assert_eq!(pod.report(None).grant, None);
}

#[test]
fn an_order_is_honoured_up_to_the_limit_and_listed() {
    let mut pod = Pod::new(true);
    pod.report(Some(1));
    assert_eq!(pod.open(), 1);
    let report = pod.report(Some(5));
    assert_eq!([report.charge, report.limit, report.grant.unwrap()], connections([1, 2, 5]));
    assert_eq!(report.backends.as_slice(), [Backend { pid: 101, started: 1 }]);
    assert_eq!((report.unlisted(), pod.open()), (0, 1), "the limit is what may be open");
}

#[test]
fn a_restart_goes_on_with_the_grant_and_is_charged_what_was_left() {
    let mut pod = Pod::new(true);
    pod.report(Some(2));
    assert_eq!(pod.open(), 2);
    pod.restart(|_| ());
    assert_eq!((pod.holder.fence().unwrap().sequence.get(), pod.open()), (1, 0));
    let report = pod.report(Some(3));
    assert_eq!([report.charge, report.unconfirmed, report.grant.unwrap()], connections([2, 2, 3]));
    assert_eq!(pod.open(), 1, "beside what it has lost");
}

#[test]
fn a_damaged_journal_opens_nothing_and_says_so() {
    let mut pod = Pod::new(true);
    pod.report(Some(2));
    pod.restart(|history| history.damage = Some(Damage::Newer));
    assert_eq!(pod.open(), 0);
    let report = pod.report(Some(2));
    assert!(report.incomplete);
    assert_eq!(pod.open(), 0);
}

#[test]
fn the_last_answer_comes_with_nothing_charged_and_what_follows_it_opens_nothing() {
    let mut pod = Pod::new(true);
    pod.report(Some(1));
    pod.open();
    let waits = pod.take(Some(2));
    assert!(!pod.holder.finish(&waits, &mut pod.account).unwrap(), "one is charged");
    let attempt = pod.account.charges().attempts().next().unwrap();
    pod.account.eof(attempt);
    assert!(pod.holder.finish(&waits, &mut pod.account).unwrap());
    assert_eq!(pod.holder.answer(&waits, &pod.account, &Report::default()).said, Said::Final);
    assert_eq!(pod.answer(Some(2)), Said::Final);
    assert_eq!(pod.open(), 0);
    pod.restart(|_| ());
    assert_eq!(pod.open(), 0, "the grant was given back");
}
