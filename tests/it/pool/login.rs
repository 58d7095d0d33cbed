//! What a client is told before and at its login.

use std::io::{Read, Write};
use std::sync::Arc;

use weir::policy::dialect;
use weir::policy::settings::Placeholders;
use weir::sidecar::figures::Command;
use weir::sidecar::pool::Release;
use weir::sidecar::target::Target;
use weir::sidecar::tls::Roots;

use crate::pooler::{Pooler, eventually, limits};
use crate::postgres::{self, Database};
use crate::raw::{Raw, field, message, query, startup};

fn start() -> (Database, Pooler) {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 3), Release::AtDisconnect);
    (database, pooler)
}

#[test]
fn a_client_is_told_what_postgresql_would_tell_it() {
    let (database, pooler) = start();
    let wishes = [
        ("application_name", "tests"),
        ("client_encoding", "latin1"),
        ("DateStyle", "german"),
        ("options", "-c TimeZone=Asia/Tokyo -c extra_float_digits=0"),
    ];
    let direct = Raw::log_in(database.server.port(), &database.name, &wishes).unwrap();
    let sorted = |raw: &Raw| {
        let mut parameters = raw.parameters.clone();
        parameters.sort();
        parameters
    };
    // The first client is told its own spelling, and corrected with its first answer; the next one knows better.
    let mut first = Raw::log_in(pooler.port, &database.name, &wishes).unwrap();
    first.send(&query("SELECT 1"));
    let corrected: Vec<_> = first.read_to(b'Z').into_iter().filter(|message| message.kind == b'S').collect();
    let corrected: Vec<_> =
        corrected.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect();
    assert_eq!(corrected, ["client_encoding\0LATIN1\0", "DateStyle\0German, DMY\0"]);
    let second = Raw::log_in(pooler.port, &database.name, &wishes).unwrap();
    assert_eq!(sorted(&second), sorted(&direct));
    assert_eq!(first.value("SHOW TimeZone"), "Asia/Tokyo");
    assert_eq!(first.value("SHOW extra_float_digits"), "0");
    assert_eq!(first.value("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"), "tests");
}

#[test]
fn start_up_parameters_belong_to_the_client() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    let show = "SELECT concat_ws(' ', current_setting('application_name'), current_setting('search_path'), \
                current_setting('work_mem'), current_setting('my.own', true))";
    for (wishes, shown) in [
        (&[][..], " \"$user\", public 4MB"),
        (&[("application_name", "a"), ("search_path", "pg_catalog, \"Odd 'name\"")], "a pg_catalog, \"Odd 'name\" 4MB"),
        (&[("work_mem", "1MB"), ("application_name", "na\u{ef}ve")], "na??ve \"$user\", public 1MB"),
        (&[("options", "-c my.own=x\\ y"), ("work_mem", "1MB")], " \"$user\", public 1MB x y"),
        (&[], " \"$user\", public 4MB"),
    ] {
        let mut client = Raw::log_in(pooler.port, &database.name, wishes).unwrap();
        assert_eq!(client.value(show).trim_end(), shown);
        client.goodbye();
    }
}

#[test]
fn a_client_that_resets_everything_keeps_its_start_up_parameters() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    let wishes = [("application_name", "mine"), ("TimeZone", "Asia/Tokyo"), ("work_mem", "3MB")];
    let mut client = Raw::log_in(pooler.port, &database.name, &wishes).unwrap();
    for sql in ["RESET ALL", "DISCARD ALL"] {
        client.send(&query(sql));
        client.read_to(b'Z');
        let show = "SELECT concat_ws(' ', current_setting('application_name'), current_setting('TimeZone'), current_setting('work_mem'))";
        assert_eq!(client.value(show), "mine Asia/Tokyo 3MB", "{sql}");
    }
}

#[test]
fn parameters_that_postgresql_refuses_are_refused_in_its_words() {
    let (database, pooler) = start();
    for wish in [("no_such_thing", "1"), ("work_mem", "lots"), ("server_version", "8")] {
        let mut client = Raw::log_in(pooler.port, &database.name, &[wish]).unwrap();
        client.send(&query("SELECT 1"));
        let refused = client.read_to_end();
        let direct = Raw::log_in(database.server.port(), &database.name, &[wish]).err().unwrap();
        assert_eq!(refused.len(), 1, "{refused:?}");
        for code in [b'S', b'V', b'C', b'M'] {
            assert_eq!(field(&refused[0], code), field(&direct, code), "{wish:?}");
        }
    }
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(client.value("SHOW work_mem"), "4MB");
}

#[test]
fn words_for_pools_are_dropped_and_counted() {
    let (database, pooler) = start();
    let words = [("pool_max_conns", "3"), ("pgbouncer", "true"), ("Max", "9")];
    let mut client = Raw::log_in(pooler.port, &database.name, &words).unwrap();
    assert_eq!(client.value("SELECT 1"), "1");
    assert_eq!(pooler.count(|figures| &figures.stray_parameters), 3);
}

#[test]
fn encryption_is_declined_and_another_name_refused() {
    let (database, pooler) = start();
    for code in [[0x04, 0xd2, 0x16, 0x2f], [0x04, 0xd2, 0x16, 0x30]] {
        let mut stream = Raw::connect(pooler.port);
        stream.write_all(&[&[0, 0, 0, 8][..], &code].concat()).unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *b"N");
        stream.write_all(&startup(&[("user", &database.name)])).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *b"R");
    }
    let refused = |pairs: &[(&str, &str)]| {
        let mut stream = Raw::connect(pooler.port);
        stream.write_all(&startup(pairs)).unwrap();
        let mut raw = Raw::of(stream);
        let messages = raw.read_to_end();
        assert_eq!(messages.len(), 1);
        field(&messages[0], b'C')
    };
    assert_eq!(refused(&[("user", "someone")]), "28000");
    assert_eq!(refused(&[("user", &database.name), ("database", "postgres")]), "3D000");
    assert_eq!(refused(&[("user", &database.name), ("replication", "database")]), "0A000");
}

#[test]
fn a_hidden_url_is_reached_by_its_placeholders_only() {
    let (database, pooler) = start();
    let names = Placeholders { user: "weir".to_owned(), database: "weir".to_owned() };
    let target = Target::parse(database.url().as_bytes(), dialect::none(), Some(&names), &Roots::none()).unwrap();
    pooler.send(Command::Target(Arc::new(target)));
    let mut client = None;
    eventually("the new target", || {
        client = Raw::log_in(pooler.port, "weir", &[]).ok();
        client.is_some()
    });
    assert_eq!(client.unwrap().value("SELECT current_user"), database.name);
    assert_eq!(field(&Raw::log_in(pooler.port, &database.name, &[]).err().unwrap(), b'C'), "28000");
}

#[test]
fn bytes_that_are_no_start_up_packet_are_answered_and_harm_nobody() {
    let (database, pooler) = start();
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc",
        b"\0\0\0\x08\x04\xd2\x16\x2fmore",
        b"\0\0\0\x0c\0\x03\0\0user",
        b"\0\0\0\x09\0\x02\0\0\0",
        b"\xff\xff\xff\xff",
    ] {
        let mut raw = Raw::of(Raw::connect(pooler.port));
        raw.send(garbage);
        let messages = raw.read_to_end();
        assert_eq!(messages.iter().map(|message| message.kind).collect::<Vec<_>>(), [b'E'], "{garbage:?}");
    }
    // Half a packet, left alone.
    let mut half = Raw::connect(pooler.port);
    half.write_all(&startup(&[("user", &database.name)])[..9]).unwrap();
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(client.value("SELECT 1"), "1");
    // A message of an unknown type behind the login.
    client.send(&message(b'?', b""));
    let refused = client.read_to_end();
    assert_eq!(field(&refused[0], b'M'), "invalid frontend message type 63");
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(client.value("SELECT 1"), "1");
}

#[test]
fn a_first_query_may_come_with_the_start_up_packet() {
    let (database, pooler) = start();
    let mut stream = Raw::connect(pooler.port);
    let packet = startup(&[("user", &database.name), ("database", &database.name)]);
    stream.write_all(&[packet, query("SELECT 7")].concat()).unwrap();
    let mut raw = Raw::of(stream);
    raw.read_to(b'Z');
    let answer = raw.read_to(b'Z');
    assert!(answer.iter().any(|message| message.kind == b'D' && message.body.ends_with(b"7")), "{answer:?}");
}
