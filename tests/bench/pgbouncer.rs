//! The sidecar beside PgBouncer: CPU time for a transaction, both in session mode with eight clients over eight connections.
//!
//! CPU time is what the kernel says (`/proc/PID/task/*/schedstat`, nanoseconds), over pgbench's own count of transactions. The two take
//! turns, and the median of the rounds counts: on a machine that does other things, only the ratio is worth something.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use super::guarded::Guarded;
use super::sidecar::Sidecar;
use super::table::Table;

const ROUNDS: usize = 5;
const NOBODY: u32 = 65534;

/// What is run, by the names of its two rows and pgbench's arguments.
const SCENARIOS: [(&str, &str, &[&str]); 4] = [
    ("CPU for a transaction, simple", "the same by PgBouncer, simple", &["-M", "simple"]),
    ("CPU for a transaction, extended", "the same by PgBouncer, extended", &["-M", "extended"]),
    ("CPU for a transaction, prepared", "the same by PgBouncer, prepared", &["-M", "prepared"]),
    ("CPU for a connection and a transaction", "the same by PgBouncer, connecting", &["-C"]),
];

/// A running PgBouncer.
struct PgBouncer {
    process: Child,
    port: u16,
    directory: PathBuf,
}

/// Adds the rows, or says why not.
pub fn versus(table: &mut Table, database: &Guarded, sidecar: &Sidecar) {
    let Some(pgbouncer) = PgBouncer::start(database) else {
        println!("pgbouncer is not installed (apt-get install pgbouncer): nothing to compare with");
        return;
    };
    println!("beside PgBouncer");
    pgbench(sidecar.listen.port(), database, &["-i", "-q"]);
    for (ours, theirs, arguments) in SCENARIOS {
        let (mut own, mut other) = (vec![], vec![]);
        for _ in 0..ROUNDS {
            own.push(cost(sidecar.pid(), sidecar.listen.port(), database, arguments));
            other.push(cost(pgbouncer.process.id(), pgbouncer.port, database, arguments));
        }
        table.add(ours, median(&mut own), "us", None);
        table.add(theirs, median(&mut other), "us", None);
    }
}

/// Microseconds of CPU time for one transaction.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds are far below 2^52")]
fn cost(pid: u32, port: u16, database: &Guarded, arguments: &[&str]) -> f64 {
    let before = cpu_nanoseconds(pid);
    let said = pgbench(port, database, &[&["-n", "-S", "-c", "8", "-j", "2", "-T", "2"], arguments].concat());
    let spent = cpu_nanoseconds(pid) - before;
    let label = "number of transactions actually processed: ";
    let count = said.lines().find_map(|line| line.strip_prefix(label)).and_then(|count| count.parse::<u64>().ok());
    spent as f64 / count.expect("pgbench counts") as f64 / 1e3
}

fn cpu_nanoseconds(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
    let spent = |task: fs::DirEntry| {
        fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.filter_map(spent).sum::<u64>()
}

fn pgbench(port: u16, database: &Guarded, arguments: &[&str]) -> String {
    let mut command = Command::new("pgbench");
    command
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", database.name()])
        .args(arguments)
        .arg(database.name());
    let output = command.output().expect("pgbench comes with PostgreSQL");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

impl PgBouncer {
    fn start(database: &Guarded) -> Option<Self> {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
        let directory = env::temp_dir().join(format!("weir-pgbouncer-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("there is room for a file");
        let file = directory.join("pgbouncer.ini");
        let configuration = format!(
            "[databases]\n{0} = host=127.0.0.1 port={1} user={0} password={2}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = session\ndefault_pool_size = 8\nmax_client_conn = 200\n\
             log_connections = 0\nlog_disconnections = 0\n",
            database.name(),
            database.port(),
            database.password,
        );
        fs::write(&file, configuration).expect("there is room for a file");
        let mut command = Command::new("pgbouncer");
        command.arg("-q").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let process = command.spawn().ok()?;
        let mut started = Self { process, port, directory };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_err() {
            assert!(Instant::now() < deadline, "pgbouncer does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        // Whoever else took the port a moment ago would listen too.
        assert!(
            matches!(started.process.try_wait(), Ok(None)),
            "pgbouncer has ended; its port may have been taken: try again"
        );
        Some(started)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
