//! What outlives a transaction.

use super::Kind;
use super::pen::{Fits, Pen};
use crate::hold::{DISCARD, UNPINS};

pub const KINDS: &[Kind] = &[
    ("set", 12, Fits::OutsideOfABatch, set),
    ("set-local", 3, Fits::OutsideOfABatch, set_local),
    ("set-extended", 3, Fits::Anywhere, set_extended),
    ("reset", 2, Fits::OutsideOfABatch, reset),
    ("reset-all", 2, Fits::Alone, reset_all),
    ("reset-start-up", 2, Fits::Alone, reset_start_up),
    ("discard", 2, Fits::Alone, discard),
    ("rolled-back", 3, Fits::OutsideOfABatch, rolled_back),
    ("notify", 3, Fits::OutsideOfABatch, notify),
    ("listen", 2, Fits::OutsideOfABatch, listen),
    ("temp", 3, Fits::OutsideOfABatch, temp),
    ("cursor", 3, Fits::OutsideOfABatch, cursor),
    ("lock", 3, Fits::OutsideOfABatch, lock),
    ("sequence", 1, Fits::OutsideOfABatch, sequence),
    ("prepare", 3, Fits::OutsideOfABatch, prepare),
    ("role", 1, Fits::OutsideOfABatch, role),
    ("unpin", 4, Fits::Alone, unpin),
];

const SETTINGS: [&str; 21] = [
    "TimeZone = 'Asia/Tokyo'",
    "TimeZone = 'UTC'",
    "DateStyle = 'SQL, DMY'",
    "IntervalStyle = 'iso_8601'",
    "client_encoding = 'LATIN1'",
    "client_encoding = 'UTF8'",
    "application_name = 'named'",
    "standard_conforming_strings = off",
    "standard_conforming_strings = on",
    "search_path = one",
    "search_path = two, public",
    "search_path = ''",
    "work_mem = '7MB'",
    "extra_float_digits = -1",
    "bytea_output = 'escape'",
    "transform_null_equals = on",
    "plan_cache_mode = 'force_generic_plan'",
    "default_transaction_isolation = 'repeatable read'",
    "default_transaction_read_only = off",
    "a.b = 'custom'",
    "my.tag = 'it''s \"mine\"'",
];

fn set(pen: &mut Pen<'_>) {
    let setting = pen.dice.pick(&SETTINGS);
    match pen.dice.roll(6) {
        0 => pen.query(as_function(setting, false)),
        1 => pen.query(format!("SET SESSION {setting}; SELECT 1")),
        2 if pen.one_in(3) => pen.query("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
        _ => pen.query(format!("SET {setting}")),
    }
}

fn as_function(setting: &str, local: bool) -> String {
    let (name, value) = setting.split_once(" = ").expect("a name and a value");
    let value = if value.starts_with('\'') { value.to_owned() } else { format!("'{value}'") };
    format!("SELECT set_config('{name}', {value}, {local})")
}

fn set_local(pen: &mut Pen<'_>) {
    let setting = pen.dice.pick(&SETTINGS);
    let sql = if pen.one_in(3) { as_function(setting, true) } else { format!("SET LOCAL {setting}") };
    pen.query(sql);
}

fn set_extended(pen: &mut Pen<'_>) {
    let sql = format!("SET {}", pen.dice.pick(&SETTINGS));
    pen.run(&[&sql]);
}

/// Not of a start-up parameter, nor of one that another client may have made known.
fn reset(pen: &mut Pen<'_>) {
    let names = ["TimeZone", "DateStyle", "search_path", "work_mem", "standard_conforming_strings", "IntervalStyle"];
    let free: Vec<_> = names.into_iter().filter(|name| !pen.mind.start_up.iter().any(|known| known == name)).collect();
    let name = pen.dice.pick(&free);
    let sql = if pen.one_in(3) { format!("SET {name} TO DEFAULT") } else { format!("RESET {name}") };
    pen.query(sql);
}

fn reset_all(pen: &mut Pen<'_>) {
    pen.query_of(&["RESET ALL", "RESET application_name"]);
}

fn reset_start_up(pen: &mut Pen<'_>) {
    pen.query_of(&["RESET extra_float_digits", "RESET TimeZone", "RESET search_path", "SET DateStyle TO DEFAULT"]);
}

fn discard(pen: &mut Pen<'_>) {
    pen.query_of(&[DISCARD, DISCARD, "DISCARD PLANS", "DISCARD TEMP", "DISCARD SEQUENCES"]);
}

fn rolled_back(pen: &mut Pen<'_>) {
    pen.query("BEGIN");
    set(pen);
    if pen.one_in(2) {
        pen.query("SAVEPOINT sp");
        set(pen);
        pen.query("ROLLBACK TO sp");
    }
    pen.query_of(&["ROLLBACK", "COMMIT", "SELECT 1 / 0", "SHOW TimeZone"]);
}

fn notify(pen: &mut Pen<'_>) {
    let sql = format!("NOTIFY {}, 'from {}'", pen.dice.pick(&["news", "other"]), pen.who);
    let function = format!("SELECT pg_notify('news', 'by {}')", pen.who);
    pen.query_of(&[&sql, &sql, &function]);
}

fn listen(pen: &mut Pen<'_>) {
    pen.query_of(&["LISTEN news", "LISTEN other", "UNLISTEN news", "UNLISTEN *", "LISTEN news; SELECT 1"]);
}

fn temp(pen: &mut Pen<'_>) {
    let create = format!("CREATE TEMP TABLE tt AS SELECT 'of {}' AS x", pen.who);
    pen.query_of(&[
        &create,
        &create,
        "SELECT * FROM tt",
        "SELECT * FROM tt",
        "INSERT INTO tt VALUES ('more')",
        "DROP TABLE tt",
        "CREATE TEMP TABLE tt (y int) ON COMMIT DROP",
    ]);
}

fn cursor(pen: &mut Pen<'_>) {
    pen.query_of(&[
        "DECLARE h CURSOR WITH HOLD FOR SELECT n FROM generate_series(1, 5) n",
        "DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 5) n",
        "FETCH 2 FROM h",
        "FETCH 2 FROM c",
        "CLOSE h",
        "BEGIN; DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 5) n; FETCH 1 FROM c",
    ]);
}

/// Session locks of its own; the one that all try is held by transactions alone.
fn lock(pen: &mut Pen<'_>) {
    let own = pen.mind.own;
    let sql = match pen.dice.roll(6) {
        0 | 1 => format!("SELECT pg_advisory_lock({own})"),
        2 => format!("SELECT pg_advisory_unlock({own})"),
        3 => format!("SELECT pg_try_advisory_lock_shared(1, {own})"),
        4 => format!("SELECT pg_advisory_xact_lock({own})"),
        _ => "SELECT pg_try_advisory_xact_lock(7)".to_owned(),
    };
    pen.query(sql);
}

fn sequence(pen: &mut Pen<'_>) {
    pen.query_of(&["SELECT nextval('public.counter')", "SELECT nextval('public.counter') - lastval()"]);
}

fn prepare(pen: &mut Pen<'_>) {
    let own = format!("PREPARE q AS SELECT 'of {}'", pen.who);
    pen.query_of(&[&own, "PREPARE q (int) AS SELECT $1 + 1", "EXECUTE q", "EXECUTE q (1)", "DEALLOCATE q"]);
}

fn role(pen: &mut Pen<'_>) {
    pen.query_of(&[
        "SET ROLE fuzz_other",
        "SET LOCAL ROLE fuzz_other",
        "RESET ROLE",
        "SET ROLE NONE",
        "SELECT current_user",
    ]);
}

fn unpin(pen: &mut Pen<'_>) {
    let (_, sql) = UNPINS[pen.dice.roll(UNPINS.len())];
    pen.query(sql);
}
