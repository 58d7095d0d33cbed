//! The questions about backends, as SQL, and the reading of their answers.
//!
//! Each goes as a simple Query over an idle server connection and answer in text. Every function, type and operator is named with its
//! schema, so that no search_path leads elsewhere; times travel as the hexadecimal of timestamptz_send(), which no setting changes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use thiserror::Error;

use super::attempt::Attempt;
use super::server::Incarnation;
use crate::sidecar::wire::{Column, columns};

/// Which server this is: one row of system_identifier (or 0), postmaster start, authentication_timeout in seconds.
macro_rules! server {
    ($system:literal) => {
        concat!(
            "SELECT ",
            $system,
            " AS system, ",
            "pg_catalog.encode(pg_catalog.timestamptz_send(pg_catalog.pg_postmaster_start_time()), 'hex') AS started, ",
            "(SELECT setting FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) 'authentication_timeout') AS timeout",
        )
    };
}
const SERVER: &str = server!("(SELECT system_identifier FROM pg_catalog.pg_control_system())");
const SERVER_WITHOUT_SYSTEM: &str = server!("0");

/// Asks which server and which backend a new connection has; read the row with [`Identity::parse`]. Where the role may not call
/// pg_control_system() it fails with 42501: then ask [`identify_without_system`].
pub fn identify() -> String {
    identity(SERVER)
}

/// As [`identify`], for roles that may not ask for the system identifier; the start of postmaster alone then tells incarnations
/// apart.
pub fn identify_without_system() -> String {
    identity(SERVER_WITHOUT_SYSTEM)
}

fn identity(server: &str) -> String {
    format!(
        "SELECT s.system, s.started, s.timeout, \
         pg_catalog.encode(pg_catalog.timestamptz_send(a.backend_start), 'hex') \
         FROM ({server}) s, pg_catalog.pg_stat_activity a WHERE a.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()"
    )
}

/// Where a look finds backends: every one has a row here, but for those that are still starting.
const ACTIVITY: &str = "LEFT JOIN pg_catalog.pg_stat_activity a";

/// As [`ACTIVITY`], and the processes that are still starting, `i.pids`: what has a transaction, and so a lock on its own id, before
/// it has a row. From PostgreSQL 18 on it has a row by then, without a role and a database, as other processes have; there the
/// first PGPROCs are those of clients (proc.c, InitProcGlobal), and a transaction's id begins with the number of its PGPROC.
///
/// The locks must be read before the rows, since a login gets its row before it gives up its lock. Hence each read of the rows takes
/// an argument that depends on the locks: NULL, for all of them.
const ACTIVITY_AND_STARTING: &str = "CROSS JOIN (\
    SELECT pg_catalog.array_agg(DISTINCT pid) AS pids, pg_catalog.array_agg(pid) FILTER (WHERE \
    pg_catalog.current_setting('server_version_num')::pg_catalog.int4 OPERATOR(pg_catalog.>=) 180000 AND \
    pg_catalog.split_part(virtualtransaction, '/', 1)::pg_catalog.int4 OPERATOR(pg_catalog.<) \
    pg_catalog.current_setting('max_connections')::pg_catalog.int4) AS clients \
    FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'virtualxid' AND pid IS NOT NULL) l \
    CROSS JOIN LATERAL (SELECT ARRAY(SELECT h.pid FROM pg_catalog.unnest(l.pids) AS h(pid) WHERE NOT EXISTS (\
    SELECT FROM pg_catalog.pg_stat_get_activity(CASE WHEN l.pids IS NULL THEN 0 END) v \
    WHERE v.pid OPERATOR(pg_catalog.=) h.pid AND (v.usesysid IS NOT NULL OR v.datid IS NOT NULL OR \
    (v.pid OPERATOR(pg_catalog.=) ANY (l.clients)) IS NOT TRUE))) AS pids) i \
    LEFT JOIN LATERAL pg_catalog.pg_stat_get_activity(CASE WHEN l.pids IS NULL THEN 0 END) a";

/// Attempts in one look: bounds the length of the statement.
pub(super) const ASKED_MAX: usize = 256;
/// Rows that are read from one look; more than any PostgreSQL has connections would be a broken server.
const ROWS_MAX: usize = 65_536;

/// Which server and backend a connection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The server.
    pub incarnation: Incarnation,
    /// `backend_start` of this connection.
    pub backend_started: u64,
    /// The server's setting.
    pub authentication_timeout: Duration,
}

/// One look: what it asks, about whom, and when it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Look {
    via: Attempt,
    asked: Vec<Asked>,
    sent: Duration,
    event: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) attempt: Attempt,
    pub(super) pid: Option<i32>,
}

/// One backend in pg_stat_activity, which shows pid and application_name of every backend to every role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// Process.
    pub pid: i32,
    /// `backend_start`; hidden where the backend is another role's (the URL may have changed its user).
    pub started: Option<u64>,
    /// Now, which is the one of its start until a client sets another.
    pub application_name: Option<Box<[u8]>>,
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// The server that answered.
    pub incarnation: Incarnation,
    /// Its setting.
    pub authentication_timeout: Duration,
    /// Backends that are asked about, or may be.
    pub rows: Vec<Row>,
    /// Processes that hold a slot and show no row yet, or none that says whose they are: logins that are under way, or that wait for
    /// a lock on a catalog and may do so for as long as it takes, without their client. `None` where the look did not ask, since it
    /// is about no attempt without a pid.
    pub invisible: Option<BTreeSet<i32>>,
}

/// Why an answer is none: the look then counts as not made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LookError {
    /// Not the columns that were asked for.
    #[error("the answer to a look has an unexpected form")]
    Form,
    /// No row, or far too many.
    #[error("the answer to a look has an impossible number of rows")]
    Rows,
}

impl Look {
    pub(super) const fn new(via: Attempt, asked: Vec<Asked>, sent: Duration, event: u64) -> Self {
        Self { via, asked, sent, event }
    }

    /// The connection that it goes through.
    pub const fn via(&self) -> Attempt {
        self.via
    }

    pub(super) const fn sent(&self) -> Duration {
        self.sent
    }

    /// Of its sending.
    pub(super) const fn event(&self) -> u64 {
        self.event
    }

    pub(super) fn asked(&self) -> &[Asked] {
        &self.asked
    }

    /// The statement. `system` is [`Incarnation::system`] of `via`: 0 leaves the system identifier out of this question too.
    ///
    /// It returns the server, and what is invisible, once for each backend that is asked about, by pid or by the application_name of
    /// its start, and once without a backend where there is none.
    pub fn sql(&self, system: u64) -> String {
        let server = if system == 0 { SERVER_WITHOUT_SYSTEM } else { SERVER };
        let mut pids = String::new();
        let mut names = String::new();
        for asked in &self.asked {
            let separator = |list: &str| if list.is_empty() { "" } else { "," };
            // Numbers, and names of our own alphabet: nothing that needs quoting.
            let _ = match asked.pid {
                Some(pid) => write!(pids, "{}{pid}", separator(&pids)),
                None => write!(names, "{}{}", separator(&names), asked.attempt.application_name()),
            };
        }
        let (invisible, activity) =
            if names.is_empty() { ("NULL", ACTIVITY) } else { ("i.pids", ACTIVITY_AND_STARTING) };
        format!(
            "SELECT s.system, s.started, s.timeout, {invisible}, a.pid, \
             pg_catalog.encode(pg_catalog.timestamptz_send(a.backend_start), 'hex'), a.application_name \
             FROM ({server}) s {activity} ON (a.backend_type OPERATOR(pg_catalog.=) 'client backend') IS NOT FALSE AND \
             (a.pid OPERATOR(pg_catalog.=) ANY ('{{{pids}}}'::pg_catalog.int4[]) OR \
             a.application_name OPERATOR(pg_catalog.=) ANY ('{{{names}}}'::pg_catalog.text[]))"
        )
    }
}

impl Identity {
    /// Reads the bodies of the DataRow messages that answered [`identify`].
    pub fn parse<'a>(rows: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, LookError> {
        let mut rows = rows.into_iter();
        let (Some(row), None) = (rows.next(), rows.next()) else { return Err(LookError::Rows) };
        let [system, started, timeout, backend_started] = columns(row).ok_or(LookError::Form)?;
        let (incarnation, authentication_timeout) = server(system, started, timeout)?;
        Ok(Self { incarnation, backend_started: hex(backend_started)?, authentication_timeout })
    }
}

impl Answer {
    /// Reads the bodies of the DataRow messages that answered [`Look::sql`].
    pub fn parse<'a>(rows: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, LookError> {
        let mut answer: Option<Self> = None;
        for row in rows {
            let [system, started, timeout, invisible, pid, backend_started, application_name] =
                columns(row).ok_or(LookError::Form)?;
            let (incarnation, authentication_timeout) = server(system, started, timeout)?;
            let invisible = invisible.map(|text| numbers(Some(text))).transpose()?;
            let first = || Self { incarnation, authentication_timeout, rows: Vec::new(), invisible: invisible.clone() };
            let answer = answer.get_or_insert_with(first);
            if answer.incarnation != incarnation || answer.invisible != invisible {
                return Err(LookError::Form);
            }
            let Some(pid) = pid else { continue };
            if answer.rows.len() >= ROWS_MAX {
                return Err(LookError::Rows);
            }
            answer.rows.push(Row {
                pid: number(Some(pid))?,
                started: backend_started.map(|text| hex(Some(text))).transpose()?,
                application_name: application_name.map(Into::into),
            });
        }
        answer.ok_or(LookError::Rows)
    }
}

fn server(system: Column<'_>, started: Column<'_>, timeout: Column<'_>) -> Result<(Incarnation, Duration), LookError> {
    // A bigint, which shows the upper half of the identifiers as negative numbers.
    let system = number::<i64>(system)?.cast_unsigned();
    let timeout = Duration::from_secs(number::<u32>(timeout)?.into());
    Ok((Incarnation { system, started: hex(started)? }, timeout.min(super::AUTHENTICATION_TIMEOUT_MAX)))
}

fn number<T: std::str::FromStr>(column: Column<'_>) -> Result<T, LookError> {
    text(column)?.parse().map_err(|_| LookError::Form)
}

/// An array of numbers as text, `{1,2}`.
fn numbers(column: Column<'_>) -> Result<BTreeSet<i32>, LookError> {
    let text = text(column)?.strip_prefix('{').and_then(|text| text.strip_suffix('}')).ok_or(LookError::Form)?;
    let numbers = text.split(',').filter(|_| !text.is_empty());
    numbers.map(|number| number.parse().map_err(|_| LookError::Form)).collect()
}

fn hex(column: Column<'_>) -> Result<u64, LookError> {
    let text = text(column)?;
    if text.len() != 16 {
        return Err(LookError::Form);
    }
    u64::from_str_radix(text, 16).map_err(|_| LookError::Form)
}

fn text(column: Column<'_>) -> Result<&str, LookError> {
    column.and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(LookError::Form)
}
