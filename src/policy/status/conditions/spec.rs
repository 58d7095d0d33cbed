//! What becomes of the spec: Ready, Accepted, Reconciling and Stalled.

use super::{Finding, Status, finding};
use crate::crd::ConnectionPoolStatus;
use crate::policy::reasons::{ConditionType, Reason};
use crate::policy::status::{EntryState, Observation, find};

fn violations(observation: &Observation<'_>) -> Option<String> {
    let broken = observation.validation.err()?;
    let words: Vec<String> = broken.iter().map(ToString::to_string).collect();
    Some(words.join("; "))
}

pub(super) fn ready(old: &ConnectionPoolStatus, observation: &Observation<'_>) -> Finding {
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

pub(super) fn accepted(observation: &Observation<'_>) -> Finding {
    match violations(observation) {
        None => finding(ConditionType::Accepted, Status::True, Reason::Valid, "the spec is valid"),
        Some(violations) => finding(ConditionType::Accepted, Status::False, Reason::Invalid, violations),
    }
}

/// Only while a new generation is taken in: a failure is none, nor is a look after a restart.
pub(super) fn reconciling(ready: &Finding) -> Option<Finding> {
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
pub(super) fn stalled(observation: &Observation<'_>) -> Option<Finding> {
    let violations = violations(observation)?;
    Some(finding(ConditionType::Stalled, Status::True, Reason::Invalid, format!("change the spec: {violations}")))
}
