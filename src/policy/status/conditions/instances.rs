//! What the instances say of themselves: Reachable and Saturated.

use super::{Finding, Status, count, finding, named};
use crate::crd::{ConnectionPoolStatus, bounds};
use crate::policy::health::ReportError;
use crate::policy::reasons::{ConditionType, Reason};
use crate::policy::status::fleet::Figures;
use crate::policy::status::{Instance, Observation, ProbeFailure, band};
use crate::policy::verdict::Verdict;

pub(super) fn reachable(instances: &[Instance]) -> Finding {
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
    let total = failed.len() as u64;
    let names = named(failed.iter().map(|(pod, failure)| format!("{pod}: {failure}")), total);
    let all = count(instances.len() as u64, "instance");
    let silent = failed.iter().any(|(_, failure)| matches!(failure, ProbeFailure::Timeout | ProbeFailure::Refused));
    if silent {
        let remedy = "look at their logs (`kubectl logs POD -c weir-POOL`), and at network policies between the operator and the pods";
        let message = format!("{total} of {all} not answering ({names}); {remedy}");
        return finding(kind, Status::False, Reason::InstancesUnreachable, message);
    }
    let endpoint = "check that spec.probe names the endpoint that serves the health contract";
    let contract = "correct what it says: docs/health-pool.schema.json is the contract";
    let elsewhere = failed.iter().any(|(_, failure)| !breaks_contract(*failure));
    let broken = failed.iter().any(|(_, failure)| breaks_contract(*failure));
    let remedy = match (elsewhere, broken) {
        (true, true) => format!("{endpoint}, or {contract}"),
        (false, true) => contract.to_owned(),
        _ => endpoint.to_owned(),
    };
    let message = format!("{total} of {all} with an answer that is no report of theirs ({names}); {remedy}");
    finding(kind, Status::False, Reason::InvalidAnswers, message)
}

/// The right endpoint, with a wrong answer.
fn breaks_contract(failure: ProbeFailure) -> bool {
    matches!(failure, ProbeFailure::Contract(error) if error != ReportError::Malformed)
}

pub(super) fn saturated(old: &ConnectionPoolStatus, observation: &Observation<'_>, figures: &Figures) -> Finding {
    let kind = ConditionType::Saturated;
    if observation.instances.is_empty() {
        return finding(kind, Status::Unknown, Reason::NoInstances, "no instance was probed yet");
    }
    if figures.reports == 0 {
        return finding(kind, Status::Unknown, Reason::NotReported, "no instance answers; see the condition Reachable");
    }
    let previous = band(old).unwrap_or(Verdict::Normal);
    let thresholds = observation.validation.map_or(bounds::THRESHOLDS, |pool| pool.thresholds);
    let worst = figures
        .worst
        .as_ref()
        .map_or_else(String::new, |pod| format!(", worst {pod} at {:.0}%", figures.worst_busy.floor()));
    let seen = format!("{}% busy{worst}, {} waiting", figures.percent(), count(figures.waiting, "client"));
    let verdict = Verdict::next(previous, figures.busy, thresholds);
    let message = verdict.remedy().map(|remedy| format!("{seen}; {remedy}")).unwrap_or(seen);
    match verdict {
        Verdict::Normal => finding(kind, Status::False, Reason::Normal, message),
        Verdict::Elevated => finding(kind, Status::True, Reason::Elevated, message),
        Verdict::Critical => finding(kind, Status::True, Reason::Critical, message),
    }
}
