//! Says in the log when the pool fills up and when it has room again.

use crate::policy::health::{Alarm, CRITICAL, Change, Report, UtilizationStatus, WARNING};

#[derive(Default)]
pub(super) struct Watch {
    alarm: Alarm,
}

impl Watch {
    /// Looks at the newest report; logs at most one line.
    pub(super) fn look(&mut self, report: &Report) {
        let percent = report.utilization.percent;
        let Some(change) = self.alarm.observe(percent, report.utilization.status) else { return };
        let metrics = &report.metrics;
        let (total, size, waiting) = (metrics.total_connections, metrics.pool_size, metrics.waiting_requests);
        match change {
            Change::Rose(UtilizationStatus::Critical) => {
                tracing::warn!(percent, total, size, waiting, "utilization has reached {CRITICAL} %: unhealthy");
            }
            Change::Rose(_) => {
                tracing::warn!(percent, total, size, waiting, "utilization has reached the alert line of {WARNING} %");
            }
            Change::Fell(UtilizationStatus::Normal) => {
                tracing::warn!(percent, total, size, waiting, "utilization has fallen back below {WARNING} %");
            }
            Change::Fell(_) => {
                tracing::warn!(percent, total, size, waiting, "utilization has fallen back below {CRITICAL} %");
            }
        }
    }
}
