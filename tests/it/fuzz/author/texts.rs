//! SQL that scripts are made of.

use super::pen::bind;
use crate::dice::Dice;
use crate::say::Say;

pub const START_UP: [(&str, &str); 6] = [
    ("TimeZone", "Asia/Tokyo"),
    ("DateStyle", "German,DMY"),
    ("search_path", "one,public"),
    ("search_path", "two"),
    ("extra_float_digits", "0"),
    ("application_name", "fuzzed"),
];

/// Statements and their numbers of parameters. Much of it means something else under other settings.
pub const STATEMENTS: [(&str, usize); 26] = [
    ("SELECT 'one'", 0),
    ("SELECT 'two', 2", 0),
    ("SELECT $1", 1),
    ("SELECT $1::text", 1),
    ("SELECT $1::int + 1", 1),
    ("SELECT $1::int8, $2::text", 2),
    ("SELECT * FROM t ORDER BY 1", 0),
    ("SELECT a FROM t ORDER BY 1", 0),
    ("SELECT b FROM t WHERE a = $1", 1),
    ("TABLE t", 0),
    ("INSERT INTO public.sink VALUES ($1, 'statement')", 1),
    ("INSERT INTO public.sink VALUES (5, 'returned') RETURNING n, who", 0),
    ("SELECT current_setting('TimeZone'), current_setting('search_path')", 0),
    ("SELECT timestamptz '2020-01-01 00:00', date '01/02/2003'", 0),
    ("SELECT interval '1 day 2 hours', 0.1::float8 + 0.2, bytea '\\x41'", 0),
    ("SELECT 'a\\\\b'", 0),
    ("SELECT NULL = NULL", 0),
    ("SELECT U&'\\00e9'", 0),
    ("", 0),
    ("SELECT 1 / 0", 0),
    ("BOGUS", 0),
    ("SELECT nothing", 0),
    ("VALUES (1), (2), (3)", 0),
    ("SELECT n, repeat('y', 500) FROM generate_series(1, 60) n", 0),
    ("SHOW search_path", 0),
    ("SELECT current_user, current_schemas(false)", 0),
];

/// Not what a client needs to be alone with: transactions and settings, by the extended protocol.
pub const UNRULY: [&str; 8] = [
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SET TimeZone = 'Europe/Berlin'",
    "SET search_path = one",
    "SELECT set_config('search_path', 'two', false)",
    "SELECT pg_advisory_lock(1000)",
    "CREATE TEMP TABLE tt AS SELECT 'by extended' AS x",
];

/// Tables whose columns others change.
pub const CHANGING: [(&str, usize); 4] = [
    ("SELECT * FROM public.m ORDER BY id", 0),
    ("SELECT v FROM public.m ORDER BY id", 0),
    ("SELECT v FROM public.m WHERE id = $1", 1),
    ("SELECT id FROM public.m WHERE v = $1", 1),
];

/// The whole state of a session, as far as it is promised; `{probe}` in a script.
pub const PROBE: &str = "SELECT \
    (SELECT string_agg(concat(name, '=', setting), ' ' ORDER BY name) FROM pg_catalog.pg_settings \
        WHERE setting IS DISTINCT FROM boot_val AND context IN ('user', 'superuser') \
        AND name NOT LIKE 'tcp%' AND name <> 'client_connection_check_interval'), \
    concat(pg_catalog.current_setting('a.b', true), ',', pg_catalog.current_setting('my.tag', true)), \
    concat(current_user, ',', session_user, ',', pg_catalog.current_schemas(false)), \
    (SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_catalog.pg_class \
        WHERE relnamespace = pg_catalog.pg_my_temp_schema()), \
    (SELECT string_agg(c, ',' ORDER BY c) FROM pg_catalog.pg_listening_channels() c), \
    (SELECT string_agg(concat(classid, '/', objid, '/', mode), ',' ORDER BY classid, objid, mode) \
        FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()), \
    (SELECT string_agg(concat(name, ':', statement, ':', is_holdable), ',' ORDER BY name) \
        FROM pg_catalog.pg_cursors), \
    (SELECT string_agg(name, ',' ORDER BY name) FROM pg_catalog.pg_prepared_statements WHERE from_sql), \
    pg_catalog.txid_current_if_assigned() IS NULL";

/// As a simple query, which drops the unnamed statement, or as a named one, which does not.
pub fn probe(dice: &mut Dice) -> Vec<Say> {
    if dice.roll(2) == 0 {
        return vec![Say::Query("{probe}".to_owned())];
    }
    let name = "probe".to_owned();
    vec![
        Say::Close { kind: 'S', name: name.clone() },
        Say::Parse { name: name.clone(), types: Vec::new(), sql: "{probe}".to_owned() },
        bind("", &name, Vec::new()),
        Say::Describe { kind: 'P', name: String::new() },
        Say::Execute { portal: String::new(), rows: 0 },
        Say::Sync,
    ]
}
