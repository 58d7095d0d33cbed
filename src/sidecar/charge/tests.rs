mod budget;
mod unknown;

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const BOOT: BootId = BootId([7; 16]);
const SERVER: Incarnation = Incarnation { system: 1, started: 100 };
const RESTARTED: Incarnation = Incarnation { system: 1, started: 200 };
const TIMEOUT: Duration = Duration::from_mins(1);

fn address() -> SocketAddr {
    "192.0.2.1:5432".parse().unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn charges(max: u32) -> Charges {
    Charges::new(BOOT, max)
}

fn identity(incarnation: Incarnation, backend_started: u64) -> Identity {
    Identity { incarnation, backend_started, authentication_timeout: TIMEOUT }
}

/// An attempt that has sent its StartupMessage.
fn start(charges: &mut Charges) -> Attempt {
    let attempt = charges.begin(address()).expect("room for one more");
    charges.starting(attempt);
    attempt
}

/// A connection that has logged in as `pid` and told who its server is.
fn connect(charges: &mut Charges, pid: i32, incarnation: Incarnation, now: Duration) -> Attempt {
    let attempt = charges.begin(address()).expect("room for one more");
    charges.connected(attempt, pid);
    charges.identified(attempt, identity(incarnation, pid.unsigned_abs().into()), now);
    charges.told(attempt);
    attempt
}

fn answer(rows: &[Row]) -> Answer {
    Answer { incarnation: SERVER, authentication_timeout: TIMEOUT, rows: rows.to_vec(), invisible: Some([].into()) }
}

fn row(pid: i32, started: u64) -> Row {
    Row { pid, started: Some(started), application_name: Some((*b"psql").into()) }
}

fn look(charges: &mut Charges, via: Attempt, rows: &[Row], sent: Duration, received: Duration) -> Vec<Attempt> {
    let look = charges.look(via, sent).expect("a look is due");
    charges.looked(&look, &answer(rows), received)
}

#[test]
fn permits_up_to_the_maximum() {
    let mut charges = charges(2);
    let first = charges.begin(address()).unwrap();
    charges.begin(address()).unwrap();
    assert_eq!(charges.begin(address()), None);
    charges.failed_before_start(first);
    assert_eq!(charges.charged(), 1);
    charges.limit(1);
    assert_eq!(charges.begin(address()), None);
    charges.limit(2);
    assert!(charges.begin(address()).is_some());
}

#[test]
fn names_attempts_within_what_postgresql_keeps() {
    let attempt = Attempt { boot: BootId([0xab; 16]), number: u64::MAX };
    assert_eq!(attempt.application_name(), format!("weir/{}/18446744073709551615", "ab".repeat(16)));
    assert!(attempt.application_name().len() < 64);
    assert_eq!(BootId::parse(&"ab".repeat(16)), Some(attempt.boot));
    for bad in ["", "ab", "+a".repeat(16).as_str(), "zz".repeat(16).as_str()] {
        assert_eq!(BootId::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn only_eof_frees_at_once() {
    let mut charges = charges(2);
    let (first, second) = (connect(&mut charges, 1, SERVER, seconds(0)), connect(&mut charges, 2, SERVER, seconds(0)));
    charges.eof(first);
    charges.lost(second, seconds(0));
    assert_eq!((charges.charged(), charges.unconfirmed()), (1, 1));
}

#[test]
fn a_known_backend_must_be_missed_twice_a_second_apart() {
    let mut charges = charges(2);
    let (via, gone) = (connect(&mut charges, 1, SERVER, seconds(0)), connect(&mut charges, 2, SERVER, seconds(0)));
    charges.lost(gone, seconds(0));
    assert_eq!(look(&mut charges, via, &[], seconds(1), seconds(3)), []);
    // Sent less than a second after the first answer.
    assert_eq!(charges.look_due(), Some(seconds(4)));
    assert_eq!(charges.look(via, seconds(3)), None);
    assert_eq!(charges.charged(), 2);
    assert_eq!(look(&mut charges, via, &[], seconds(4), seconds(5)), [gone]);
    assert_eq!(charges.charged(), 1);
}

#[test]
fn a_backend_that_shows_itself_again_starts_over() {
    let mut charges = charges(2);
    let (via, slow) = (connect(&mut charges, 1, SERVER, seconds(0)), connect(&mut charges, 2, SERVER, seconds(0)));
    charges.lost(slow, seconds(0));
    assert_eq!(look(&mut charges, via, &[], seconds(1), seconds(1)), []);
    assert_eq!(look(&mut charges, via, &[row(2, 2)], seconds(20), seconds(20)), []);
    assert_eq!(look(&mut charges, via, &[], seconds(40), seconds(40)), []);
    assert_eq!(look(&mut charges, via, &[], seconds(60), seconds(60)), [slow]);
}

#[test]
fn a_later_process_with_the_same_pid_is_another() {
    let mut charges = charges(2);
    let (via, gone) = (connect(&mut charges, 1, SERVER, seconds(0)), connect(&mut charges, 2, SERVER, seconds(0)));
    charges.lost(gone, seconds(0));
    assert_eq!(look(&mut charges, via, &[row(2, 99)], seconds(1), seconds(1)), []);
    assert_eq!(look(&mut charges, via, &[row(2, 99)], seconds(9), seconds(9)), [gone]);
}

#[test]
fn a_pid_that_serves_another_connection_of_ours_serves_no_older_one() {
    let mut charges = charges(2);
    let old = charges.begin(address()).unwrap();
    charges.connected(old, 7);
    charges.lost(old, seconds(0));
    let new = charges.begin(address()).unwrap();
    charges.connected(new, 7);
    assert_eq!(charges.identified(new, identity(SERVER, 9), seconds(1)), [old]);
}

#[test]
fn a_row_of_another_role_counts_as_ours() {
    let mut charges = charges(2);
    let (via, ours) = (connect(&mut charges, 1, SERVER, seconds(0)), connect(&mut charges, 2, SERVER, seconds(0)));
    charges.lost(ours, seconds(0));
    let hidden = Row { pid: 2, started: None, application_name: None };
    for at in [10, 30, 50] {
        assert_eq!(look(&mut charges, via, std::slice::from_ref(&hidden), seconds(at), seconds(at)), []);
    }
}

#[test]
fn an_attempt_without_a_pid_waits_until_it_would_show_its_name() {
    let mut charges = charges(2);
    let via = connect(&mut charges, 1, SERVER, seconds(0));
    let lost = start(&mut charges);
    charges.lost(lost, seconds(5));
    // From the end of its socket, twice authentication_timeout and 10 s more.
    assert_eq!(charges.look_due(), Some(seconds(135)));
    assert_eq!(charges.look(via, Duration::from_millis(134_999)), None);
    assert_eq!(look(&mut charges, via, &[], seconds(135), seconds(135)), []);
    assert_eq!(look(&mut charges, via, &[], seconds(136), seconds(136)), [lost]);
}

#[test]
fn an_attempt_found_by_its_name_is_followed_by_its_pid() {
    let mut charges = charges(2);
    let via = connect(&mut charges, 1, SERVER, seconds(0));
    let lost = start(&mut charges);
    charges.lost(lost, seconds(0));
    let named = Row { application_name: Some(lost.application_name().into_bytes().into()), ..row(44, 4) };
    assert_eq!(look(&mut charges, via, &[named], seconds(180), seconds(180)), []);
    // Its pid now belongs to somebody else.
    assert_eq!(look(&mut charges, via, &[row(44, 5)], seconds(190), seconds(190)), []);
    assert_eq!(look(&mut charges, via, &[row(44, 5)], seconds(210), seconds(210)), [lost]);
}

#[test]
fn a_restart_of_the_server_frees_what_it_replaced() {
    let mut charges = charges(4);
    let (known, open) = (connect(&mut charges, 1, SERVER, seconds(0)), connect(&mut charges, 2, SERVER, seconds(0)));
    let unknown = start(&mut charges);
    charges.lost(known, seconds(0));
    charges.lost(unknown, seconds(0));
    // The first sight of the new one only bounds the attempt that never logged in: it may be on either.
    let via = charges.begin(address()).unwrap();
    charges.connected(via, 3);
    assert_eq!(
        charges.identified(via, identity(RESTARTED, 3), seconds(1)),
        [],
        "the old server still has an open socket"
    );
    charges.lost(open, seconds(0));
    charges.eof(via);
    let via = charges.begin(address()).unwrap();
    charges.connected(via, 4);
    assert_eq!(charges.identified(via, identity(RESTARTED, 4), seconds(2)), [known, open]);
    charges.eof(via);
    let via = charges.begin(address()).unwrap();
    charges.connected(via, 5);
    let third = Incarnation { system: 1, started: 300 };
    assert_eq!(charges.identified(via, identity(third, 5), seconds(3)), [unknown]);
    assert_eq!(charges.charged(), 1);
}

#[test]
fn a_look_at_the_new_server_frees_what_was_lost_of_the_old_one_later() {
    let mut charges = charges(4);
    let old = connect(&mut charges, 1, SERVER, seconds(0));
    let via = connect(&mut charges, 2, RESTARTED, seconds(1));
    // Its host had gone silent, which takes a while to show.
    charges.lost(old, seconds(0));
    let look = charges.look(via, seconds(30)).unwrap();
    let answer = Answer { incarnation: RESTARTED, ..answer(&[]) };
    assert_eq!(charges.looked(&look, &answer, seconds(30)), [old]);
}

#[test]
fn answers_are_ordered_by_their_questions() {
    let mut charges = charges(4);
    let old = charges.begin(address()).unwrap();
    let via = charges.begin(address()).unwrap();
    let lost = charges.begin(address()).unwrap();
    for (attempt, pid) in [(old, 1), (via, 2), (lost, 3)] {
        charges.connected(attempt, pid);
    }
    // Three logins at once, a restart amid them: which server came first can't be told from these.
    charges.identified(old, identity(SERVER, 1), seconds(1));
    charges.identified(via, identity(RESTARTED, 2), seconds(1));
    charges.identified(lost, identity(RESTARTED, 3), seconds(1));
    charges.lost(old, seconds(0));
    charges.lost(lost, seconds(0));
    assert_eq!(charges.charged(), 3);
    // A look that was sent later can.
    let look = charges.look(via, seconds(2)).unwrap();
    let answer = Answer { incarnation: RESTARTED, ..answer(&[row(3, 3)]) };
    assert_eq!(charges.looked(&look, &answer, seconds(2)), [old]);
    assert_eq!(charges.unconfirmed(), 1);
}

#[test]
fn a_server_known_from_an_earlier_boot_may_be_replaced() {
    let mut charges = charges(4);
    let left = Left {
        attempt: Attempt { boot: BootId([1; 16]), number: 1 },
        address: address(),
        backend: Some(Backend { pid: 1, started: Some(1) }),
        server: Some(SERVER),
    };
    charges.inherit([left.clone()], seconds(0));
    let via = charges.begin(address()).unwrap();
    charges.connected(via, 2);
    assert_eq!(charges.identified(via, identity(RESTARTED, 2), seconds(1)), [left.attempt]);
}

#[test]
fn an_address_that_leads_to_several_servers_frees_nothing_by_a_change() {
    let mut charges = charges(4);
    for (pid, server) in [(1, SERVER), (2, RESTARTED), (3, SERVER)] {
        let attempt = connect(&mut charges, pid, server, seconds(0));
        charges.eof(attempt);
    }
    let lost = connect(&mut charges, 4, SERVER, seconds(1));
    charges.lost(lost, seconds(0));
    connect(&mut charges, 5, RESTARTED, seconds(2));
    assert_eq!(charges.unconfirmed(), 1);
}

#[test]
fn a_connection_from_before_the_change_does_not_bring_the_old_server_back() {
    let mut charges = charges(4);
    let old = charges.begin(address()).unwrap();
    charges.connected(old, 1);
    let lost = connect(&mut charges, 2, SERVER, seconds(0));
    charges.lost(lost, seconds(0));
    let new = connect(&mut charges, 3, RESTARTED, seconds(1));
    // Answered before the restart, read after it.
    charges.identified(old, identity(SERVER, 1), seconds(1));
    charges.lost(old, seconds(0));
    charges.eof(new);
    assert_eq!(charges.charged(), 1, "the restart freed `lost`");
    connect(&mut charges, 4, RESTARTED, seconds(2));
    assert_eq!(charges.charged(), 1, "and frees `old`");
}

#[test]
fn a_late_answer_says_nothing_about_attempts_that_began_after_its_question() {
    let mut charges = charges(4);
    let asked = charges.begin(address()).unwrap();
    charges.connected(asked, 1);
    // The server answers, restarts, and gets a connection, of which we lose sight; only then is its answer read.
    let lost = start(&mut charges);
    charges.lost(lost, seconds(0));
    charges.identified(asked, identity(SERVER, 1), seconds(2));
    charges.eof(asked);
    assert_eq!(charges.unconfirmed(), 1);
    connect(&mut charges, 2, RESTARTED, seconds(3));
    assert_eq!(charges.unconfirmed(), 1, "it may be on the new one");
}

#[test]
fn the_same_server_under_another_address_can_be_asked() {
    let mut charges = charges(4);
    let lost = connect(&mut charges, 1, SERVER, seconds(0));
    charges.lost(lost, seconds(0));
    let elsewhere: SocketAddr = "192.0.2.2:5432".parse().unwrap();
    let via = charges.begin(elsewhere).unwrap();
    charges.connected(via, 2);
    charges.identified(via, identity(SERVER, 2), seconds(0));
    assert_eq!(look(&mut charges, via, &[], seconds(1), seconds(1)), []);
    assert_eq!(look(&mut charges, via, &[], seconds(2), seconds(2)), [lost]);
}

#[test]
fn a_failover_to_another_address_strands_what_can_no_longer_be_asked_about() {
    let mut charges = charges(1);
    let lost = connect(&mut charges, 1, SERVER, seconds(0));
    charges.lost(lost, seconds(0));
    let elsewhere: SocketAddr = "192.0.2.2:5432".parse().unwrap();
    charges.serve(&[elsewhere], seconds(1));
    assert_eq!(charges.charged(), 1, "nobody has seen the new server yet");
    let via = charges.begin_looking(seconds(1), elsewhere).unwrap();
    charges.connected(via, 9);
    charges.identified(via, identity(RESTARTED, 9), seconds(1));
    assert_eq!((charges.charged(), charges.unconfirmed(), charges.looking()), (0, 1, 1));
    charges.serve(&[elsewhere, address()], seconds(2));
    assert_eq!(charges.charged(), 1, "the old server is in use again");
}

#[test]
fn looks_beyond_the_maximum_only_when_nobody_else_can() {
    let mut charges = charges(2);
    assert_eq!(charges.begin_looking(seconds(0), address()), None, "there is room for an ordinary login");
    let (first, second) = (connect(&mut charges, 1, SERVER, seconds(0)), connect(&mut charges, 2, SERVER, seconds(0)));
    charges.lost(first, seconds(0));
    assert_eq!(charges.begin_looking(seconds(0), address()), None, "the second one can look");
    charges.lost(second, seconds(0));
    let looking = charges.begin_looking(seconds(1), address()).unwrap();
    assert_eq!((charges.charged(), charges.looking()), (2, 1));
    assert_eq!(charges.begin_looking(seconds(2), address()), None, "one at a time");
    charges.starting(looking);
    charges.lost(looking, seconds(0));
    assert_eq!(charges.begin_looking(seconds(10), address()), None, "once in 10 s");
    assert_eq!(charges.looking_due(), Some(seconds(11)));
    let via = charges.begin_looking(seconds(11), address()).unwrap();
    charges.connected(via, 3);
    charges.identified(via, identity(SERVER, 3), seconds(11));
    assert_eq!(look(&mut charges, via, &[], seconds(12), seconds(12)), []);
    assert_eq!(look(&mut charges, via, &[], seconds(13), seconds(13)), [first, second]);
    assert_eq!(charges.charged(), 0);
}

#[test]
fn a_boot_that_is_left_one_who_looked_does_not_look_beyond_the_maximum_at_once() {
    for (left, due) in [(1, seconds(5)), (2, seconds(5) + LOOKING_INTERVAL)] {
        let mut charges = charges(1);
        let attempt = |number| Attempt { boot: BootId([1; 16]), number };
        let left =
            (0..left).map(|number| Left { attempt: attempt(number), address: address(), backend: None, server: None });
        charges.inherit(left, seconds(5));
        assert_eq!(charges.looking_due().map(|at| at.max(seconds(5))), Some(due));
    }
}

#[test]
fn fruitless_looks_become_rare() {
    let mut charges = charges(2);
    let (via, slow) = (connect(&mut charges, 1, SERVER, seconds(0)), connect(&mut charges, 2, SERVER, seconds(0)));
    charges.lost(slow, seconds(0));
    let mut at = charges.look_due().unwrap();
    let mut gaps = Vec::new();
    for _ in 0..7 {
        look(&mut charges, via, &[row(2, 2)], at, at);
        let due = charges.look_due().unwrap();
        gaps.push(due.saturating_sub(at).as_secs());
        at = due;
    }
    assert_eq!(gaps, [1, 2, 4, 8, 10, 10, 10]);
}

#[test]
fn a_look_asks_by_pid_or_by_name() {
    let mut charges = charges(3);
    let via = connect(&mut charges, 1, SERVER, seconds(0));
    let known = connect(&mut charges, 4711, SERVER, seconds(0));
    let unknown = start(&mut charges);
    charges.lost(known, seconds(0));
    charges.lost(unknown, seconds(0));
    let sql = charges.look(via, seconds(200)).unwrap().sql(1);
    assert!(sql.contains("'{4711}'::pg_catalog.int4[]"), "{sql}");
    assert!(sql.contains(&format!("'{{{}}}'::pg_catalog.text[]", unknown.application_name())), "{sql}");
    assert!(sql.contains("pg_catalog.pg_locks"), "{sql}");
    charges.eof(unknown);
    let sql = charges.look(via, seconds(300)).unwrap().sql(1);
    assert!(!sql.contains("pg_locks"), "every pid is known: {sql}");
}

fn data_row(columns: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
    for column in columns {
        match column {
            None => body.extend((-1i32).to_be_bytes()),
            Some(bytes) => {
                body.extend(i32::try_from(bytes.len()).unwrap().to_be_bytes());
                body.extend(*bytes);
            }
        }
    }
    body
}

#[test]
fn reads_the_answer_of_a_look() {
    let server: [Option<&[u8]>; 3] = [Some(b"-2"), Some(b"0002a1b2c3d4e5f6"), Some(b"60")];
    let incarnation = Incarnation { system: u64::MAX - 1, started: 0x0002_a1b2_c3d4_e5f6 };
    let none = data_row(&[&server[..], &[None; 4]].concat());
    let empty = Answer { incarnation, authentication_timeout: TIMEOUT, rows: vec![], invisible: None };
    assert_eq!(Answer::parse([none.as_slice()]), Ok(empty.clone()));
    let full =
        data_row(&[&server[..], &[Some(b"{7,40}"), Some(b"42"), Some(b"00000000000000ff"), Some(b"x")]].concat());
    let hidden = data_row(&[&server[..], &[Some(b"{7,40}"), Some(b"43"), None, None]].concat());
    let rows = vec![
        Row { pid: 42, started: Some(255), application_name: Some((*b"x").into()) },
        Row { pid: 43, started: None, application_name: None },
    ];
    assert_eq!(
        Answer::parse([full.as_slice(), &hidden]),
        Ok(Answer { rows, invisible: Some([7, 40].into()), ..empty.clone() })
    );
    assert_eq!(Answer::parse([none.as_slice(), &full]), Err(LookError::Form));
    for (text, invisible) in [(&b"{}"[..], Some([].into())), (b"{1}", Some([1].into())), (b"1", None), (b"{,}", None)] {
        let body = data_row(&[&server[..], &[Some(text), None, None, None]].concat());
        let parsed = Answer::parse([body.as_slice()]).map(|answer| answer.invisible);
        assert_eq!(parsed, invisible.map(Some).ok_or(LookError::Form));
    }
    assert_eq!(Answer::parse([]), Err(LookError::Rows));
    assert_eq!(Identity::parse([none.as_slice()]), Err(LookError::Form));
    let identity = data_row(&[&server[..], &[Some(b"00000000000000ff")]].concat());
    assert_eq!(Identity::parse([identity.as_slice()]).unwrap().backend_started, 255);
    assert_eq!(Identity::parse([identity.as_slice(), &identity]), Err(LookError::Rows));
    for cut in 0..full.len() {
        assert_eq!(Answer::parse([&full[..cut]]), Err(LookError::Form), "{cut}");
    }
}

proptest! {
    #[test]
    fn no_answer_panics(rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..4)) {
        let _ = Answer::parse(rows.iter().map(Vec::as_slice));
        let _ = Identity::parse(rows.iter().map(Vec::as_slice));
    }
}
