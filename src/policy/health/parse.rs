//! Reading a report that someone else wrote: a pod may lie, be broken, or be something else at a reused address. What passes here is
//! bounded and adds up, so that sums over a fleet can't overflow and no text of a stranger reaches a log or a status.

use jiff::Timestamp;

use super::{CRITICAL, Health, Report, UtilizationStatus, WARNING, tenths_of_percent};

/// Longest answer that is read; a full one of ours has some 600 bytes.
pub const BYTES_MAX: usize = 16 * 1024;
/// Most connections that a report may claim: PostgreSQL's `MAX_BACKENDS` (postmaster.h: 2^18 - 1).
pub const CONNECTIONS_MAX: u32 = (1 << 18) - 1;
/// Most waiting clients that a report may claim: Linux gives no process more open files (`fs.nr_open`, 2^20).
pub const WAITING_MAX: u32 = 1 << 20;

/// Other writers may truncate where we round, and round in binary floating point.
const TOLERANCE: f64 = 0.1001;

/// Why an answer is no report. Holds nothing that the other side wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Longer than [`BYTES_MAX`].
    #[error("the answer is longer than {BYTES_MAX} bytes")]
    TooLarge,
    /// Not JSON, or a field of the contract is missing, has another type or is out of its range.
    #[error("the answer is not the JSON of the contract at line {line} column {column}")]
    Malformed {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Well-formed, but it can't be true.
    #[error("the answer contradicts itself: {0}")]
    Inconsistent(&'static str),
}

impl Report {
    /// Reads one answer of `GET /health/pool`. Unknown fields are ignored.
    pub fn parse(body: &[u8]) -> Result<Self, ReportError> {
        if body.len() > BYTES_MAX {
            return Err(ReportError::TooLarge);
        }
        let report: Self = serde_json::from_slice(body)
            .map_err(|error| ReportError::Malformed { line: error.line(), column: error.column() })?;
        match report.rules().into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(ReportError::Inconsistent(rule)),
            None => Ok(report),
        }
    }

    /// Every rule of the contract, and whether it holds here.
    fn rules(&self) -> [(bool, &'static str); 12] {
        let metrics = &self.metrics;
        let percent = self.utilization.percent;
        let expected = f64::from(tenths_of_percent(metrics.total_connections.into(), metrics.pool_size)) / 10.0;
        [
            (metrics.pool_size <= CONNECTIONS_MAX, "poolSize is more than PostgreSQL can serve"),
            (metrics.pool_size >= 1, "poolSize is 0"),
            (metrics.waiting_requests <= WAITING_MAX, "waitingRequests is more than a process can hold"),
            (
                metrics.active_connections.checked_add(metrics.idle_connections) == Some(metrics.total_connections),
                "totalConnections is not activeConnections + idleConnections",
            ),
            (metrics.total_connections <= metrics.pool_size, "totalConnections is more than poolSize"),
            (
                self.config.min <= self.config.max && self.config.max >= 1,
                "config.min, config.max are not 1 <= min <= max",
            ),
            ((percent - expected).abs() <= TOLERANCE, "utilization.percent is not totalConnections / poolSize * 100"),
            (self.status_fits(), "utilization.status does not follow from utilization.percent"),
            // An application may call itself unhealthy for reasons of its own.
            (
                self.status == Health::Unhealthy || percent < f64::from(CRITICAL) + TOLERANCE,
                "status is healthy at 90 % or above",
            ),
            (self.busy_fits(), "utilization.busyPercent is not (activeConnections + waitingRequests) / granted * 100"),
            (
                self.timestamp.len() <= 40 && self.timestamp.parse::<Timestamp>().is_ok(),
                "timestamp is not a time of RFC 3339",
            ),
            (self.names_fit(), "pod, boot or sqlstate is not an identifier"),
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

    fn busy_fits(&self) -> bool {
        match (self.utilization.busy_percent, self.granted) {
            (None, None) => true,
            (None, Some(granted)) => granted <= CONNECTIONS_MAX,
            (Some(_), None) => false,
            (Some(busy), Some(granted)) => {
                let used = u64::from(self.metrics.active_connections) + u64::from(self.metrics.waiting_requests);
                granted <= CONNECTIONS_MAX
                    && (busy - f64::from(tenths_of_percent(used, granted)) / 10.0).abs() <= TOLERANCE
            }
        }
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
