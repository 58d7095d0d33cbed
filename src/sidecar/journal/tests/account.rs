//! The books and a disk that fails: with a budget an end counts once it is written.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::*;
use super::memory::{Act, Fate, Memory};
use super::{BOOT, KERNEL, fence};
use crate::sidecar::charge::{Answer, Identity};

const NOTHING_WORKS: [Act; 3] = [Act::Append, Act::Create, Act::Sync];

fn address() -> SocketAddr {
    "192.0.2.1:5432".parse().unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn open(memory: &Memory, budget: bool) -> Account<Journal<Memory>> {
    let (journal, history) = Journal::resume(memory.clone(), &memory.bytes(), KERNEL, BOOT).unwrap();
    let mut account = Account::inherit(journal, &history, BOOT, 3, Duration::ZERO);
    if budget {
        account.join_budget().unwrap();
    }
    account
}

fn identity(started: u64, pid: i32) -> Identity {
    Identity {
        incarnation: Incarnation { system: 1, started },
        backend_started: pid.unsigned_abs().into(),
        authentication_timeout: seconds(60),
    }
}

fn connect(account: &mut Account<Journal<Memory>>, pid: i32, server: u64) -> Attempt {
    let attempt = account.begin(address()).unwrap().unwrap();
    account.starting(attempt);
    account.connected(attempt, pid).unwrap();
    account.identified(attempt, identity(server, pid), Duration::ZERO);
    attempt
}

/// Each way in which a charge ends: what leads to it, and the end itself.
type Ends = (fn(&mut Account<Journal<Memory>>) -> Attempt, fn(&mut Account<Journal<Memory>>, Attempt));

const ENDS: [Ends; 5] = [
    (|account| connect(account, 1, 1), Account::eof),
    (|account| account.begin(address()).unwrap().unwrap(), Account::failed_before_start),
    (|account| account.begin(address()).unwrap().unwrap(), |account, attempt| account.lost(attempt, seconds(1))),
    (
        |account| {
            let lost = connect(account, 1, 1);
            account.lost(lost, seconds(1));
            lost
        },
        |account, _| {
            let via = account.charges.begin(address()).unwrap();
            // A living process has its pid.
            account.charges.connected(via, 1);
            account.identified(via, identity(1, 2), seconds(2));
            account.charges.eof(via);
        },
    ),
    (
        |account| {
            let via = connect(account, 2, 1);
            let lost = connect(account, 1, 1);
            account.lost(lost, seconds(1));
            let look = account.look(via, seconds(2)).unwrap();
            account.looked(&look, &nobody(), seconds(2));
            via
        },
        |account, via| {
            let look = account.look(via, seconds(9)).unwrap();
            account.looked(&look, &nobody(), seconds(9));
            account.charges.eof(via);
        },
    ),
];

fn nobody() -> Answer {
    let identity = identity(1, 0);
    Answer {
        incarnation: identity.incarnation,
        authentication_timeout: identity.authentication_timeout,
        rows: Vec::new(),
        invisible: Some([].into()),
    }
}

#[test]
fn with_a_budget_an_end_that_cannot_be_written_does_not_count() {
    for (at, (begin, end)) in ENDS.iter().enumerate() {
        let memory = Memory::default();
        let mut account = open(&memory, true);
        let attempt = begin(&mut account);
        memory.fail(&NOTHING_WORKS);
        end(&mut account, attempt);
        assert_eq!((account.charges().charged(), account.charges().unconfirmed()), (1, 1), "end {at}");
        account.begin(address()).unwrap_err();
        assert_eq!(account.charges().charged(), 1, "end {at}: nothing is begun while that is owed");
        memory.fail(&[]);
        account.settle().unwrap();
        assert_eq!(account.charges().charged(), 0, "end {at}");
    }
}

#[test]
fn without_a_budget_an_end_counts_at_once() {
    for (begin, end) in ENDS {
        let memory = Memory::default();
        let mut account = open(&memory, false);
        let attempt = begin(&mut account);
        memory.fail(&NOTHING_WORKS);
        end(&mut account, attempt);
        assert_eq!(account.charges().charged(), 0);
    }
}

#[test]
fn what_is_owed_is_written_before_the_next_look() {
    let memory = Memory::default();
    let mut account = open(&memory, true);
    let (via, gone) = (connect(&mut account, 1, 1), connect(&mut account, 2, 1));
    memory.fail(&NOTHING_WORKS);
    account.eof(gone);
    memory.fail(&[]);
    assert_eq!(account.look(via, seconds(5)), None, "there is nothing to look for");
    assert_eq!((account.charges().charged(), account.charges().look_due()), (1, None));
}

#[test]
fn an_attempt_whose_record_may_be_in_the_file_is_charged() {
    let memory = Memory::default();
    let mut account = open(&memory, true);
    memory.fail(&[Act::Sync]);
    account.begin(address()).unwrap_err();
    account.begin(address()).unwrap_err();
    let charged = account.charges().charged();
    assert_eq!(charged, 1);
    drop(account);
    memory.fail(&[]);
    assert_eq!(open(&memory, true).charges().charged(), charged, "the next boot reads it");
}

#[test]
fn a_budget_that_comes_late_takes_over_what_was_never_written() {
    let memory = Memory::default();
    let mut account = open(&memory, false);
    let (gone, open_one) = (connect(&mut account, 1, 1), connect(&mut account, 2, 1));
    memory.fail(&[Act::Append]);
    account.eof(gone);
    memory.fail(&[]);
    assert_eq!(account.charges().charged(), 1);
    account.join_budget().unwrap();
    assert_eq!(account.charges().attempts().collect::<Vec<_>>(), [open_one]);
    memory.lose_power(Fate::Cut(0), false);
    assert_eq!(open(&memory, true).charges().attempts().collect::<Vec<_>>(), [open_one]);
}

#[test]
fn a_budget_that_cannot_be_kept_is_not_joined() {
    let memory = Memory::default();
    let mut account = open(&memory, false);
    memory.fail(&[Act::Sync]);
    account.join_budget().unwrap_err();
    assert!(!account.charges().is_budgeted());
    memory.fail(&[]);
    account.join_budget().unwrap();
    let taken = Taken { fence: fence(2, 1), grant: Connections::new(2), settings: None };
    account.take(taken.clone()).unwrap();
    memory.lose_power(Fate::Zeroed, false);
    let history = History::read(&memory.bytes()).0;
    assert_eq!((history.fence, history.grant, history.damage), (Some(taken.fence), taken.grant, None));
}
