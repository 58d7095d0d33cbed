//! What clients are told that the pool sends away.

use std::time::Duration;

use super::Cause;
use crate::policy::duration;
use crate::policy::limits::Limits;
use crate::sidecar::wire::{Refusal, fatal};

/// What a client is told that is one too many.
pub fn crowded(clients: usize, descriptors: usize) -> Refusal {
    fatal(*b"53300", format!("too many clients: {clients} are connected to this instance of the pool"))
        .detail(format!("Its container may have {descriptors} files open."))
        .hint("Let the application open fewer connections, or raise the limit of open files of the node's container runtime.")
}

/// What a client is told that waited too long: `ahead` others stood before it when it came.
pub fn timed_out(limits: &Limits, ahead: u32, waited: Duration, cause: Option<&Cause>) -> Refusal {
    let waited = format!("waited {} ms", duration::millis(waited));
    if let Some(cause) = cause {
        let message = format!("{}; {waited} for a server connection", cause.refusal.message);
        return Refusal { message, ..cause.refusal.clone() };
    }
    fatal(*b"53300", format!("no server connection became free: {waited}, the pool's connectionTimeout"))
        .detail(format!(
            "All {} server connections of this instance were in use, and {} clients were ahead in the queue.",
            limits.max, ahead
        ))
        .hint(
            "Raise spec.limits.max of the ConnectionPool if PostgreSQL can serve more, spec.limits.connectionTimeout to wait longer, \
             or let the application hold connections for a shorter time.",
        )
}

/// What a client is told on whose query PostgreSQL has worked for queryTimeout.
///
/// It ends the connection, unlike an error of PostgreSQL's own statement_timeout. An ERROR of ours would have to stand where the
/// server's would: in the turn of the message that it is for, with what else the server then ignores, and with the transaction status
/// that the server has by then. None of that is known before the server itself has given the query up.
pub fn query_too_long(worked: Duration) -> Refusal {
    let millis = duration::millis(worked);
    let message = format!(
        "canceling statement due to the pool's queryTimeout: PostgreSQL has worked on it for {millis} ms; the connection ends"
    );
    fatal(*b"57014", message).hint(
        "Raise spec.limits.queryTimeout of the ConnectionPool, or set statement_timeout in the application, which ends the query alone.",
    )
}

/// What a client is told that has left its transaction open for idleTransactionTimeout. It begins as PostgreSQL's own does.
pub fn transaction_too_idle(silent: Duration) -> Refusal {
    let millis = duration::millis(silent);
    let message = format!(
        "terminating connection due to idle-in-transaction timeout: the client was silent for {millis} ms, the pool's \
         idleTransactionTimeout"
    );
    fatal(*b"25P03", message).hint(
        "Let the application end its transactions sooner, or raise spec.limits.idleTransactionTimeout of the ConnectionPool.",
    )
}
