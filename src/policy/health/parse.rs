//! Reading a report that someone else wrote: a pod may lie, be broken, or be something else at a reused address. What passes here is
//! bounded and adds up, so that sums over a fleet can't overflow and no text of a stranger reaches a log or a status.

use jiff::Timestamp;

use super::fields::{self, Field};
use super::{CRITICAL, Health, Report, UtilizationStatus, WARNING, tenths_of_percent};

/// Longest answer that is worth reading; a full one of ours has some 600 bytes, and an application may add fields.
pub const BYTES_MAX: usize = 64 * 1024;
/// Most connections that a report may claim: PostgreSQL's `MAX_BACKENDS` (postmaster.h: 2^18 - 1).
pub const CONNECTIONS_MAX: u32 = (1 << 18) - 1;
/// Most waiting clients that a report may claim: Linux gives no process more open files (`fs.nr_open`, 2^20).
pub const WAITING_MAX: u32 = 1 << 20;

/// Other writers may truncate where we round, and round in binary floating point.
const TOLERANCE: f64 = 0.1001;

/// Why an answer is no report. Holds nothing that the other side wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum ReportError {
    /// Not JSON, or JSON of something else.
    #[error("the answer is no JSON of the contract")]
    Malformed,
    /// A field of the contract is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field of the contract has another type or is out of its range.
    #[error("{} is not {}", .0.name, .0.expected)]
    Field(Field),
    /// Well-formed, but it can't be true.
    #[error("{0}")]
    Inconsistent(&'static str),
}

impl Report {
    /// Reads one answer of `GET /health/pool`. Unknown fields are ignored. `body` is at most [`BYTES_MAX`] long.
    pub fn parse(body: &[u8]) -> Result<Self, ReportError> {
        let report: Self = serde_json::from_slice(body).map_err(|_| fields::fault(body))?;
        match report.rules().into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(ReportError::Inconsistent(rule)),
            None => Ok(report),
        }
    }

    /// Every rule of the contract, and whether it holds here.
    fn rules(&self) -> [(bool, &'static str); 13] {
        let metrics = &self.metrics;
        let percent = self.utilization.percent;
        let expected = f64::from(tenths_of_percent(metrics.total_connections.into(), metrics.pool_size)) / 10.0;
        [
            (metrics.pool_size <= CONNECTIONS_MAX, "metrics.poolSize is more than PostgreSQL can serve"),
            (metrics.pool_size >= 1, "metrics.poolSize is 0"),
            (metrics.waiting_requests <= WAITING_MAX, "metrics.waitingRequests is more than a process can hold"),
            (
                metrics.active_connections.checked_add(metrics.idle_connections) == Some(metrics.total_connections),
                "metrics.totalConnections is not activeConnections + idleConnections",
            ),
            (metrics.total_connections <= metrics.pool_size, "metrics.totalConnections is more than poolSize"),
            (
                self.config.min <= self.config.max && self.config.max >= 1,
                "config.min is more than config.max, or config.max is 0",
            ),
            ((percent - expected).abs() <= TOLERANCE, "utilization.percent is not totalConnections / poolSize * 100"),
            (self.status_fits(), "utilization.status does not follow from utilization.percent"),
            // An application may call itself unhealthy for reasons of its own.
            (
                self.status == Health::Unhealthy || percent < f64::from(CRITICAL) + TOLERANCE,
                "status is healthy at a utilization of 90 % or above",
            ),
            (
                self.granted.is_none_or(|granted| granted <= CONNECTIONS_MAX),
                "granted is more than PostgreSQL can serve",
            ),
            (self.busy_fits(), "utilization.busyPercent is not (activeConnections + waitingRequests) / granted * 100"),
            (
                self.timestamp.len() <= 40 && self.timestamp.parse::<Timestamp>().is_ok(),
                "timestamp is not a time of RFC 3339",
            ),
            (self.names_fit(), "pod, boot or database.sqlstate is not an identifier"),
        ]
    }

    fn status_fits(&self) -> bool {
        let near = |line: u32| (self.utilization.percent - f64::from(line)).abs() <= TOLERANCE;
        let above = |line: u32| self.utilization.percent >= f64::from(line);
        match self.utilization.status {
            UtilizationStatus::Normal => !above(WARNING) || near(WARNING),
            UtilizationStatus::Warning => (above(WARNING) || near(WARNING)) && (!above(CRITICAL) || near(CRITICAL)),
            UtilizationStatus::Critical => above(CRITICAL) || near(CRITICAL),
        }
    }

    /// Who reports no grant may hold its whole pool.
    fn busy_fits(&self) -> bool {
        let used = u64::from(self.metrics.active_connections) + u64::from(self.metrics.waiting_requests);
        let whole = self.granted.unwrap_or(self.metrics.pool_size);
        let expected = f64::from(tenths_of_percent(used, whole)) / 10.0;
        self.utilization.busy_percent.is_none_or(|busy| (busy - expected).abs() <= TOLERANCE)
    }

    fn names_fit(&self) -> bool {
        let identifier = |text: &Option<String>, most: usize| match text {
            Some(text) => text.len() <= most && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
            None => true,
        };
        let sqlstate = self.database.as_ref().map_or(&None, |database| &database.sqlstate);
        identifier(&self.pod, 64) && identifier(&self.boot, 64) && identifier(sqlstate, 5)
    }
}
