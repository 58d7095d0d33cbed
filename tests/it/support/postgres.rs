//! A real PostgreSQL in a temporary directory, for one test binary: started by the first test that wants it, stopped with the last.

#![allow(
    dead_code,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test binary uses its own part, and a panic is how a test fails"
)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// Superuser of every server; local connections are trusted.
pub const SUPERUSER: &str = "postgres";

/// A running server. Dropping it stops it and removes its files.
#[derive(Debug)]
pub struct Postgres {
    directory: PathBuf,
    port: u16,
    /// Stops the server and removes its files once its input ends, which a killed test sees to as well.
    keeper: Child,
}

/// A database and its owner, who may log in, of one test.
#[derive(Clone, Debug)]
pub struct Database {
    pub server: Arc<Postgres>,
    /// Of both.
    pub name: String,
}

static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
static NUMBER: AtomicU32 = AtomicU32::new(0);

fn number() -> u32 {
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// A fresh database on the server that the tests of this binary share.
pub fn database() -> Database {
    let mut shared = SHARED.lock().unwrap();
    let server = shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Postgres::start(""));
        *shared = Arc::downgrade(&server);
        server
    });
    drop(shared);
    server.database()
}

/// Where the programs are: `PGBIN`, else Debian's place, the newest version first.
pub fn program(name: &str) -> PathBuf {
    if let Some(directory) = std::env::var_os("PGBIN") {
        return Path::new(&directory).join(name);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed, or PGBIN says where");
    let mut found: Vec<_> = versions.map(|entry| entry.unwrap().path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().unwrap_or_else(|| panic!("no {name} under /usr/lib/postgresql"))
}

/// PostgreSQL refuses to run as root: then it runs as `postgres`, or as nobody.
fn owner() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |line: &str| {
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(passwd.lines().find(|line| line.starts_with("postgres:")).and_then(ids).unwrap_or((65534, 65534)))
}

fn command(name: &str) -> Command {
    owned(Command::new(program(name)))
}

fn owned(mut command: Command) -> Command {
    if let Some((user, group)) = owner() {
        command.uid(user).gid(group);
    }
    command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

impl Postgres {
    /// Starts a server of its own, with more lines in its postgresql.conf.
    pub fn start(settings: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("weir-postgres-{}-{}", std::process::id(), number()));
        fs::create_dir(&directory).unwrap();
        if let Some((user, group)) = owner() {
            chown(&directory, Some(user), Some(group)).unwrap();
        }
        let data = directory.join("data");
        run(command("initdb").args(["-N", "-A", "trust", "-U", SUPERUSER, "-E", "UTF8", "-D"]).arg(&data));
        // Free a moment ago; PostgreSQL itself can't choose one.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let configuration = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\n\
             max_connections = 60\nlog_line_prefix = '%m [%p] %a '\n{settings}\n",
            directory.display()
        );
        fs::write(data.join("postgresql.auto.conf"), configuration).unwrap();
        let script = "cat; \"$1\" -s -w stop -m immediate -D \"$0/data\"; rm -rf \"$0\"/*";
        let mut keeper = owned(Command::new("sh"));
        keeper.args(["-c", script]).arg(&directory).arg(program("pg_ctl")).process_group(0);
        let keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { directory, port, keeper };
        server.resume();
        server
    }

    /// Starts it again after [`Postgres::stop`].
    pub fn resume(&self) {
        let mut command = command("pg_ctl");
        command
            .args(["-s", "-w", "-t", "60", "start", "-D"])
            .arg(self.data())
            .arg("-l")
            .arg(self.directory.join("log"));
        // Its children keep what they inherit: no pipe of ours.
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{}", fs::read_to_string(self.directory.join("log")).unwrap_or_default());
    }

    /// `mode`: smart, fast or immediate.
    pub fn stop(&self, mode: &str) {
        run(command("pg_ctl").args(["-s", "-w", "stop", "-m", mode, "-D"]).arg(self.data()));
    }

    /// Reads its configuration again.
    pub fn reload(&self) {
        run(command("pg_ctl").args(["-s", "reload", "-D"]).arg(self.data()));
    }

    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs statements as the superuser; rows come back as lines, columns divided by `|`.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = run(command("psql")
            .args([
                "-XAtq",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                SUPERUSER,
                "-d",
                database,
                "-c",
                sql,
                "-p",
                &self.port.to_string(),
                "-h",
            ])
            .arg(&self.directory));
        output.trim_end().to_owned()
    }

    /// A fresh database with an owner of its own.
    pub fn database(self: &Arc<Self>) -> Database {
        let name = format!("test{}", number());
        self.sql("postgres", &format!("CREATE ROLE {name} LOGIN PASSWORD 'secret'"));
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER {name}"));
        Database { server: Arc::clone(self), name }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Database {
    /// Runs statements as the superuser.
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }

    /// The connection URL of its owner.
    pub fn url(&self) -> String {
        format!("postgres://{0}:secret@127.0.0.1:{1}/{0}", self.name, self.server.port)
    }

    /// Server connections of its owner.
    pub fn connections(&self) -> u32 {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'", self.name);
        self.server.sql("postgres", &sql).parse().unwrap()
    }
}
