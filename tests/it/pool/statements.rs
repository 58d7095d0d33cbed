//! Prepared statements of clients that share server connections.

use weir::sidecar::pool::Release;

use crate::pooler::{Pooler, limits};
use crate::postgres::{self, Database};
use crate::raw::{Message, Raw, field, first_column, message, query};

const SYNC: [u8; 5] = [b'S', 0, 0, 0, 4];

pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

pub fn describe(name: &str) -> Vec<u8> {
    message(b'D', format!("S{name}\0").as_bytes())
}

pub fn close(name: &str) -> Vec<u8> {
    message(b'C', format!("S{name}\0").as_bytes())
}

/// Bind with text parameters, and Execute.
pub fn run(name: &str, parameters: &[&str]) -> Vec<u8> {
    let mut body = format!("\0{name}\0\0\0").into_bytes();
    body.extend(u16::try_from(parameters.len()).unwrap().to_be_bytes());
    for parameter in parameters {
        body.extend(u32::try_from(parameter.len()).unwrap().to_be_bytes());
        body.extend(parameter.as_bytes());
    }
    body.extend([0, 0]);
    [message(b'B', &body), message(b'E', &[0; 5])].concat()
}

/// Sends a batch and a Sync, and gives what came, in short: kinds, values of rows, SQLSTATEs and texts of errors.
pub fn batch(client: &mut Raw, parts: &[Vec<u8>]) -> String {
    client.send(&[&parts.concat()[..], &SYNC].concat());
    shortly(&client.read_to(b'Z'))
}

pub fn shortly(messages: &[Message]) -> String {
    let words = messages.iter().map(|message| match message.kind {
        b'D' => format!("={}", first_column(&message.body)),
        b'E' => format!("{} {}", field(message, b'C'), field(message, b'M')),
        b'Z' => char::from(message.body[0]).to_string(),
        kind => char::from(kind).to_string(),
    });
    words.collect::<Vec<_>>().join(" ")
}

pub fn pooled(servers: u32) -> (Database, Pooler) {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(servers, servers), Release::AtReadyForQuery);
    (database, pooler)
}

/// Makes `client` hold a server connection, so that others get another.
pub fn occupy(client: &mut Raw) {
    client.send(&query("BEGIN"));
    client.read_to(b'Z');
}

pub fn leave(client: &mut Raw) {
    client.send(&query("COMMIT"));
    client.read_to(b'Z');
}

#[test]
fn the_same_name_means_each_clients_own_statement() {
    let (database, pooler) = pooled(1);
    let mut clients: Vec<_> = (0..4).map(|_| Raw::log_in(pooler.port, &database.name, &[]).unwrap()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        let sql = format!("select $1::int + {}", n * 100);
        assert_eq!(batch(client, &[parse("s", &sql)]), "1 I");
    }
    for round in 0..3 {
        for (n, client) in clients.iter_mut().enumerate() {
            assert_eq!(batch(client, &[run("s", &[&round.to_string()])]), format!("2 ={} C I", n * 100 + round));
        }
    }
}

#[test]
fn an_unnamed_statement_is_found_again_on_another_connection() {
    let (database, pooler) = pooled(2);
    let name = &database.name;
    let mut a = Raw::log_in(pooler.port, name, &[]).unwrap();
    let mut b = Raw::log_in(pooler.port, name, &[]).unwrap();
    let mut c = Raw::log_in(pooler.port, name, &[]).unwrap();
    for _ in 0..3 {
        assert_eq!(batch(&mut a, &[parse("", "select $1::text || 'a'"), describe("")]), "1 t T I");
        occupy(&mut c);
        assert_eq!(batch(&mut b, &[parse("", "select $1::text || 'b'"), describe("")]), "1 t T I");
        assert_eq!(batch(&mut a, &[run("", &["x"])]), "2 =xa C I");
        assert_eq!(batch(&mut b, &[run("", &["x"])]), "2 =xb C I");
        leave(&mut c);
        // A Query drops it, PostgreSQL's own words say so.
        assert_eq!(a.value("select 1"), "1");
        assert_eq!(batch(&mut a, &[run("", &["x"])]), "26000 unnamed prepared statement does not exist I");
        assert_eq!(batch(&mut b, &[run("", &["y"])]), "2 =yb C I");
    }
}

#[test]
fn what_postgresql_refuses_it_refuses_by_the_clients_own_names() {
    let (database, pooler) = pooled(1);
    let mut direct = Raw::log_in(database.server.port(), &database.name, &[]).unwrap();
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let mut other = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(batch(&mut other, &[parse("weir_1", "select 'other'"), run("weir_1", &[])]), "1 2 =other C I");
    let script: &[&[Vec<u8>]] = &[
        &[run("s", &[])],
        &[parse("s", "select $1::int"), parse("s", "select 2")],
        &[run("s", &["1", "2"])],
        &[run("s", &["1"]), run("s", &["x"]), run("s", &["3"])],
        &[describe("s"), describe("t"), describe("s")],
        &[close("s"), run("s", &["1"])],
        &[close("s"), close("never")],
        &[parse("s", "selec"), run("s", &[])],
        &[run("s", &[])],
        &[run("weir_1", &[])],
        &[parse("s", "select 1"), run("nothing", &[]), close("s")],
        &[run("s", &[])],
        &[parse("s", "select 1")],
        &[parse("", "select 1 /"), run("", &[])],
        &[run("", &[])],
    ];
    for parts in script {
        assert_eq!(batch(&mut client, parts), batch(&mut direct, parts), "{parts:?}");
    }
    for sql in ["begin", "select 1/0"] {
        for client in [&mut client, &mut direct] {
            client.send(&query(sql));
            client.read_to(b'Z');
        }
    }
    for parts in [
        &[parse("e", "select 1")][..],
        &[run("s", &[])],
        &[parse("s", "rollback")],
        &[parse("r", "rollback"), run("r", &[])],
    ] {
        assert_eq!(batch(&mut client, parts), batch(&mut direct, parts), "{parts:?}");
    }
    assert_eq!(batch(&mut other, &[run("weir_1", &[])]), "2 =other C I");
}

#[test]
fn columns_that_have_changed_are_refused_on_every_connection() {
    let (database, pooler) = pooled(2);
    database.sql("create table t (a int); insert into t values (7); grant all on t to public");
    let mut holder = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let mut old = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let mut new = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let everything = || parse("s", "select a from t where a = $1");
    assert_eq!(batch(&mut old, &[everything()]), "1 I");
    database.sql("alter table t alter a type bigint");
    // On the connection of its Parse PostgreSQL itself notices; on the other nothing was ever parsed.
    for _ in 0..2 {
        assert_eq!(batch(&mut old, &[run("s", &["7"])]), "0A000 cached plan must not change result type I");
        occupy(&mut holder);
        assert_eq!(batch(&mut old, &[run("s", &["7"])]), "0A000 cached plan must not change result type I");
        leave(&mut holder);
    }
    assert_eq!(batch(&mut new, &[everything(), run("s", &["7"])]), "1 2 =7 C I");
    occupy(&mut holder);
    assert_eq!(batch(&mut new, &[run("s", &["7"])]), "2 =7 C I");
    assert_eq!(batch(&mut old, &[close("s"), everything(), run("s", &["7"])]), "3 1 2 =7 C I");
}

#[test]
fn pipelines_over_syncs_see_the_statements_that_they_made() {
    let (database, pooler) = pooled(1);
    let mut direct = Raw::log_in(database.server.port(), &database.name, &[]).unwrap();
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let mut other = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(batch(&mut other, &[parse("s", "select 'wrong'"), parse("", "select 'wrong'")]), "1 1 I");
    let sync = SYNC.to_vec();
    let parts = [
        parse("s", "select 1"),
        sync.clone(),
        run("s", &[]),
        sync.clone(),
        parse("s", "select 2"),
        sync.clone(),
        run("s", &[]),
        close("s"),
        sync.clone(),
        parse("s", "select 3"),
        run("s", &[]),
        sync.clone(),
        run("missing", &[]),
        parse("", "select 4"),
        sync.clone(),
        run("", &[]),
        sync.clone(),
        parse("", "select 5"),
        sync.clone(),
        run("", &[]),
        sync.clone(),
        query("select 6"),
        run("", &[]),
        sync.clone(),
        query("deallocate all"),
        run("s", &[]),
        sync.clone(),
        parse("s", "select 7"),
        run("s", &[]),
        sync,
    ]
    .concat();
    let mut answers = Vec::new();
    for client in [&mut client, &mut direct] {
        client.send(&parts);
        let all: Vec<_> = (0..14).flat_map(|_| client.read_to(b'Z')).collect();
        answers.push(shortly(&all));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].contains("=7"));
}

#[test]
fn sql_deallocates_what_the_protocol_has_parsed_and_nobody_elses() {
    let (database, pooler) = pooled(2);
    let mut direct = Raw::log_in(database.server.port(), &database.name, &[]).unwrap();
    let mut client = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let mut other = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    let mut holder = Raw::log_in(pooler.port, &database.name, &[]).unwrap();
    assert_eq!(batch(&mut other, &[parse("s", "select 1")]), "1 I");
    let extended = |sql: &str| [parse("", sql), run("", &[])].concat();
    let script: &[Vec<u8>] = &[
        parse("s", "select 1"),
        query("deallocate s"),
        run("s", &[]),
        query("deallocate s"),
        parse("s", "select 1"),
        extended("DEALLOCATE PREPARE \"s\""),
        extended("deallocate s"),
        parse("s", "select 1"),
        query("begin"),
        query("deallocate s"),
        query("select 1/0"),
        query("deallocate s"),
        extended("deallocate s"),
        query("rollback"),
        parse("s", "select 2"),
        parse("d", "deallocate s"),
        run("d", &[]),
        run("d", &[]),
        parse("s", "select 3"),
        run("d", &[]),
        [parse("s", "select 4"), run("s", &[]), query("deallocate s"), parse("s", "select 5"), run("s", &[])].concat(),
        [query("deallocate s"), query("deallocate s"), parse("s", "select 6"), run("s", &[])].concat(),
        query("deallocate all"),
        run("s", &[]),
    ];
    for (n, part) in script.iter().enumerate() {
        if n % 2 == 1 {
            occupy(&mut holder);
        }
        for client in [&mut client, &mut direct] {
            client.send(&[part, &SYNC[..], &query("select 'end'")].concat());
        }
        let all = |client: &mut Raw| {
            let mut all = Vec::new();
            while !shortly(&all).contains("=end") {
                all.extend(client.read_to(b'Z'));
                if shortly(&all).contains("25P02") && shortly(&all).ends_with('E') && all.len() > 3 {
                    break;
                }
            }
            shortly(&all)
        };
        assert_eq!(all(&mut client), all(&mut direct), "{n}");
        if n % 2 == 1 {
            leave(&mut holder);
        }
    }
    assert_eq!(batch(&mut other, &[run("s", &[])]), "2 =1 C I");
}
