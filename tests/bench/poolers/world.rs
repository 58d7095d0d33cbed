//! What all rounds share: a PostgreSQL of our own, and the programs.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::load::Load;
use super::postgres::{self, Database, Postgres};
use super::scenario::{Scenario, Wiring, Work};
use super::target::{Kind, Running, Setup, find, open_to_all};
use super::{pgbouncer, shipped, weir};

const SETTINGS: &str = "max_connections = 200\nautovacuum = off\njit = off\n";
/// Files that poolers and pgbench have open beside the clients.
const OTHER_FILES: u64 = 200;
/// Beyond it, PgBouncer and we ourselves have not enough files.
const CROWD_FILES: u64 = 10_000 + OTHER_FILES;

pub struct World {
    pub database: Database,
    directory: PathBuf,
    programs: BTreeMap<Kind, PathBuf>,
    files: u64,
    number: AtomicU32,
}

/// PostgreSQL offers TLS while this lives.
pub struct Encrypted<'a>(&'a World);

impl World {
    /// Builds what is ours, and starts PostgreSQL.
    pub fn new() -> Self {
        let mut programs = BTreeMap::from([(Kind::Weir, shipped::sidecar()), (Kind::Forwarder, shipped::forwarder())]);
        let named = |variable: &str| env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
        if let Some(program) = named("PGBOUNCER").or_else(|| find("pgbouncer")) {
            programs.insert(Kind::PgBouncer, program);
        }
        if let Some(program) = named("PG_DOORMAN") {
            programs.insert(Kind::Doorman, program);
        }
        let directory = env::temp_dir().join(format!("weir-poolers-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("there is room for files");
        open_to_all(&directory);
        let database = Arc::new(Postgres::start(SETTINGS)).database();
        certify(&database.server);
        let world = Self { database, directory, programs, files: raise_files(), number: AtomicU32::new(0) };
        let server = &world.database.server;
        world.load().prepare("127.0.0.1", server.port());
        world
    }

    /// Who is there.
    pub fn kinds(&self) -> Vec<Kind> {
        self.programs.keys().copied().collect()
    }

    /// What the table can't say.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = vec![match self.programs.get(&Kind::PgBouncer) {
            None => "pgbouncer is not installed: nothing to compare with (PGBOUNCER=path)".to_owned(),
            Some(program) => match pgbouncer::version(program) {
                Some((major, minor)) => format!("PgBouncer {major}.{minor} ({}), transaction mode", program.display()),
                None => format!("{} does not say its version", program.display()),
            },
        }];
        if !weir::pools_transactions() {
            notes.push(
                "Weir has no transaction mode yet: session mode, with a connection for each client where PgBouncer has 8; \
                 only 8 over 8 (unqueued) compares like with like, and idle clients have run no query"
                    .to_owned(),
            );
        }
        notes
    }

    /// Why a target has no part in a scenario.
    pub fn supports(&self, kind: Kind, scenario: &Scenario) -> Result<(), String> {
        let arguments: &[&str] = if let Work::Load { arguments, .. } = scenario.work { arguments } else { &[] };
        if arguments.contains(&"prepared")
            && kind == Kind::PgBouncer
            && !pgbouncer::tracks_statements(self.program(kind))
        {
            return Err("not supported before 1.21".to_owned());
        }
        if scenario.name == "pipeline" && self.load().version() < 14 {
            return Err("pgbench has pipelines from 14 on".to_owned());
        }
        if kind == Kind::Forwarder && arguments.contains(&"-C") {
            return Err("each connection would start a process of PostgreSQL".to_owned());
        }
        if kind == Kind::Forwarder && matches!(scenario.work, Work::Crowd(_)) {
            return Err("each client would need a connection of PostgreSQL".to_owned());
        }
        if matches!(scenario.work, Work::Crowd(clients) if clients >= 10_000) && self.files < CROWD_FILES {
            return Err(format!("needs ulimit -n {CROWD_FILES}, and may have {}", self.files));
        }
        Ok(())
    }

    pub fn program(&self, kind: Kind) -> &Path {
        &self.programs[&kind]
    }

    /// Starts a target; `instead` of its program another that runs it.
    pub fn start(&self, kind: Kind, scenario: &Scenario, instead: Option<&Path>) -> Result<Running, String> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        kind.start(Setup {
            program: instead.unwrap_or_else(|| self.program(kind)),
            database: &self.database,
            wiring: scenario.wiring,
            clients: scenario.clients(),
            directory: self.directory.join(number.to_string()),
        })
    }

    /// pgbench for our database.
    pub fn load(&self) -> Load<'_> {
        Load { program: postgres::program("pgbench"), directory: &self.directory, name: &self.database.name }
    }

    /// A directory that all poolers may write to.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Turned on only where it is measured: elsewhere pgbench would use it through the forwarder.
    pub fn tls(&self, wiring: Wiring) -> Option<Encrypted<'_>> {
        (wiring == Wiring::Tls).then(|| {
            self.set_tls("on");
            Encrypted(self)
        })
    }

    /// Fails where connections should be encrypted and none is.
    pub fn encrypted(&self, wiring: Wiring) -> Result<(), String> {
        let sql = "select count(*) filter (where not ssl) from pg_stat_ssl join pg_stat_activity using (pid) where usename = current_user";
        let sql = sql.replace("current_user", &format!("'{}'", self.database.name));
        match self.database.sql(&sql).as_str() {
            "0" => Ok(()),
            _ if wiring != Wiring::Tls => Ok(()),
            plain => Err(format!("{plain} connections are not encrypted")),
        }
    }

    fn set_tls(&self, value: &str) {
        let server = &self.database.server;
        server.sql("postgres", &format!("alter system set ssl = {value}"));
        server.reload();
        // A new connection may come before the postmaster has read it.
        while server.sql("postgres", "show ssl") != value {
            std::thread::yield_now();
        }
    }
}

impl Drop for Encrypted<'_> {
    fn drop(&mut self) {
        self.0.set_tls("off");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Gives the server a certificate and its key, which nobody verifies.
fn certify(server: &Postgres) {
    let key = rcgen::KeyPair::generate().expect("the kernel has random bytes");
    let parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = parameters.self_signed(&key).expect("the key is its own");
    let owner = fs::metadata(server.data()).expect("the server's files are there");
    for (file, pem) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
        let path = server.data().join(file);
        fs::write(&path, pem).expect("the server's files are there");
        // It takes a key that is its own and nobody else's.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it was just made");
        chown(&path, Some(owner.uid()), Some(owner.gid())).expect("root may give files away");
    }
}

/// As many open files as the kernel lets us have; the poolers inherit it.
fn raise_files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(_) => current.unwrap_or(u64::MAX),
    }
}
