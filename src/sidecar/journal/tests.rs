mod account;
mod durable;
mod memory;
mod model;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::record::{Read, decode, encode};
use super::*;
use crate::policy::budget::exchange::{Epoch, Sequence};
use crate::sidecar::charge::{Backend, Left};

const KERNEL: [u8; 16] = [1; 16];
const BOOT: BootId = BootId([2; 16]);

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("weir-journal-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn open(&self) -> (Journal, History) {
        Journal::open(&self.0, KERNEL, BOOT).unwrap()
    }

    fn file(&self) -> PathBuf {
        self.0.join(FILE)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn attempt(number: u64) -> Attempt {
    Attempt { boot: BOOT, number }
}

fn begin(number: u64) -> Entry {
    Entry::Begin { attempt: attempt(number), address: "192.0.2.1:5432".parse().unwrap() }
}

fn left(history: &History) -> Vec<u64> {
    history.left().map(|left| left.attempt.number).collect()
}

fn bytes(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        encode(entry, &mut bytes);
    }
    bytes
}

/// A record of a kind or version that nobody knows yet.
fn foreign(version: u8, kind: u8) -> Vec<u8> {
    let content = [version, kind, 0xaa, 0xbb];
    let length = 4u32.to_be_bytes();
    let crc = crc32fast::hash(&[&length[..], &content].concat()).to_be_bytes();
    [&length[..], &crc, &content].concat()
}

fn fence(epoch: u64, sequence: u64) -> Fence {
    Fence { epoch: Epoch::new(epoch).unwrap(), sequence: Sequence::new(sequence).unwrap() }
}

fn text(text: &str) -> SettingsText {
    SettingsText::new(text.as_bytes()).unwrap()
}

fn grants() -> impl Strategy<Value = Option<Connections>> {
    prop::option::of((0..=Connections::MAX.get()).prop_map(Connections::at_most))
}

fn entries() -> impl Strategy<Value = Entry> {
    let attempts = (any::<[u8; 16]>(), any::<u64>()).prop_map(|(boot, number)| Attempt { boot: BootId(boot), number });
    let incarnation = (any::<u64>(), any::<u64>()).prop_map(|(system, started)| Incarnation { system, started });
    prop_oneof![
        (any::<[u8; 16]>(), any::<[u8; 16]>())
            .prop_map(|(kernel_boot, boot)| Entry::Boot { kernel_boot, boot: BootId(boot) }),
        (1..=u64::MAX, 1..=u64::MAX, grants(), prop::option::of(prop::collection::vec(any::<u8>(), 0..=DOCUMENT_MAX)))
            .prop_map(|(epoch, sequence, grant, text)| Entry::Taken(Taken {
                fence: fence(epoch, sequence),
                grant,
                settings: text.map(|text| SettingsText::new(&text).unwrap()),
            })),
        (attempts.clone(), any::<SocketAddr>()).prop_map(|(attempt, address)| Entry::Begin {
            attempt,
            // Scope and flow label of IPv6 are no part of an address that a URL can name.
            address: SocketAddr::new(address.ip(), address.port()),
        }),
        (attempts.clone(), any::<i32>()).prop_map(|(attempt, pid)| Entry::Backend { attempt, pid }),
        (attempts.clone(), incarnation, any::<u64>()).prop_map(|(attempt, incarnation, backend_started)| {
            Entry::Identified { attempt, incarnation, backend_started }
        }),
        attempts.prop_map(|attempt| Entry::End { attempt }),
        Just(Entry::Damaged),
    ]
}

/// Entries of a few attempts, so that later ones meet earlier ones.
fn histories() -> impl Strategy<Value = Vec<Entry>> {
    let entry = (0..5u8, 1..6u64, 1..9i32, grants()).prop_map(|(kind, number, pid, grant)| {
        let attempt = attempt(number);
        match kind {
            0 => begin(number),
            1 => Entry::Backend { attempt, pid },
            2 => Entry::Identified {
                attempt,
                incarnation: Incarnation { system: 1, started: 2 },
                backend_started: pid.unsigned_abs().into(),
            },
            3 => Entry::Taken(Taken {
                fence: fence(number, pid.unsigned_abs().into()),
                grant,
                settings: (number == 3).then(|| text(&format!("{pid}"))),
            }),
            _ => Entry::End { attempt },
        }
    });
    prop::collection::vec(entry, 0..40)
}

proptest! {
    #[test]
    fn a_record_reads_back(entry in entries()) {
        let bytes = bytes(std::slice::from_ref(&entry));
        prop_assert_eq!(decode(&bytes), Read::Entry { entry, length: bytes.len() });
    }

    #[test]
    fn any_prefix_of_the_file_is_a_prefix_of_the_history(entries in histories(), cut in any::<prop::sample::Index>()) {
        let whole = bytes(&entries);
        let cut = cut.index(whole.len() + 1);
        let (history, length) = History::read(&whole[..cut]);
        let count = (0..=entries.len()).rev().find(|count| bytes(&entries[..*count]).len() <= cut).unwrap();
        prop_assert_eq!(length, bytes(&entries[..count]).len());
        prop_assert_eq!(history, History::read(&bytes(&entries[..count])).0);
    }

    #[test]
    fn a_tail_that_the_disk_never_wrote_is_no_damage(
        entries in histories(),
        from in any::<prop::sample::Index>(),
        tail in prop_oneof![prop::collection::vec(Just(0u8), 0..5_000), prop::collection::vec(any::<u8>(), 0..40)],
    ) {
        let mut whole = bytes(&entries);
        let from = from.index(whole.len() + 1);
        whole.truncate(from);
        whole.extend(tail);
        let (history, length) = History::read(&whole);
        let count = (0..=entries.len()).rev().find(|count| bytes(&entries[..*count]).len() <= from).unwrap();
        prop_assert_eq!(history.damage, None);
        // The tail may happen to be what was there.
        prop_assert!(length >= bytes(&entries[..count]).len());
        prop_assert_eq!(history, History::read(&whole[..length]).0);
    }

    #[test]
    fn corruption_invents_no_record(entries in histories(), at in any::<prop::sample::Index>(), mask in 1..=255u8) {
        let mut whole = bytes(&entries);
        prop_assume!(!whole.is_empty());
        let at = at.index(whole.len());
        whole[at] ^= mask;
        let (history, length) = History::read(&whole);
        let intact = (0..=entries.len()).rev().find(|count| bytes(&entries[..*count]).len() <= at).unwrap();
        prop_assert_eq!(length, bytes(&entries[..intact]).len());
        let (mut expected, _) = History::read(&bytes(&entries[..intact]));
        if history.damage.is_some() {
            expected.damage = Some(Damage::Broken { offset: length });
        } else {
            prop_assert_eq!(intact + 1, entries.len(), "only a broken last record may pass for a torn one");
        }
        prop_assert_eq!(history, expected);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        History::read(&bytes);
    }

    #[test]
    fn the_compacted_history_tells_the_same(entries in histories()) {
        let (history, _) = History::read(&bytes(&entries));
        prop_assert_eq!(History::read(&history.write()).0, history);
    }
}

#[test]
fn the_next_boot_learns_what_the_last_one_left() {
    let directory = Directory::new();
    let (mut journal, history) = directory.open();
    assert_eq!(history, History::default());
    let incarnation = Incarnation { system: 5, started: 6 };
    let order = Taken { fence: fence(3, 4), grant: Connections::new(7), settings: Some(text("{}")) };
    let discovery = Taken { fence: fence(4, 1), grant: None, settings: None };
    for entry in [
        Entry::Taken(order.clone()),
        Entry::Taken(discovery.clone()),
        begin(1),
        begin(2),
        Entry::Backend { attempt: attempt(2), pid: 77 },
        begin(3),
        Entry::Identified { attempt: attempt(2), incarnation, backend_started: 9 },
        Entry::End { attempt: attempt(3) },
    ] {
        journal.record(&entry).unwrap();
    }
    drop(journal);
    let (_journal, history) = Journal::open(&directory.0, [9; 16], BootId([3; 16])).unwrap();
    assert_eq!(history.last_boot, Some((BOOT, KERNEL)));
    assert_eq!(history.fence, Some(discovery.fence));
    assert_eq!((history.grant, history.settings.clone()), (order.grant, order.settings), "a discovery changes neither");
    assert_eq!(history.damage, None);
    let first = Left { attempt: attempt(1), address: "192.0.2.1:5432".parse().unwrap(), backend: None, server: None };
    let second = Left {
        attempt: attempt(2),
        backend: Some(Backend { pid: 77, started: Some(9) }),
        server: Some(incarnation),
        ..first.clone()
    };
    assert_eq!(history.left().cloned().collect::<Vec<_>>(), [second, first], "the server of the second is known");
}

#[test]
fn servers_are_told_in_the_order_in_which_they_became_known() {
    let identified = |number, started| Entry::Identified {
        attempt: attempt(number),
        incarnation: Incarnation { system: 1, started },
        backend_started: 1,
    };
    let entries = [begin(1), begin(2), begin(3), begin(4), identified(3, 100), identified(1, 200), identified(4, 300)];
    let (history, _) = History::read(&bytes(&entries));
    assert_eq!(left(&history), [3, 1, 4, 2]);
    assert_eq!(left(&History::read(&history.write()).0), [3, 1, 4, 2]);
}

#[test]
fn the_account_writes_before_it_permits() {
    let directory = Directory::new();
    let address = "192.0.2.1:5432".parse().unwrap();
    let (mut account, _) = Account::open(&directory.0, KERNEL, BOOT, 2, Duration::ZERO).unwrap();
    let on_disk = || History::read(&fs::read(directory.file()).unwrap()).0;
    let attempt = account.begin(address).unwrap().unwrap();
    assert_eq!(left(&on_disk()), [attempt.number]);
    account.connected(attempt, 42).unwrap();
    let pid = on_disk().left().next().unwrap().backend.unwrap().pid;
    assert_eq!(pid, 42);
    account.lost(attempt, Duration::ZERO);
    drop(account);

    let (mut account, history) = Account::open(&directory.0, KERNEL, BootId([3; 16]), 2, Duration::ZERO).unwrap();
    assert_eq!(left(&history), [attempt.number]);
    assert_eq!((account.charges().charged(), account.charges().inherited()), (1, 1));
    account.journal.file = File::open(directory.file()).unwrap();
    assert!(account.begin(address).is_err());
    assert_eq!(account.charges().charged(), 1, "what was refused is not charged");
}

#[test]
fn a_torn_tail_is_cut_and_what_follows_is_read() {
    let directory = Directory::new();
    let (mut journal, _) = directory.open();
    journal.record(&begin(1)).unwrap();
    drop(journal);
    let torso = bytes(&[begin(2)]);
    let mut whole = fs::read(directory.file()).unwrap();
    whole.extend(&torso[..torso.len() - 1]);
    fs::write(directory.file(), whole).unwrap();
    let (mut journal, history) = directory.open();
    assert_eq!((left(&history), history.damage), (vec![1], None));
    journal.record(&begin(3)).unwrap();
    drop(journal);
    assert_eq!(left(&directory.open().1), [1, 3]);
}

#[test]
fn damage_is_told_once_where_and_then_for_good() {
    let directory = Directory::new();
    let (mut journal, _) = directory.open();
    journal.record(&begin(1)).unwrap();
    journal.record(&begin(2)).unwrap();
    drop(journal);
    let mut whole = fs::read(directory.file()).unwrap();
    let at = whole.len() - 2 * bytes(&[begin(1)]).len();
    whole[at + 12] ^= 1;
    fs::write(directory.file(), whole).unwrap();
    assert_eq!(directory.open().1.damage, Some(Damage::Broken { offset: at }));
    assert_eq!(directory.open().1.damage, Some(Damage::Earlier));
}

#[test]
fn unknown_kinds_are_skipped_and_kept() {
    let directory = Directory::new();
    let content = [bytes(&[begin(1)]), foreign(1, 200), bytes(&[begin(2)])].concat();
    fs::write(directory.file(), content).unwrap();
    let (_, history) = directory.open();
    assert_eq!((left(&history), history.damage), (vec![1, 2], None));
    let kept = fs::read(directory.file()).unwrap();
    assert!(kept.windows(12).any(|window| window == foreign(1, 200)));
}

#[test]
fn the_fence_is_the_highest_that_was_taken() {
    let entries = [fence(4, 1), fence(3, 9), fence(4, 2)]
        .map(|fence| Entry::Taken(Taken { fence, grant: Connections::new(5), settings: None }));
    assert_eq!(History::read(&bytes(&entries)).0.fence, Some(fence(4, 2)));
    assert_eq!(History::read(&bytes(&entries[..2])).0.fence, Some(fence(4, 1)));
}

#[test]
fn settings_have_a_longest_text() {
    assert!(SettingsText::new(&[0; DOCUMENT_MAX]).is_some());
    assert_eq!(SettingsText::new(&[0; DOCUMENT_MAX + 1]), None);
}

#[test]
fn a_newer_form_of_a_known_kind_is_not_guessed_at() {
    let directory = Directory::new();
    fs::write(directory.file(), [foreign(2, 3), bytes(&[begin(2)])].concat()).unwrap();
    let (_, history) = directory.open();
    assert_eq!((left(&history), history.damage), (vec![2], Some(Damage::Newer)));
}

#[test]
fn a_record_that_cannot_be_written_is_an_error_and_leaves_no_torso() {
    let directory = Directory::new();
    let (mut journal, _) = directory.open();
    journal.record(&begin(1)).unwrap();
    let writable = std::mem::replace(&mut journal.file, File::open(directory.file()).unwrap());
    let error = journal.record(&begin(2)).unwrap_err();
    assert!(matches!(error, JournalError::Write { .. }), "{error:?}");
    assert_eq!(left(journal.history()), [1]);
    // What a full disk leaves: the start of a record.
    (&writable).write_all(&bytes(&[begin(2)])[..20]).unwrap();
    journal.file = writable;
    journal.record(&begin(3)).unwrap();
    drop(journal);
    let (_, history) = directory.open();
    assert_eq!((left(&history), history.damage), (vec![1, 3], None));
}

#[test]
fn grows_only_so_far() {
    let directory = Directory::new();
    let (mut journal, _) = directory.open();
    journal.record(&begin(u64::MAX)).unwrap();
    for number in 0..20_000 {
        journal.record(&begin(number)).unwrap();
        journal.record(&Entry::End { attempt: attempt(number) }).unwrap();
    }
    assert!(fs::metadata(directory.file()).unwrap().len() < COMPACT_AT);
    drop(journal);
    assert_eq!(left(&directory.open().1), [u64::MAX]);
}

#[test]
fn belongs_to_one_process_and_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = Directory::new();
    let (_journal, _) = directory.open();
    assert!(matches!(Journal::open(&directory.0, KERNEL, BOOT), Err(JournalError::Locked { .. })));
    assert_eq!(fs::metadata(directory.file()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn says_what_is_missing() {
    let missing = Path::new("/nonexistent/weir");
    assert!(matches!(Journal::open(missing, KERNEL, BOOT), Err(JournalError::Directory { .. })));
    let directory = Directory::new();
    fs::create_dir(directory.file()).unwrap();
    assert!(matches!(Journal::open(&directory.0, KERNEL, BOOT), Err(JournalError::Read { .. })));
}

#[test]
fn a_record_that_was_overtaken_or_is_there_again_undoes_no_end() {
    let taken = |sequence, grant| Entry::Taken(Taken { fence: fence(1, sequence), grant, settings: None });
    let mut history = History::default();
    for (sequence, grant, then) in [
        (2, Some(3), Some(3)),
        (2, Some(0), Some(0)),
        (2, Some(3), Some(0)),
        (1, Some(9), Some(0)),
        (3, None, Some(0)),
        (4, Some(5), Some(5)),
    ] {
        history.apply(&taken(sequence, grant.map(Connections::at_most)));
        assert_eq!(history.grant, then.map(Connections::at_most), "after {sequence}, {grant:?}");
    }
    assert_eq!(history.fence, Some(fence(1, 4)));
}
