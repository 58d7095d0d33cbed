//! What the kernel says of a process.

use std::collections::BTreeMap;
use std::fs;

/// Run time of each thread so far, in nanoseconds, by process and thread.
pub struct Spent(BTreeMap<(u32, String), u64>);

impl Spent {
    /// Of processes that run.
    pub fn by(processes: &[u32]) -> Self {
        let threads = |&process: &u32| {
            let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
            tasks.filter_map(move |task| {
                let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
                let spent = text.split(' ').next()?.parse().ok()?;
                Some(((process, task.file_name().to_string_lossy().into_owned()), spent))
            })
        };
        Self(processes.iter().flat_map(threads).collect())
    }

    /// Nanoseconds since then. A thread that has ended meanwhile is lost, which no pooler's working threads do.
    pub fn since(&self, before: &Self) -> u64 {
        let spent = |(thread, now): (_, &u64)| now.saturating_sub(before.0.get(thread).copied().unwrap_or(0));
        self.0.iter().map(spent).sum()
    }
}

/// Resident memory of all these, in kB.
pub fn resident_kilobytes(processes: &[u32]) -> u64 {
    let of = |process: &u32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    processes.iter().filter_map(of).sum()
}
