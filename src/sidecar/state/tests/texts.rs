use super::*;

fn hints(text: &[u8]) -> (Hints, Vec<String>) {
    let mut names = Vec::new();
    let found = hints_of_text(text, &mut |name| names.push(String::from_utf8(name.to_vec()).unwrap()));
    (found, names)
}

const NONE: Hints = Hints::NONE;
const CUSTOM: Hints = Hints::CUSTOM;
const LOCAL: Hints = Hints::ONLY_LOCAL;

#[track_caller]
fn is(text: &str, expected: Hints, names: &[&str]) {
    let (hinted, told) = hints(text.as_bytes());
    assert_eq!((hinted, told.iter().map(String::as_str).collect::<Vec<_>>()), (expected, names.to_vec()), "{text}");
}

#[test]
fn most_texts_hint_at_nothing() {
    for text in [
        "",
        ";",
        "SELECT * FROM items WHERE temp > 5 OR attempt = 3 OR \"temporary\" AND template = 'x'",
        "UPDATE \"users\" SET \"name\" = $1, set = 2, deadline = now() WHERE \"id\" = $2",
        "UPDATE t SET a.b = 1",
        "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = excluded.a",
        "SELECT on_hold, hold, discarded_at, deallocated, settings, offset_x, is_advised FROM household LIMIT 5 OFFSET 3",
        "SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2)",
        "select set_config('a.b', 'x', true)",
        "select set_config($1, coalesce($2, f('a,b', array[1,2])), TRUE /* local */ ), pg_catalog.set_config('c.d', '(', true)",
        "DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1",
        "SET work_mem = '64MB'",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET TIME ZONE 'UTC'; SET ROLE \"x\"; SET SESSION AUTHORIZATION 'x'; SET NAMES 'x'",
        "SET \"Weird\" = 1",
    ] {
        is(text, NONE, &[]);
    }
}

#[test]
fn words_are_found_in_any_case_and_behind_comments() {
    for (text, expected) in [
        ("select pg_Advisory_Lock(1)", Hints::LOCKS),
        ("select pg_try_advisory_lock_shared(1), pg_advisory_xact_lock(2)", Hints::LOCKS),
        ("select \"pg_advisory_lock\"(1)", Hints::LOCKS),
        ("select pg_advisory_unlock_all()", Hints::UNPINS),
        ("CREATE TEMP TABLE x AS SELECT 1", Hints::TEMPORARY),
        ("create\n\ttemporary\nview x as select 1", Hints::TEMPORARY),
        ("create/**/temp table x()", Hints::TEMPORARY),
        ("create -- it's\n temp table x()", Hints::TEMPORARY),
        ("select * INTO LOCAL TEMP x from y", Hints::TEMPORARY),
        ("create table pg_temp.x as select 1", Hints::TEMPORARY),
        ("create table \"pg_temp_3\".x as select 1", Hints::TEMPORARY),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", Hints::CURSORS),
        ("DECLARE c CURSOR WITH/**/Hold FOR SELECT 1", Hints::CURSORS),
        ("select 1;deallocate all", Hints::DROPS_STATEMENTS),
        ("Discard All", Hints::DROPS_STATEMENTS),
        ("DO $$BEGIN EXECUTE 'DEALLOCATE ALL'; END$$", Hints::DROPS_STATEMENTS),
    ] {
        is(text, expected, &[]);
    }
}

#[test]
fn custom_parameters_are_named() {
    is("SET a.b = 1", CUSTOM, &["a.b"]);
    is("set session \"A\" . b /**/ to 'x'; select 1; Set c.d.e TO 1", CUSTOM, &["A.b", "c.d.e"]);
    is("/* c */ SET \"a.b\" = 1", CUSTOM, &["a.b"]);
    is("-- c\nSET a.b = 1", CUSTOM, &["a.b"]);
    is("SELECT 1;SET local.b = 1", CUSTOM, &["local.b"]);
    is("SET session.b = 1", CUSTOM, &["session.b"]);
    is("SET transaction.b = 1", CUSTOM, &["transaction.b"]);
    is("SET \u{e9}.b = 1", Hints::SETTINGS | Hints::UNKNOWN_CUSTOM, &[]);
    is("SET U&\"a\\002eb\" = 1", Hints::SETTINGS | Hints::UNKNOWN_CUSTOM, &[]);
    is("SET \"a b\".c = 1", Hints::SETTINGS | Hints::UNKNOWN_CUSTOM, &[]);
    let set = Hints::SETTINGS;
    is("select set_config('a.b', 'x', false)", set | CUSTOM, &["a.b"]);
    is("select set_config('work_mem', 'x', false)", set, &[]);
    is("select pg_catalog . \"set_config\"/**/( 'a.b'::text , $1, $2)", set | CUSTOM, &["a.b"]);
    is("select SET_CONFIG('a.b', 'x', true), set_config('c.d', 'x', false)", set | CUSTOM, &["c.d"]);
    is("select set_config('a.b', set_config('c.d', 'x', false), true)", set | CUSTOM, &["c.d"]);
}

#[test]
fn a_name_that_can_not_be_told_is_said_to_be_unknown() {
    for text in [
        "select set_config($1, $2, false)",
        "select set_config($1, $2, $3)",
        "select set_config(E'a.b', 'x', false)",
        "select set_config('a' \n '.b', 'x', false)",
        "select set_config('a.b' || 'c', 'x', false)",
        "select set_config(is_local => true, new_value => 'x', setting_name => 'a.b')",
        "select set_config('a.\u{e9}', 'x', false)",
        "select set_config('a.b', '\\', true), set_config('c.d', '', false), '",
        "select set_config('it''s.b', 'x', false)",
        "select proname from pg_proc where proname = 'set_config'",
        "select set_config",
        "DO $$BEGIN EXECUTE 'SET ' || x || ' = 1'; END$$",
        "DO $$BEGIN EXECUTE format('SET %I.x = 1', y); END$$",
        "DO $$BEGIN EXECUTE 'SET a.' || x || ' = 1'; END$$",
        "DO 'BEGIN EXECUTE ''select set_config('' || x || '', 1, true)''; END'",
    ] {
        assert!(hints(text.as_bytes()).0.contains(Hints::SETTINGS | Hints::UNKNOWN_CUSTOM), "{text}");
    }
}

#[test]
fn programs_and_queries_in_texts_are_read_too() {
    is("DO $$BEGIN SET a.b = 1; IF true THEN SET c.d TO 2; END IF; UPDATE t SET x = 1; END$$", CUSTOM, &["a.b", "c.d"]);
    is("DO $$BEGIN SET a.b = 1; END$$", CUSTOM, &["a.b"]);
    is("DO 'BEGIN SET a.b = ''x''; EXECUTE ''SET c.d = 1''; END'", CUSTOM, &["a.b", "c.d"]);
    let set = Hints::SETTINGS;
    is("DO $$BEGIN PERFORM set_config('a.b', 'x', false); END$$", set | CUSTOM, &["a.b"]);
    is("select query_to_xml('select set_config(''a.b'', ''x'', false)', true, true, '')", set | CUSTOM, &["a.b"]);
    is("select query_to_xml('select set_config(''a.b'', ''x'', true)', true, true, '')", NONE, &[]);
    is(
        "DO $$BEGIN ALTER TABLE t ALTER c SET NOT NULL; ALTER TABLE t ALTER c SET DEFAULT 0; SET x.y = 1; END$$",
        CUSTOM,
        &["x.y"],
    );
    is("INSERT INTO log VALUES ('please SET a.b = 1')", NONE, &[]);
}

#[test]
fn what_is_set_locally_leaves_nothing() {
    for text in [
        "SET LOCAL work_mem = '1MB'",
        " set /* */ Local a.b = ';set c.d = 1';",
        "BEGIN; SET LOCAL a.b = 1; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1",
        "SET TRANSACTION READ ONLY",
    ] {
        is(text, LOCAL, &[]);
    }
    for text in [
        "SET LOCAL a = 1; SET work_mem = 1",
        "SET SESSION work_mem = 1",
        "SET local.b = 1",
        "SET LOCAL a = '\\'; SET b = ''",
    ] {
        assert!(!hints(text.as_bytes()).0.contains(LOCAL), "{text}");
    }
}

/// Between two tokens of SQL.
fn gap() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(String::new()),
        2 => Just(" ".to_owned()),
        1 => Just("\n\t".to_owned()),
        1 => Just("/* it's /* \" */ $$ */".to_owned()),
        1 => Just("-- ) ' true\n".to_owned()),
    ]
}

fn any_case(text: &'static str) -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<bool>(), text.len()).prop_map(|upper| {
        let case = |(c, upper): (char, bool)| if upper { c.to_ascii_uppercase() } else { c };
        text.chars().zip(upper).map(case).collect()
    })
}

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(texts).prop_map(str::to_owned)
}

/// Something that ends: a token, a string, a comment.
fn noise() -> impl Strategy<Value = String> {
    let texts = &[
        "SELECT 1, ",
        "'it''s' ",
        "'C:\\x' ",
        "E'\\'' ",
        "$a$ ' $$ $a$ ",
        "/* ' */",
        "-- \" '\n",
        "\"q\"\"'\" ",
        "UPDATE t SET a = 1; ",
        "(1 + 2) ",
        ", ",
        "; ",
        "\u{e9} ",
        " set_config('l.m', 'x', true) ",
        " SET LOCAL a.b = 1; ",
        "set_configs ",
        "$1 ",
    ];
    proptest::collection::vec(one_of(texts), 0..6).prop_map(|parts| parts.concat())
}

fn wrapped(text: String, how: u8) -> String {
    match how {
        0 => format!("SELECT query_to_xml('{}', true, true, '')", text.replace('\'', "''")),
        1 => format!("DO $body$BEGIN PERFORM {text}; END$body$"),
        _ => text,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        hints(&text);
    }

    #[test]
    fn never_panics_on_what_looks_like_sql(
        text in "(set|set_config|SET LOCAL|temp|discard|hold|advisory|DO|do|'|''|\"|\\$\\$|--|/\\*|\\*/|\\\\|[a-z(),.;:= \n\u{e9}]){0,40}",
    ) {
        hints(text.as_bytes());
    }

    /// A call that is not local gets a hint wherever it is and however it is written.
    #[test]
    fn a_set_config_is_never_missed(
        before in noise(),
        name in prop_oneof![any_case("set_config"), Just("\"set_config\"".to_owned()), Just("pg_catalog.set_config".to_owned())],
        gaps in proptest::collection::vec(gap(), 8),
        first in one_of(&["'a.b'", "$1", "'work_mem'", "E'a.b'", "'a' || 'b'", "f(true)", "'a.b'::text"]),
        second in one_of(&["'x'", "','", "')'", "$2", "f(1, true)", "'true)'", "array[1,true]::text", "$$, true)$$", "E'\\', true)'"]),
        third in one_of(&["false", "$3", "NOT true", "true AND false", "'false'", "(true = $1)", "(false)", "true = false", "nottrue"]),
        after in noise(),
        how in 0_u8..6,
    ) {
        let [a, b, c, d, e, f, g, h] = &*gaps else { unreachable!() };
        let call = format!("{name}{a}({b}{first}{c},{d}{second}{e},{f}{third}{g}){h}");
        let text = wrapped(format!("{before} {call}{after}"), how);
        let (found, named) = hints(text.as_bytes());
        prop_assert!(found.contains(Hints::SETTINGS), "{}", text);
        let told = named.iter().any(|name| name == "a.b") || first == "'work_mem'";
        prop_assert!(told || found.contains(Hints::UNKNOWN_CUSTOM), "{}", text);
    }

    /// A SET that is not local is never taken for a local one, and its custom parameter is told, or said to be unknown.
    #[test]
    fn a_set_is_never_missed(
        before in noise(),
        set in any_case("set"),
        scope in one_of(&["", "session", "SESSION"]),
        gaps in proptest::collection::vec(gap(), 4),
        name in one_of(&["a.b", "\"a\".b", "\"a.b\"", "a . b", "a/**/.b", "local.b", "transaction.b", "session.b"]),
        to in one_of(&[" to ", "=", " TO\n"]),
        after in noise(),
        program in any::<bool>(),
    ) {
        let [a, b, c, d] = &*gaps else { unreachable!() };
        let scope = if scope.is_empty() { scope } else { format!(" {a}{scope}") };
        let set = format!("{d}{set}{scope} {b}{name}{c}{to}'x'; {after}");
        let text = if program { format!("DO $body$BEGIN {set}{before}; END$body$") } else { format!("{before}; {set}") };
        let (found, named) = hints(text.as_bytes());
        prop_assert!(!found.contains(Hints::ONLY_LOCAL), "{}", text);
        let plain: String = name.replace("/**/", "").chars().filter(|c| !matches!(c, '"' | ' ')).collect();
        prop_assert!(named.contains(&plain) || found.contains(Hints::UNKNOWN_CUSTOM), "{}", text);
    }

    #[test]
    fn words_are_never_missed(
        before in noise(),
        gap in gap(),
        (word, hint) in proptest::sample::select(&[
            ("CREATE {}TEMP TABLE x()", Hints::TEMPORARY),
            ("create or replace {}temporary view x as select 1", Hints::TEMPORARY),
            ("select 1 into {}temp x", Hints::TEMPORARY),
            ("create table {}pg_temp.x()", Hints::TEMPORARY),
            ("{}DISCARD ALL", Hints::DROPS_STATEMENTS),
            ("{}deallocate x", Hints::DROPS_STATEMENTS),
            ("declare c cursor with {}hold for select 1", Hints::CURSORS),
            ("select {}pg_advisory_lock(1)", Hints::LOCKS),
        ][..]),
        after in noise(),
    ) {
        let text = format!("{before};{}{after}", word.replace("{}", &gap));
        prop_assert!(hints(text.as_bytes()).0.contains(hint), "{}", text);
    }
}
