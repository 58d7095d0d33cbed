//! What is measured, and what the sidecar is to need of what PgBouncer needs.

/// How a pooler is set up for a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wiring {
    /// TCP on both sides.
    Tcp,
    /// Clients come by a Unix socket.
    Unix,
    /// TLS to PostgreSQL, which is not verified.
    Tls,
    /// As many threads or processes as it can use of two.
    Two,
}

/// A figure of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// CPU time of the pooler's threads for a transaction.
    Cpu,
    /// Transactions in a second.
    Throughput,
    /// Median latency of transactions.
    P50,
    /// Of 100 transactions, one takes longer.
    P99,
    /// Resident memory.
    Resident,
    /// Resident memory that a connected client adds.
    PerClient,
    /// From before the process is started to the first connection that its listener takes.
    Ready,
}

/// What is done to the poolers.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// pgbench.
    Load {
        clients: u32,
        /// Of pgbench; nothing here about clients, threads and duration.
        arguments: &'static [&'static str],
        /// Instead of pgbench's own script.
        script: Option<&'static str>,
    },
    /// One query, then nothing.
    Rest,
    /// So many clients that have each run a query, and then do nothing.
    Crowd(usize),
    /// Started again and again.
    Start,
}

/// What a figure is to stay at or below.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// Of PgBouncer's in the same round.
    Ratio(f64),
    /// In the measure's own unit.
    Value(f64),
}

/// One line of the table, or more.
#[derive(Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub work: Work,
    pub wiring: Wiring,
    pub measures: &'static [(Measure, Option<Bar>)],
}

/// Server connections of every pooler.
pub const POOL: u32 = 8;
const CLIENTS: u32 = 32;
const SELECT: &[&str] = &["-S", "-M", "simple"];

const FIVE: &str = "\\set aid random(1, 100000)
begin;
select abalance from pgbench_accounts where aid = :aid;
select abalance from pgbench_accounts where aid = :aid;
select abalance from pgbench_accounts where aid = :aid;
commit;
";
const ROW: &str = "select repeat('x', 100000);\n";
const PIPELINE: &str = "\\startpipeline
select 1;\nselect 1;\nselect 1;\nselect 1;\nselect 1;\nselect 1;\nselect 1;\nselect 1;\nselect 1;\nselect 1;
select 1;\nselect 1;\nselect 1;\nselect 1;\nselect 1;\nselect 1;\nselect 1;\nselect 1;\nselect 1;\nselect 1;
\\endpipeline
";

const fn cpu(ratio: f64) -> (Measure, Option<Bar>) {
    (Measure::Cpu, Some(Bar::Ratio(ratio)))
}

const fn load(
    name: &'static str,
    arguments: &'static [&'static str],
    measures: &'static [(Measure, Option<Bar>)],
) -> Scenario {
    Scenario { name, work: Work::Load { clients: CLIENTS, arguments, script: None }, wiring: Wiring::Tcp, measures }
}

const fn scripted(
    name: &'static str,
    mode: &'static [&'static str],
    script: &'static str,
    measures: &'static [(Measure, Option<Bar>)],
) -> Scenario {
    let work = Work::Load { clients: CLIENTS, arguments: mode, script: Some(script) };
    Scenario { name, work, wiring: Wiring::Tcp, measures }
}

const fn other(name: &'static str, work: Work, measures: &'static [(Measure, Option<Bar>)]) -> Scenario {
    Scenario { name, work, wiring: Wiring::Tcp, measures }
}

/// In the order of the table. The bars come from measuring prototypes beside PgBouncer 1.25.
pub const SCENARIOS: &[Scenario] = &[
    load("simple", SELECT, &[cpu(0.85)]),
    load("extended", &["-S", "-M", "extended"], &[cpu(0.90)]),
    load("prepared", &["-S", "-M", "prepared"], &[cpu(0.70)]),
    scripted("transaction", &["-M", "simple"], FIVE, &[cpu(0.92)]),
    scripted("row", &["-M", "simple"], ROW, &[cpu(0.42)]),
    scripted("pipeline", &["-M", "extended"], PIPELINE, &[cpu(0.80)]),
    load("connect", &["-S", "-M", "simple", "-C"], &[cpu(0.92)]),
    other("unqueued", Work::Load { clients: POOL, arguments: SELECT, script: None }, &[cpu(1.00)]),
    Scenario { wiring: Wiring::Unix, ..load("unix", SELECT, &[cpu(0.80)]) },
    Scenario { wiring: Wiring::Tls, ..load("tls", SELECT, &[cpu(1.00)]) },
    load(
        "rate",
        &["-S", "-M", "simple", "-R", "4000"],
        &[(Measure::P99, Some(Bar::Ratio(1.00))), (Measure::P50, None), (Measure::Cpu, None)],
    ),
    Scenario {
        wiring: Wiring::Two,
        ..load("two-threads", SELECT, &[(Measure::Throughput, None), (Measure::Cpu, None)])
    },
    other("idle", Work::Rest, &[(Measure::Resident, Some(Bar::Value(4.0)))]),
    other("clients-1000", Work::Crowd(1000), &[(Measure::PerClient, Some(Bar::Value(2.0))), (Measure::Resident, None)]),
    other(
        "clients-10000",
        Work::Crowd(10_000),
        &[(Measure::PerClient, Some(Bar::Value(2.0))), (Measure::Resident, None)],
    ),
    other("listener", Work::Start, &[(Measure::Ready, Some(Bar::Value(20.0)))]),
];

impl Measure {
    /// For people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Cpu => "CPU us/tx",
            Self::Throughput => "tps",
            Self::P50 => "p50 us",
            Self::P99 => "p99 us",
            Self::Resident => "RSS MB",
            Self::PerClient => "kB/client",
            Self::Ready => "ready ms",
        }
    }
}

impl Scenario {
    /// Connected at once.
    pub const fn clients(&self) -> u32 {
        match self.work {
            Work::Load { clients, .. } => clients,
            _ => POOL,
        }
    }
}
