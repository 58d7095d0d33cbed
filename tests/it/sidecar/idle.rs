//! Where nothing happens, nothing runs.

use std::fs;
use std::time::Duration;

use crate::guarded;
use crate::sidecar::{Options, eventually};

#[test]
fn an_idle_sidecar_wakes_none_of_its_threads() {
    let database = guarded::database();
    let sidecar = Options::new(&database.url(), 1, 2).start();
    sidecar.until("min is warm", |report| report.metrics.idle_connections == 1);
    let switches = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", sidecar.pid())).expect("it runs");
        let line = |status: String| status.lines().find(|line| line.starts_with("voluntary")).map(str::to_owned);
        let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).ok().and_then(line);
        tasks.filter_map(|task| of(task.ok()?)).collect::<Vec<_>>()
    };
    // Time must pass for nothing to happen in it; at first what was begun may still end.
    eventually("two seconds without a wakeup", || {
        let before = switches();
        std::thread::sleep(Duration::from_secs(2));
        let after = switches();
        if after == before { Ok(()) } else { Err(format!("{before:?}, then {after:?}")) }
    });
}
