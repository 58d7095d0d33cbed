//! What survives which loss, and what becomes of a journal whose disk fails at any of its acts.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::*;
use super::memory::{ACTS, Act, Fate, Memory};
use super::{BOOT, KERNEL, attempt, begin, left};

fn open(memory: &Memory) -> Journal<Memory> {
    Journal::resume(memory.clone(), &memory.bytes(), KERNEL, BOOT).unwrap().0
}

fn told(memory: &Memory) -> Vec<u64> {
    left(&History::read(&memory.bytes()).0)
}

#[test]
fn goes_on_in_the_file_that_has_the_name() {
    let memory = Memory::default();
    let mut journal = open(&memory);
    journal.record(&begin(1)).unwrap();
    memory.fail(&[Act::SyncDirectory]);
    journal.compact().unwrap_err();
    journal.record(&begin(2)).unwrap();
    assert_eq!(told(&memory), [1, 2]);
}

#[test]
fn a_compaction_that_fails_leaves_the_file_in_use() {
    for act in [Act::Create, Act::Append, Act::Sync, Act::Replace] {
        let memory = Memory::default();
        let mut journal = open(&memory);
        journal.record(&begin(1)).unwrap();
        memory.fail(&[act]);
        journal.endure().unwrap_err();
        assert_eq!(journal.durability(), Durability::Buffered);
        memory.fail(&[]);
        journal.record(&begin(2)).unwrap();
        assert_eq!(told(&memory), [1, 2], "{act:?}");
    }
}

#[test]
fn without_a_budget_nothing_is_synced_but_the_file_that_a_boot_begins_with() {
    let memory = Memory::default();
    let mut journal = open(&memory);
    for number in 1..20 {
        journal.record(&begin(number)).unwrap();
        journal.record(&Entry::End { attempt: attempt(number) }).unwrap();
    }
    assert_eq!(memory.syncs(), 1);
}

#[test]
fn with_a_budget_a_record_that_is_acted_upon_survives_the_loss_of_power() {
    for fate in [Fate::Kept, Fate::Cut(0), Fate::Cut(50), Fate::Zeroed] {
        let memory = Memory::default();
        let mut journal = open(&memory);
        journal.record(&begin(1)).unwrap();
        journal.endure().unwrap();
        journal.record(&begin(2)).unwrap();
        journal.record(&Entry::End { attempt: attempt(1) }).unwrap();
        memory.lose_power(fate, false);
        assert_eq!(told(&memory), [2], "{fate:?}");
    }
}

#[test]
fn after_a_failed_sync_nothing_is_written_until_a_new_file_is_in_place() {
    let memory = Memory::default();
    let mut journal = open(&memory);
    journal.endure().unwrap();
    journal.record(&begin(1)).unwrap();
    memory.fail(&[Act::Sync]);
    journal.record(&begin(2)).unwrap_err();
    let before = memory.bytes();
    journal.record(&begin(3)).unwrap_err();
    assert_eq!(memory.bytes(), before, "nothing is appended to a file that may have lost something");
    // The kernel tells of what it could not write only once.
    memory.fail(&[]);
    journal.record(&begin(4)).unwrap();
    memory.lose_power(Fate::Cut(0), false);
    assert_eq!(told(&memory), [1, 4]);
}

#[test]
fn a_new_file_that_may_lose_its_place_is_not_relied_upon() {
    let memory = Memory::default();
    let mut journal = open(&memory);
    journal.endure().unwrap();
    journal.record(&begin(1)).unwrap();
    memory.fail(&[Act::SyncDirectory]);
    journal.compact().unwrap_err();
    journal.record(&begin(2)).unwrap_err();
    memory.fail(&[]);
    journal.record(&begin(3)).unwrap();
    memory.lose_power(Fate::Cut(0), false);
    assert_eq!(told(&memory), [1, 3]);
}

#[derive(Clone, Debug)]
enum Step {
    Begin,
    End(prop::sample::Index),
    Compact,
    Fail(Vec<Act>),
    LosePower(Fate, bool),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fate = prop_oneof![Just(Fate::Kept), (0..100usize).prop_map(Fate::Cut), Just(Fate::Zeroed)];
    let step = prop_oneof![
        6 => Just(Step::Begin),
        4 => any::<prop::sample::Index>().prop_map(Step::End),
        1 => Just(Step::Compact),
        2 => prop::sample::subsequence(ACTS.to_vec(), 0..3).prop_map(Step::Fail),
        1 => (fate, any::<bool>()).prop_map(|(fate, renamed)| Step::LosePower(fate, renamed)),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn what_was_written_with_a_budget_is_told_after_any_loss(steps in steps()) {
        let memory = Memory::default();
        let mut journal = open(&memory);
        journal.endure().unwrap();
        // Those that must be told, and those that may.
        let (mut certain, mut doubtful) = (BTreeSet::new(), BTreeSet::new());
        let mut next = 1;
        for step in steps {
            match step {
                Step::Begin => {
                    let written = journal.record(&begin(next)).is_ok();
                    if written { &mut certain } else { &mut doubtful }.insert(next);
                    next += 1;
                }
                Step::End(which) => {
                    let all: Vec<u64> = certain.iter().copied().collect();
                    if all.is_empty() {
                        continue;
                    }
                    let number = *which.get(&all);
                    certain.remove(&number);
                    if journal.record(&Entry::End { attempt: attempt(number) }).is_err() {
                        doubtful.insert(number);
                    }
                }
                Step::Compact => drop(journal.compact()),
                Step::Fail(acts) => memory.fail(&acts),
                Step::LosePower(fate, renamed) => {
                    memory.lose_power(fate, renamed);
                    journal = open(&memory);
                    journal.endure().unwrap();
                }
                Step::Restart => {
                    memory.fail(&[]);
                    journal = open(&memory);
                    journal.endure().unwrap();
                }
            }
            let history = History::read(&memory.bytes()).0;
            prop_assert_eq!(history.damage, None);
            let told: BTreeSet<_> = left(&history).into_iter().collect();
            prop_assert!(told.is_superset(&certain), "{:?} of {:?}", told, certain);
            prop_assert!(told.iter().all(|number| certain.contains(number) || doubtful.contains(number)));
        }
    }
}
