//! What the benchmarks compute and read.

#[path = "poolers/ratio.rs"]
mod ratio;
#[path = "poolers/read.rs"]
mod read;

use ratio::{Median, median, percentile};

fn numbers(count: u32) -> Vec<f64> {
    (1..=count).rev().map(f64::from).collect()
}

#[test]
fn fifteen_rounds_leave_out_three_at_each_end() {
    // P(B(15, 1/2) < 4) = 576 / 32768: the interval holds with 96.5 %, and the next narrower one with 88.2 %.
    assert_eq!(median(numbers(15)), Some(Median { value: 8.0, low: 4.0, high: 12.0, sure: true }));
}

#[test]
fn six_rounds_are_the_fewest_for_an_interval_of_95_percent() {
    assert_eq!(median(numbers(6)), Some(Median { value: 3.5, low: 1.0, high: 6.0, sure: true }));
    // P(B(8, 1/2) < 1) = 1 / 256, and < 2 = 9 / 256.
    assert_eq!(median(numbers(8)), Some(Median { value: 4.5, low: 1.0, high: 8.0, sure: true }));
    assert_eq!(median(numbers(9)), Some(Median { value: 5.0, low: 2.0, high: 8.0, sure: true }));
}

#[test]
fn few_rounds_show_all_that_was_seen() {
    assert_eq!(median(numbers(5)), Some(Median { value: 3.0, low: 1.0, high: 5.0, sure: false }));
    assert_eq!(median(vec![2.0, 1.0]), Some(Median { value: 1.5, low: 1.0, high: 2.0, sure: false }));
    assert_eq!(median(vec![7.0]), Some(Median { value: 7.0, low: 7.0, high: 7.0, sure: false }));
    assert_eq!(median(vec![]), None);
}

#[test]
fn one_transaction_of_a_hundred_takes_longer_than_the_99th_percentile() {
    let sorted: Vec<_> = (1..=1000).collect();
    assert_eq!(sorted.iter().filter(|&&value| value > percentile(&sorted, 99)).count(), 9);
    assert_eq!(percentile(&sorted, 50), 501);
    assert_eq!(percentile(&[], 99), 0);
}

#[test]
fn reads_pgbench() {
    let timed = "transaction type: <builtin: select only>\nnumber of transactions actually processed: 53124\n\
                 number of failed transactions: 0 (0.000%)\ntps = 26571.480 (without initial connection time)\n";
    assert_eq!(read::pgbench(timed), Some(read::Ran { transactions: 53124.0, rate: 26571.480 }));
    let counted = "number of transactions actually processed: 640/640\ntps = 9.5 (including reconnection times)\n";
    assert_eq!(read::pgbench(counted), Some(read::Ran { transactions: 640.0, rate: 9.5 }));
    assert_eq!(read::pgbench("number of transactions actually processed: 0\ntps = 0.0\n"), None);
    assert_eq!(read::latency("0 199 2241 0 1175850568 995598"), Some(2241));
    assert_eq!(read::latency("3 0 failed 0 1499414498 84905"), None);
    for (said, version) in [("15.20 (Debian 15.20-0+deb12u1)", 15), ("9.6.24", 9), ("19beta1", 19), ("20devel", 20)] {
        assert_eq!(read::pgbench_version(&format!("pgbench (PostgreSQL) {said}\n")), Some(version));
    }
}

#[test]
fn reads_pgbouncer() {
    assert_eq!(read::pgbouncer_version("PgBouncer 1.25.2\nlibevent 2.1.12-stable\n"), Some((1, 25)));
    assert_eq!(read::pgbouncer_version("PgBouncer 1.18.0\n"), Some((1, 18)));
    assert_eq!(read::pgbouncer_version("pgcat 1.2.0\n"), None);
}

#[test]
fn reads_strace_with_and_without_errors() {
    let text = "% time     seconds  usecs/call     calls    errors syscall\n\
                ------ ----------- ----------- --------- --------- ----------------\n \
                63.09    0.060951           9      6400           sendto\n \
                20.01    0.019317           2      9061      2689 recvfrom\n\
                ------ ----------- ----------- --------- --------- ----------------\n\
                100.00    0.096614           6     15461      2689 total\n";
    let calls = [("recvfrom".to_owned(), (9061.0, 2689.0)), ("sendto".to_owned(), (6400.0, 0.0))];
    assert_eq!(read::strace(text), calls.into());
}

#[test]
fn reads_callgrind() {
    assert_eq!(read::callgrind("fn=(1)\n0 12\n\ntotals: 48213377\n"), Some(48_213_377.0));
    assert_eq!(read::callgrind("fn=(1)\n"), None);
}
