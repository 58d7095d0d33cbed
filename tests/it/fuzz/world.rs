//! Two databases that are alike, one for PostgreSQL alone and one for what is compared with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use weir::sidecar::pool::Release;

use crate::author::Author;
use crate::play::{Difference, Recording, SILENCE, Unfit, Written};
use crate::pooler::{Pooler, limits};
use crate::postgres::{Postgres, SUPERUSER};
use crate::raw::Raw;
use crate::record::record;
use crate::replay::replay;
use crate::script::Script;
use crate::stage::{Address, Stage};

/// What is compared with PostgreSQL.
#[derive(Clone, Copy)]
pub enum Other {
    /// PostgreSQL itself: whatever differs is not determined.
    Direct,
    Pool {
        release: Release,
        /// Server connections, where they are not the script's.
        servers: Option<u32>,
        /// Run in the pooler's thread before it starts.
        plant: fn(),
        /// Kinds that are not written, as in `FUZZ_WITHOUT`.
        without: &'static str,
    },
}

/// Of one thread: two databases, a superuser's connection to each, and poolers by their number of server connections.
pub struct World {
    server: Arc<Postgres>,
    user: String,
    databases: [String; 2],
    judges: [Raw; 2],
    other: Other,
    poolers: BTreeMap<u32, Pooler>,
    mixed: bool,
    without: String,
}

const TABLES: &str = "CREATE SCHEMA one; CREATE SCHEMA two; \
    CREATE TABLE t (a int, b text); INSERT INTO t VALUES (0, 'public'); \
    CREATE TABLE one.t (a int, b text); INSERT INTO one.t VALUES (1, 'one'), (2, 'one again'); \
    CREATE TABLE two.t (a int, b int, c text); INSERT INTO two.t VALUES (1, 21, 'two'); \
    CREATE TABLE sink (n int, who text); CREATE TABLE left_to (x text); CREATE SEQUENCE counter; \
    GRANT USAGE ON SCHEMA one, two TO public; GRANT ALL ON ALL TABLES IN SCHEMA public, one, two TO public; \
    GRANT ALL ON counter TO public";

fn changing(user: &str) -> String {
    format!(
        "DROP TABLE IF EXISTS public.m; CREATE TABLE public.m (id int, v int); INSERT INTO public.m VALUES (1, 10), (2, 20); \
         GRANT ALL ON public.m TO public; ALTER TABLE public.m OWNER TO {user}; ALTER SEQUENCE public.counter RESTART"
    )
}

/// Everything that a script may leave.
const CONTENT: &str = "SELECT concat( \
    (SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM public.sink x), ' / ', (SELECT count(*) FROM public.left_to), ' / ', \
    (SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM public.m x), ' / ', (SELECT last_value FROM public.counter))";

fn server() -> Arc<Postgres> {
    static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        let settings = "max_connections = 200\nautovacuum = off\nshared_buffers = 16MB\njit = off\nmax_parallel_workers_per_gather = 0\n";
        let server = Arc::new(Postgres::start(settings));
        server.sql("postgres", "CREATE ROLE fuzz_other");
        *shared = Arc::downgrade(&server);
        server
    })
}

impl World {
    pub fn new(other: Other) -> Self {
        let server = server();
        let first = server.database();
        let user = first.name;
        let databases = [user.clone(), format!("{user}other")];
        server.sql("postgres", &format!("CREATE DATABASE {} OWNER {user}", databases[1]));
        server.sql("postgres", &format!("GRANT fuzz_other TO {user}"));
        for database in &databases {
            server.sql("postgres", &format!("ALTER DATABASE {database} SET lock_timeout = '50ms'"));
            server.sql(database, &format!("{TABLES}; {}", changing(&user)));
        }
        let judge = |database: &String| {
            let mut judge = Raw::log_in_to(server.port(), SUPERUSER, database, &[]).unwrap();
            judge.rows("SET lock_timeout = 0");
            judge
        };
        let mut judges = [judge(&databases[0]), judge(&databases[1])];
        let version: u32 = judges[0].value("SHOW server_version_num").parse().unwrap();
        let known = if let Other::Pool { without, .. } = other { without } else { "" };
        let without = format!("{known},{}", std::env::var("FUZZ_WITHOUT").unwrap_or_default());
        Self { server, user, databases, judges, other, poolers: BTreeMap::new(), mixed: version < 180_000, without }
    }

    fn stage(&self, side: usize, port: u16, clients: usize) -> Stage {
        let (user, database) = (self.user.clone(), self.databases[side].clone());
        Stage::new(Address { port, user, database }, clients)
    }

    /// Writes a script and does it at PostgreSQL.
    pub fn write(&mut self, seed: u64, patience: Duration) -> Result<Recording, Unfit> {
        let (mut author, clients, servers) = Author::new(seed, self.mixed, &self.without);
        record(&mut author, self.stage(0, self.server.port(), clients), servers, patience)
    }

    /// Does a script at PostgreSQL.
    pub fn record(&mut self, script: &Script, patience: Duration) -> Result<Recording, Unfit> {
        let stage = self.stage(0, self.server.port(), script.clients());
        record(&mut Written(script.steps.iter()), stage, script.servers, patience)
    }

    /// Does again what was recorded, and cleans up behind both.
    pub fn compare(&mut self, recording: &Recording, patience: Duration) -> Result<(), Difference> {
        let script = &recording.script;
        let port = self.port(script.servers);
        let mut stage = self.stage(1, port, script.clients());
        let compared = replay(recording, &mut stage, patience).map_err(|difference| self.explain(difference));
        drop(stage);
        let content = self.judges.each_mut().map(|judge| judge.value(CONTENT));
        self.clean();
        compared?;
        let [expected, got] = content;
        if expected == got {
            return Ok(());
        }
        Err(Difference { step: script.steps.len(), client: 0, expected, got })
    }

    /// With what the pool said of itself at that moment, where it was silent.
    fn explain(&self, difference: Difference) -> Difference {
        let silent = difference.got.starts_with(SILENCE);
        let figures: Vec<_> =
            self.poolers.values().filter(|_| silent).map(|pooler| format!(" {:?}", pooler.figures)).collect();
        Difference { got: difference.got + &figures.concat(), ..difference }
    }

    /// Makes both databases what they were.
    pub fn clean(&mut self) {
        let pristine = format!("DELETE FROM public.sink; DELETE FROM public.left_to; {}", changing(&self.user));
        for judge in &mut self.judges {
            judge.rows(&pristine);
        }
    }

    fn port(&mut self, servers: usize) -> u16 {
        let Other::Pool { release, servers: fixed, plant, .. } = self.other else { return self.server.port() };
        let servers = fixed.unwrap_or_else(|| u32::try_from(servers).unwrap());
        let (user, database, port) = (&self.user, &self.databases[1], self.server.port());
        let url = format!("postgres://{user}:secret@127.0.0.1:{port}/{database}");
        let limits = weir::policy::limits::Limits { connection_timeout: Duration::from_secs(30), ..limits(1, servers) };
        self.poolers.entry(servers).or_insert_with(|| Pooler::start_planted(&url, limits, release, plant)).port
    }

    /// The next script meets new poolers.
    pub fn renew(&mut self) {
        self.poolers.clear();
    }
}
