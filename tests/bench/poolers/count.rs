//! `make bench-syscalls`: what a transaction takes that does not depend on how busy the machine is.
//!
//! System calls come from strace, user instructions from callgrind. Each is counted over two runs, one of a single transaction of each
//! client, and the difference is divided by the transactions that the longer has more: so starting, logging in and filling caches do not
//! count. Both tools slow a pooler down, so it finds more to do whenever it looks: epoll_wait is an underestimate, for all of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::load::Length;
use super::read::{self, Calls};
use super::scenario::{Measure, Scenario};
use super::shipped;
use super::target::{Kind, Running, find, open_to_all, reachable};
use super::world::World;

/// Transactions of each client, beyond the one that does not count.
const TRACED: u32 = 200;
const SIMULATED: u32 = 200;

/// Columns, and the calls that each adds up; what is in none is in `other`.
const GROUPS: [(&str, &[&str]); 4] = [
    ("recv", &["recvfrom", "recvmsg", "read", "readv"]),
    ("send", &["sendto", "sendmsg", "write", "writev"]),
    ("epoll_wait", &["epoll_wait", "epoll_pwait", "epoll_pwait2"]),
    ("epoll_ctl", &["epoll_ctl"]),
];

/// Counts for all targets of the loads that are judged by CPU time, and prints them.
pub fn all(world: &World, scenarios: &[&Scenario]) {
    let file = shipped::target().join("bench/counts.jsonl");
    fs::create_dir_all(shipped::target().join("bench")).expect("the target directory is ours");
    let mut lines = fs::File::create(&file).expect("the target directory is ours");
    println!(
        "{:<12} {:<11} {:>6} {:>7} {:>6} {:>10} {:>9} {:>6} {:>6}  {:>12}  other calls",
        "scenario", "target", "recv", "(empty)", "send", "epoll_wait", "epoll_ctl", "other", "all", "instructions"
    );
    for scenario in scenarios.iter().filter(|scenario| scenario.measures[0].0 == Measure::Cpu) {
        let _tls = world.tls(scenario.wiring);
        for kind in world.kinds() {
            eprintln!("counting {} of {}", scenario.name, kind.name());
            let calls = match world.supports(kind, scenario).and_then(|()| traced(world, kind, scenario)) {
                Ok(calls) => calls,
                Err(why) => {
                    println!("{:<12} {:<11} {why}", scenario.name, kind.name());
                    continue;
                }
            };
            let instructions = simulated(world, kind, scenario);
            println!("{:<12} {:<11} {}", scenario.name, kind.name(), row(&calls, &instructions));
            let line = json!({
                "scenario": scenario.name, "target": kind.name(), "calls_per_tx": calls.into_iter().map(|(name, (calls, _))| (name, calls)).collect::<BTreeMap<_, _>>(),
                "instructions_per_tx": instructions.ok(),
            });
            writeln!(lines, "{line}").expect("there is room for a line");
        }
    }
    println!(
        "\nper transaction; (empty): receives that found nothing or failed; instructions: of the program, without the kernel's"
    );
    println!("written to {}", file.display());
}

fn row(calls: &Calls, instructions: &Result<f64, String>) -> String {
    let instructions = instructions.as_ref().map_or_else(Clone::clone, |count| format!("{count:.0}"));
    let sum = |names: &[&str]| {
        let found = names.iter().filter_map(|&name| calls.get(name));
        found.fold((0.0, 0.0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
    };
    let [recv, send, wait, ctl] = GROUPS.map(|(_, names)| sum(names));
    let all: f64 = calls.values().map(|count| count.0).sum();
    let other = (all - recv.0 - send.0 - wait.0 - ctl.0).max(0.0);
    let grouped = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let named: Vec<_> = calls
        .iter()
        .filter(|(name, count)| !grouped(name) && count.0 >= 0.05)
        .map(|(name, count)| format!("{name} {:.1}", count.0))
        .collect();
    format!(
        "{:>6.2} {:>7.2} {:>6.2} {:>10.2} {:>9.2} {:>6.2} {:>6.2}  {instructions:>12}  {}",
        recv.0,
        recv.1,
        send.0,
        wait.0,
        ctl.0,
        other,
        all,
        named.join(", ")
    )
}

/// Transactions that the longer run has more.
fn more(scenario: &Scenario, each: u32) -> f64 {
    f64::from(each * scenario.clients())
}

fn traced(world: &World, kind: Kind, scenario: &Scenario) -> Result<Calls, String> {
    let running = super::warm(world, kind, scenario)?;
    let first = trace(world, &running, scenario, 1)?;
    let mut calls = trace(world, &running, scenario, 1 + TRACED)?;
    for (name, count) in &mut calls {
        let before = first.get(name).copied().unwrap_or_default();
        let more = more(scenario, TRACED);
        *count = ((count.0 - before.0).max(0.0) / more, (count.1 - before.1).max(0.0) / more);
    }
    Ok(calls)
}

fn trace(world: &World, running: &Running, scenario: &Scenario, each: u32) -> Result<Calls, String> {
    let output = world.directory().join("strace");
    let mut strace = Command::new("strace");
    strace.args(["-c", "-f", "-o"]).arg(&output);
    for process in running.processes() {
        strace.args(["-p", &process.to_string()]);
    }
    let mut strace = strace.stderr(Stdio::piped()).spawn().map_err(|error| format!("cannot start strace: {error}"))?;
    let mut said = BufReader::new(strace.stderr.take().ok_or("no words of strace")?);
    for _ in running.processes() {
        let mut line = String::new();
        said.read_line(&mut line).map_err(|error| error.to_string())?;
        if !line.contains("attached") {
            return Err(line.trim().to_owned());
        }
    }
    let ran = world.load().run(running, &scenario.work, Length::Transactions(each), false);
    interrupt(&mut strace)?;
    ran?;
    let text = fs::read_to_string(&output).map_err(|error| error.to_string())?;
    Ok(read::strace(&text))
}

fn interrupt(strace: &mut Child) -> Result<(), String> {
    kill_process(Pid::from_child(strace), Signal::INT).map_err(|error| error.to_string())?;
    strace.wait().map_err(|error| error.to_string())?;
    Ok(())
}

fn simulated(world: &World, kind: Kind, scenario: &Scenario) -> Result<f64, String> {
    let first = simulate(world, kind, scenario, 1)?;
    let second = simulate(world, kind, scenario, 1 + SIMULATED)?;
    Ok((second - first) / more(scenario, SIMULATED))
}

/// Instructions of a whole life of the pooler.
fn simulate(world: &World, kind: Kind, scenario: &Scenario, each: u32) -> Result<f64, String> {
    let valgrind = find("valgrind").ok_or("no valgrind")?;
    let directory = world.directory().join("callgrind");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    open_to_all(&directory);
    let instead = directory.join("simulated");
    let script = format!(
        "#!/bin/sh\nexec {} --tool=callgrind --callgrind-out-file={}/out.%p {} \"$@\"\n",
        valgrind.display(),
        directory.display(),
        reachable(world.program(kind), &directory)?.display()
    );
    write_program(&instead, &script)?;
    let running = world.start(kind, scenario, Some(&instead))?;
    world.load().run(&running, &scenario.work, Length::Transactions(each), false)?;
    running.stop()?;
    let outputs = fs::read_dir(&directory).map_err(|error| error.to_string())?.flatten();
    let texts = outputs.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    Some(texts.filter_map(|text| read::callgrind(&text)).sum())
        .filter(|&sum: &f64| sum > 0.0)
        .ok_or_else(|| "not counted".to_owned())
}

fn write_program(path: &Path, text: &str) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text).map_err(|error| error.to_string())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())
}
