//! The results: for people and for programs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::ratio::{Median, median};
use super::scenario::{Bar, Measure, Scenario};
use super::target::Kind;

/// What one round found; what it did not look at is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    pub tps: Option<f64>,
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub cpu_us_per_tx: Option<f64>,
    pub rss_kb: Option<u64>,
    pub bytes_per_client: Option<f64>,
    pub ready_ms: Option<f64>,
}

/// By target and round.
pub type Samples = BTreeMap<(Kind, u32), Sample>;

/// Writes both files while the rounds go on.
pub struct Report {
    samples: File,
    rows: File,
    table: Vec<String>,
    /// Who has no part, and why.
    absent: Vec<String>,
}

impl Sample {
    #[expect(clippy::cast_precision_loss, reason = "no process here has 2^52 kB")]
    /// What it found of this.
    pub fn get(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::Cpu => self.cpu_us_per_tx,
            Measure::Throughput => self.tps,
            Measure::P50 => self.p50_us,
            Measure::P99 => self.p99_us,
            Measure::Resident => self.rss_kb.map(|kilobytes| kilobytes as f64 / 1024.0),
            Measure::PerClient => self.bytes_per_client.map(|bytes| bytes / 1024.0),
            Measure::Ready => self.ready_ms,
        }
    }
}

impl Report {
    /// Begins both files anew.
    pub fn create(directory: &Path) -> Self {
        fs::create_dir_all(directory).expect("the target directory is ours");
        let open = |name: &str| File::create(directory.join(name)).expect("the target directory is ours");
        let table = vec![format!(
            "{:<14} {:<9} {:>9} {:>9}  {:>5} {:<13} {:>7} {:<8} {}",
            "scenario", "measure", "weir", "pgbouncer", "ratio", "95 %", "bar", "", "others, to pgbouncer"
        )];
        Self { samples: open("poolers.jsonl"), rows: open("poolers-ratios.jsonl"), table, absent: vec![] }
    }

    /// One line of `poolers.jsonl`.
    pub fn sample(&mut self, scenario: &Scenario, target: Kind, round: u32, sample: &Sample) {
        let mut line = json!({"scenario": scenario.name, "target": target.name(), "round": round});
        let figures = [
            ("tps", sample.tps.map(Value::from)),
            ("p50_us", sample.p50_us.map(Value::from)),
            ("p99_us", sample.p99_us.map(Value::from)),
            ("cpu_us_per_tx", sample.cpu_us_per_tx.map(Value::from)),
            ("rss_kb", sample.rss_kb.map(Value::from)),
            ("bytes_per_client", sample.bytes_per_client.map(Value::from)),
            ("ready_ms", sample.ready_ms.map(Value::from)),
        ];
        for (name, value) in figures {
            if let Some(value) = value {
                line[name] = value;
            }
        }
        writeln!(self.samples, "{line}").expect("there is room for a line");
    }

    /// The rows of a scenario, in both.
    pub fn rows(&mut self, scenario: &Scenario, samples: &Samples, missing: &[(Kind, String)]) {
        for &(measure, bar) in scenario.measures {
            let own = of(samples, Kind::Weir, measure);
            let theirs = of(samples, Kind::PgBouncer, measure);
            let ratio = ratios(samples, Kind::Weir, measure);
            let (shown, verdict) = judge(bar, own, ratio);
            let cell = |median: Option<Median>| median.map_or_else(|| "-".to_owned(), |median| number(median.value));
            let mut others = vec![];
            for kind in [Kind::Doorman, Kind::Forwarder] {
                if let Some(ratio) = ratios(samples, kind, measure) {
                    others.push(format!("{} {:.2}", kind.name(), ratio.value));
                }
            }
            let (value, interval) = ratio.map_or_else(Default::default, |ratio| {
                (format!("{:.2}", ratio.value), format!("[{:.2}, {:.2}]", ratio.low, ratio.high))
            });
            let label = measure.label();
            self.table.push(format!(
                "{:<14} {label:<9} {:>9} {:>9}  {value:>5} {interval:<13} {shown:>7} {verdict:<8} {}",
                scenario.name,
                cell(own),
                cell(theirs),
                others.join(", ")
            ));
            let row = json!({
                "scenario": scenario.name, "measure": label, "weir": own.map(|own| own.value),
                "pgbouncer": theirs.map(|theirs| theirs.value), "ratio": ratio.map(|ratio| ratio.value),
                "low": ratio.map(|ratio| ratio.low), "high": ratio.map(|ratio| ratio.high),
                "bar": bar.map(|bar| match bar { Bar::Ratio(bar) | Bar::Value(bar) => bar }), "verdict": verdict,
            });
            writeln!(self.rows, "{row}").expect("there is room for a line");
        }
        let absent = |(kind, why): &(Kind, String)| format!("{}: no {}: {why}", scenario.name, kind.name());
        self.absent.extend(missing.iter().map(absent));
    }

    /// Prints the table.
    pub fn finish(self, notes: &[String]) {
        println!();
        for line in self.table {
            println!("{}", line.trim_end());
        }
        println!();
        for note in self.absent.iter().chain(notes) {
            println!("{note}");
        }
    }
}

fn of(samples: &Samples, kind: Kind, measure: Measure) -> Option<Median> {
    let mine = samples.iter().filter(|((target, _), _)| *target == kind);
    median(mine.filter_map(|(_, sample)| sample.get(measure)).collect())
}

/// To PgBouncer in the same round.
fn ratios(samples: &Samples, kind: Kind, measure: Measure) -> Option<Median> {
    let mine = samples.iter().filter(|((target, _), _)| *target == kind);
    let ratio = |((_, round), sample): (&(Kind, u32), &Sample)| {
        let theirs = samples.get(&(Kind::PgBouncer, *round))?.get(measure)?;
        (theirs > 0.0).then_some(sample.get(measure)? / theirs)
    };
    median(mine.filter_map(ratio).collect())
}

/// The bar as written, and whether it is met: with a question mark where the interval has the bar within it, or
/// there are too few rounds for one.
fn judge(bar: Option<Bar>, own: Option<Median>, ratio: Option<Median>) -> (String, &'static str) {
    let (shown, bar, measured) = match bar {
        None => return (String::new(), ""),
        Some(Bar::Ratio(bar)) => (format!("{bar:.2}"), bar, ratio),
        Some(Bar::Value(bar)) => (format!("< {bar}"), bar, own),
    };
    let verdict = match measured {
        None => "-",
        Some(median) if median.value <= bar && median.high <= bar && median.sure => "met",
        Some(median) if median.value <= bar => "met?",
        Some(median) if median.low <= bar || !median.sure => "MISSED?",
        Some(_) => "MISSED",
    };
    (shown, verdict)
}

fn number(value: f64) -> String {
    if value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
