//! The obvious fleets, by hand.

use super::*;

#[test]
fn one_busy_and_three_idle() {
    let mut rounds = Rounds::new(80, vec![pod(80, 5, 0); 4]);
    rounds.seconds(10);
    assert_eq!(rounds.grants(), [20, 20, 20, 19], "even while nobody wants anything");
    rounds.pods[0].demand = wants(20, 200, 800);
    rounds.seconds(1);
    assert_eq!(targets(&divide(&fleet(80, 0, &rounds.pods), rounds.now)), [42, 5, 5, 5], "half of the way");
    rounds.seconds(6);
    assert_eq!(rounds.grants(), [64, 5, 5, 5], "everything but the floors");
    rounds.pods[0].demand = wants(1, 0, 0);
    rounds.seconds(9);
    assert_eq!(rounds.grants(), [64, 5, 5, 5], "remembered");
    rounds.seconds(10);
    assert_eq!(rounds.grants(), [20, 20, 20, 19], "forgotten");
}

#[test]
fn a_rollout_of_four_over_four() {
    let mut rounds =
        Rounds::new(81, vec![Pod { age: Duration::from_hours(1), demand: wants(20, 0, 0), ..pod(20, 5, 20) }; 4]);
    rounds.seconds(3);
    assert_eq!(rounds.grants(), [20, 20, 20, 20]);
    rounds.pods.extend([pod(20, 5, 0); 4]);
    rounds.seconds(3);
    assert_eq!(rounds.grants(), [15, 15, 15, 15, 5, 5, 5, 5], "the new ones have their floors at once");
    for (index, pod) in rounds.pods.iter_mut().enumerate() {
        pod.demand = if index < 4 { wants(0, 0, 0) } else { wants(10, 5, 100) };
    }
    rounds.seconds(6);
    assert_eq!(rounds.grants(), [5, 5, 5, 5, 15, 15, 15, 15], "the new ones have what the old ones had");
    rounds.pods.drain(..4);
    rounds.seconds(6);
    assert_eq!(rounds.grants(), [20, 20, 20, 20]);
}

#[test]
fn two_connections_for_five_that_wait() {
    let mut rounds = Rounds::new(3, vec![Pod { demand: wants(0, 4, 100), ..pod(20, 5, 0) }; 5]);
    let mut seen = vec![];
    for _ in 0..10 {
        rounds.seconds(1);
        seen.push(rounds.grants());
    }
    let (a, b, c) = (vec![1, 1, 0, 0, 0], vec![0, 0, 1, 1, 0], vec![1, 0, 0, 0, 1]);
    // Two seconds each: a turn of one, and a round until its end is seen. The handover to the next costs a round without a grant.
    assert_eq!(seen.first(), Some(&a));
    assert!(seen.contains(&b) && seen.contains(&c), "{seen:?}");
}

#[test]
fn where_there_are_too_many_those_that_leave_do_not_come_back_before_they_left() {
    // A budget that was lowered: five have one, and there are three. Who is told to leave has left by the round after the next.
    let mut pods = vec![Pod { demand: wants(1, 3, 5000), ..pod(20, 5, 1) }; 5];
    let mut told = vec![1; 5];
    for second in 0..4 {
        let shares = divide(&fleet(4, 0, &pods), NOW + Duration::from_secs(second));
        let asked = targets(&shares);
        for (((pod, share), told), asked) in pods.iter_mut().zip(&shares).zip(&mut told).zip(asked) {
            pod.memory = share.memory;
            if *told == 0 && asked == 0 {
                pod.outstanding = Connections::NONE;
            }
            *told = asked;
        }
    }
    let has: u32 = pods.iter().map(|pod| pod.outstanding.get()).sum();
    assert!(has <= 3, "{has}");
}

#[test]
fn those_that_still_hold_their_last_connection_do_not_overtake_one_that_waits() {
    // Three connections, all taken, and one more that waits. What is given back is there a round later.
    let mut pods = vec![Pod { demand: wants(1, 3, 5000), ..pod(20, 5, 1) }; 4];
    pods[3].outstanding = Connections::NONE;
    let (mut told, mut last) = ([1; 4], [0; 4]);
    for second in 0..60 {
        let shares = divide(&fleet(4, 0, &pods), NOW + Duration::from_secs(second));
        let used: u32 = pods.iter().map(|pod| pod.outstanding.get()).sum();
        let mut free = 3 - used;
        for (index, (pod, share)) in pods.iter_mut().zip(&shares).enumerate() {
            pod.memory = share.memory;
            let asked = share.target.get();
            match (told[index], asked, pod.outstanding.get()) {
                (0, 0, 1) => pod.outstanding = Connections::NONE,
                (_, 1, 0) if free > 0 => {
                    free -= 1;
                    pod.outstanding = Connections::at_most(1);
                }
                _ => {}
            }
            told[index] = asked;
            if pod.outstanding.get() == 1 {
                last[index] = second;
            }
        }
        assert!(last.iter().all(|last| second - last <= 12), "{second}: {last:?}");
    }
}

#[test]
fn two_connections_for_two_that_wait_and_three_idle() {
    let mut rounds = Rounds::new(3, vec![pod(20, 5, 0); 5]);
    rounds.seconds(3);
    assert_eq!(rounds.grants(), [1, 1, 0, 0, 0], "somebody may as well");
    rounds.pods[2].demand = wants(0, 1, 0);
    rounds.pods[4].demand = wants(0, 1, 0);
    rounds.seconds(2);
    assert_eq!(rounds.grants(), [0, 0, 1, 0, 1], "idle seats are given up at once");
    for _ in 0..10 {
        assert!(!rounds.round(Duration::from_secs(1)), "nobody moves while nobody queues");
    }
}

#[test]
fn one_that_gave_up_its_seat_does_not_overtake_those_that_queue() {
    let mut pods = [pod(20, 5, 1), Pod { demand: wants(0, 1, 0), ..pod(20, 5, 0) }];
    let mut round = |second, change: fn(&mut [Pod; 2])| {
        change(&mut pods);
        let shares = divide(&fleet(2, 0, &pods), NOW + Duration::from_secs(second));
        pods.iter_mut().zip(&shares).for_each(|(pod, share)| pod.memory = share.memory);
        targets(&shares)
    };
    assert_eq!(round(0, |_| {}), [0, 0], "what the idle one has is not there yet");
    assert_eq!(round(1, |pods| pods[0].demand = wants(1, 9, 5000)), [0, 0], "it changes its mind too late");
    assert_eq!(round(2, |pods| pods[0].outstanding = Connections::at_most(0)), [0, 1]);
}

#[test]
fn half_of_them_unreachable() {
    let mut pods = vec![Pod { demand: wants(10, 30, 100), ..pod(20, 5, 10) }; 8];
    for pod in pods.iter_mut().skip(4) {
        pod.reachable = false;
    }
    let shares = divide(&fleet(81, 0, &pods), NOW + Duration::from_secs(1));
    assert_eq!(targets(&shares), [10; 8], "nobody may take what the silent hold, nor is it taken from them");
    assert_eq!(fleet(81, 0, &pods).free(), 40);
    let shares = divide(&fleet(121, 0, &pods), NOW);
    assert_eq!(&targets(&shares)[4..], [10; 4]);
    assert_eq!(fleet(121, 20, &pods).free(), 60, "the gone count too");
    assert_eq!(fleet(30, 0, &pods).free(), 0);
    let shares = divide(&fleet(30, 0, &pods), NOW);
    assert_eq!(targets(&shares), [0, 0, 0, 0, 10, 10, 10, 10]);
}

#[test]
fn a_lowered_budget_takes_what_is_idle_first() {
    let mut rounds = Rounds::new(101, vec![pod(40, 2, 25); 4]);
    rounds.pods[0].demand = wants(20, 0, 0);
    rounds.pods[1].demand = wants(6, 0, 0);
    rounds.seconds(5);
    let mut steps = vec![];
    for budget in [81, 61, 41, 31, 25, 9] {
        rounds.budget = budget;
        rounds.seconds(1);
        steps.push(rounds.grants());
    }
    assert_eq!(steps, [[20, 20, 20, 20], [20, 14, 13, 13], [20, 7, 7, 6], [20, 6, 2, 2], [14, 6, 2, 2], [2, 2, 2, 2]]);
}

#[test]
fn a_single_connection_is_given_though_none_is_left_for_looking() {
    assert_eq!(targets(&divide(&fleet(1, 0, &[pod(5, 1, 0)]), NOW)), [1]);
    assert_eq!(targets(&divide(&fleet(2, 0, &[pod(5, 1, 0)]), NOW)), [1]);
    assert_eq!(targets(&divide(&fleet(0, 0, &[pod(5, 1, 0)]), NOW)), [0]);
    assert!(divide(&fleet(5, 0, &[]), NOW).is_empty());
}

#[test]
fn a_longer_wait_weighs_more_but_not_without_end() {
    let clients = |milliseconds| Pod { demand: wants(0, 100, milliseconds), ..pod(100, 1, 0) };
    let mut rounds = Rounds::new(71, vec![clients(100), clients(1000), clients(9000)]);
    rounds.seconds(12);
    assert_eq!(rounds.grants(), [10, 20, 40]);
}
