//! The state of a session, as PostgreSQL has it: hinted at, asked for, undone, and given to another connection.

use std::collections::BTreeSet;

use weir::sidecar::server::dress;
use weir::sidecar::state::{Answer, Ask, Hints, Pin, Pins, Roles, hints_of_text, settle};
use weir::sidecar::wire::Parameters;

use super::postgres::{self, Database, SUPERUSER};
use super::raw::{Raw, field, message, query};

#[path = "asking/settings.rs"]
mod settings;
#[path = "asking/surroundings.rs"]
mod surroundings;

/// A session of PostgreSQL itself, and what is remembered of it.
struct Session {
    raw: Raw,
    login: Roles,
    pins: Pins,
    custom: BTreeSet<Vec<u8>>,
}

impl Session {
    fn new(database: &Database, user: &str) -> Self {
        let raw = Raw::log_in_to(database.server.port(), user, &database.name, &[]).unwrap();
        Self { raw, login: Roles::of_login(user.as_bytes()), pins: Pins::NONE, custom: BTreeSet::new() }
    }

    /// Runs a Query, which must succeed, and returns what it hints at.
    fn run(&mut self, sql: &str) -> Hints {
        self.attempt(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn attempt(&mut self, sql: &str) -> Result<Hints, String> {
        let text = hints_of_text(sql.as_bytes(), &mut |name| {
            self.custom.insert(name.to_ascii_lowercase());
        });
        self.raw.send(&query(sql));
        let mut hints = text;
        let mut error = None;
        for answer in self.raw.read_to(b'Z') {
            match answer.kind {
                b'C' => hints |= text.after_tag(answer.body.strip_suffix(b"\0").unwrap()),
                b'E' => error = Some(field(&answer, b'M')),
                _ => {}
            }
        }
        self.pins |= Pins::of_hints(hints);
        error.map_or(Ok(hints), Err)
    }

    /// Asks after these hints, as the loop does.
    fn ask(&mut self, hints: Hints) -> Answer {
        let mut bytes = message(b'C', b"Sweir_ask\0");
        Ask::parse(b"weir_ask", &mut bytes);
        Ask::new(hints, self.pins).run(b"weir_ask", self.custom.iter().map(|name| &**name), &mut bytes);
        self.raw.send(&bytes);
        let answers = self.raw.read_to(b'Z');
        let error = answers.iter().find(|answer| answer.kind == b'E');
        assert!(error.is_none(), "{error:?}");
        let rows: Vec<_> = answers.iter().filter(|answer| answer.kind == b'D').map(|answer| &*answer.body).collect();
        // Beside the length of a NULL.
        assert!(rows.iter().all(|row| row.iter().all(|byte| byte.is_ascii() || *byte == 0xff)));
        let answer = Answer::parse(rows).unwrap();
        self.pins = self.pins.answered(answer.pins(&self.login, &Parameters::default()));
        answer
    }

    /// Runs it, and asks where that is hinted at.
    fn follow(&mut self, sql: &str) -> Answer {
        let hints = self.run(sql);
        assert!(hints.asks(self.pins), "{sql} is not hinted at: {hints:?}");
        self.ask(hints)
    }

    /// Takes settings on, as a server connection does.
    fn dress(&mut self, new: &Parameters) {
        let mut bytes = Vec::new();
        for _ in 0..dress(None, new, &mut bytes) {
            self.raw.send(&std::mem::take(&mut bytes));
            let answers = self.raw.read_to(b'Z');
            assert!(answers.iter().all(|answer| answer.kind != b'E'), "{answers:?}");
        }
    }
}

fn fresh() -> (Database, Session) {
    let database = postgres::database();
    let session = Session::new(&database, &database.name);
    (database, session)
}

/// What makes it, what undoes it.
const PINNING: [(Pin, &str, &str); 35] = [
    (Pin::Listen, "LISTEN a", "UNLISTEN a"),
    (Pin::Listen, "BEGIN; LISTEN \"b c\"; COMMIT", "UNLISTEN *"),
    (Pin::Listen, "DO $$BEGIN EXECUTE 'LISTEN a'; END$$", "DISCARD ALL"),
    (Pin::Cursor, "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "CLOSE c"),
    (Pin::Cursor, "BEGIN; DECLARE c SCROLL CURSOR WITH/**/hold FOR SELECT 1; COMMIT", "CLOSE ALL"),
    (Pin::Cursor, "DO $$BEGIN EXECUTE 'DECLARE c CURSOR WITH HOLD FOR SELECT 1'; END$$", "DISCARD ALL"),
    (Pin::Temporary, "CREATE TEMP TABLE x (a serial PRIMARY KEY, b text)", "DROP TABLE x"),
    (Pin::Temporary, "CREATE TABLE pg_temp.x ()", "DISCARD TEMP"),
    (Pin::Temporary, "create local/**/temporary table x AS SELECT 1", "DISCARD ALL"),
    (Pin::Temporary, "SELECT 1 INTO TEMP x", "DROP TABLE x"),
    (Pin::Temporary, "CREATE TABLE pg_temp.x AS SELECT 1", "DROP TABLE pg_temp.x"),
    (Pin::Temporary, "CREATE TEMP TABLE x AS SELECT 1 WITH NO DATA", "DROP TABLE x"),
    (Pin::Temporary, "CREATE TEMP VIEW x AS SELECT 1", "DROP VIEW x"),
    (Pin::Temporary, "CREATE OR REPLACE TEMP RECURSIVE VIEW x (a) AS SELECT 1", "DROP VIEW x"),
    (Pin::Temporary, "CREATE TEMP SEQUENCE x", "DROP SEQUENCE x"),
    (Pin::Temporary, "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION pg_temp.f()"),
    (Pin::Temporary, "CREATE TYPE pg_temp.t AS (a int)", "DROP TYPE pg_temp.t"),
    (Pin::Temporary, "CREATE DOMAIN pg_temp.d AS int", "DROP DOMAIN pg_temp.d"),
    (
        Pin::Temporary,
        "CREATE AGGREGATE pg_temp.a (int) (SFUNC = int4pl, STYPE = int)",
        "DROP AGGREGATE pg_temp.a (int)",
    ),
    (Pin::Temporary, "CREATE OPERATOR pg_temp.=== (FUNCTION = int4pl, LEFTARG = int, RIGHTARG = int)", "DISCARD TEMP"),
    (Pin::Temporary, "CREATE COLLATION pg_temp.c FROM \"C\"", "DROP COLLATION pg_temp.c"),
    (Pin::Temporary, "DO $$BEGIN EXECUTE 'CREATE TE' || 'MP TABLE x ()'; END$$", "DROP TABLE x"),
    (Pin::Temporary, "SET search_path = public, pg_temp", "RESET search_path"),
    (Pin::Lock, "SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)"),
    (Pin::Lock, "BEGIN; SELECT pg_try_advisory_lock_shared(1, 2); ROLLBACK", "SELECT pg_advisory_unlock_all()"),
    (Pin::Lock, "DO $$BEGIN PERFORM pg_advisory_lock_shared(1); END$$", "DISCARD ALL"),
    (Pin::Prepared, "PREPARE p AS SELECT 1", "DEALLOCATE p"),
    (Pin::Prepared, "PREPARE p (int) AS SELECT $1", "DEALLOCATE PREPARE ALL"),
    (Pin::Prepared, "DO $$BEGIN EXECUTE 'PREPARE p AS SELECT 1'; END$$", "DISCARD ALL"),
    (Pin::Role, "SET ROLE pg_monitor", "RESET ROLE"),
    (Pin::Role, "SELECT set_config('role', 'pg_monitor', false)", "SET ROLE NONE"),
    (Pin::Role, "DO $$BEGIN SET ROLE pg_monitor; END$$", "DISCARD ALL"),
    (Pin::Role, "SET SESSION AUTHORIZATION pg_monitor", "RESET SESSION AUTHORIZATION"),
    (Pin::Setting, "SET temp_buffers = 2000", "RESET temp_buffers"),
    (Pin::Setting, "SET search_path = \"\u{e9}\u{20ac}\"", "RESET ALL"),
];

#[test]
fn what_can_not_follow_is_hinted_at_shown_and_gone_once_it_is_undone() {
    let database = postgres::database();
    for (pin, make, undo) in PINNING {
        let mut session = Session::new(&database, SUPERUSER);
        session.follow(make);
        assert_eq!(session.pins.iter().collect::<Vec<_>>(), [pin], "{make}");
        session.follow(undo);
        assert_eq!(session.pins, Pins::NONE, "{undo}");
        session.follow(make);
        session.follow("DISCARD ALL");
        assert_eq!(session.pins, Pins::NONE, "DISCARD ALL after {make}");
    }
}

/// A view becomes temporary by what it reads, without a word of it.
#[test]
fn each_pin_is_told_from_the_others() {
    let database = postgres::database();
    let mut session = Session::new(&database, SUPERUSER);
    session.follow("CREATE TEMP TABLE x AS SELECT 1 AS a");
    assert!(session.run("CREATE VIEW y AS SELECT * FROM x").contains(Hints::TEMPORARY));
    session.follow("LISTEN a");
    session.follow("SELECT pg_advisory_lock(1)");
    session.follow("PREPARE p AS SELECT 1");
    session.follow("SET ROLE pg_monitor");
    let all = [Pin::Listen, Pin::Temporary, Pin::Lock, Pin::Prepared, Pin::Role];
    assert_eq!(session.pins.iter().collect::<Vec<_>>(), all);
    session.follow("RESET ROLE");
    session.follow("DEALLOCATE p");
    session.follow("DROP TABLE x CASCADE");
    assert_eq!(session.pins.iter().collect::<Vec<_>>(), [Pin::Listen, Pin::Lock]);
}

#[test]
fn settings_are_hinted_at_shown_and_gone_once_they_are_undone() {
    let (_database, mut session) = fresh();
    for (name, value, make, undo) in [
        ("work_mem", "78848", "SET work_mem = '77MB'", "RESET work_mem"),
        ("work_mem", "78848", "BEGIN; SET SESSION work_mem TO '77MB'; COMMIT", "SET work_mem TO DEFAULT"),
        ("work_mem", "78848", "SELECT set_config('work_mem', '77MB', false)", "RESET ALL"),
        (
            "work_mem",
            "78848",
            "SELECT set_config('work_mem', '1MB', true), set_config('work_mem', '77MB', false)",
            "DISCARD ALL",
        ),
        ("work_mem", "78848", "DO $$BEGIN SET work_mem = '77MB'; END$$", "RESET work_mem"),
        (
            "work_mem",
            "78848",
            "SELECT query_to_xml('SELECT set_config(''work_mem'', ''77MB'', false)', true, true, '')",
            "RESET work_mem",
        ),
        ("TimeZone", "<+02:30>-02:30", "SET TIME ZONE INTERVAL '+02:30' HOUR TO MINUTE", "SET TIME ZONE LOCAL"),
        ("client_encoding", "LATIN1", "SET NAMES 'LATIN1'", "RESET client_encoding"),
        ("search_path", "\"$user\", \"a b\"", "SET search_path = \"$user\", \"a b\"", "RESET search_path"),
        ("search_path", "pg_catalog", "SET SCHEMA 'pg_catalog'; SET search_path = pg_catalog", "RESET search_path"),
        ("xmloption", "document", "SET XML OPTION DOCUMENT", "RESET xmloption"),
        ("default_transaction_read_only", "on", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "RESET ALL"),
        (
            "default_transaction_isolation",
            "serializable",
            "SET default_transaction_isolation = serializable",
            "RESET ALL",
        ),
        ("statement_timeout", "2000000", "SET statement_timeout = '2000s'", "RESET statement_timeout"),
        ("application_name", "it's \\ mine", "SET application_name = 'it''s \\ mine'", "RESET application_name"),
        ("a.b", "c", "SET a.b = 'c'", ""),
        ("a.c", "d", "SELECT set_config('a.c', 'd', false)", ""),
        ("a.d", "", "SET \"A\" . d TO ''", ""),
        ("a.e", "f", "DO $$BEGIN SET a.e = 'f'; END$$", ""),
        ("plpgsql.extra_warnings", "all", "DO 'BEGIN END'; SET plpgsql.extra_warnings = 'all'", "RESET ALL"),
    ] {
        let shown = session.follow(make);
        assert_eq!(shown.settings().get(name.as_bytes()), Some(value.as_bytes()), "{make}");
        assert_eq!(session.pins, Pins::NONE, "{make}");
        if undo.is_empty() {
            let shown = session.follow(&format!("RESET {name}"));
            assert_eq!(shown.settings().get(name.as_bytes()), Some(&b""[..]), "{make}");
            assert_eq!(settle(&[(name, "x")].into_iter().collect(), &shown).get(name.as_bytes()), Some(&b"x"[..]));
        } else {
            assert_eq!(session.follow(undo).settings().get(name.as_bytes()), None, "{undo}");
        }
    }
}

#[test]
fn what_hints_at_nothing_leaves_nothing() {
    let (_database, mut session) = fresh();
    session.run("CREATE TABLE t (a int, temp text)");
    for sql in [
        "SET LOCAL work_mem = '1MB'",
        "BEGIN; SET LOCAL work_mem = '1MB'; SET LOCAL ROLE NONE; SET LOCAL a.b = 1; COMMIT",
        "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE; SELECT 1; COMMIT",
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; ROLLBACK",
        "BEGIN; SELECT set_config('work_mem', '1MB', true), set_config('a.' || 'c', '', true); COMMIT",
        "SELECT set_config('work_mem', '1MB', true)",
        "BEGIN; SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2); COMMIT",
        "BEGIN; DECLARE c CURSOR FOR SELECT 1; FETCH c; MOVE c; COMMIT",
        "BEGIN; DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1; ROLLBACK",
        "INSERT INTO t AS x (temp) VALUES ('hold') ON CONFLICT DO NOTHING; UPDATE t SET temp = 'x'; DELETE FROM t",
        "TRUNCATE t; LOCK TABLE t; EXPLAIN SELECT 1; SHOW work_mem; NOTIFY a; SET CONSTRAINTS ALL DEFERRED",
        "ANALYZE t",
        "DISCARD PLANS",
        "DISCARD SEQUENCES",
        "COPY (SELECT 1) TO STDOUT",
        "SAVEPOINT a; RELEASE a; ROLLBACK TO a",
        "SELECT pg_advisory_unlock_all()",
        "UNLISTEN *",
    ] {
        // Savepoints are for transactions; an error leaves nothing either.
        let hints = session.attempt(sql).unwrap_or_default();
        assert!(!hints.asks(Pins::NONE), "{sql}: {hints:?}");
        let shown = session.ask(Hints::EVERYTHING);
        assert_eq!(shown.settings(), &Parameters::default(), "{sql}");
        assert_eq!(session.pins, Pins::NONE, "{sql}");
    }
}

/// It ends a transaction as COMMIT does.
#[test]
fn a_prepared_transaction_leaves_what_was_hinted_at_and_nothing_else() {
    let server = std::sync::Arc::new(postgres::Postgres::start("max_prepared_transactions = 5"));
    let database = server.database();
    let mut session = Session::new(&database, &database.name);
    for refused in ["LISTEN a", "CREATE TEMP TABLE x ()", "DECLARE c CURSOR WITH HOLD FOR SELECT 1"] {
        let error = session.attempt(&format!("BEGIN; {refused}; PREPARE TRANSACTION 'p'")).unwrap_err();
        assert!(error.contains("cannot PREPARE a transaction that"), "{error}");
    }
    let shown =
        session.follow("BEGIN; SET work_mem = '77MB'; SELECT pg_advisory_xact_lock(1); PREPARE TRANSACTION 'p'");
    assert_eq!(shown.settings().get(b"work_mem"), Some(&b"78848"[..]));
    session.ask(Hints::EVERYTHING);
    assert_eq!(session.pins, Pins::NONE);
    assert!(!session.run("COMMIT PREPARED 'p'").asks(Pins::NONE));
    assert_eq!(session.ask(Hints::EVERYTHING), shown);
}

/// Even after RESET ALL: its tag is that of any RESET.
#[test]
fn a_name_that_is_in_no_text_pins_until_the_client_leaves() {
    let (_database, mut session) = fresh();
    session.follow("SELECT set_config('a.' || 'b', 'x', false)");
    assert_eq!(session.pins.iter().collect::<Vec<_>>(), [Pin::Custom]);
    session.follow("RESET ALL");
    assert_eq!(session.pins.iter().collect::<Vec<_>>(), [Pin::Custom]);
}

/// As SET ROLE lets one: the next connection of the pool could not take it on.
#[test]
fn a_setting_that_only_another_role_may_make_pins() {
    let (database, mut session) = fresh();
    database.sql(&format!("GRANT postgres TO {}", database.name));
    session.follow("SET ROLE postgres; SET log_statement_stats = on; RESET ROLE");
    assert_eq!(session.pins.iter().collect::<Vec<_>>(), [Pin::Setting]);
    session.follow("SET ROLE postgres; RESET log_statement_stats; RESET ROLE");
    assert_eq!(session.pins, Pins::NONE);
    let mut superuser = Session::new(&database, SUPERUSER);
    superuser.follow("SET log_statement_stats = on");
    assert_eq!(superuser.pins, Pins::NONE);
}
