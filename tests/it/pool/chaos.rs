//! Many clients that come, soil, ask and vanish at random places: each finds a pristine session, and only its own answers.
//!
//! `CHAOS` sets the number of clients per thread for long runs by hand, `SEED` another course.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use weir::sidecar::pool::Release;

use crate::dice::Dice;
use crate::pooler::{Pooler, eventually, limits};
use crate::postgres::{self, Postgres};
use crate::raw::{Message, Raw, extended, field, message, query};
use crate::servers::ENCRYPTED;

const THREADS: u64 = 6;
const SYNC: [u8; 5] = [b'S', 0, 0, 0, 4];

/// Where the clients of one course connect to, and as whom.
struct Course<'a> {
    pooler: &'a Pooler,
    server: &'a Postgres,
    user: &'a str,
    database: &'a str,
    sessions: bool,
    /// Server connections are terminated meanwhile, so any client may be cut off.
    terminated: bool,
}

/// What differs between two clients shows in their answers.
struct Own<'a> {
    tag: String,
    course: &'a Course<'a>,
    cancels: bool,
}

impl Own<'_> {
    /// Nothing that was meant for somebody else.
    #[track_caller]
    fn check(&self, got: &Message, asked: &str) {
        let body = String::from_utf8_lossy(&got.body);
        // A notification is from whoever sent it.
        for piece in body.split("<<").skip(1).filter(|_| got.kind != b'A') {
            assert!(piece.starts_with(&self.tag), "{} was told {body:?}, having asked {asked:?}", self.tag);
        }
        if got.kind == b'E' && !self.cancels && !self.course.terminated {
            let cut = matches!(&*field(got, b'C'), "57014" | "57P01" | "08006") && !body.contains("given up");
            assert!(!cut, "{}: {got:?} to {asked:?}", self.tag);
        }
    }

    /// Reads to the answer that ends with `end`; false when the server connection was terminated.
    fn hear(&self, client: &mut Raw, end: &str, asked: &str) -> bool {
        let mut last = false;
        loop {
            let got = match client.read() {
                Ok(got) => got,
                Err(error) => {
                    let cut_off = self.course.terminated && error.kind() != std::io::ErrorKind::WouldBlock;
                    let figures = &self.course.pooler.figures;
                    assert!(cut_off, "{}: {error}, having asked {asked:?}, {figures:?}", self.tag);
                    return false;
                }
            };
            self.check(&got, asked);
            last |= got.kind == b'D' && got.body.ends_with(end.as_bytes());
            if last && got.kind == b'Z' {
                return true;
            }
        }
    }
}

/// A request of a client, all of whose answers bear its tag.
fn request(dice: &mut Dice, tag: &str, sessions: bool) -> Vec<u8> {
    let select = format!("SELECT '<<{tag}>>'");
    match dice.roll(if sessions { 14 } else { 9 }) {
        0 => query(&select),
        1 => query(&format!("{select}; {select}, repeat('<<{tag}>>', 20000)")),
        2 => query(&format!("SELECT '<<{tag}>>'::int; {select}")),
        3 => query(&format!("DO $$ BEGIN RAISE NOTICE '<<{tag}>>'; END $$")),
        4 => [extended(&select), SYNC.to_vec()].concat(),
        5 => {
            let one = [extended(&select), extended(&format!("SELECT '<<{tag}>>'::int"))];
            (0..6).flat_map(|_| [one[dice.roll(2)].clone(), SYNC.to_vec()].concat()).collect()
        }
        6 => query(&format!("COPY (SELECT '<<{tag}>>' FROM generate_series(1, 300)) TO STDOUT")),
        7 => {
            let copy =
                if dice.roll(2) == 0 { query("COPY marks FROM STDIN") } else { extended("COPY marks FROM STDIN") };
            let data = message(b'd', format!("<<{tag}>>\n").as_bytes());
            let end = [message(b'c', b""), message(b'f', b"given up\0")][dice.roll(2)].clone();
            [copy, data, end, SYNC.to_vec()].concat()
        }
        8 => query(&format!("BEGIN; {select}; COMMIT")),
        9 => query("BEGIN"),
        10 => query(dice.pick(&["SET client_encoding = 'SJIS'", "SET client_encoding = 'LATIN1'"])),
        11 => query(&format!(
            "SET work_mem = '7MB'; SET search_path = nowhere; SET standard_conforming_strings = off; SET my.tag = '<<{tag}>>'"
        )),
        12 => query(&format!("CREATE TEMP TABLE left_behind AS {select}; LISTEN news; PREPARE stale AS {select}")),
        _ => query(&format!(
            "SELECT pg_catalog.pg_advisory_lock(1, pg_catalog.pg_backend_pid()); NOTIFY news, '<<{tag}>>'"
        )),
    }
}

const PRISTINE: &str = "SELECT concat_ws(' ', current_setting('work_mem'), current_setting('search_path'), \
    current_setting('client_encoding'), current_setting('standard_conforming_strings'), current_setting('application_name'), \
    '[' || coalesce(current_setting('my.tag', true), '') || ']', to_regclass('pg_temp.left_behind') IS NOT NULL, \
    (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels()), \
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()), \
    (SELECT count(*) FROM pg_cursors), now() = statement_timestamp(), current_user = session_user)";

/// One client, from its login to its end.
fn live(course: &Course<'_>, dice: &mut Dice, tag: String) {
    let name = format!("of {tag}");
    let wishes: &[(&str, &str)] = match dice.roll(3) {
        0 => &[],
        1 => &[("application_name", &name)],
        _ => &[("application_name", &name), ("work_mem", "3MB")],
    };
    let mut client = match Raw::log_in_to(course.pooler.port, course.user, course.database, wishes) {
        Ok(client) => client,
        Err(error) => return assert!(course.terminated, "{error:?}"),
    };
    let mut own = Own { tag, course, cancels: false };
    if course.sessions {
        client.send(&query(PRISTINE));
        let (memory, name) =
            (if wishes.len() > 1 { "3MB" } else { "4MB" }, wishes.first().map_or("", |(_, name)| name));
        let expected = format!("{memory} \"$user\", public UTF8 on {name} [] f 0 0 0 0 t t");
        if !own.hear(&mut client, &expected, PRISTINE) {
            return;
        }
    }
    for step in 0..dice.roll(5) {
        let mut asked: Vec<u8> = (0..=dice.roll(3)).flat_map(|_| request(dice, &own.tag, course.sessions)).collect();
        let end = format!("<<{}>> {step}", own.tag);
        asked.extend(SYNC);
        asked.extend(query(&format!("ROLLBACK; SELECT '{end}'")));
        let shown = String::from_utf8_lossy(&asked[..asked.len().min(2000)]).into_owned();
        let leaves = dice.roll(6) == 0;
        if leaves {
            // In the middle of it.
            asked.truncate(dice.roll(asked.len() + 1));
        }
        if std::io::Write::write_all(&mut client.stream, &asked).is_err() {
            return assert!(course.terminated, "{} could not ask {shown:?}", own.tag);
        }
        if dice.roll(8) == 0 {
            own.cancels = true;
            client.cancel(course.pooler.port);
        }
        if leaves {
            for _ in 0..dice.roll(4) {
                let _ = client.stream.set_read_timeout(Some(Duration::from_millis(5)));
                let Ok(got) = client.read() else { break };
                own.check(&got, &shown);
            }
            return if dice.roll(2) == 0 { client.vanish() } else { drop(client) };
        }
        if own.cancels {
            // Any statement that it has sent until then may be the one that ends early.
            client.send(&query(&format!("ROLLBACK; SELECT '{end} again'")));
            if dice.roll(2) == 0 {
                return client.vanish();
            }
            // The cancel request may come late, but not later than its own connection's end, which was awaited.
            if !own.hear(&mut client, &format!("{end} again"), &shown) {
                return;
            }
        } else if !own.hear(&mut client, &end, &shown) {
            return;
        }
    }
    match dice.roll(3) {
        0 => client.vanish(),
        1 => drop(client),
        _ => {
            let _ = std::io::Write::write_all(&mut client.stream, b"X\0\0\0\x04");
        }
    }
}

fn run(course: &Course<'_>, max: u32) {
    let read = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (clients, seed) = (read("CHAOS").unwrap_or(60), read("SEED").unwrap_or(1));
    let (done, most) = (AtomicU32::new(0), AtomicU32::new(0));
    let stopped = AtomicBool::new(false);
    let of_ours = format!("FROM pg_stat_activity WHERE usename = '{}'", course.user);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|worker| {
                let done = &done;
                scope.spawn(move || {
                    let mut dice = Dice(seed * 104_729 + worker * 7919 + 1);
                    for n in 0..clients {
                        live(course, &mut dice, format!("{worker}-{n}."));
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let judge = scope.spawn(|| {
            let mut judge = Raw::log_in_to(course.server.port(), "trust", "postgres", &[])
                .or_else(|_| Raw::log_in_to(course.server.port(), postgres::SUPERUSER, "postgres", &[]))
                .unwrap();
            let mut dice = Dice(seed);
            while !stopped.load(Ordering::Relaxed) {
                let count = judge.value(&format!("SELECT count(*) {of_ours}")).parse().unwrap();
                most.fetch_max(count, Ordering::Relaxed);
                if course.terminated {
                    let pids = judge.rows(&format!("SELECT pid {of_ours}"));
                    if !pids.is_empty() {
                        judge.rows(&format!("SELECT pg_terminate_backend({})", pids[dice.roll(pids.len())]));
                    }
                    // Rarely enough that those which were reset are found to be gone, by looks 1 s apart.
                    thread::sleep(Duration::from_millis(400));
                }
            }
        });
        let ends: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        stopped.store(true, Ordering::Relaxed);
        judge.join().unwrap();
        for end in ends {
            end.unwrap();
        }
    });
    let most = most.load(Ordering::Relaxed);
    assert!((1..=max).contains(&most), "{most} of {max}");
    course.pooler.until(|figures| &figures.clients, 0);
    course.pooler.until(|figures| &figures.active, 0);
    course.pooler.until(|figures| &figures.unconfirmed, 0);
    eventually("the charge to be what is open", || {
        let open = course.server.sql("postgres", &format!("SELECT count(*) {of_ours}"));
        open.parse() == Ok(course.pooler.figures.charged.load(Ordering::Relaxed))
    });
}

fn plain(release: Release, max: u32, terminated: bool) {
    let database = postgres::database();
    database.sql("CREATE TABLE marks (a text); GRANT ALL ON marks TO public");
    let pooler = Pooler::start(&database.url(), limits(1, max), release);
    let (user, sessions) = (&*database.name, release == Release::AtDisconnect);
    run(&Course { pooler: &pooler, server: &database.server, user, database: user, sessions, terminated }, max);
}

#[test]
fn sessions_that_take_turns_on_one_connection_stay_apart() {
    plain(Release::AtDisconnect, 1, false);
}

#[test]
fn sessions_on_few_connections_stay_apart() {
    plain(Release::AtDisconnect, 3, false);
}

#[test]
fn transactions_on_few_connections_stay_apart() {
    plain(Release::AtReadyForQuery, 2, false);
}

#[test]
fn sessions_stay_apart_while_server_connections_are_terminated() {
    plain(Release::AtDisconnect, 3, true);
}

#[test]
fn sessions_over_tls_stay_apart() {
    let server = ENCRYPTED.get();
    server.postgres.sql("postgres", "CREATE TABLE IF NOT EXISTS marks (a text); GRANT ALL ON marks TO public");
    let pooler =
        Pooler::start(&server.url("localhost", "password", "?sslmode=require"), limits(1, 2), Release::AtDisconnect);
    let (user, database) = ("password", "postgres");
    run(&Course { pooler: &pooler, server: &server.postgres, user, database, sessions: true, terminated: false }, 2);
}
