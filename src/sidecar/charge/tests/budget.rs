//! With a budget a charge never comes back, and ends by proof alone.

use super::*;

/// A standby of it.
const OTHER: Incarnation = Incarnation { system: 1, started: 200 };

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
fn what_is_left_on_one_server_costs_another_nothing() {
    let mut charges = budgeted(3);
    let left = [1, 2, 3].map(|pid| connect(&mut charges, pid, SERVER, seconds(0)));
    for lost in &left {
        assert!(!charges.lost(*lost, seconds(1)));
    }
    charges.serve(&[elsewhere()], seconds(1));
    assert_eq!((charges.charged(), charges.unconfirmed(), charges.begin(elsewhere())), (3, 3, None));
    charges.grant(4);
    for (pid, open) in [(7, 1), (8, 2), (9, 3)] {
        let via = charges.begin(elsewhere()).unwrap();
        assert_eq!(charges.charged(), 4, "until it has told its server it may be at the old one");
        charges.connected(via, pid);
        charges.identified(via, identity(OTHER, 9), seconds(1));
        assert_eq!(charges.charged(), 4, "nor does that count before the journal has it");
        charges.told(via);
        assert_eq!((charges.charged(), charges.unconfirmed(), charges.counts.open), (3, 3, open));
    }
    assert_eq!(charges.begin(elsewhere()), None, "as much is open as may be");
}

/// Looks through `via`, a connection to `server` that sees none of ours, each second from `from` to `to`.
fn looks(charges: &mut Charges, via: Attempt, server: Incarnation, from: u64, to: u64) -> Vec<(u64, Attempt)> {
    let mut ended = vec![];
    for second in from..=to {
        if let Some(look) = charges.look(via, seconds(second)) {
            let answer = Answer { incarnation: server, ..answer(&[]) };
            ended.extend(charges.looked(&look, &answer, seconds(second)).into_iter().map(|attempt| (second, attempt)));
        }
    }
    ended
}

#[test]
fn what_was_lost_ends_a_minute_after_its_server_was_left_though_nothing_is_opened() {
    let mut charges = budgeted(4);
    let lost = connect(&mut charges, 1, SERVER, seconds(0));
    charges.lost(lost, seconds(10));
    let via = connect(&mut charges, 2, OTHER, seconds(11));
    assert_eq!(looks(&mut charges, via, OTHER, 12, 69), []);
    assert!(matches!(looks(&mut charges, via, OTHER, 70, 90)[..], [(70..81, ended)] if ended == lost));
    assert_eq!((charges.charged(), charges.unconfirmed()), (1, 0));
}

#[test]
fn a_server_that_answers_again_or_that_others_are_open_on_was_not_left() {
    for open in [true, false] {
        let mut charges = budgeted(4);
        let lost = connect(&mut charges, 1, SERVER, seconds(0));
        charges.lost(lost, seconds(0));
        let other = connect(&mut charges, 2, SERVER, if open { seconds(0) } else { seconds(50) });
        if !open {
            charges.eof(other);
        }
        let via = connect(&mut charges, 3, OTHER, seconds(51));
        assert_eq!(looks(&mut charges, via, OTHER, 52, 109), [], "{open}");
        let ended = looks(&mut charges, via, OTHER, 110, 200);
        assert_eq!(
            ended.iter().map(|(_, attempt)| *attempt).collect::<Vec<_>>(),
            if open { vec![] } else { vec![lost] }
        );
    }
}

#[test]
fn an_answer_that_was_read_late_says_nothing_about_now() {
    let mut charges = budgeted(4);
    let via = connect(&mut charges, 2, OTHER, seconds(0));
    let lost = connect(&mut charges, 1, SERVER, seconds(0));
    charges.lost(lost, seconds(1));
    let look = charges.look(via, seconds(3)).unwrap();
    let late = charges.looked(&look, &Answer { incarnation: OTHER, ..answer(&[]) }, seconds(90));
    assert_eq!(late, []);
}

#[test]
fn an_attempt_that_told_no_server_is_looked_for_once_no_other_server_answered_for_a_minute() {
    for pid in [true, false] {
        let mut charges = budgeted(4);
        let first = connect(&mut charges, 1, SERVER, seconds(0));
        charges.eof(first);
        let lost = start(&mut charges);
        if pid {
            charges.connected(lost, 7);
        }
        charges.lost(lost, seconds(5));
        // It leads to another server, at another address, and back.
        let via = charges.begin(elsewhere()).unwrap();
        charges.connected(via, 9);
        charges.identified(via, identity(OTHER, 9), seconds(6));
        assert_eq!(looks(&mut charges, via, OTHER, 7, 49), []);
        let other = charges.begin(elsewhere()).unwrap();
        charges.connected(other, 11);
        charges.identified(other, identity(OTHER, 11), seconds(49));
        charges.eof(other);
        let back = connect(&mut charges, 10, SERVER, seconds(50));
        assert_eq!(looks(&mut charges, back, SERVER, 51, 64), []);
        assert_eq!(charges.charged(), 1 + 1 + 1, "by the journal, one and what has told nothing");
        charges.eof(via);
        let ended = looks(&mut charges, back, SERVER, 65, 300);
        assert!(matches!(ended[..], [(at, ended)] if ended == lost && at >= 109), "{pid} {ended:?}");
    }
}

#[test]
fn an_attempt_that_told_no_server_does_not_end_by_a_pid_that_is_used_again() {
    let mut charges = budgeted(4);
    let lost = start(&mut charges);
    charges.connected(lost, 7);
    charges.lost(lost, seconds(0));
    connect(&mut charges, 7, OTHER, seconds(1));
    assert_eq!(charges.charged(), 2);
}

#[test]
fn a_server_is_the_same_whether_or_not_its_role_may_see_the_system_identifier() {
    let hidden = Incarnation { system: 0, ..SERVER };
    for (first, second) in [(SERVER, hidden), (hidden, SERVER)] {
        for budget in [true, false] {
            let mut charges = charges(4);
            if budget {
                charges.join_budget();
            }
            let lost = connect(&mut charges, 1, first, seconds(0));
            charges.lost(lost, seconds(0));
            let via = connect(&mut charges, 2, second, seconds(1));
            assert_eq!(charges.charged(), 2, "{first:?} {budget}");
            let ended: Vec<_> = looks(&mut charges, via, second, 2, 30).iter().map(|(_, ended)| *ended).collect();
            assert_eq!((ended, charges.backends(second).count()), (vec![lost], 1), "{first:?} {budget}");
        }
    }
}

#[test]
fn one_that_has_lost_its_limit_may_be_granted_others_beside_it() {
    let mut charges = budgeted(2);
    charges.grant(2);
    let left = [1, 2].map(|pid| connect(&mut charges, pid, SERVER, seconds(0)));
    for lost in &left {
        assert!(!charges.lost(*lost, seconds(1)));
    }
    assert_eq!(charges.begin(address()), None);
    charges.grant(5);
    connect(&mut charges, 3, SERVER, seconds(1));
    connect(&mut charges, 4, SERVER, seconds(1));
    assert_eq!((charges.charged(), charges.unconfirmed()), (4, 2));
    assert_eq!(charges.begin(address()), None, "the limit is what may be open");
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
fn another_server_at_the_address_replaces_none() {
    let unknown = |started| Incarnation { system: 0, started };
    let other = Incarnation { system: 2, started: 200 };
    // A standby that was started later passes for a later run of its primary.
    for (old, new) in [(SERVER, RESTARTED), (SERVER, other), (unknown(100), unknown(200)), (unknown(100), RESTARTED)] {
        for budget in [true, false] {
            let mut charges = charges(4);
            if budget {
                charges.join_budget();
            }
            let lost = connect(&mut charges, 1, old, seconds(0));
            charges.lost(lost, seconds(0));
            connect(&mut charges, 2, new, seconds(1));
            assert_eq!(charges.attempts().any(|attempt| attempt == lost), budget, "{old:?} {new:?}");
        }
    }
}

#[test]
fn what_is_kept_for_the_journal_is_charged_and_due() {
    let mut charges = budgeted(1);
    let attempt = connect(&mut charges, 1, SERVER, seconds(0));
    assert!(charges.eof(attempt));
    assert!(!charges.eof(attempt), "once is enough");
    charges.keep(attempt, Some(SERVER));
    assert_eq!((charges.charged(), charges.unconfirmed()), (1, 1));
    assert_eq!(charges.attempts().collect::<Vec<_>>(), [attempt]);
    assert_eq!(charges.look_due(), Some(seconds(0)));
    assert_eq!(charges.begin(address()), None);
    charges.release(attempt);
    assert_eq!((charges.charged(), charges.look_due()), (0, None));
}

/// What may happen to a pod that two servers share an address with.
#[derive(Clone, Debug)]
enum Event {
    Begin(bool),
    Lose(usize),
    Eof(usize),
    Restart,
}

proptest! {
    /// Whichever server answers, and whatever is forgotten by a restart: no server has more than is charged, and only a beginning,
    /// which the grant bounds, raises the charge.
    #[test]
    fn the_charge_covers_each_server_and_rises_by_beginnings_alone(
        grant in 1_u32..5,
        events in prop::collection::vec(
            prop_oneof![
                4 => any::<bool>().prop_map(Event::Begin),
                2 => (0_usize..8).prop_map(Event::Lose),
                2 => (0_usize..8).prop_map(Event::Eof),
                1 => Just(Event::Restart),
            ],
            0..40,
        ),
        told in prop::collection::vec(0..3_u8, 40),
    ) {
        let mut charges = budgeted(8);
        charges.grant(grant);
        let mut boot = 7;
        // Who is alive, where, and what the journal has of it.
        let mut alive: Vec<(Attempt, Incarnation, Option<Incarnation>, bool)> = vec![];
        for (event, told) in events.iter().zip(told) {
            let before = charges.charged();
            match event {
                Event::Begin(first) => {
                    let server = if *first { SERVER } else { OTHER };
                    if let Some(attempt) = charges.begin(address()) {
                        charges.starting(attempt);
                        prop_assert!(charges.charged() <= grant.max(before));
                        let mut journal = None;
                        if told > 0 {
                            charges.connected(attempt, i32::try_from(attempt.number).unwrap() + i32::from(boot) * 100);
                            charges.identified(attempt, identity(server, attempt.number), seconds(1));
                        }
                        if told > 1 {
                            charges.told(attempt);
                            journal = Some(server);
                        }
                        alive.push((attempt, server, journal, true));
                    }
                }
                Event::Lose(at) => {
                    if let Some((attempt, .., open)) = alive.get_mut(*at).filter(|(.., open)| *open) {
                        *open = false;
                        charges.lost(*attempt, seconds(1));
                        prop_assert!(charges.charged() <= before);
                    }
                }
                Event::Eof(at) => {
                    if alive.get(*at).is_some_and(|(.., open)| *open) {
                        charges.eof(alive.remove(*at).0);
                        prop_assert!(charges.charged() <= before);
                    }
                }
                Event::Restart => {
                    boot += 1;
                    charges = Charges::new(BootId([boot; 16]), 8);
                    let left = |(attempt, _, server, open): &mut (Attempt, Incarnation, Option<Incarnation>, bool)| {
                        *open = false;
                        Left { attempt: *attempt, address: address(), backend: None, server: *server }
                    };
                    charges.inherit(alive.iter_mut().map(left), seconds(2));
                    charges.join_budget();
                    charges.grant(grant);
                    prop_assert!(charges.charged() <= before);
                }
            }
            for server in [SERVER, OTHER] {
                let there = alive.iter().filter(|(_, at, ..)| *at == server).count();
                prop_assert!(there <= charges.charged() as usize, "{there} {event:?}");
            }
        }
    }
}
