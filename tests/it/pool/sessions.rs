//! What a client sets in its session, while others share its server connections.

use crate::raw::{Raw, query};
use crate::statements::{leave, occupy, pooled};

const BACKEND: &str = "select pg_backend_pid()";

#[test]
fn settings_follow_their_client_and_nobody_else() {
    let (database, pooler) = pooled(2);
    let mut holder = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let mut a = Raw::log_in(pooler.port, &database.name, &[("TimeZone", "Asia/Tokyo")]).unwrap();
    let mut b = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    for sql in
        ["set search_path = pg_catalog, public", "set my.tenant = 'a'", "select set_config('work_mem', '5MB', false)"]
    {
        a.send(&query(sql));
        a.read_to(b'Z');
    }
    let all = "select concat_ws('|', current_setting('TimeZone'), current_setting('search_path'), current_setting('work_mem'), \
               nullif(current_setting('my.tenant', true), ''))";
    let ours = "Asia/Tokyo|pg_catalog, public|5MB|a";
    let theirs = b.value(all);
    assert!(!theirs.contains("Tokyo") && !theirs.contains("5MB") && !theirs.ends_with("|a"), "{theirs}");
    let mut backends = std::collections::BTreeSet::new();
    for round in 0..4 {
        if round % 2 == 1 {
            occupy(&mut holder);
        }
        backends.insert(a.value(BACKEND));
        assert_eq!(a.value(all), ours);
        assert_eq!(b.value(all), theirs);
        if round % 2 == 1 {
            leave(&mut holder);
        }
    }
    // A transaction that rolls back, and a reset.
    for sql in ["begin", "set work_mem = '7MB'", "rollback", "reset search_path"] {
        a.send(&query(sql));
        a.read_to(b'Z');
    }
    assert_eq!(b.value(all), theirs);
    assert_eq!(a.value(all), "Asia/Tokyo|\"$user\", public|5MB|a");
}

#[test]
fn what_cannot_follow_pins_and_is_gone_with_its_client() {
    let (database, pooler) = pooled(2);
    for (make, undo) in [
        ("listen c", "unlisten c"),
        ("create temp table mine as select 1", "drop table mine"),
        ("select pg_advisory_lock(1)", "select pg_advisory_unlock(1)"),
        ("declare c cursor with hold for select 1", "close c"),
        ("prepare p as select 1", "deallocate p"),
    ] {
        let mut a = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        let mut b = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
        let backend = a.value(BACKEND);
        a.send(&query(make));
        a.read_to(b'Z');
        let pinned = a.value(BACKEND);
        for _ in 0..3 {
            assert_ne!(b.value(BACKEND), pinned, "{make}");
            assert_eq!(a.value(BACKEND), pinned, "{make}");
        }
        a.send(&query(undo));
        a.read_to(b'Z');
        occupy(&mut b);
        assert_ne!(a.value(BACKEND), "", "{make}");
        leave(&mut b);
        a.send(&query(make));
        a.read_to(b'Z');
        a.vanish();
        let left = "select count(*) from (select pg_listening_channels()) l \
                    , lateral (select 1) x";
        for _ in 0..4 {
            assert_eq!(b.value(left), "0", "{make}, {backend}");
            assert_eq!(b.value("select count(*) from pg_cursors where is_holdable"), "0");
            assert_eq!(
                b.value("select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"),
                "0"
            );
            assert_eq!(b.value("select count(*) from pg_prepared_statements where from_sql"), "0");
            assert_eq!(b.value("select to_regclass('mine') is null"), "t");
        }
    }
}

#[test]
fn who_leaves_while_its_parameters_are_put_on_leaves_none_of_them() {
    let (database, pooler) = pooled(1);
    let mut next = Raw::log_in(pooler.port, &database.name, &[("TimeZone", "Asia/Tokyo")]).unwrap();
    for _ in 0..50 {
        assert_eq!(next.value("show timezone"), "Asia/Tokyo");
        let mut other = Raw::log_in(pooler.port, &database.name, &[("search_path", "other")]).unwrap();
        other.send(&query("select 1"));
        other.vanish();
    }
    assert_eq!(next.value("show timezone"), "Asia/Tokyo");
    let mut last = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(last.value("show search_path"), "\"$user\", public");
}
