//! What the pods carry: Injected.

use super::{Finding, NAMED, Status, count, finding, named};
use crate::policy::reasons::{ConditionType, Reason};
use crate::policy::status::Observation;

pub(super) fn injected(observation: &Observation<'_>) -> Finding {
    let kind = ConditionType::Injected;
    let fleet = observation.fleet;
    if observation.validation.is_err() {
        let message = "the spec is not valid, so nobody knows which pods it means; running pods keep what they have";
        return finding(kind, Status::Unknown, Reason::Invalid, message);
    }
    if fleet.unseen {
        let message = "the operator has not seen the cluster's pods yet; if this lasts, read its log and check that its role lets it \
                       list and watch pods";
        return finding(kind, Status::Unknown, Reason::PodsUnknown, message);
    }
    let stale: Vec<String> = fleet
        .stale
        .iter()
        .take(NAMED)
        .map(|(generation, pods)| format!("{} on generation {generation}", count((*pods).into(), "pod")))
        .collect();
    let stale = stale.join(", ");
    if fleet.missed_count > 0 {
        let names = named(fleet.missed.iter(), fleet.missed_count.into());
        return finding(
            kind,
            Status::False,
            Reason::PodsMissed,
            format!(
                "{} without the pool ({names}): older than the pool, or created while the webhook was away; delete them, or restart their \
                 workload with `kubectl rollout restart`",
                count(fleet.missed_count.into(), "pod")
            ),
        );
    }
    if fleet.skipped_count > 0 {
        let names =
            named(fleet.skipped.iter().map(|(pod, reason)| format!("{pod}: {reason}")), fleet.skipped_count.into());
        return finding(
            kind,
            Status::False,
            Reason::PodsSkipped,
            format!(
                "{} left alone ({names}); see the annotation weir.dev/skipped.<pool> of each for the remedy",
                count(fleet.skipped_count.into(), "pod")
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
    finding(kind, Status::True, Reason::AllInjected, format!("{} with the pool", count(fleet.injected.into(), "pod")))
}
