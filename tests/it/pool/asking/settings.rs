//! All parameters that a session can set, to other values and onto another connection.

use super::*;

/// Refused whatever the value: nothing to carry.
const NEVER: [&str; 2] = ["debug_discard_caches", "default_with_oids"];
/// Of the transaction, not of the session.
const OF_TRANSACTION: [&str; 3] = ["transaction_deferrable", "transaction_isolation", "transaction_read_only"];

/// Values to try where a rule finds none, or one that would stop the test.
const VALUES: [(&str, &str); 27] = [
    ("application_name", "it's \"mine\""),
    ("backtrace_functions", "a,b"),
    ("client_encoding", "EUC_JP"),
    ("createrole_self_grant", "set, inherit"),
    ("DateStyle", "German"),
    ("default_table_access_method", "heap"),
    ("default_tablespace", "pg_default"),
    ("default_text_search_config", "german"),
    ("default_toast_compression", "pglz"),
    ("dynamic_library_path", "$libdir:/x y"),
    ("extension_control_path", "$system:/x y"),
    ("lc_messages", "POSIX"),
    ("lc_monetary", "POSIX"),
    ("lc_numeric", "POSIX"),
    ("lc_time", "POSIX"),
    ("local_preload_libraries", "\"a b\", c"),
    ("log_min_messages", "panic"),
    ("restrict_nonsystem_relation_kind", "view"),
    ("search_path", "\"$user\", \"a, b\", \"C\"\"d\""),
    ("session_preload_libraries", "a, b"),
    ("tcp_keepalives_count", "7"),
    ("tcp_keepalives_idle", "77"),
    ("tcp_keepalives_interval", "7"),
    ("temp_tablespaces", "pg_default"),
    ("timezone_abbreviations", "India"),
    ("TimeZone", "<+02:30>-02:30"),
    ("wal_consistency_checking", "heap, btree"),
];

fn quoted(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Values that it does not have now, as SQL finds them.
fn candidates(session: &mut Session, name: &str) -> Vec<String> {
    if let Some((_, value)) = VALUES.iter().find(|(known, _)| *known == name) {
        return vec![(*value).to_owned()];
    }
    let sql = format!(
        "SELECT v FROM pg_settings, LATERAL unnest(CASE vartype WHEN 'bool' THEN '{{on,off}}' WHEN 'enum' THEN enumvals \
         WHEN 'integer' THEN ARRAY[max_val, (setting::int8 + 1)::text, min_val] \
         WHEN 'real' THEN ARRAY['0.125', '1.5', '2', max_val] ELSE '{{x}}' END) v WHERE name = {} AND v <> setting",
        quoted(name)
    );
    session.raw.rows(&sql)
}

/// Of a session whose role may set it, all that is set in it.
fn shown(session: &mut Session) -> Parameters {
    session.ask(Hints::SETTINGS).settings().clone()
}

#[test]
fn every_parameter_that_can_be_set_comes_back_as_it_was() {
    let database = postgres::database();
    let mut session = Session::new(&database, SUPERUSER);
    let names = session.raw.rows("SELECT name FROM pg_settings WHERE context IN ('user', 'superuser') ORDER BY name");
    assert!(names.len() > 150, "{names:?}");
    let mut all = Parameters::default();
    let mut never = Vec::new();
    for name in &names {
        let set = |value: &str| format!("SELECT set_config({}, {}, false)", quoted(name), quoted(value));
        if OF_TRANSACTION.contains(&&**name) {
            let value = candidates(&mut session, name).remove(0);
            session.run(&format!("SET {name} = '{value}'"));
            assert!(shown(&mut session).is_empty(), "{name}");
            continue;
        }
        let reset = |session: &mut Session| session.run(&format!("RESET \"{name}\""));
        let found = candidates(&mut session, name).into_iter().find(|value| session.attempt(&set(value)).is_ok());
        if found.is_none() {
            never.push(&**name);
            continue;
        }
        let before = shown(&mut session);
        let value = before.get(name.as_bytes()).unwrap_or_else(|| panic!("{name} is not shown: {before:?}"));
        assert_eq!(before.len(), 1, "{before:?}");
        let value = String::from_utf8(value.to_vec()).unwrap();
        let with_unit = session.raw.value(&format!("SHOW \"{name}\""));
        reset(&mut session);
        assert!(shown(&mut session).is_empty(), "{name}");
        session.run(&set(&value));
        assert_eq!(shown(&mut session), before, "{name}");
        assert_eq!(session.raw.value(&format!("SHOW \"{name}\"")), with_unit, "{name}");
        reset(&mut session);
        all.set(name.as_bytes(), value.as_bytes());
    }
    never.retain(|name| !NEVER.contains(name));
    assert!(never.is_empty(), "no value was found for {never:?}");

    // One excludes the others.
    let mut together: Parameters = all.iter().filter(|(name, _)| *name != b"log_statement_stats").collect();
    together.set(b"a.b", "not in pg_settings".as_bytes());
    let mut other = Session::new(&database, SUPERUSER);
    other.custom.insert(b"a.b".to_vec());
    other.dress(&together);
    assert_eq!(shown(&mut other), together);
    let mut third = Session::new(&database, SUPERUSER);
    third.custom.insert(b"a.b".to_vec());
    let again = shown(&mut other);
    third.dress(&again);
    assert_eq!(shown(&mut third), together);
}

/// pg_settings shows six digits of them, and so does SHOW.
#[test]
fn real_numbers_come_back_with_six_digits() {
    let (_database, mut session) = fresh();
    let answer = session.follow("SET seq_page_cost = 1.23456789");
    assert_eq!(answer.settings().get(b"seq_page_cost"), Some(&b"1.23457"[..]));
}

/// RESET ALL leaves the role, and empties custom parameters without removing them.
#[test]
fn another_clients_settings_go_where_something_must_go() {
    let (_database, mut session) = fresh();
    let old: Parameters = [("work_mem", "78848"), ("a.b", "x"), ("TimeZone", "UTC")].into_iter().collect();
    session.custom.insert(b"a.b".to_vec());
    session.dress(&old);
    let new: Parameters = [("TimeZone", "Europe/Paris")].into_iter().collect();
    let mut bytes = Vec::new();
    let statements = dress(Some(&old), &new, &mut bytes);
    session.raw.send(&bytes);
    for _ in 0..statements {
        let answers = session.raw.read_to(b'Z');
        assert!(answers.iter().all(|answer| answer.kind != b'E'), "{answers:?}");
    }
    let expected: Parameters = [("TimeZone", "Europe/Paris"), ("a.b", "")].into_iter().collect();
    assert_eq!(shown(&mut session), expected);
}

/// So a statement that was planned under other settings is not the same one.
#[test]
fn a_plan_keeps_what_the_settings_made_of_its_constants() {
    let (_database, mut session) = fresh();
    session.run("SET plan_cache_mode = force_generic_plan");
    for (expression, name, one, other) in [
        ("(0.1::float8 + 0.2::float8)::text", "extra_float_digits", "0", "1"),
        ("'\\x61'::bytea::text", "bytea_output", "hex", "escape"),
    ] {
        session.run(&format!("SET {name} = {one}; PREPARE p AS SELECT {expression}"));
        let planned = session.raw.value("EXECUTE p");
        session.run(&format!("SET {name} = {other}"));
        assert_eq!(session.raw.value("EXECUTE p"), planned, "{name}");
        assert_ne!(session.raw.value(&format!("SELECT {expression}")), planned, "{name}");
        let settings: Parameters = [(name, one)].into_iter().collect();
        assert_eq!(weir::sidecar::state::parse_settings(&settings), settings);
        session.run("DEALLOCATE p");
    }
}
