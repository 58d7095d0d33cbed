//! One function per condition type. Each message says what is wrong and what to do; pods are named up to three.

use super::fleet::Figures;
use super::{EntryState, Instance, Observation, ProbeFailure, find};
use crate::crd::{ConnectionPoolStatus, bounds};
use crate::policy::reasons::{ConditionType, Reason};
use crate::policy::verdict::Verdict;

/// Pods that a message names.
const NAMED: usize = 3;

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
    let ready = ready(old, observation);
    let reconciling = reconciling(&ready);
    let all = [
        Some(ready),
        Some(accepted(observation)),
        Some(injected(observation)),
        Some(reachable(observation.instances)),
        Some(database_reachable(observation.instances)),
        Some(saturated(old, observation, figures)),
        reconciling,
        stalled(observation),
    ];
    all.into_iter().flatten().collect()
}

/// What has to be cured first, first. Reasons that are no trouble are not in it.
const SERIOUS: [Reason; 20] = [
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

fn violations(observation: &Observation<'_>) -> Option<String> {
    let broken = observation.validation.err()?;
    let words: Vec<String> = broken.iter().map(ToString::to_string).collect();
    Some(words.join("; "))
}

fn ready(old: &ConnectionPoolStatus, observation: &Observation<'_>) -> Finding {
    let kind = ConditionType::Ready;
    if let Some(violations) = violations(observation) {
        return finding(kind, Status::False, Reason::Invalid, format!("the spec is not valid: {violations}"));
    }
    let in_force = || finding(kind, Status::True, Reason::InForce, "new pods that match the selector get the pool");
    match observation.entry {
        EntryState::InForce => in_force(),
        // After a restart of the operator nothing is known for a moment; what was in force for this generation still is.
        EntryState::Pending
            if find(old, kind).is_some_and(|ready| {
                ready.status == Status::True.as_str() && ready.observed_generation == Some(observation.generation)
            }) =>
        {
            in_force()
        }
        EntryState::Pending => finding(
            kind,
            Status::False,
            Reason::EntryPending,
            "the webhook entry for this spec is on its way to the API server; wait a few seconds before new pods are created",
        ),
        EntryState::Failed { reason, message } => finding(kind, Status::False, *reason, message.clone()),
    }
}

fn accepted(observation: &Observation<'_>) -> Finding {
    match violations(observation) {
        None => finding(ConditionType::Accepted, Status::True, Reason::Valid, "the spec is valid"),
        Some(violations) => finding(ConditionType::Accepted, Status::False, Reason::Invalid, violations),
    }
}

/// Only while a new generation is taken in: a failure is none, nor is a look after a restart.
fn reconciling(ready: &Finding) -> Option<Finding> {
    (ready.reason == Reason::EntryPending).then(|| {
        finding(
            ConditionType::Reconciling,
            Status::True,
            Reason::EntryPending,
            "a new generation of the spec is being taken in",
        )
    })
}

/// Only for what nothing but a change of the spec can cure.
fn stalled(observation: &Observation<'_>) -> Option<Finding> {
    let violations = violations(observation)?;
    Some(finding(ConditionType::Stalled, Status::True, Reason::Invalid, format!("change the spec: {violations}")))
}

fn injected(observation: &Observation<'_>) -> Finding {
    let kind = ConditionType::Injected;
    let fleet = observation.fleet;
    let stale: Vec<String> = fleet
        .stale
        .iter()
        .take(NAMED)
        .map(|(generation, pods)| format!("{} on generation {generation}", count(*pods, "pod")))
        .collect();
    let stale = stale.join(", ");
    if fleet.missed_count > 0 {
        let names = named(fleet.missed.iter(), fleet.missed_count);
        return finding(
            kind,
            Status::False,
            Reason::PodsMissed,
            format!(
                "{} without the pool ({names}): older than the pool, or created while the webhook was away; delete them, or restart their \
                 workload with `kubectl rollout restart`",
                count(fleet.missed_count, "pod")
            ),
        );
    }
    if fleet.skipped_count > 0 {
        let names = named(fleet.skipped.iter().map(|(pod, reason)| format!("{pod}: {reason}")), fleet.skipped_count);
        return finding(
            kind,
            Status::False,
            Reason::PodsSkipped,
            format!(
                "{} left alone ({names}); see the annotation weir.dev/skipped.<pool> of each for the remedy",
                count(fleet.skipped_count, "pod")
            ),
        );
    }
    if !stale.is_empty() {
        return finding(
            kind,
            Status::True,
            Reason::OlderSettings,
            format!(
                "{stale}, the spec is at generation {}; restart their workload with `kubectl rollout restart` to apply it",
                observation.generation
            ),
        );
    }
    if fleet.matched == 0 {
        return finding(
            kind,
            Status::True,
            Reason::NoMatchingPods,
            "no pod of this namespace matches the selector; compare it with the labels in the workload's pod template",
        );
    }
    finding(kind, Status::True, Reason::AllInjected, format!("{} with the pool", count(fleet.injected, "pod")))
}

fn reachable(instances: &[Instance]) -> Finding {
    let kind = ConditionType::Reachable;
    if instances.is_empty() {
        return finding(kind, Status::Unknown, Reason::NoInstances, "no instance was probed yet");
    }
    let mut failed: Vec<(&str, ProbeFailure)> = instances
        .iter()
        .filter_map(|instance| Some((instance.pod.as_str(), instance.report.as_ref().err().copied()?)))
        .collect();
    failed.sort_unstable();
    if failed.is_empty() {
        return finding(kind, Status::True, Reason::AllAnswer, "every instance answers its probe");
    }
    let total = u32::try_from(failed.len()).unwrap_or(u32::MAX);
    let names = named(failed.iter().map(|(pod, failure)| format!("{pod}: {failure}")), total);
    let silent = failed.iter().any(|(_, failure)| matches!(failure, ProbeFailure::Timeout | ProbeFailure::Refused));
    if silent {
        let remedy = "look at their logs (`kubectl logs POD -c weir-POOL`), and at network policies between the operator and the pods";
        let message = format!("{} of {} not answering ({names}); {remedy}", total, count_all(instances));
        return finding(kind, Status::False, Reason::InstancesUnreachable, message);
    }
    let remedy = "check that spec.probe names the endpoint that serves the health contract";
    let message =
        format!("{} of {} with an answer that is no report of theirs ({names}); {remedy}", total, count_all(instances));
    finding(kind, Status::False, Reason::InvalidAnswers, message)
}

fn database_reachable(instances: &[Instance]) -> Finding {
    let kind = ConditionType::DatabaseReachable;
    if instances.is_empty() {
        return finding(kind, Status::Unknown, Reason::NoInstances, "no instance was probed yet");
    }
    let mut known = 0_u32;
    let mut failed: Vec<(&str, &str)> = Vec::new();
    for instance in instances {
        let Some(database) = instance.report.as_ref().ok().and_then(|report| report.database.as_ref()) else {
            continue;
        };
        known = known.saturating_add(1);
        if !database.reachable {
            failed.push((&instance.pod, database.sqlstate.as_deref().unwrap_or("08001")));
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
    let total = u32::try_from(failed.len()).unwrap_or(u32::MAX);
    let names = named(failed.iter().map(|(pod, state)| format!("{pod}: SQLSTATE {state}")), total);
    finding(
        kind,
        Status::False,
        reason,
        format!("{total} of {} can't log in at PostgreSQL ({names}); {remedy}", count(known, "instance")),
    )
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

fn saturated(old: &ConnectionPoolStatus, observation: &Observation<'_>, figures: &Figures) -> Finding {
    let kind = ConditionType::Saturated;
    if observation.instances.is_empty() {
        return finding(kind, Status::Unknown, Reason::NoInstances, "no instance was probed yet");
    }
    if figures.reports == 0 {
        return finding(kind, Status::Unknown, Reason::NotReported, "no instance answers; see the condition Reachable");
    }
    let previous = match find(old, kind).and_then(|saturated| Reason::parse(&saturated.reason)) {
        Some(Reason::Critical) => Verdict::Critical,
        Some(Reason::Elevated) => Verdict::Elevated,
        _ => Verdict::Normal,
    };
    let thresholds = observation.validation.map_or(bounds::THRESHOLDS, |pool| pool.thresholds);
    let worst = figures
        .worst
        .as_ref()
        .map_or_else(String::new, |pod| format!(", worst {pod} at {:.0}%", figures.worst_busy.floor()));
    let seen = format!("{}% busy{worst}, {} waiting", figures.percent(), count64(figures.waiting, "client"));
    match Verdict::next(previous, figures.busy, thresholds) {
        Verdict::Normal => finding(kind, Status::False, Reason::Normal, seen),
        Verdict::Elevated => finding(
            kind,
            Status::True,
            Reason::Elevated,
            format!("{seen}; if this lasts, raise spec.limits.max or add pods before clients have to wait"),
        ),
        Verdict::Critical => finding(
            kind,
            Status::True,
            Reason::Critical,
            format!(
                "{seen}; raise spec.limits.max or add pods, or look for slow queries and idle transactions that hold connections"
            ),
        ),
    }
}

/// `a, b, c and 7 more`.
fn named<T: ToString>(names: impl Iterator<Item = T>, total: u32) -> String {
    let shown: Vec<String> = names.take(NAMED).map(|name| name.to_string()).collect();
    let more = total.saturating_sub(u32::try_from(shown.len()).unwrap_or(u32::MAX));
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

fn count(number: u32, noun: &str) -> String {
    count64(number.into(), noun)
}

fn count64(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn count_all(instances: &[Instance]) -> String {
    count64(u64::try_from(instances.len()).unwrap_or(u64::MAX), "instance")
}
