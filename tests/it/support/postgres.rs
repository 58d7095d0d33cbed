//! A real PostgreSQL of one's own, started and removed by the test binary.
//!
//! Needs the server's programs: in PATH, in `WEIR_POSTGRES_PROGRAMS`, or where Debian and Ubuntu put them. As root the server runs
//! as the user `postgres`, since it refuses root.

#![allow(dead_code, clippy::panic, reason = "each test binary uses its own part, and a panic is how a test fails")]

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// One running server, with the superuser `postgres` whom the socket and loopback trust.
pub struct Postgres {
    directory: PathBuf,
    programs: PathBuf,
    server: Child,
    /// On 127.0.0.1.
    pub port: u16,
}

/// A database of one test: its own, with an owner that logs in by SCRAM.
pub struct Database {
    /// Keeps the server.
    pub postgres: Arc<Postgres>,
    /// Of the database and of its owner.
    pub name: String,
    /// Of the owner.
    pub password: String,
}

const CONFIGURATION: &str = "
listen_addresses = '127.0.0.1'
max_connections = 200
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
jit = off
log_destination = stderr
";

/// Everybody but the superuser proves who it is.
const ACCESS: &str = "
local all all trust
host all postgres 127.0.0.1/32 trust
host all +login_trust 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
";

static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Postgres {
    /// The server that the tests of this binary share; it ends with the last of them that holds it.
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let postgres = Arc::new(Self::start());
            *shared = Arc::downgrade(&postgres);
            postgres
        })
    }

    /// A server of one's own, to stop and to start.
    pub fn start() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("weir-postgres-{}-{number}", std::process::id()));
        fs::create_dir(&directory).expect("the directory is new");
        let account = account();
        if let Some((user, group)) = account {
            chown(&directory, Some(user), Some(group)).expect("root may give files away");
        }
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("the directory is ours");
        let programs = programs();
        let data = directory.join("data");
        let initdb = as_account(&programs.join("initdb"), account)
            .args([
                "--username=postgres",
                "--auth=trust",
                "--no-sync",
                "--no-instructions",
                "--locale=C",
                "--encoding=UTF8",
            ])
            .arg(&data)
            .output()
            .expect("initdb starts");
        assert!(initdb.status.success(), "initdb: {}", String::from_utf8_lossy(&initdb.stderr));
        let configuration = format!("{CONFIGURATION}unix_socket_directories = '{}'\n", directory.display());
        fs::write(data.join("postgresql.conf"), configuration).expect("initdb made the directory");
        fs::write(data.join("pg_hba.conf"), ACCESS).expect("initdb made the directory");
        let (server, port) = launch(&programs, &directory, account);
        let mut postgres = Self { directory, programs, server, port };
        postgres.await_ready();
        postgres.sql("postgres", "create role login_trust");
        postgres
    }

    /// Another process may have taken the port in the meantime: then once more with another.
    fn await_ready(&mut self) {
        let until = Instant::now() + Duration::from_mins(1);
        while self.try_sql("postgres", "select 1").is_err() {
            if self.server.try_wait().expect("the server is our child").is_some() {
                (self.server, self.port) = launch(&self.programs, &self.directory, account());
            }
            assert!(Instant::now() < until, "PostgreSQL does not start");
            sleep(Duration::from_millis(20));
        }
    }

    /// Runs statements as the superuser; the output is unaligned, without headings.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        self.try_sql(database, statements).unwrap_or_else(|error| panic!("{statements}: {error}"))
    }

    fn try_sql(&self, database: &str, statements: &str) -> Result<String, String> {
        let output = Command::new(self.programs.join("psql"))
            .args([
                "--no-psqlrc",
                "--no-align",
                "--tuples-only",
                "--quiet",
                "--set=ON_ERROR_STOP=1",
                "--username=postgres",
            ])
            .arg(format!("--host={}", self.directory.display()))
            .arg(format!("--port={}", self.port))
            .args(["--dbname", database, "--command", statements])
            .output()
            .expect("psql starts");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// A new database and its owner.
    pub fn database(self: &Arc<Self>) -> Database {
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let password = format!("canary-{}", random_hex());
        self.sql("postgres", &format!("create role {name} login password '{password}'"));
        self.sql("postgres", &format!("create database {name} owner {name}"));
        Database { postgres: Arc::clone(self), name, password }
    }

    /// The server's log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Database {
    /// The connection URL of the owner.
    pub fn url(&self) -> String {
        format!(
            "postgres://{name}:{password}@127.0.0.1:{port}/{name}?sslmode=disable",
            name = self.name,
            password = self.password,
            port = self.postgres.port
        )
    }

    /// How many connections PostgreSQL counts for the owner.
    pub fn connections(&self) -> u32 {
        let count = format!("select count(*) from pg_stat_activity where usename = '{}'", self.name);
        self.postgres.sql("postgres", &count).parse().expect("a count is a number")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.server);
        // Immediate shutdown: the postmaster takes its children along, and nothing is kept.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        let _ = self.server.wait();
        if std::thread::panicking() {
            eprintln!("PostgreSQL's log:\n{}", self.log());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn launch(programs: &Path, directory: &Path, account: Option<(u32, u32)>) -> (Child, u16) {
    let port = free_port();
    let log = fs::File::create(directory.join("log")).expect("the directory is ours");
    let server = as_account(&programs.join("postgres"), account)
        .arg("-D")
        .arg(directory.join("data"))
        .args(["-p", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("postgres starts");
    (server, port)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}

/// 16 hexadecimal digits that no other run has.
pub fn random_hex() -> String {
    let mut bytes = [0; 8];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).expect("the kernel has random bytes");
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn programs() -> PathBuf {
    if let Some(path) = std::env::var_os("WEIR_POSTGRES_PROGRAMS") {
        return path.into();
    }
    let versions =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    versions
        .chain(std::env::split_paths(&path))
        .filter_map(|directory| fs::canonicalize(directory.join("initdb")).ok()?.parent().map(Path::to_owned))
        .filter(|directory| ["postgres", "psql"].iter().all(|program| directory.join(program).exists()))
        .max()
        .expect("PostgreSQL's server programs are missing: apt-get install postgresql, or set WEIR_POSTGRES_PROGRAMS")
}

/// User and group to run as, where we are root.
fn account() -> Option<(u32, u32)> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("there are users");
    let user =
        users.lines().find(|line| line.starts_with("postgres:")).expect("PostgreSQL's package makes the user postgres");
    let mut numbers = user.split(':').skip(2).map(|number| number.parse().expect("passwd(5): a number"));
    Some((numbers.next().expect("passwd(5): a user"), numbers.next().expect("passwd(5): a group")))
}

fn as_account(program: &Path, account: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if let Some((user, group)) = account {
        command.uid(user).gid(group);
    }
    command
}
