//! The figures over all instances that answered.

use super::Instance;
use crate::policy::health::Report;
use crate::policy::verdict::busy_percent;

/// Sums over the reports of a fleet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Instances that answered.
    pub reports: u32,
    /// Open server connections.
    pub used: u64,
    /// Waiting clients.
    pub waiting: u64,
    /// busyPercent of the fleet.
    pub busy: f64,
    /// The pod with the highest busyPercent of its own, the first by name where they are equal; `None` while all are idle.
    pub worst: Option<String>,
    /// busyPercent of that pod.
    pub worst_busy: f64,
}

impl Figures {
    /// [`Figures::busy`] as it is shown: whole, and never rounded up to a threshold that it has not reached.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a percentage is not negative, and a cast saturates"
    )]
    pub fn percent(&self) -> u64 {
        self.busy.floor() as u64
    }
}

/// Sums what was reported.
pub fn figures(instances: &[Instance]) -> Figures {
    let mut figures = Figures::default();
    let (mut wanted, mut granted) = (0_u64, 0_u64);
    for (pod, report) in instances.iter().filter_map(|instance| Some((&instance.pod, instance.report.as_ref().ok()?))) {
        figures.reports = figures.reports.saturating_add(1);
        figures.used += u64::from(report.metrics.total_connections);
        figures.waiting += u64::from(report.metrics.waiting_requests);
        let (own_wanted, own_granted) = demand(report);
        wanted += own_wanted;
        granted += own_granted;
        let busy = busy_percent(own_wanted, own_granted);
        let first = figures.worst.as_ref().is_none_or(|worst| pod < worst);
        if busy > figures.worst_busy || busy > 0.0 && busy >= figures.worst_busy && first {
            figures.worst_busy = busy;
            figures.worst = Some(pod.clone());
        }
    }
    figures.busy = busy_percent(wanted, granted);
    figures
}

/// Connections that clients have or want, and connections that may be open. An application that serves the seed's contract reports
/// no grant: its pool's size is one.
fn demand(report: &Report) -> (u64, u64) {
    let wanted = u64::from(report.metrics.active_connections) + u64::from(report.metrics.waiting_requests);
    (wanted, u64::from(report.granted.unwrap_or(report.metrics.pool_size)))
}
