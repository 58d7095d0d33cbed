//! With a budget a charge never comes back, and ends by proof alone.

use super::*;

fn budgeted(max: u32) -> Charges {
    let mut charges = charges(max);
    charges.join_budget();
    charges
}

fn elsewhere() -> SocketAddr {
    "192.0.2.2:5432".parse().unwrap()
}

#[test]
fn nothing_is_stranded() {
    let mut charges = budgeted(2);
    let lost = connect(&mut charges, 1, SERVER, seconds(0));
    charges.lost(lost, seconds(0));
    charges.serve(&[elsewhere()], seconds(1));
    let via = charges.begin(elsewhere()).unwrap();
    charges.connected(via, 9);
    charges.identified(via, identity(RESTARTED, 9), seconds(1));
    assert_eq!((charges.charged(), charges.unconfirmed()), (2, 1));
}

#[test]
fn what_was_stranded_counts_again_once_a_budget_holds() {
    let mut charges = charges(1);
    let lost = connect(&mut charges, 1, SERVER, seconds(0));
    charges.lost(lost, seconds(0));
    charges.serve(&[elsewhere()], seconds(1));
    let via = charges.begin_looking(seconds(1), elsewhere()).unwrap();
    charges.connected(via, 9);
    charges.identified(via, identity(RESTARTED, 9), seconds(1));
    assert_eq!((charges.charged(), charges.looking()), (0, 1));
    charges.join_budget();
    assert_eq!((charges.charged(), charges.looking()), (2, 0));
    assert_eq!(charges.begin(elsewhere()), None);
}

#[test]
fn no_login_is_made_beyond_the_maximum() {
    let mut charges = budgeted(1);
    let lost = connect(&mut charges, 1, SERVER, seconds(0));
    charges.lost(lost, seconds(0));
    assert_eq!(charges.looking_due(), None);
    assert_eq!(charges.begin_looking(seconds(100), address()), None);
}

#[test]
fn only_a_later_start_of_the_same_server_replaces_it() {
    let unknown = |started| Incarnation { system: 0, started };
    let other = Incarnation { system: 2, started: 200 };
    let earlier = Incarnation { system: 1, started: 50 };
    for (old, new, budget, freed) in [
        (SERVER, RESTARTED, true, true),
        (SERVER, other, true, false),
        (SERVER, earlier, true, false),
        (unknown(100), unknown(200), true, true),
        (unknown(100), RESTARTED, true, false),
        (SERVER, other, false, true),
        (SERVER, earlier, false, true),
    ] {
        let mut charges = charges(4);
        if budget {
            charges.join_budget();
        }
        let lost = connect(&mut charges, 1, old, seconds(0));
        charges.lost(lost, seconds(0));
        connect(&mut charges, 2, new, seconds(1));
        assert_eq!(charges.unconfirmed() == 0, freed, "{old:?} {new:?} {budget}");
    }
}

#[test]
fn what_is_kept_for_the_journal_is_charged_and_due() {
    let mut charges = budgeted(1);
    let attempt = connect(&mut charges, 1, SERVER, seconds(0));
    assert!(charges.eof(attempt));
    assert!(!charges.eof(attempt), "once is enough");
    charges.keep(attempt);
    assert_eq!((charges.charged(), charges.unconfirmed()), (1, 1));
    assert_eq!(charges.attempts().collect::<Vec<_>>(), [attempt]);
    assert_eq!(charges.look_due(), Some(seconds(0)));
    assert_eq!(charges.begin(address()), None);
    charges.release(attempt);
    assert_eq!((charges.charged(), charges.look_due()), (0, None));
}
