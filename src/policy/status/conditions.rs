//! One function per condition type. Each message says what is wrong and what to do; pods are named up to three.
//!
//! - `spec` has Ready, Accepted, Reconciling, Stalled
//! - `pods` has Injected
//! - `instances` has Reachable, Saturated
//! - `database` has DatabaseReachable

mod database;
mod instances;
mod pods;
mod spec;

use super::Observation;
use super::fleet::Figures;
use crate::crd::{ConnectionPoolStatus, bounds};
use crate::policy::reasons::{ConditionType, Reason};

/// Pods that a message names at most.
pub const NAMED: usize = 3;

/// A condition without its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its type.
    pub kind: ConditionType,
    /// Its status.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows yet.
    Unknown,
}

impl Status {
    /// As written in a condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

fn finding(kind: ConditionType, status: Status, reason: Reason, message: impl Into<String>) -> Finding {
    let mut message = message.into();
    if let Some((end, _)) = message.char_indices().nth(bounds::MESSAGE_LENGTH as usize - 1) {
        message.truncate(end);
        message.push('…');
    }
    Finding { kind, status, reason, message }
}

/// Every condition that is to be shown, in the order of [`ConditionType`].
pub fn findings(old: &ConnectionPoolStatus, observation: &Observation<'_>, figures: &Figures) -> Vec<Finding> {
    let ready = spec::ready(old, observation);
    let reconciling = spec::reconciling(&ready);
    let all = [
        Some(ready),
        Some(spec::accepted(observation)),
        Some(pods::injected(observation)),
        Some(instances::reachable(observation.instances)),
        Some(database::reachable(observation.instances)),
        Some(instances::saturated(old, observation, figures)),
        reconciling,
        spec::stalled(observation),
    ];
    all.into_iter().flatten().collect()
}

/// What has to be cured first, first. Reasons that are no trouble are not in it.
const SERIOUS: [Reason; 21] = [
    Reason::Invalid,
    Reason::NamespaceExcluded,
    Reason::WebhookUnreachable,
    Reason::WebhookNotCalled,
    Reason::ConfigurationRefused,
    Reason::ConfigurationFull,
    Reason::EntryPending,
    Reason::AuthenticationFailed,
    Reason::DatabaseMissing,
    Reason::TooManyConnections,
    Reason::ConnectionFailed,
    Reason::LoginRefused,
    Reason::InstancesUnreachable,
    Reason::InvalidAnswers,
    Reason::Critical,
    Reason::PodsUnknown,
    Reason::PodsMissed,
    Reason::PodsSkipped,
    Reason::Elevated,
    Reason::OlderSettings,
    Reason::NoMatchingPods,
];

/// The reason that `kubectl get` shows; that of Saturated where nothing is wrong.
pub fn most_serious(findings: &[Finding]) -> Reason {
    let bad = SERIOUS.into_iter().find(|reason| findings.iter().any(|finding| finding.reason == *reason));
    let saturated =
        || findings.iter().find(|finding| finding.kind == ConditionType::Saturated).map(|finding| finding.reason);
    bad.or_else(saturated).unwrap_or(Reason::NoInstances)
}

/// `a, b, c and 7 more`.
fn named<T: ToString>(names: impl Iterator<Item = T>, total: u64) -> String {
    let shown: Vec<String> = names.take(NAMED).map(|name| name.to_string()).collect();
    let more = total.saturating_sub(shown.len() as u64);
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// `1 pod`, `2 pods`.
fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
