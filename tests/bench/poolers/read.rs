//! The words of the tools that measure.

use std::collections::BTreeMap;

/// What a run of pgbench came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ran {
    pub transactions: f64,
    /// In a second, connecting at the start apart.
    pub rate: f64,
}

/// Calls by name: how many, and how many of them failed.
pub type Calls = BTreeMap<String, (f64, f64)>;

/// What pgbench prints: the number of transactions is alone, or over the number that was asked for.
pub fn pgbench(said: &str) -> Option<Ran> {
    let rest = said.lines().find_map(|line| line.strip_prefix("number of transactions actually processed: "))?;
    let transactions = rest.split('/').next()?.trim().parse().ok().filter(|&count| count > 0.0)?;
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = "))?.split(' ').next()?.parse().ok()?;
    Some(Ran { transactions, rate })
}

/// The major number in the answer to `--version`.
pub fn pgbench_version(said: &str) -> Option<u32> {
    let version = said.trim().strip_prefix("pgbench (PostgreSQL) ")?;
    let end = version.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().ok()
}

/// The third field of a line of pgbench's log, in microseconds; a failed transaction has none.
pub fn latency(line: &str) -> Option<u64> {
    line.split(' ').nth(2)?.parse().ok()
}

/// Major and minor version in the answer to `pgbouncer --version`.
pub fn pgbouncer_version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.lines().next()?.strip_prefix("PgBouncer ")?.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// The table of `strace -c`: share, seconds, microseconds each, calls, errors where there are any, name.
pub fn strace(text: &str) -> Calls {
    let read = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (name, rest) = words.split_last()?;
        let calls = rest.get(3)?.parse().ok()?;
        let errors = rest.get(4).and_then(|errors| errors.parse().ok()).unwrap_or(0.0);
        (*name != "total").then(|| ((*name).to_owned(), (calls, errors)))
    };
    text.lines().filter_map(read).collect()
}

/// The sum that callgrind writes at the end of its file.
pub fn callgrind(text: &str) -> Option<f64> {
    let totals = text.lines().rev().find_map(|line| line.strip_prefix("totals: "))?;
    totals.split(' ').next()?.parse().ok()
}
