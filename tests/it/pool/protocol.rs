//! Versions of the protocol on both sides of the pool: 3.2 brings long cancel keys, and everyone else goes on as before.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use weir::sidecar::pool::Release;
use weir::sidecar::wire::Version;

use crate::pooler::{Pooler, eventually, limits};
use crate::postgres::{self, Database};
use crate::raw::{Message, Raw, field, query};

const NEWER: Version = Version(0x3_270f);

fn sleeping(database: &Database) -> bool {
    let sql =
        format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND wait_event = 'PgSleep'", database.name);
    database.sql(&sql) == "1"
}

fn code(answer: &[Message]) -> Option<String> {
    answer.iter().find(|message| message.kind == b'E').map(|error| field(error, b'C'))
}

#[test]
fn a_client_is_told_what_postgresql_18_would_tell_it() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    let option = [("_pq_.unknown", "1")];
    for (version, more, key, negotiated) in [
        (Version::V3_0, &[][..], 4, &b""[..]),
        (Version(0x3_0001), &[], 4, b""),
        (Version::V3_2, &[], 32, b""),
        (NEWER, &[], 32, b"\0\x03\0\x02\0\0\0\0"),
        (Version::V3_0, &option, 4, b"\0\x03\0\0\0\0\0\x01_pq_.unknown\0"),
        (Version::V3_2, &option, 32, b"\0\x03\0\x02\0\0\0\x01_pq_.unknown\0"),
        (NEWER, &option, 32, b"\0\x03\0\x02\0\0\0\x01_pq_.unknown\0"),
    ] {
        let mut client = Raw::log_in_with(pooler.port, version, &database.name, more).unwrap();
        assert_eq!((client.key.len(), &client.negotiated[..]), (4 + key, negotiated), "{version} {more:?}");
        assert_eq!(client.value("SELECT 1"), "1");
        client.goodbye();
        // The server itself, where it is as new.
        if database.sql("SELECT current_setting('server_version_num')::int >= 180000") == "t" {
            let direct = Raw::log_in_with(database.server.port(), version, &database.name, more).unwrap();
            assert_eq!((direct.key.len(), &direct.negotiated[..]), (4 + key, negotiated), "{version} {more:?}");
        }
    }
}

#[test]
fn a_query_is_cancelled_with_the_whole_long_key_and_nothing_less() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    let mut client = Raw::log_in_with(pooler.port, Version::V3_2, &database.name, &[]).unwrap();
    client.send(&query("SELECT pg_sleep(600)"));
    eventually("the query to run", || sleeping(&database));
    let whole = client.key.clone();
    let flipped = |at: usize| whole.iter().enumerate().map(|(i, byte)| byte ^ u8::from(i == at)).collect::<Vec<_>>();
    let wrong = (0..whole.len()).map(flipped).chain([8, 35].map(|length| whole[..length].to_vec()));
    for key in wrong.chain([[&whole[..], &[0]].concat(), [&whole[..], &[0; 220]].concat(), vec![7; 300]]) {
        Raw { key, ..Raw::of(Raw::connect(pooler.port)) }.cancel(pooler.port);
    }
    assert_eq!(pooler.count(|figures| &figures.cancels), 0);
    assert!(sleeping(&database));
    client.cancel(pooler.port);
    assert_eq!(code(&client.read_to(b'Z')).as_deref(), Some("57014"));
    assert_eq!(client.value("SELECT 1"), "1");
}

/// psql of PostgreSQL 18 can ask for 3.2; an older one shows that 3.0 still works the same.
#[test]
fn an_interrupted_psql_cancels_its_query() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    let psql = postgres::program("psql");
    let version = Command::new(&psql).arg("--version").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let major: u32 = version.split([' ', '.', '\n']).find_map(|word| word.parse().ok()).unwrap();
    let newest = if major >= 18 { " max_protocol_version=3.2" } else { "" };
    let connection = format!("host=127.0.0.1 port={} user={1} dbname={1}{newest}", pooler.port, database.name);
    let mut command = Command::new(&psql);
    command.args(["-X", "-d", &connection, "-c", "SELECT pg_sleep(600)"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the query to run", || sleeping(&database));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert!(said.contains("canceling statement due to user request"), "{said}");
    assert_eq!(pooler.count(|figures| &figures.cancels), 1);
}

/// What stands before PostgreSQL and knows 3.0 only: PgBouncer 1.18 answers with an error, others just close.
struct Old {
    port: u16,
    /// Packets of another version than 3.0.
    newer: Arc<AtomicU32>,
    /// Versions that were asked for.
    asked: Arc<Mutex<Vec<Version>>>,
}

impl Old {
    fn start(to: u16, answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let old = Self { port, newer: Arc::default(), asked: Arc::default() };
        let (newer, asked) = (Arc::clone(&old.newer), Arc::clone(&old.asked));
        thread::spawn(move || {
            for near in listener.incoming() {
                let (newer, asked) = (Arc::clone(&newer), Arc::clone(&asked));
                thread::spawn(move || pass(&near.unwrap(), to, answer, &newer, &asked));
            }
        });
        old
    }
}

fn pass(near: &TcpStream, to: u16, answer: &[u8], newer: &AtomicU32, asked: &Mutex<Vec<Version>>) {
    let mut head = [0; 8];
    (&mut &*near).read_exact(&mut head).unwrap();
    let version = Version(u32::from_be_bytes(head[4..].try_into().unwrap()));
    if version.major() == 3 {
        asked.lock().unwrap().push(version);
        if version != Version::V3_0 {
            newer.fetch_add(1, Ordering::Relaxed);
            let length = u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
            (&mut &*near).read_exact(&mut vec![0; length - 8]).unwrap();
            let _ = (&mut &*near).write_all(answer);
            return;
        }
    }
    let far = TcpStream::connect(("127.0.0.1", to)).unwrap();
    (&far).write_all(&head).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::copy(&mut &*near, &mut &far);
            let _ = far.shutdown(Shutdown::Write);
        });
        let _ = std::io::copy(&mut &far, &mut &*near);
        let _ = near.shutdown(Shutdown::Both);
    });
}

const PGBOUNCER_1_18: &[u8] = b"E\0\0\0\x3aSFATAL\0C08P01\0Mbad packet header: '0000002900030002'\0\0";

#[test]
fn what_refuses_the_newest_version_is_asked_for_the_oldest() {
    for (answer, failures) in [(PGBOUNCER_1_18, 0), (&b""[..], 1)] {
        let database = postgres::database();
        let old = Old::start(database.server.port(), answer);
        let url = database.url().replace(&database.server.port().to_string(), &old.port.to_string());
        let pooler = Pooler::start(&format!("{url}?sslmode=disable"), limits(1, 3), Release::AtDisconnect);
        // Nobody is told of it.
        let mut clients: Vec<_> = (0..3).map(|_| Raw::log_in(pooler.port, &database.name, &[]).unwrap()).collect();
        for client in &mut clients {
            assert_eq!(client.value("SELECT 1"), "1");
        }
        let client = &mut clients[0];
        client.send(&query("SELECT pg_sleep(600)"));
        eventually("the query to run", || sleeping(&database));
        client.cancel(pooler.port);
        assert_eq!(code(&client.read_to(b'Z')).as_deref(), Some("57014"));
        // Once it is known, nothing asks for more again.
        let asked = old.asked.lock().unwrap().clone();
        let first = asked.iter().position(|version| *version == Version::V3_0).unwrap();
        assert!(asked[first..].iter().all(|version| *version == Version::V3_0), "{asked:?}");
        assert_eq!(old.newer.load(Ordering::Relaxed) as usize, first);
        assert_eq!(pooler.login_failures(), failures);
    }
}
