//! `make bench`, second part: what the sidecar costs and how long it takes, beside PostgreSQL itself and beside the targets.
//!
//! The sidecar is built as it is shipped and runs as a process of its own, in session mode with 20 connections, in front of a
//! PostgreSQL of our own. Prints a table and writes the same as JSON lines to `target/bench/sidecar.jsonl`.

mod client;
#[path = "../it/support/guarded.rs"]
mod guarded;
#[path = "../it/support/postgres.rs"]
mod postgres;
mod shipped;
#[path = "../it/support/sidecar.rs"]
mod sidecar;
mod table;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use client::{Client, acquire};
use guarded::Guarded;
use sidecar::{Options, Sidecar};
use table::{Bound, Table};

const SAMPLES: usize = 10_000;
const POOL: u32 = 20;

fn main() {
    // `cargo test --all-targets` starts benchmarks too, without this argument.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let program = shipped::sidecar();
    let archive = pack(&program);
    let mut table = Table::default();
    let database = guarded::database();
    // The direct way must not be measured with a password that the pooled way has long shown; the group is about that hop alone.
    database.sql(&format!("grant login_trust to {}", database.name()));

    idle(&mut table, &database, &program);
    let sidecar = warm(&database, &program, POOL);
    latency(&mut table, &database, &sidecar);
    crowds(&mut table, &database, &sidecar);
    health(&mut table, &database, &sidecar);
    burst(&mut table, &database, &program);
    table.add("binary size", megabytes(&program), "MB", None);
    table.add(
        "image size, with root certificates",
        megabytes(&archive),
        "MB",
        Some(Bound { below: 10.0, whose: "ours" }),
    );
    table.finish(&shipped::target().join("bench/sidecar.jsonl"));
}

fn pack(program: &Path) -> PathBuf {
    const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
    let archive = shipped::target().join("bench/weir-sidecar.tar");
    fs::create_dir_all(shipped::target().join("bench")).expect("the target directory is ours");
    shipped::run(
        Command::new("tests/cluster/weir-cluster")
            .args(["pack", "--name", "weir.local/weir-sidecar:bench", "--output"])
            .arg(&archive)
            .args([
                "--add",
                &format!("{}=/weir-sidecar", program.display()),
                "--add",
                CERTIFICATES,
                "--",
                "/weir-sidecar",
            ]),
    );
    archive
}

#[expect(clippy::cast_precision_loss, reason = "no file here comes near 2^52 bytes")]
fn megabytes(file: &Path) -> f64 {
    fs::metadata(file).expect("it was just made").len() as f64 / 1e6
}

fn options(database: &Guarded, program: &Path, min: u32) -> Options {
    let mut options = Options::new(&database.url(), min, POOL).set("WEIR_LOG", "info");
    options.settings["limits"]["idleTimeout"] = "10m".into();
    program.clone_into(&mut options.program);
    options
}

fn warm(database: &Guarded, program: &Path, min: u32) -> Sidecar {
    let sidecar = options(database, program, min).start();
    sidecar.until("the pool is warm", |report| report.metrics.idle_connections == min);
    sidecar
}

fn resident_kilobytes(sidecar: &Sidecar) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", sidecar.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("proc(5)");
    line.trim().trim_end_matches(" kB").parse().expect("proc(5)")
}

/// Memory with the default pool of production, kept warm and used by nobody.
fn idle(table: &mut Table, database: &Guarded, program: &Path) {
    println!("idle memory");
    let sidecar = warm(database, program, 5);
    let bound = Bound { below: 6.0, whose: "ours" };
    table.add("idle resident memory", resident_kilobytes(&sidecar) / 1024.0, "MiB", Some(bound));
    let clients: Vec<_> = (0..1000).map(|_| Client::open(sidecar.listen, database.name())).collect();
    table.add("resident memory with 1000 idle clients", resident_kilobytes(&sidecar) / 1024.0, "MiB", None);
    drop(clients);
}

/// StartupMessage sent to the first DataRow, taken in turns with PostgreSQL itself.
fn latency(table: &mut Table, database: &Guarded, sidecar: &Sidecar) {
    println!("latency, {SAMPLES} samples each");
    let direct = SocketAddr::from(([127, 0, 0, 1], database.port()));
    let (mut pooled, mut plain) = (Vec::with_capacity(SAMPLES), Vec::with_capacity(SAMPLES));
    for _ in 0..SAMPLES / 100 {
        pooled.extend((0..100).map(|_| acquire(sidecar.listen, database.name())));
        plain.extend((0..100).map(|_| acquire(direct, database.name())));
    }
    let seed = Bound { below: 10.0, whose: "seed" };
    let ours = Bound { below: 1.0, whose: "ours" };
    table.add("start-up to first row, p50", percentile(&mut pooled, 50), "ms", Some(ours));
    table.add("start-up to first row, p99", percentile(&mut pooled, 99), "ms", Some(seed));
    table.add("the same at PostgreSQL, p50", percentile(&mut plain, 50), "ms", None);
    table.add("the same at PostgreSQL, p99", percentile(&mut plain, 99), "ms", None);
}

/// In milliseconds.
fn percentile(samples: &mut [Duration], percent: usize) -> f64 {
    samples.sort_unstable();
    samples[(samples.len() * percent / 100).min(samples.len() - 1)].as_secs_f64() * 1e3
}

/// From the moment when all are let go to the last one's answer, connecting included.
fn crowd(address: SocketAddr, user: &str, clients: usize) -> f64 {
    let gate = Arc::new(Barrier::new(clients + 1));
    let threads: Vec<_> = (0..clients)
        .map(|_| {
            let (gate, user) = (Arc::clone(&gate), user.to_owned());
            let body = move || {
                gate.wait();
                acquire(address, &user);
            };
            thread::Builder::new().stack_size(64 * 1024).spawn(body).expect("there is room for a thread")
        })
        .collect();
    gate.wait();
    let start = Instant::now();
    for thread in threads {
        thread.join().expect("each client gets its answer");
    }
    start.elapsed().as_secs_f64() * 1e3
}

fn crowds(table: &mut Table, database: &Guarded, sidecar: &Sidecar) {
    println!("crowds");
    let seed = |below| Some(Bound { below, whose: "seed" });
    table.add("50 queries at once", crowd(sidecar.listen, database.name(), 50), "ms", seed(1000.0));
    table.add("100 queries at once", crowd(sidecar.listen, database.name(), 100), "ms", seed(2000.0));
    table.add("1000 clients at once", crowd(sidecar.listen, database.name(), 1000), "ms", None);
    let start = Instant::now();
    for _ in 0..50 {
        acquire(sidecar.listen, database.name());
    }
    table.add("50 queries in sequence", start.elapsed().as_secs_f64() * 1e3, "ms", seed(500.0));
}

/// A burst meets a pool that has rested, so most connections must be opened first, by SCRAM.
fn burst(table: &mut Table, database: &Guarded, program: &Path) {
    println!("burst");
    database.sql(&format!("revoke login_trust from {}", database.name()));
    let sidecar = warm(database, program, 5);
    let bound = Bound { below: 1000.0, whose: "seed" };
    table.add("burst of 50 on 5 warm connections", crowd(sidecar.listen, database.name(), 50), "ms", Some(bound));
}

/// /health/pool, one connection each as a prober does it, while twice as many clients as connections ask without pause.
fn health(table: &mut Table, database: &Guarded, sidecar: &Sidecar) {
    println!("health under load");
    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..2 * POOL)
        .map(|_| {
            let (stop, address, user) = (Arc::clone(&stop), sidecar.listen, database.name().to_owned());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut client = Client::open(address, &user);
                    for _ in 0..20 {
                        client.query("select count(*) from pg_class");
                    }
                }
            })
        })
        .collect();
    sidecar.until("the load is there", |report| report.metrics.active_connections == POOL);
    let mut samples: Vec<_> = (0..1000)
        .map(|_| {
            let start = Instant::now();
            sidecar.get("/health/pool");
            start.elapsed()
        })
        .collect();
    stop.store(true, Ordering::Relaxed);
    for thread in load {
        thread.join().expect("the load has no errors");
    }
    table.add("/health/pool under load, p50", percentile(&mut samples, 50), "ms", None);
    table.add(
        "/health/pool under load, p99",
        percentile(&mut samples, 99),
        "ms",
        Some(Bound { below: 10.0, whose: "seed" }),
    );
}
