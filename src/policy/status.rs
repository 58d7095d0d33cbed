//! What is observed in, what is written back out: the status of a pool as a pure function of the old one, an observation and the time.
//!
//! Invariants: the same observation again gives the same status; a condition's lastTransitionTime moves only when its status does;
//! observedGeneration never falls; nothing grows with the number of pods.
//!
//! - [`fleet`]: the figures over all instances
//! - [`conditions`]: one function per condition type
//! - [`mod@due`]: when a new status is worth a write

pub mod conditions;
pub mod due;
pub mod fleet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::health::{Report, ReportError};
use super::reasons::{ConditionType, Reason};
use super::validate::{ValidatedPool, Violation};
use super::verdict::Verdict;
use crate::crd::ConnectionPoolStatus;
use conditions::Finding;
pub use due::due;

/// Everything that a status is computed from.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// `metadata.generation` that was validated.
    pub generation: i64,
    /// What the validation of it said.
    pub validation: Result<&'a ValidatedPool, &'a [Violation]>,
    /// The pool's entry in a webhook configuration.
    pub entry: &'a EntryState,
    /// The pods that match, or carry the pool.
    pub fleet: &'a Fleet,
    /// The instances that were probed, in any order.
    pub instances: &'a [Instance],
}

/// The pool's entry in a webhook configuration, for the generation at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// A canary pod was patched by it.
    InForce,
    /// Not known yet; an older one may be in force.
    Pending,
    /// Not in force.
    Failed {
        /// One of the reasons of [`ConditionType::Ready`].
        reason: Reason,
        /// What was tried and what came back.
        message: String,
    },
}

/// The pods of a pool. Lists of names hold as many as are shown; the counts are of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// The pods of the cluster could not be listed yet; no count means anything.
    pub unseen: bool,
    /// Pods that match the selector and are not finished.
    pub matched: u32,
    /// Of these, pods that carry the pool.
    pub injected: u32,
    /// The first pods without the pool that nobody looked at, by name.
    pub missed: Vec<String>,
    /// Pods without the pool that nobody looked at.
    pub missed_count: u32,
    /// The first pods that were left alone, with the reason on the pod.
    pub skipped: Vec<(String, String)>,
    /// Pods that were left alone.
    pub skipped_count: u32,
    /// Older generations, with the number of pods that carry their settings.
    pub stale: Vec<(i64, u32)>,
}

/// One instance and its last answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub uid: String,
    /// The report of its last probe, or why there is none.
    pub report: Result<Report, ProbeFailure>,
}

/// Why a probe brought no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeFailure {
    /// No complete answer within `probe.timeout`.
    Timeout,
    /// No connection.
    Refused,
    /// Another HTTP status than 200.
    Status(u16),
    /// A body above the bound.
    TooLarge,
    /// No HTTP, or a body that broke off.
    Malformed,
    /// No report of the contract.
    Contract(ReportError),
    /// The answer of another pod that has the address now.
    OtherPod,
}

impl std::fmt::Display for ProbeFailure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Timeout => formatter.write_str("no answer in time"),
            Self::Refused => formatter.write_str("connection refused"),
            Self::Status(code) => write!(formatter, "HTTP {code}"),
            Self::TooLarge => formatter.write_str("answer too large"),
            Self::Malformed => formatter.write_str("answer is no HTTP"),
            Self::Contract(error) => error.fmt(formatter),
            Self::OtherPod => formatter.write_str("answer of another pod"),
        }
    }
}

/// The status that follows `old` once this was observed at `now`.
///
/// `old` is what the API server holds. An observation of an older generation than `old` speaks of changes nothing.
pub fn status(
    old: Option<&ConnectionPoolStatus>,
    observation: &Observation<'_>,
    now: Timestamp,
) -> ConnectionPoolStatus {
    let empty = ConnectionPoolStatus::default();
    let old = old.unwrap_or(&empty);
    if old.observed_generation.is_some_and(|observed| observed > observation.generation) {
        return old.clone();
    }
    let figures = fleet::figures(observation.instances);
    let findings = conditions::findings(old, observation, &figures);
    let valid = observation.validation.ok();
    ConnectionPoolStatus {
        observed_generation: Some(observation.generation),
        warnings: valid.map_or_else(Vec::new, |pool| pool.warnings.clone()),
        // An invalid spec does not say which pods match, and pods that nobody could look at can't be counted.
        pods: match valid.filter(|_| !observation.fleet.unseen) {
            Some(_) => Some(format!("{}/{}", observation.fleet.injected, observation.fleet.matched)),
            None => old.pods.clone(),
        },
        used: Some(figures.used.to_string()),
        utilization: Some(format!("{}%", figures.percent())),
        waiting: Some(i64::try_from(figures.waiting).unwrap_or(i64::MAX)),
        reason: Some(conditions::most_serious(&findings).as_str().to_owned()),
        mode: valid.map_or_else(|| old.mode.clone(), |pool| Some(pool.mode.as_str().to_owned())),
        client: valid.map_or_else(|| old.client.clone(), |pool| Some(pool.dialect.id.to_owned())),
        worst_instance: figures.worst.clone(),
        conditions: findings.into_iter().map(|finding| condition(old, finding, observation.generation, now)).collect(),
    }
}

/// lastTransitionTime is kept unless the status flips. Times are whole seconds, as Kubernetes stores them.
fn condition(old: &ConnectionPoolStatus, finding: Finding, generation: i64, now: Timestamp) -> Condition {
    let status = finding.status.as_str();
    let since = find(old, finding.kind)
        .filter(|before| before.status == status)
        .map(|before| before.last_transition_time.clone());
    Condition {
        type_: finding.kind.as_str().to_owned(),
        status: status.to_owned(),
        reason: finding.reason.as_str().to_owned(),
        message: finding.message,
        observed_generation: Some(generation),
        last_transition_time: since.unwrap_or_else(|| Time(Timestamp::from_second(now.as_second()).unwrap_or(now))),
    }
}

/// The condition of that type.
pub fn find(status: &ConnectionPoolStatus, kind: ConditionType) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

/// The band that the condition Saturated tells; `None` where nobody knows.
pub fn band(status: &ConnectionPoolStatus) -> Option<Verdict> {
    match Reason::parse(&find(status, ConditionType::Saturated)?.reason)? {
        Reason::Critical => Some(Verdict::Critical),
        Reason::Elevated => Some(Verdict::Elevated),
        Reason::Normal => Some(Verdict::Normal),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
