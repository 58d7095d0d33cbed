//! PgBouncer, of Debian or of a path.
//!
//! Debian 12 has 1.18, which can't track prepared statements. To compare with a newer one, build it and say where it is:
//!
//! ```text
//! apt-get install libevent-dev libssl-dev pkg-config autoconf automake libtool make gcc
//! git clone --depth 1 --branch pgbouncer_1_25_2 https://github.com/pgbouncer/pgbouncer && cd pgbouncer
//! ./autogen.sh && ./configure --without-cares CFLAGS=-O2 && make pgbouncer
//! make -C .../weir bench PGBOUNCER=$PWD/pgbouncer
//! ```

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::read;
use super::scenario::{POOL, Wiring};
use super::target::{Process, Running, Setup, free_port, reachable};

const NOBODY: u32 = 65534;

/// Major and minor version.
pub fn version(program: &Path) -> Option<(u32, u32)> {
    let output = Command::new(program).arg("--version").output().ok()?;
    read::pgbouncer_version(&String::from_utf8_lossy(&output.stdout))
}

/// Whether a client's prepared statement is found on whatever server it gets next.
pub fn tracks_statements(program: &Path) -> bool {
    version(program).is_some_and(|version| version >= (1, 21))
}

/// Starts one process, or two on one port.
pub fn start(setup: Setup<'_>) -> Result<Running, String> {
    let count = if setup.wiring == Wiring::Two { 2 } else { 1 };
    let program = reachable(setup.program, &setup.directory)?;
    let port = free_port();
    let mut files = vec![];
    for number in 0..count {
        let file = setup.directory.join(format!("{number}.ini"));
        fs::write(&file, configuration(&setup, port, count)).map_err(|error| error.to_string())?;
        files.push(file);
    }
    let start = Instant::now();
    let mut processes = vec![];
    for file in files {
        let mut command = Command::new(&program);
        command.arg("-q").arg(file);
        // It refuses to run as root.
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        processes.push(Process::spawn(&mut command)?);
    }
    let unix = setup.wiring == Wiring::Unix;
    let mut running = Running::listening(setup, port, processes, start)?;
    if unix {
        running.host = running.directory.display().to_string();
    }
    Ok(running)
}

/// Two processes share what one would have.
fn configuration(setup: &Setup<'_>, port: u16, processes: u32) -> String {
    let (name, server, pool) = (&setup.database.name, setup.database.server.port(), POOL / processes);
    let directory = setup.directory.display().to_string();
    let socket = if setup.wiring == Wiring::Unix { directory.as_str() } else { "" };
    let tls = if setup.wiring == Wiring::Tls { "require" } else { "disable" };
    let mut text = format!(
        "[databases]\n{name} = host=127.0.0.1 port={server} user={name} password=secret\n[pgbouncer]\n\
         listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir = {socket}\nauth_type = any\npool_mode = transaction\n\
         default_pool_size = {pool}\nmin_pool_size = {pool}\nmax_client_conn = 10200\nserver_tls_sslmode = {tls}\n\
         log_connections = 0\nlog_disconnections = 0\n"
    );
    if processes > 1 {
        text.push_str("so_reuseport = 1\n");
    }
    if tracks_statements(setup.program) {
        text.push_str("max_prepared_statements = 200\n");
    }
    text
}
