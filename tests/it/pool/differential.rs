//! The same bytes to PostgreSQL and to the pool: the same bytes come back.

use std::io::Write;

use weir::sidecar::pool::Release;

use crate::dice::Dice;
use crate::pooler::{Pooler, limits};
use crate::postgres;
use crate::raw::{Message, Raw, extended, message, query};

fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

fn bind(portal: &str, statement: &str, parameter: Option<&[u8]>) -> Vec<u8> {
    let mut body = format!("{portal}\0{statement}\0").into_bytes();
    body.extend_from_slice(&[0, 0]);
    match parameter {
        None => body.extend_from_slice(&[0, 0]),
        Some(value) => {
            body.extend_from_slice(&[0, 1]);
            body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
            body.extend_from_slice(value);
        }
    }
    body.extend_from_slice(&[0, 0]);
    message(b'B', &body)
}

fn execute(portal: &str, rows: u8) -> Vec<u8> {
    message(b'E', &[portal.as_bytes(), &[0, 0, 0, 0, rows]].concat())
}

fn copy_data(dice: &mut Dice, bad: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for n in 0..dice.roll(5) {
        out.extend(message(b'd', format!("{n}\n").as_bytes()));
    }
    if bad {
        out.extend(message(b'd', b"not a number\n"));
        out.extend(message(b'd', b"3\n"));
    }
    out
}

const SYNC: [u8; 5] = [b'S', 0, 0, 0, 4];
const FLUSH: [u8; 5] = [b'H', 0, 0, 0, 4];
const COPY_DONE: [u8; 5] = [b'c', 0, 0, 0, 4];

/// What a conversation may hold.
#[derive(Clone, Copy)]
struct Kind {
    /// It may leave something behind for later.
    session: bool,
    /// A Query may come into a batch that has executed something. PostgreSQL 18 fails the statement after such a batch, also without
    /// us: `StartTransactionCommand: unexpected state STARTED`.
    mixed: bool,
}

/// One piece of a conversation.
fn piece(dice: &mut Dice, kind: Kind) -> Vec<u8> {
    match dice.roll(if kind.session { 20 } else { 16 }) {
        0 => query(dice.pick(&["SELECT 1", "SELECT 1, 'two'; SELECT 3", "", ";", "VALUES (1), (2)", "SELECT NULL"])),
        1 => {
            query(dice.pick(&["SELECT 1 / 0", "SELEC", "SELECT 1; SELECT 1 / 0; SELECT 2", "SELECT nothing", "COMMIT"]))
        }
        2 => query(
            dice.pick(&["SELECT repeat('x', 300000)", "SELECT n, repeat('y', 1000) FROM generate_series(1, 300) n"]),
        ),
        3 => query("DO $$ BEGIN RAISE NOTICE 'noticed'; END $$"),
        4 => [
            extended(dice.pick(&["SELECT 1", "SELECT repeat('z', 200000)", "", "SELECT 1 / 0", "BOGUS"])),
            SYNC.to_vec(),
        ]
        .concat(),
        5 => {
            let batch =
                |dice: &mut Dice| extended(dice.pick(&["SELECT 1", "SELECT 2 WHERE false", "SELECT 1 / 0", ""]));
            let mut out = Vec::new();
            for _ in 0..=dice.roll(6) {
                out.extend(batch(dice));
                match dice.roll(4) {
                    0 => out.extend(SYNC),
                    1 => out.extend(FLUSH),
                    2 if !kind.mixed => out.extend([&SYNC[..], &query("SELECT 'between'")].concat()),
                    2 => out.extend(query("SELECT 'between'")),
                    _ => {}
                }
            }
            out.extend(SYNC);
            out
        }
        6 => query("COPY (SELECT n, repeat('c', 100) FROM generate_series(1, 500) n) TO STDOUT"),
        7 => {
            let bad = dice.roll(3) == 0;
            let end = if dice.roll(4) == 0 { message(b'f', b"given up\0") } else { COPY_DONE.to_vec() };
            [query("COPY numbers FROM STDIN"), copy_data(dice, bad), end].concat()
        }
        8 => {
            // As libpq does it: Sync with the batch, and again behind the data.
            let early = if dice.roll(2) == 0 { SYNC.to_vec() } else { Vec::new() };
            let bad = dice.roll(3) == 0;
            let data = copy_data(dice, bad);
            let copy = [parse("", "COPY numbers FROM STDIN"), bind("", "", None), execute("", 0)].concat();
            [copy, early, data, COPY_DONE.to_vec(), SYNC.to_vec()].concat()
        }
        9 => [extended("COPY nowhere FROM STDIN"), message(b'd', b"1\n"), COPY_DONE.to_vec(), SYNC.to_vec()].concat(),
        10 => [message(b'd', b"late\n"), COPY_DONE.to_vec(), message(b'f', b"late\0")].concat(),
        // int4pl(2, 3), or a function that does not exist.
        11 => {
            let function = if dice.roll(3) == 0 { 0_u32 } else { 177 };
            let body =
                [&function.to_be_bytes()[..], &[0, 1, 0, 0, 0, 2, 0, 0, 0, 1], b"2", &[0, 0, 0, 1], b"3", &[0, 0]]
                    .concat();
            message(b'F', &body)
        }
        12 => SYNC.to_vec(),
        13 => FLUSH.to_vec(),
        14 => {
            let rows = "SELECT n FROM generate_series(1, 10) n";
            let first =
                [query("BEGIN"), parse("", rows), bind("p", "", None), execute("p", 3), execute("p", 3)].concat();
            [first, message(b'C', b"Pp\0"), SYNC.to_vec(), query(dice.pick(&["COMMIT", "ROLLBACK"]))].concat()
        }
        15 => {
            let value = vec![b'v'; dice.roll(100_000)];
            [
                parse("", "SELECT length($1::text)"),
                bind("", "", Some(&value)),
                message(b'D', b"P\0"),
                execute("", 0),
                SYNC.to_vec(),
            ]
            .concat()
        }
        16 => {
            let name = dice.pick(&["a", "b"]);
            let sql = dice.pick(&["SELECT 'one'", "SELECT 'two', 2", "SELECT $1::text"]);
            [parse(name, sql), message(b'D', format!("S{name}\0").as_bytes()), SYNC.to_vec()].concat()
        }
        17 => [bind("", dice.pick(&["a", "b"]), None), message(b'D', b"P\0"), execute("", 0), SYNC.to_vec()].concat(),
        18 => [message(b'C', format!("S{}\0", dice.pick(&["a", "b"])).as_bytes()), SYNC.to_vec()].concat(),
        _ => {
            query(dice.pick(&["SET TimeZone = 'Asia/Tokyo'", "SET application_name = 'x'", "RESET ALL", "DISCARD ALL"]))
        }
    }
}

/// Sends `bytes` in pieces of random size while the answers are read, so that neither side blocks; returns all messages up to the
/// end of the last query, whose row says `end`.
fn converse(raw: &mut Raw, bytes: &[u8], dice: &mut Dice, end: &str) -> Vec<Message> {
    let mut stream = raw.stream.try_clone().unwrap();
    let small = dice.roll(3) == 0;
    let cuts: Vec<_> = (0..64).map(|_| 1 + dice.roll(if small { 9 } else { 4000 })).collect();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut rest = bytes;
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                stream.write_all(now).unwrap();
                rest = later;
            }
            stream.write_all(rest).unwrap();
        });
        let mut messages = Vec::new();
        loop {
            // What RESET ALL returns to is the name of the pool's own login, for a moment.
            let name = b"application_name\0";
            messages
                .extend(raw.read_to(b'Z').into_iter().filter(|got| got.kind != b'S' || !got.body.starts_with(name)));
            let last = messages.iter().rev().find(|message| message.kind == b'D');
            if last.is_some_and(|row| row.body.ends_with(end.as_bytes())) {
                return messages;
            }
        }
    })
}

fn compare(seed: u64, steps: usize, session: bool, direct: u16, pooled: u16, user: &str) {
    let mut dice = Dice(seed);
    let wishes = [("application_name", "differential")];
    let mut direct = Raw::log_in(direct, user, &wishes).unwrap();
    let mut pooled = Raw::log_in(pooled, user, &wishes).unwrap();
    let kind = Kind { session, mixed: direct.value("SHOW server_version_num").parse::<u32>().unwrap() < 180_000 };
    for step in 0..steps {
        let mut bytes = Vec::new();
        for _ in 0..=dice.roll(4) {
            bytes.extend(piece(&mut dice, kind));
        }
        let end = format!("end {seed} {step}");
        bytes.extend(SYNC);
        bytes.extend(query(&format!("ROLLBACK; SELECT '{end}'")));
        let expected = converse(&mut direct, &bytes, &mut Dice(dice.0), &end);
        let answered = converse(&mut pooled, &bytes, &mut dice, &end);
        if answered != expected {
            let at = answered
                .iter()
                .zip(&expected)
                .position(|(a, b)| a != b)
                .unwrap_or_else(|| answered.len().min(expected.len()));
            let sent: String = String::from_utf8_lossy(&bytes).chars().take(3000).collect();
            panic!("seed {seed}, step {step}: {:?} instead of {:?} after {sent}", answered.get(at), expected.get(at));
        }
    }
}

fn run(session: bool, clients: u64, steps: usize, servers: u32) {
    let database = postgres::database();
    database.sql("CREATE TABLE numbers (n int); GRANT ALL ON numbers TO public");
    let release = if session { Release::AtDisconnect } else { Release::AtReadyForQuery };
    let pooler = Pooler::start(&database.url(), limits(1, servers), release);
    let first: u64 = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    std::thread::scope(|scope| {
        for seed in first..first + clients {
            let (database, pooler) = (&database, &pooler);
            scope.spawn(move || {
                compare(seed * 7919, steps, session, database.server.port(), pooler.port, &database.name);
            });
        }
    });
}

#[test]
fn a_session_through_the_pool_answers_like_postgresql() {
    run(true, 6, 120, 6);
}

#[test]
fn transactions_that_share_connections_answer_like_postgresql() {
    run(false, 6, 120, 2);
}
