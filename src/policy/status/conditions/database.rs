//! What the instances say of PostgreSQL: DatabaseReachable.

use super::{Finding, Status, count, finding, named};
use crate::policy::reasons::{ConditionType, Reason};
use crate::policy::status::Instance;

pub(super) fn reachable(instances: &[Instance]) -> Finding {
    let kind = ConditionType::DatabaseReachable;
    if instances.is_empty() {
        return finding(kind, Status::Unknown, Reason::NoInstances, "no instance was probed yet");
    }
    let mut known = 0_u64;
    let mut failed: Vec<(&str, &str)> = Vec::new();
    for instance in instances {
        let Some(database) = instance.report.as_ref().ok().and_then(|report| report.database.as_ref()) else {
            continue;
        };
        known += 1;
        if !database.reachable {
            failed.push((&instance.pod, sqlstate(database.sqlstate.as_deref())));
        }
    }
    failed.sort_unstable();
    let Some((_, state)) = failed.first() else {
        return match known {
            0 => finding(kind, Status::Unknown, Reason::NotReported, "no instance has reported a login at PostgreSQL"),
            _ => finding(
                kind,
                Status::True,
                Reason::AllConnected,
                "every instance that answers can log in at PostgreSQL",
            ),
        };
    };
    let (reason, remedy) = login_failure(state);
    let total = failed.len() as u64;
    let names = named(failed.iter().map(|(pod, state)| format!("{pod}: SQLSTATE {state}")), total);
    finding(
        kind,
        Status::False,
        reason,
        format!("{total} of {} can't log in at PostgreSQL ({names}); {remedy}", count(known, "instance")),
    )
}

/// What a pod says is repeated to people only where it has the form of a SQLSTATE.
fn sqlstate(said: Option<&str>) -> &str {
    let sound =
        |state: &&str| state.len() == 5 && state.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    said.filter(sound).unwrap_or("XX000")
}

/// SQLSTATE classes: PostgreSQL manual, appendix A.
fn login_failure(state: &str) -> (Reason, &'static str) {
    match state {
        "3D000" => (Reason::DatabaseMissing, "create the database, or correct its name in the connection URL"),
        "53300" => (
            Reason::TooManyConnections,
            "PostgreSQL has no connection left: lower spec.limits.max or the number of pods, or raise max_connections",
        ),
        _ if state.starts_with("28") => (
            Reason::AuthenticationFailed,
            "correct user, password or certificate in the connection URL, or pg_hba.conf on the server",
        ),
        _ if state.starts_with("08") => (
            Reason::ConnectionFailed,
            "check that the server runs, and that the pods reach the host and port of their connection URL",
        ),
        _ => (
            Reason::LoginRefused,
            "look the SQLSTATE up in the PostgreSQL manual, appendix A, and read the server's log",
        ),
    }
}
