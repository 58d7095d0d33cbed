use super::*;
use crate::policy::budget::exchange::RoleId;

const HERE: Upstream = Upstream { system: 7, started: 1, role: RoleId([1; 8]) };
const THERE: Upstream = Upstream { system: 7, started: 2, role: RoleId([1; 8]) };
const HOUR: u64 = 3_600_000_000;
const CREATED: u64 = 10 * HOUR;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn row(pid: i32) -> Backend {
    Backend { pid, started: CREATED + 1 }
}

fn look(at: u64, rows: &[Backend]) -> Seen<'_> {
    Seen {
        asked: seconds(at),
        answered: seconds(at),
        upstream: HERE,
        authentication_timeout: seconds(60),
        invisible: 0,
        cut: false,
        rows,
    }
}

fn claims(backends: &[Backend]) -> Claims {
    Claims { complete: true, upstreams: BTreeSet::from([HERE]), backends: backends.iter().copied().collect() }
}

fn pod() -> PodUid {
    PodUid::new("pod-1").unwrap()
}

fn dead_at(since: u64) -> Judge {
    let mut judge = Judge::default();
    judge.died(pod(), seconds(since), CREATED, Some(HERE), &[]);
    judge
}

fn is_cleared(judge: &mut Judge, seen: &Seen<'_>, claims: &Claims) -> bool {
    !judge.judge(seen, claims).cleared.is_empty()
}

#[test]
fn two_clean_looks_clear_and_both_come_after_the_last_login_can_have_ended() {
    let mut judge = dead_at(100);
    for at in [101, 110, 229, 230] {
        assert!(!is_cleared(&mut judge, &look(at, &[]), &claims(&[])), "at {at}");
    }
    assert!(is_cleared(&mut judge, &look(231, &[]), &claims(&[])));
    assert!(!judge.is_asked());
}

#[test]
fn one_look_does_not_clear_however_late_it_is() {
    let mut judge = dead_at(100);
    assert!(!is_cleared(&mut judge, &look(1000, &[]), &claims(&[])));
    assert!(!is_cleared(
        &mut judge,
        &Seen { asked: Duration::from_millis(1_000_999), ..look(1000, &[]) },
        &claims(&[])
    ));
    assert!(is_cleared(&mut judge, &look(1001, &[]), &claims(&[])));
}

#[test]
fn a_row_that_nobody_living_claims_keeps_the_dead_charged_and_clean_looks_begin_anew() {
    let mut judge = dead_at(100);
    assert!(!is_cleared(&mut judge, &look(300, &[]), &claims(&[])));
    let verdict = judge.judge(&look(400, &[row(5), row(6)]), &claims(&[row(6)]));
    assert_eq!((verdict.cleared, verdict.suspects), (vec![], vec![row(5)]));
    assert!(!is_cleared(&mut judge, &look(500, &[row(6)]), &claims(&[row(6)])));
    assert!(is_cleared(&mut judge, &look(501, &[row(6)]), &claims(&[row(6)])));
}

#[test]
fn the_same_pid_with_another_start_is_another_backend() {
    let mut judge = dead_at(100);
    let claimed = Backend { started: CREATED + 2, ..row(5) };
    for at in [300, 310] {
        assert!(!is_cleared(&mut judge, &look(at, &[row(5)]), &claims(&[claimed])), "at {at}");
    }
}

#[test]
fn rows_of_others_are_known_from_when_all_were_alive_and_older_rows_are_not_a_pods() {
    let mut judge = Judge::default();
    assert_eq!(judge.judge(&look(1, &[row(5), row(6)]), &claims(&[row(6)])).foreign, 1);
    judge.died(pod(), seconds(100), CREATED, Some(HERE), &[]);
    let old = Backend { pid: 9, started: CREATED - HOUR - 1 };
    let rows = [row(5), old];
    assert!(!is_cleared(&mut judge, &look(300, &rows), &claims(&[])));
    assert!(is_cleared(&mut judge, &look(301, &rows), &claims(&[])));
}

#[test]
fn incomplete_claims_and_the_presence_of_dead_make_nothing_foreign() {
    let mut judge = Judge::default();
    let incomplete = Claims { complete: false, ..claims(&[]) };
    assert_eq!(judge.judge(&look(1, &[row(5)]), &incomplete).foreign, 0);
    judge.died(pod(), seconds(2), CREATED, Some(HERE), &[]);
    assert_eq!(judge.judge(&look(3, &[row(5)]), &claims(&[])).foreign, 0);
    for at in [300, 301, 302] {
        assert!(!is_cleared(&mut judge, &look(at, &[row(5)]), &claims(&[])), "at {at}");
    }
}

#[test]
fn a_look_that_is_cut_or_blind_or_at_another_server_clears_nobody() {
    let clean = look(300, &[]);
    let looks = [
        (Seen { cut: true, ..clean.clone() }, claims(&[])),
        (Seen { invisible: 1, ..clean.clone() }, claims(&[])),
        (Seen { upstream: THERE, ..clean.clone() }, Claims { upstreams: BTreeSet::from([THERE]), ..claims(&[]) }),
        (clean.clone(), Claims { upstreams: BTreeSet::from([HERE, THERE]), ..claims(&[]) }),
    ];
    for (seen, claims) in looks {
        let mut judge = dead_at(100);
        for _ in 0..3 {
            assert!(!is_cleared(&mut judge, &seen, &claims), "{seen:?}");
        }
    }
}

#[test]
fn a_look_sent_before_the_death_was_known_says_nothing() {
    let mut judge = dead_at(400);
    assert!(!is_cleared(&mut judge, &look(399, &[]), &claims(&[])));
    assert!(!is_cleared(&mut judge, &look(530, &[]), &claims(&[])));
    assert!(is_cleared(&mut judge, &look(531, &[]), &claims(&[])));
}

#[test]
fn a_lowered_authentication_timeout_shortens_no_wait() {
    let mut judge = dead_at(100);
    judge.judge(&look(101, &[]), &claims(&[]));
    let lowered = Seen { authentication_timeout: seconds(1), ..look(229, &[]) };
    assert!(!is_cleared(&mut judge, &lowered, &claims(&[])));
}

#[test]
fn a_server_that_took_the_place_of_another_has_nothing_of_those_who_died_before() {
    let of = |system, started, role| Upstream { system, started, role: RoleId([role; 8]) };
    let (restarted, standby) = (of(7, 2, 1), of(7, 0, 1));
    let (another, unknown, other_role) = (of(8, 2, 1), of(0, 2, 1), of(7, 2, 2));
    for (now, clears) in
        [(HERE, true), (restarted, true), (standby, true), (another, false), (unknown, false), (other_role, false)]
    {
        let mut judge = dead_at(100);
        let look = |at| Seen { upstream: now, ..look(at, &[]) };
        let claims = Claims { upstreams: BTreeSet::from([now]), ..claims(&[]) };
        let wait = if now == HERE { 1 } else { 60 };
        assert!(!is_cleared(&mut judge, &look(300), &claims), "{now:?}");
        assert!(!is_cleared(&mut judge, &look(300 + wait - 1), &claims), "{now:?}");
        assert_eq!(is_cleared(&mut judge, &look(300 + wait), &claims), clears, "{now:?}");
    }
    // One that leads back meanwhile begins anew.
    let mut judge = dead_at(100);
    let at = |now, second| Seen { upstream: now, ..look(second, &[]) };
    let suspect = [row(5)];
    let on = |now| Claims { upstreams: BTreeSet::from([now]), ..claims(&[]) };
    assert!(!is_cleared(&mut judge, &at(standby, 300), &on(standby)));
    assert!(!is_cleared(&mut judge, &Seen { rows: &suspect, ..at(HERE, 330) }, &on(HERE)));
    assert!(!is_cleared(&mut judge, &at(standby, 361), &on(standby)));
    assert!(is_cleared(&mut judge, &at(standby, 421), &on(standby)));
    let mut judge = Judge::default();
    judge.died(pod(), seconds(100), CREATED, Some(of(0, 1, 1)), &[]);
    let there = Claims { upstreams: BTreeSet::from([unknown]), ..claims(&[]) };
    for at in [300, 301, 302] {
        assert!(!is_cleared(&mut judge, &Seen { upstream: unknown, ..look(at, &[]) }, &there), "{at}");
    }
}

#[test]
fn where_a_pod_was_never_heard_the_living_vouch_for_the_server() {
    let mut judge = Judge::default();
    judge.died(pod(), seconds(100), CREATED, None, &[]);
    let nobody = Claims { upstreams: BTreeSet::new(), ..claims(&[]) };
    for at in [300, 301] {
        assert!(!is_cleared(&mut judge, &look(at, &[]), &nobody), "at {at}");
    }
    assert!(!is_cleared(&mut judge, &look(302, &[]), &claims(&[])));
    assert!(is_cleared(&mut judge, &look(303, &[]), &claims(&[])));
}

#[test]
fn a_row_that_a_pod_has_claimed_is_nobody_elses_any_more() {
    let mut judge = Judge::default();
    assert_eq!(judge.judge(&look(1, &[row(5)]), &claims(&[])).foreign, 1);
    judge.died(pod(), seconds(100), CREATED, Some(HERE), &[row(5)]);
    for at in [300, 301] {
        assert!(!is_cleared(&mut judge, &look(at, &[row(5)]), &claims(&[])), "at {at}");
    }
}

#[test]
fn a_look_that_is_cut_forgets_nothing_of_others() {
    let mut judge = Judge::default();
    judge.judge(&look(1, &[row(5)]), &claims(&[]));
    judge.judge(&Seen { cut: true, ..look(2, &[]) }, &claims(&[]));
    judge.died(pod(), seconds(100), CREATED, Some(HERE), &[]);
    assert!(!is_cleared(&mut judge, &look(300, &[row(5)]), &claims(&[])));
    assert!(is_cleared(&mut judge, &look(301, &[row(5)]), &claims(&[])));
}
