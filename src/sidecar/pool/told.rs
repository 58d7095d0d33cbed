//! What clients are told that the pool sends away, or lets wait.

use std::time::Duration;

use super::{Cause, Counts};
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

/// What keeps the pool from serving all who wait.
#[derive(Clone, Copy, Debug)]
pub enum Holds<'a> {
    /// The limit of this instance.
    Max,
    /// Logins fail.
    Login(&'a Cause),
    /// A server connection is on its way.
    Opening,
    /// As much is charged as may be.
    Charge,
}

/// What holds with these counts, where the last login failed for `cause`.
pub fn holds<'a>(limits: &Limits, counts: Counts, cause: Option<&'a Cause>) -> Holds<'a> {
    match cause {
        _ if counts.open >= limits.max => Holds::Max,
        Some(cause) => Holds::Login(cause),
        None if counts.opening > 0 => Holds::Opening,
        None => Holds::Charge,
    }
}

/// The notice for a client that waits for long, with `ahead` others before it.
pub fn still_waiting(limits: &Limits, ahead: u32, waited: Duration, holds: Holds<'_>) -> Refusal {
    let clients = if ahead == 1 { "client" } else { "clients" };
    let detail = match holds {
        Holds::Max => {
            format!("All {} server connections that spec.limits.max allows this instance are in use.", limits.max)
        }
        // Not its message, which may be in any encoding.
        Holds::Login(cause) => format!("The last login at PostgreSQL failed with SQLSTATE {}.", cause.refusal.code()),
        Holds::Opening => "A server connection is being opened.".to_owned(),
        Holds::Charge => "No more may be opened: this instance's share of spec.budget.maxConnections is used up, or connections whose end \
                          PostgreSQL has not shown yet count against spec.limits.max."
            .to_owned(),
    };
    let millis = duration::millis(waited);
    let message = format!("waiting for a server connection for {millis} ms, with {ahead} {clients} ahead in the queue");
    fatal(*b"00000", message).detail(detail).hint(format!(
        "The wait ends with an error after the pool's connectionTimeout ({}).",
        duration::format(limits.connection_timeout)
    ))
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
