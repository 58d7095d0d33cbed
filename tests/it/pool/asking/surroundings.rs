//! The question is asked wherever a client has led its session.

use super::*;

/// Catalog names of the client's own, all of which lie.
const SHADOWS: &str = "
CREATE SCHEMA shadow;
CREATE FUNCTION shadow.lie(text, text) RETURNS bool LANGUAGE sql AS 'SELECT NOT pg_catalog.texteq($1, $2)';
CREATE FUNCTION shadow.lie(name, name) RETURNS bool LANGUAGE sql AS 'SELECT NOT pg_catalog.nameeq($1, $2)';
CREATE FUNCTION shadow.lie(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT NOT pg_catalog.oideq($1, $2)';
CREATE FUNCTION shadow.lie(int, int) RETURNS bool LANGUAGE sql AS 'SELECT NOT pg_catalog.int4eq($1, $2)';
CREATE OPERATOR shadow.= (FUNCTION = shadow.lie, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR shadow.= (FUNCTION = shadow.lie, LEFTARG = name, RIGHTARG = name);
CREATE OPERATOR shadow.= (FUNCTION = shadow.lie, LEFTARG = oid, RIGHTARG = oid);
CREATE OPERATOR shadow.= (FUNCTION = shadow.lie, LEFTARG = int, RIGHTARG = int);
CREATE OPERATOR shadow.<> (FUNCTION = pg_catalog.texteq, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR shadow.<> (FUNCTION = pg_catalog.oideq, LEFTARG = oid, RIGHTARG = oid);
CREATE FUNCTION shadow.current_setting(text, bool DEFAULT true) RETURNS text LANGUAGE sql AS 'SELECT ''lie''::pg_catalog.text';
CREATE FUNCTION shadow.encode(bytea, text) RETURNS text LANGUAGE sql AS 'SELECT ''lie''::pg_catalog.text';
CREATE FUNCTION shadow.convert_to(text, name) RETURNS bytea LANGUAGE sql AS 'SELECT ''lie''::pg_catalog.bytea';
CREATE FUNCTION shadow.getdatabaseencoding() RETURNS name LANGUAGE sql AS 'SELECT ''lie''::pg_catalog.name';
CREATE FUNCTION shadow.pg_listening_channels() RETURNS SETOF text LANGUAGE sql AS 'SELECT ''lie''::pg_catalog.text';
CREATE FUNCTION shadow.pg_my_temp_schema() RETURNS oid LANGUAGE sql AS 'SELECT 2200::pg_catalog.oid';
CREATE FUNCTION shadow.pg_backend_pid() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION shadow.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS 'SELECT ''lie''::pg_catalog.text';
CREATE TABLE shadow.pg_settings AS SELECT 'lie'::text AS name, 'lie'::text AS setting, 'session'::text AS source, 'user'::text AS context;
CREATE TABLE shadow.pg_cursors AS SELECT true AS is_holdable;
CREATE TABLE shadow.pg_prepared_statements AS SELECT true AS from_sql;
CREATE TABLE shadow.pg_roles AS SELECT 'lie'::name AS rolname, true AS rolsuper;
CREATE TABLE shadow.pg_locks AS SELECT 'advisory'::text AS locktype, pg_catalog.pg_backend_pid() AS pid, true AS granted;
CREATE TABLE shadow.pg_depend AS SELECT 2615::oid AS refclassid, 2200::oid AS refobjid;
CREATE DOMAIN shadow.text AS pg_catalog.int4;
CREATE DOMAIN shadow.bool AS pg_catalog.int4;
CREATE DOMAIN shadow.oid AS pg_catalog.int4;
GRANT ALL ON SCHEMA shadow TO public;
GRANT ALL ON ALL TABLES IN SCHEMA shadow TO public";

const SURROUNDINGS: [&str; 25] = [
    "SET search_path = shadow, pg_catalog",
    "SET search_path = ''",
    "SET search_path = pg_catalog",
    "SET search_path = missing",
    "SET default_transaction_read_only = on",
    "SET default_transaction_isolation = serializable",
    "SET default_transaction_isolation = serializable; SET default_transaction_read_only = on; SET default_transaction_deferrable = on",
    "SET client_encoding = LATIN1",
    "SET client_encoding = SQL_ASCII",
    "SET client_encoding = EUC_JP",
    "SET client_encoding = SJIS",
    "SET client_encoding = GB18030",
    "SET standard_conforming_strings = off; SET escape_string_warning = on; SET backslash_quote = off",
    "SET DateStyle = 'SQL, DMY'; SET IntervalStyle = sql_standard; SET TimeZone = 'Asia/Kolkata'",
    "SET bytea_output = escape; SET extra_float_digits = -15",
    "SET quote_all_identifiers = on; SET transform_null_equals = on; SET array_nulls = off",
    "SET row_security = off; SET plan_cache_mode = force_generic_plan",
    "SET plan_cache_mode = force_custom_plan; SET constraint_exclusion = on",
    "SET enable_seqscan = off; SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_nestloop = off",
    "SET work_mem = 64; SET from_collapse_limit = 1; SET geqo_threshold = 2",
    "SET client_min_messages = debug5",
    "SET check_function_bodies = off; SET default_tablespace = pg_default; SET synchronous_commit = off",
    "SET exit_on_error = on",
    "SET jit = on; SET jit_above_cost = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0",
    "DO $$BEGIN IF current_setting('server_version_num')::int < 160000 THEN SET force_parallel_mode = on; \
     ELSE SET debug_parallel_query = on; END IF; END$$",
];

#[test]
fn answers_whatever_the_session_has_set() {
    let database = postgres::database();
    database.sql(SHADOWS);
    database.sql(&format!(
        "CREATE ROLE nobody_{0}; GRANT nobody_{0} TO {0}; GRANT TEMP ON DATABASE {0} TO public",
        database.name
    ));
    for surroundings in SURROUNDINGS {
        let mut session = Session::new(&database, &database.name);
        session.run("SET a.b = 'c'");
        session.run(surroundings);
        let clean = session.ask(Hints::EVERYTHING);
        assert!(
            !session.pins.contains(Pin::Temporary) && session.pins.is_empty(),
            "{surroundings}: {:?}",
            session.pins
        );
        assert_eq!(clean.settings().get(b"a.b"), Some(&b"c"[..]), "{surroundings}");
        assert_eq!(clean.settings().get(b"lie"), None);
        assert!(clean.settings().len() > 1, "{surroundings}");
        assert_eq!(*clean.roles(), Roles::of_login(database.name.as_bytes()));

        session.run(&format!("SET ROLE nobody_{}", database.name));
        session.run("LISTEN a");
        session.run("SELECT pg_catalog.pg_advisory_lock(1) ");
        session.run("PREPARE p AS SELECT");
        session.run("DECLARE c CURSOR WITH HOLD FOR SELECT");
        // Where it may not write a temporary table, it is allowed to.
        session.run("BEGIN READ WRITE; CREATE TEMP TABLE x (a pg_catalog.int4); COMMIT");
        assert_eq!(session.ask(Hints::EVERYTHING).settings(), clean.settings(), "{surroundings}");
        let all = [Pin::Listen, Pin::Cursor, Pin::Temporary, Pin::Lock, Pin::Prepared, Pin::Role];
        assert_eq!(session.pins.iter().collect::<Vec<_>>(), all, "{surroundings}");
    }
}

/// Values that the client's encoding has no characters for are shown as bytes of the database's.
#[test]
fn answers_in_any_encoding() {
    let server = postgres::database().server;
    for (encoding, value) in [
        ("UTF8", "\u{e9}\u{20ac}".as_bytes()),
        ("SQL_ASCII", b"\xff\xfe"),
        ("LATIN1", b"\xe9"),
        ("EUC_JP", b"\xa4\xa2"),
    ] {
        let name = format!("encoded_{}", encoding.to_lowercase());
        server.sql("postgres", &format!("CREATE ROLE {name} LOGIN"));
        server.sql(
            "postgres",
            &format!("CREATE DATABASE {name} OWNER {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"),
        );
        let database = Database { server: server.clone(), name };
        for client in ["UTF8", "SQL_ASCII", "LATIN1", "EUC_JP", "LATIN5"] {
            let mut session = Session::new(&database, &database.name);
            session.run(&format!("SET client_encoding = '{encoding}'"));
            session.raw.send(&message(b'Q', &[b"SET search_path = \"", value, b"\"\0"].concat()));
            session.raw.read_to(b'Z');
            session.raw.send(&message(b'Q', &[b"SET a.b = '", value, b"'\0"].concat()));
            session.raw.read_to(b'Z');
            session.custom.insert(b"a.b".to_vec());
            if session.attempt(&format!("SET client_encoding = '{client}'")).is_err() {
                continue;
            }
            let answer = session.ask(Hints::EVERYTHING);
            assert_eq!(answer.settings().get(b"a.b"), Some(value), "{encoding} {client}");
            assert_eq!(session.pins.iter().collect::<Vec<_>>(), [Pin::Setting], "{encoding} {client}");
            assert_eq!(answer.settings().get(b"client_encoding"), Some(client.as_bytes()));
        }
    }
}
