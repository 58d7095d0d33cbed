use std::time::{Duration, Instant};

use super::*;
use crate::policy::limits::Profile;
use crate::sidecar::wire::fatal;
use proptest::prelude::*;

fn limits(min: u32, max: u32) -> Limits {
    Limits { min, max, ..Profile::Production.limits() }
}

#[test]
fn opens_min_ahead_and_more_for_those_who_wait() {
    let counts = Counts::default();
    let open = |limits: &Limits, counts| openings(limits, counts);
    assert_eq!(open(&limits(3, 5), counts), 3);
    assert_eq!(open(&limits(3, 5), Counts { opening: 1, open: 1, ..counts }), 1);
    assert_eq!(open(&limits(1, 5), Counts { open: 1, ..counts }), 0);
    assert_eq!(open(&limits(1, 5), Counts { open: 1, waiting: 2, ..counts }), 2);
    assert_eq!(open(&limits(1, 5), Counts { open: 1, waiting: 2, opening: 1, ..counts }), 1);
    assert_eq!(open(&limits(1, 5), Counts { open: 4, waiting: 2, returning: 2, ..counts }), 0);
    assert_eq!(open(&limits(1, 5), Counts { open: 5, waiting: 100, ..counts }), 0);
    assert_eq!(open(&limits(1, 50), Counts { open: 5, waiting: 100, ..counts }), LOGINS_AT_ONCE);
    assert_eq!(open(&limits(1, 50), Counts { open: 7, opening: 2, waiting: 9, ..counts }), LOGINS_AT_ONCE - 2);
    // A pool that shrank below what is open.
    assert_eq!(open(&limits(1, 2), Counts { open: 5, waiting: 9, ..counts }), 0);
}

#[test]
fn clients_leave_descriptors_to_everything_else() {
    assert_eq!(clients(&limits(1, 8), 1024), 1024 - 8 - 192);
    assert_eq!(clients(&limits(1, 8), 1_000_000), 1_000_000 - 200);
    assert_eq!((clients(&limits(1, 8), 100), clients(&limits(1, 8), 0)), (50, 0));
}

proptest! {
    #[test]
    fn never_opens_beyond_max(min in 1_u32..20, more in 0_u32..20, open in 0_u32..30, opening in 0_u32..30,
                              returning in 0_u32..9, waiting in 0_u32..99, greeting in 0_u32..9,
                              expiring in 0_u32..30, busy in 0_u32..30) {
        let limits = limits(min, min + more);
        let counts = Counts { opening, open, expiring, busy, returning, waiting, greeting };
        let n = openings(&limits, counts);
        prop_assert!(n == 0 || open + opening + n <= limits.max);
        prop_assert!(n == 0 || opening + n <= LOGINS_AT_ONCE);
    }

    #[test]
    fn the_queue_keeps_its_order_and_its_count(steps in proptest::collection::vec(0_u8..6, 0..200)) {
        let now = Instant::now();
        let mut queue = Queue::default();
        // Tickets by client, as the table of clients would hold them.
        let mut model: Vec<(usize, u32)> = Vec::new();
        for (client, step) in steps.into_iter().enumerate() {
            match step {
                0 | 1 => {
                    let ticket = queue.join(client, now);
                    model.push((client, ticket));
                }
                2 if !model.is_empty() => {
                    model.remove(client % model.len());
                    queue.leave();
                }
                3 => {
                    let ticket = queue.rejoin(client, now);
                    model.insert(0, (client, ticket));
                }
                _ => {
                    let waiter = queue.pop(|client, ticket| model.contains(&(client, ticket)));
                    prop_assert_eq!(waiter.map(|waiter| (waiter.client, waiter.ticket)), model.first().copied());
                    if waiter.is_some() {
                        model.remove(0);
                    }
                }
            }
            prop_assert_eq!(queue.len() as usize, model.len());
        }
    }

    #[test]
    fn times_differ_by_a_tenth_at_most(random in any::<u32>()) {
        let (limits, now) = (limits(1, 2), Instant::now());
        let age = Age::new(&limits, now, random);
        let (shortest, longest) = (limits.max_lifetime.mul_f64(0.899), limits.max_lifetime.mul_f64(1.101));
        prop_assert!(!age.is_over(now + shortest) && age.is_over(now + longest));
        let expires = age.next(now).unwrap();
        prop_assert!(!age.is_expiring(now) && age.is_expiring(expires));
        let retire = age.next(expires).unwrap();
        prop_assert_eq!(retire - expires, Duration::from_secs(30));
        prop_assert!(!age.is_expiring(retire) && age.is_over(retire) && age.next(retire).is_none());
        let idle = age.closes_at(&limits, 2, 0, now) - now;
        prop_assert!(idle >= limits.idle_timeout.mul_f64(0.899) && idle <= limits.idle_timeout);
    }

    /// Connections that begin and end as the loop has it, with logins that last one step of a second; transactions are shorter.
    #[test]
    fn a_pool_never_falls_below_min_for_age_and_never_exceeds_max(
        min in 1_u32..8, more in 0_u32..4, chances in proptest::collection::vec(any::<u32>(), 1..50),
        busy in proptest::collection::vec(0_u32..9, 1..50),
    ) {
        let limits = Limits { max_lifetime: Duration::from_mins(5), ..limits(min, min + more) };
        let (mut now, mut open, mut opening) = (Instant::now(), Vec::<Age>::new(), Vec::<Age>::new());
        let (mut chances, mut warm) = (chances.into_iter().cycle(), false);
        for busy in busy.into_iter().cycle().take(1000) {
            now += Duration::from_secs(1);
            open.append(&mut opening);
            let busy = busy.min(u32::try_from(open.len()).unwrap());
            let counts = |open: &Vec<Age>| Counts {
                open: u32::try_from(open.len()).unwrap(),
                expiring: u32::try_from(open.iter().filter(|age| age.is_expiring(now)).count()).unwrap(),
                busy,
                ..Counts::default()
            };
            let mut at = 0;
            while let Some(age) = open.get(at) {
                let goes = age.is_over(now) || (age.is_expiring(now) && may_go(&limits, counts(&open)));
                if goes { open.remove(at); } else { at += 1; }
            }
            for _ in 0..openings(&limits, counts(&open)) {
                opening.push(Age::new(&limits, now, chances.next().unwrap()));
            }
            prop_assert!(open.len() + opening.len() <= limits.max as usize);
            warm |= open.len() >= min as usize;
            // Without room for a successor one is missing for a moment.
            let least = (min - u32::from(more == 0)) as usize;
            prop_assert!(!warm || open.len() >= least, "{} of {min}", open.len());
        }
        prop_assert!(warm);
    }
}

#[test]
fn who_waits_again_stands_where_it_came_and_each_is_told_once() {
    let at = |seconds| Instant::now().checked_add(Duration::from_secs(seconds)).unwrap();
    let [first, second, third, later] = [0, 1, 2, 3].map(at);
    let mut queue = Queue::default();
    let there = |_, ticket| ticket != 4;
    let told = |queue: &mut Queue, since| {
        let told = queue.tell(since, there);
        told.iter().map(|(waiter, ahead)| (waiter.client, *ahead)).collect::<Vec<_>>()
    };
    for (client, came) in [(10, first), (20, second), (30, third)] {
        queue.join(client, came);
    }
    assert_eq!(queue.untold(there).map(|waiter| waiter.client), Some(10));
    assert_eq!(told(&mut queue, second), [(10, 0), (20, 1)]);
    assert_eq!(queue.untold(there).map(|waiter| waiter.client), Some(30));
    // One who leaves is no longer ahead.
    queue.join(40, third);
    queue.leave();
    queue.join(50, later);
    let popped = [queue.pop(there), queue.pop(there)].map(|waiter| waiter.unwrap().client);
    assert_eq!(popped, [10, 20]);
    queue.rejoin(20, second);
    queue.rejoin(10, first);
    assert_eq!(queue.untold(there).map(|waiter| waiter.client), Some(10));
    assert_eq!(told(&mut queue, later), [(10, 0), (20, 1), (30, 2), (50, 3)]);
    assert_eq!((told(&mut queue, later), queue.untold(there)), (vec![], None));
    let order: Vec<_> = std::iter::from_fn(|| queue.pop(there)).map(|waiter| waiter.client).collect();
    assert_eq!(order, [10, 20, 30, 50]);
}

#[test]
fn closes_idle_connections_above_min_and_old_ones() {
    let (limits, now) = (limits(2, 4), Instant::now());
    let age = Age::new(&limits, now, 0);
    let retire = now + limits.max_lifetime.mul_f64(0.9);
    assert_eq!(age.closes_at(&limits, 2, 0, now), retire);
    assert_eq!(age.closes_at(&limits, 3, 0, now), now + limits.idle_timeout);
    assert_eq!(age.closes_at(&limits, 3, 1, now), retire, "a successor");
    assert_eq!(age.closes_at(&limits, 4, 1, now), now + limits.idle_timeout);
    assert_eq!(age.closes_at(&limits, 3, 0, retire), retire);
    assert_eq!(age.closes_at(&limits, 5, 0, now), now);
}

#[test]
fn an_expiring_connection_gets_a_successor_and_then_goes() {
    let (limits, counts) = (limits(2, 4), Counts::default());
    let expiring = Counts { open: 2, expiring: 1, ..counts };
    assert_eq!((openings(&limits, expiring), may_go(&limits, expiring)), (1, false));
    let opening = Counts { opening: 1, ..expiring };
    assert_eq!((openings(&limits, opening), may_go(&limits, opening)), (0, false));
    let both = Counts { open: 3, ..expiring };
    assert_eq!((openings(&limits, both), may_go(&limits, both)), (0, true));
    // As many as are in use, and for those who wait the old ones will do.
    assert_eq!(openings(&limits, Counts { busy: 3, ..both }), 1);
    assert!(!may_go(&limits, Counts { busy: 2, waiting: 1, ..both }));
    // All of them, and room for one: one after the other.
    let full = Counts { open: 4, expiring: 3, ..counts };
    assert_eq!((openings(&limits, full), may_go(&limits, full)), (0, true));
    assert_eq!(openings(&limits, Counts { open: 3, expiring: 2, ..counts }), 1);
    let in_use = Counts { open: 4, expiring: 4, busy: 4, ..counts };
    assert!(may_go(&limits, in_use));
    assert!(!may_go(&limits, Counts { open: 3, opening: 1, expiring: 3, ..in_use }));
}

#[test]
fn pauses_grow_to_five_seconds_and_end_with_a_success() {
    let mut backoff = Backoff::default();
    let mut now = Instant::now();
    let cause = Cause::new(fatal(*b"28P01", "password authentication failed"));
    assert!(!cause.passing);
    for expected in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
        backoff.failed(cause.clone(), now, 0);
        backoff.failed(cause.clone(), now, 0);
        assert_eq!(backoff.pause(now), Some(now + Duration::from_millis(expected)));
        now += Duration::from_millis(expected);
        assert_eq!(backoff.pause(now), None);
    }
    assert_eq!(backoff.cause(), Some(&cause));
    backoff.succeeded();
    assert_eq!((backoff.cause(), backoff.pause(now)), (None, None));
}

#[test]
fn who_waits_for_long_is_told_behind_whom_and_what_holds() {
    let told = |holds| {
        let notice = still_waiting(&limits(1, 5), 7, Duration::from_millis(5001), holds);
        assert_eq!(notice.code(), "00000");
        assert_eq!(notice.message, "waiting for a server connection for 5001 ms, with 7 clients ahead in the queue");
        assert!(notice.hint.is_some_and(|hint| hint.contains("connectionTimeout (10s)")));
        notice.detail.unwrap()
    };
    assert_eq!(told(Holds::Max), "All 5 server connections that spec.limits.max allows this instance are in use.");
    let cause = Cause::new(fatal(*b"57P03", "the database system is starting up"));
    assert_eq!(told(Holds::Login(&cause)), "The last login at PostgreSQL failed with SQLSTATE 57P03.");
    assert_eq!(
        told(Holds::Login(&cause)),
        told(holds(&limits(1, 5), Counts { open: 4, ..Counts::default() }, Some(&cause)))
    );
    assert_eq!(told(Holds::Max), told(holds(&limits(1, 5), Counts { open: 5, ..Counts::default() }, Some(&cause))));
    assert!(told(holds(&limits(1, 5), Counts { open: 4, opening: 1, ..Counts::default() }, None)).contains("opened"));
    assert!(told(holds(&limits(1, 5), Counts { open: 4, ..Counts::default() }, None)).contains("spec.budget"));
}

#[test]
fn a_timeout_says_how_long_behind_whom_and_what_to_raise() {
    let refusal = timed_out(&limits(1, 5), 7, Duration::from_millis(1002), None);
    assert_eq!(refusal.code(), "53300");
    assert_eq!(refusal.message, "no server connection became free: waited 1002 ms, the pool's connectionTimeout");
    assert_eq!(
        refusal.detail.as_deref(),
        Some("All 5 server connections of this instance were in use, and 7 clients were ahead in the queue.")
    );
    assert!(refusal.hint.is_some_and(|hint| hint.contains("spec.limits.max") && hint.contains("connectionTimeout")));

    let cause = Cause::new(fatal(*b"57P03", "the database system is starting up"));
    let refusal = timed_out(&limits(1, 5), 7, Duration::from_secs(1), Some(&cause));
    assert_eq!(
        (refusal.code(), &*refusal.message),
        ("57P03".into(), "the database system is starting up; waited 1000 ms for a server connection")
    );
}
