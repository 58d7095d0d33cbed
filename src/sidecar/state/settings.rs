//! Which settings a client has after an answer, and which of them a statement's parsing may depend on.

use super::Answer;
use crate::sidecar::wire::Parameters;

/// The client's settings from now on: what is set in its session, and its start-up parameters that are not. Those it has reset, and
/// alone on a connection they would have their start-up values again.
///
/// A custom parameter that was reset can't be told from one that was set to an empty text. Where the start-up packet had it, it is
/// taken for reset.
pub fn settle(startup: &Parameters, answer: &Answer) -> Parameters {
    let mut settings = answer.settings().clone();
    for (name, value) in startup.iter() {
        let is_set = settings.get(name).is_some_and(|now| !now.is_empty() || !name.contains(&b'.'));
        if !is_set {
            settings.set(name, value);
        }
    }
    settings
}

/// Parameters that neither the result of parsing nor the meaning of a plan depends on. Each is read when a statement runs, or
/// decides how long something may take, what is logged, counted or reported, or how durable a commit is.
///
/// Not here though one might think so: `extra_float_digits`, `bytea_output` and (PostgreSQL 12) `IntervalStyle`, since output
/// functions that are marked immutable are evaluated when a plan is made (`(0.1::float8 + 0.2::float8)::text`); `DateStyle`,
/// `array_nulls`, `transform_null_equals`, `xmloption` and `lc_monetary`, which a text is read by; `row_security`; what the planner chooses by
/// (`enable_seqscan`), since who sets it wants another plan; and custom parameters, since a function that reads one may be marked
/// immutable, and a plan with the value of one tenant is not for another.
const IRRELEVANT: [&[u8]; 33] = [
    b"application_name",
    b"backend_flush_after",
    b"client_connection_check_interval",
    b"client_min_messages",
    b"commit_delay",
    b"commit_siblings",
    b"deadlock_timeout",
    b"default_transaction_deferrable",
    b"default_transaction_isolation",
    b"default_transaction_read_only",
    b"idle_in_transaction_session_timeout",
    b"idle_session_timeout",
    b"lock_timeout",
    b"logical_decoding_work_mem",
    b"maintenance_io_concurrency",
    b"maintenance_work_mem",
    b"max_parallel_maintenance_workers",
    b"statement_timeout",
    b"synchronous_commit",
    b"tcp_keepalives_count",
    b"tcp_keepalives_idle",
    b"tcp_keepalives_interval",
    b"tcp_user_timeout",
    b"temp_buffers",
    b"temp_file_limit",
    b"trace_notify",
    b"trace_sort",
    b"transaction_timeout",
    b"update_process_title",
    b"wal_compression",
    b"wal_skip_threshold",
    b"work_mem",
    b"zero_damaged_pages",
];

/// As [`IRRELEVANT`], all whose names begin so.
const IRRELEVANT_PREFIXES: [&[u8]; 3] = [b"log_", b"track_", b"vacuum_"];

/// Those of the settings that a statement is another one by: see [`IRRELEVANT`] for what is left out.
pub fn parse_settings(settings: &Parameters) -> Parameters {
    let matters = |name: &[u8]| {
        let begins = |prefix: &&[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        name.contains(&b'.')
            || !IRRELEVANT.iter().any(|known| name.eq_ignore_ascii_case(known))
                && !IRRELEVANT_PREFIXES.iter().any(begins)
    };
    settings.iter().filter(|(name, _)| matters(name)).collect()
}
