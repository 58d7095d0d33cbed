//! Attempts that never learned their pid, and looks that are about many.

use super::*;

/// A look that finds no row of ours, and these processes without one.
fn look(charges: &mut Charges, via: Attempt, invisible: &[i32], at: u64) -> Vec<Attempt> {
    let look = charges.look(via, seconds(at)).expect("a look is due");
    let answer = Answer { invisible: Some(invisible.iter().copied().collect()), ..answer(&[]) };
    charges.looked(&look, &answer, seconds(at))
}

/// A connection to look through, and an attempt that was lost in its login.
fn lost(charges: &mut Charges) -> (Attempt, Attempt) {
    let via = connect(charges, 1, SERVER, seconds(0));
    let lost = start(charges);
    charges.lost(lost, seconds(0));
    (via, lost)
}

#[test]
fn an_attempt_that_sent_no_startup_message_ends_with_its_socket() {
    let mut charges = charges(2);
    let attempt = charges.begin(address()).unwrap();
    assert!(charges.lost(attempt, seconds(0)));
    assert_eq!(charges.charged(), 0);
    let attempt = start(&mut charges);
    assert!(!charges.lost(attempt, seconds(0)));
    assert_eq!(charges.charged(), 1);
}

#[test]
fn an_invisible_process_may_be_the_backend() {
    let mut charges = charges(2);
    let (via, lost) = lost(&mut charges);
    for at in [200, 220, 240, 260] {
        assert_eq!(look(&mut charges, via, &[7], at), []);
    }
    // Gone, or it has just got a row, and not yet a name.
    assert_eq!(look(&mut charges, via, &[], 280), []);
    assert_eq!(look(&mut charges, via, &[], 300), [lost]);
}

#[test]
fn an_invisible_process_that_shows_our_name_is_the_backend() {
    let mut charges = charges(2);
    let (via, lost) = lost(&mut charges);
    assert_eq!(look(&mut charges, via, &[7], 200), []);
    assert_eq!(look(&mut charges, via, &[], 220), []);
    let named = Row { application_name: Some(lost.application_name().into_bytes().into()), ..row(7, 4) };
    assert_eq!(super::look(&mut charges, via, &[named], seconds(240), seconds(240)), []);
    assert_eq!(look(&mut charges, via, &[], 260), []);
    assert_eq!(look(&mut charges, via, &[], 280), [lost]);
}

#[test]
fn logins_that_come_and_go_are_not_the_backend() {
    let mut charges = charges(2);
    let (via, lost) = lost(&mut charges);
    assert_eq!(look(&mut charges, via, &[7, 8], 200), []);
    assert_eq!(look(&mut charges, via, &[8, 9], 220), [], "8 may be it");
    assert_eq!(look(&mut charges, via, &[9, 10], 240), []);
    assert_eq!(look(&mut charges, via, &[11], 260), [lost]);
}

#[test]
fn a_look_that_did_not_ask_for_invisible_processes_decides_nothing() {
    let mut charges = charges(2);
    let (via, _) = lost(&mut charges);
    for at in [200, 220, 240] {
        let look = charges.look(via, seconds(at)).unwrap();
        let answer = Answer { invisible: None, ..answer(&[]) };
        assert_eq!(charges.looked(&look, &answer, seconds(at)), []);
    }
}

#[test]
fn an_invisible_process_is_none_of_the_backends_whose_pid_is_known() {
    let mut charges = charges(2);
    let (via, known) = (connect(&mut charges, 1, SERVER, seconds(0)), connect(&mut charges, 2, SERVER, seconds(0)));
    charges.lost(known, seconds(0));
    assert_eq!(look(&mut charges, via, &[7], 1), []);
    assert_eq!(look(&mut charges, via, &[7], 9), [known]);
}

#[test]
fn the_longest_timeout_seen_counts() {
    let mut charges = charges(3);
    lost(&mut charges);
    let lowered = Identity { authentication_timeout: seconds(1), ..identity(SERVER, 5) };
    let another = charges.begin(address()).unwrap();
    charges.connected(another, 5);
    charges.identified(another, lowered, seconds(1));
    assert_eq!(charges.look_due(), Some(seconds(130)));
}

#[test]
fn looks_about_many_take_turns() {
    let mut charges = charges(601);
    let via = connect(&mut charges, 1, SERVER, seconds(0));
    let mut left: Vec<_> = (2..602).map(|pid| connect(&mut charges, pid, SERVER, seconds(0))).collect();
    for attempt in &left {
        charges.lost(*attempt, seconds(0));
    }
    // The first 300 live on.
    let rows: Vec<_> = (2..302).map(|pid| row(pid, pid.unsigned_abs().into())).collect();
    for round in 1..12 {
        let at = seconds(round * 20);
        for freed in super::look(&mut charges, via, &rows, at, at) {
            left.retain(|attempt| *attempt != freed);
        }
    }
    assert_eq!(left.len(), 300);
    assert_eq!(charges.unconfirmed(), 300);
}

#[test]
fn an_earlier_boots_servers_are_known_in_the_order_of_its_journal() {
    let of = |boot: u8, number, server| Left {
        attempt: Attempt { boot: BootId([boot; 16]), number },
        address: address(),
        backend: Some(Backend { pid: 1, started: Some(1) }),
        server: Some(server),
    };
    // The second boot's id is the lower one.
    let (old, new) = (of(9, 1, SERVER), of(1, 1, RESTARTED));
    let mut charges = charges(4);
    charges.inherit([old.clone(), new.clone()], seconds(0));
    let via = charges.begin(address()).unwrap();
    charges.connected(via, 2);
    assert_eq!(charges.identified(via, identity(RESTARTED, 2), seconds(1)), [old.attempt]);
    assert_eq!(charges.unconfirmed(), 1, "{:?} is on the server in use", new.attempt);
}
