//! pgbench, and what it says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{Spent, resident_kilobytes};
use super::ratio::percentile;
use super::read::{self, Ran};
use super::report::Sample;
use super::scenario::Work;
use super::target::Running;

/// Threads of pgbench.
const JOBS: u32 = 2;

/// How long pgbench runs.
#[derive(Clone, Copy)]
pub enum Length {
    Seconds(u32),
    /// Of each client.
    Transactions(u32),
}

/// pgbench against one database.
pub struct Load<'a> {
    pub program: PathBuf,
    /// For its scripts and logs.
    pub directory: &'a Path,
    /// User and database.
    pub name: &'a str,
}

impl Load<'_> {
    /// The major version.
    pub fn version(&self) -> u32 {
        let output = Command::new(&self.program).arg("--version").output().expect("pgbench comes with PostgreSQL");
        read::pgbench_version(&String::from_utf8_lossy(&output.stdout)).unwrap_or_default()
    }

    /// Makes pgbench's tables.
    pub fn prepare(&self, host: &str, port: u16) {
        self.pgbench(host, port, &["-i".into(), "-q".into()], 60).expect("PostgreSQL itself is there");
    }

    /// Runs a scenario.
    pub fn run(&self, target: &Running, work: &Work, length: Length, log: bool) -> Result<Ran, String> {
        let Work::Load { clients, arguments, script } = work else { return Err("no load".to_owned()) };
        let mut all: Vec<String> =
            ["-n", "-c", &clients.to_string(), "-j", &JOBS.to_string()].map(str::to_owned).into();
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        if let Some(script) = script {
            let file = self.directory.join("script.sql");
            fs::write(&file, script).map_err(|error| error.to_string())?;
            all.extend(["-f".to_owned(), file.display().to_string()]);
        }
        let patience = match length {
            Length::Seconds(seconds) => {
                all.extend(["-T".to_owned(), seconds.to_string()]);
                seconds + 30
            }
            Length::Transactions(count) => {
                all.extend(["-t".to_owned(), count.to_string()]);
                300
            }
        };
        if log {
            all.push("-l".to_owned());
            all.push(format!("--log-prefix={}", self.directory.join("latency").display()));
        }
        let said = self.pgbench(&target.host, target.port, &all, patience)?;
        read::pgbench(&said).ok_or_else(|| format!("pgbench counts no transactions: {said}"))
    }

    /// One run of a round.
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds are far below 2^52")]
    pub fn measure(&self, target: &Running, work: &Work, seconds: u32) -> Result<Sample, String> {
        let before = Spent::by(&target.processes());
        let ran = self.run(target, work, Length::Seconds(seconds), true);
        let spent = Spent::by(&target.processes()).since(&before);
        let latencies = self.latencies();
        let ran = ran?;
        Ok(Sample {
            tps: Some(ran.rate),
            p50_us: Some(percentile(&latencies, 50) as f64),
            p99_us: Some(percentile(&latencies, 99) as f64),
            cpu_us_per_tx: Some(spent as f64 / ran.transactions / 1e3),
            rss_kb: Some(resident_kilobytes(&target.processes())),
            ..Sample::default()
        })
    }

    /// Of all transactions of the last run, sorted, in microseconds; with a rate, from when a transaction was due.
    fn latencies(&self) -> Vec<u64> {
        let mut all = vec![];
        for entry in fs::read_dir(self.directory).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("latency.") {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                all.extend(text.lines().filter_map(read::latency));
                let _ = fs::remove_file(entry.path());
            }
        }
        all.sort_unstable();
        all
    }

    /// Ended by force after so many seconds: a pooler may have lost an answer.
    fn pgbench(&self, host: &str, port: u16, arguments: &[String], patience: u32) -> Result<String, String> {
        let mut command = Command::new("timeout");
        command
            .args(["-k", "1", &patience.to_string()])
            .arg(&self.program)
            .args(["-h", host, "-p", &port.to_string(), "-U", self.name])
            .args(arguments)
            .arg(self.name)
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let output = command.output().map_err(|error| format!("cannot start pgbench: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let aborted = errors.contains("aborted");
        if output.status.success() && !aborted {
            return Ok(text);
        }
        let first =
            errors.lines().find(|line| line.contains("error") || line.contains("ERROR")).unwrap_or("no error said");
        Err(format!("pgbench: {}: {first}", output.status))
    }
}
