//! The contract of `GET /health/pool`, which the sidecar serves and the prober reads; an application may serve it itself.
//!
//! Milliseconds live here and nowhere else. No field is ever renamed; added ones are optional for a reader. The arithmetic is done
//! in integers and once, here: [`Report::new`] keeps it by construction, [`Report::parse`] refuses an answer that breaks it, and
//! `docs/health-pool.schema.json` says the same to other languages.

mod alarm;
mod fields;
mod parse;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::duration::millis;
use super::limits::Limits;

pub use alarm::{Alarm, Change};
pub use fields::Field;
pub use parse::{BYTES_MAX, CONNECTIONS_MAX, ReportError, WAITING_MAX};

/// Percent of utilization from which it is worth an alert.
pub const WARNING: u32 = 80;
/// Percent of utilization from which the pool is unhealthy.
pub const CRITICAL: u32 = 90;

/// `healthy` below 90 % utilization, else `unhealthy`. Always sent with HTTP 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Utilization below 90 %.
    Healthy,
    /// Utilization at 90 % or above.
    Unhealthy,
}

/// Server connections and waiting clients. `total = active + idle`, `total <= pool_size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Server connections attached to a client, even to an idle one.
    pub active_connections: u32,
    /// Server connections that nobody uses.
    pub idle_connections: u32,
    /// Clients that wait for a server connection.
    pub waiting_requests: u32,
    /// Active and idle ones.
    pub total_connections: u32,
    /// The configured maximum, or what is still open while it shrinks.
    pub pool_size: u32,
}

/// The effective limits, in milliseconds where they are times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Server connections kept open.
    pub min: u32,
    /// Most server connections.
    pub max: u32,
    /// Milliseconds.
    pub idle_timeout: u64,
    /// Milliseconds.
    pub connection_timeout: u64,
}

/// How full the pool is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Utilization {
    /// total / pool_size * 100, one decimal.
    pub percent: f64,
    /// The verdict on `percent`: `normal`, `warning` from 80 %, `critical` from 90 %.
    pub status: UtilizationStatus,
    /// (active + waiting) / granted * 100, one decimal, of `pool_size` where nothing is granted by name; passes 100 while clients
    /// wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_percent: Option<f64>,
}

/// See [`Utilization::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UtilizationStatus {
    /// Below 80 %.
    Normal,
    /// 80 % and above.
    Warning,
    /// 90 % and above.
    Critical,
}

/// One answer of `GET /health/pool`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// See [`Health`].
    pub status: Health,
    /// See [`Metrics`].
    pub metrics: Metrics,
    /// See [`Config`].
    pub config: Config,
    /// See [`Utilization`].
    pub utilization: Utilization,
    /// RFC 3339, UTC, milliseconds.
    pub timestamp: String,
    /// What the instance may hold now; without a budget its maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<u32>,
    /// UID of the pod that answers, so that an answer can be tied to its pod after an address was reused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Random id of this run of the sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// `metadata.generation` of the pool whose settings are in force here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Whether the last attempt to reach PostgreSQL succeeded; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
}

/// What the instance last learned of PostgreSQL. Holds no host, user or SQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// Whether the last login succeeded.
    pub reachable: bool,
    /// SQLSTATE of the last failure, or one of `08001` (cannot connect) and `08006` (connection lost).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<String>,
}

/// What a pool counts at one moment; the input of [`Report::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// See [`Metrics::active_connections`].
    pub active: u32,
    /// See [`Metrics::idle_connections`].
    pub idle: u32,
    /// See [`Metrics::waiting_requests`].
    pub waiting: u32,
    /// See [`Report::granted`].
    pub granted: u32,
}

impl Report {
    /// The answer for these counts under these limits. `pool_size` is what is still open where that is more than `limits.max`, so the
    /// total never passes it. Who answers ([`Report::pod`] and what follows) is left open.
    pub fn new(counts: Counts, limits: &Limits, now: Timestamp) -> Self {
        let total = counts.active.saturating_add(counts.idle);
        let pool_size = limits.max.max(total);
        let tenths = tenths_of_percent(total.into(), pool_size);
        let busy = u64::from(counts.active) + u64::from(counts.waiting);
        Self {
            status: if tenths >= CRITICAL * 10 { Health::Unhealthy } else { Health::Healthy },
            metrics: Metrics {
                active_connections: counts.active,
                idle_connections: counts.idle,
                waiting_requests: counts.waiting,
                total_connections: total,
                pool_size,
            },
            config: Config {
                min: limits.min,
                max: limits.max,
                idle_timeout: millis(limits.idle_timeout),
                connection_timeout: millis(limits.connection_timeout),
            },
            utilization: Utilization {
                percent: f64::from(tenths) / 10.0,
                status: UtilizationStatus::of_tenths(tenths),
                busy_percent: Some(f64::from(tenths_of_percent(busy, counts.granted)) / 10.0),
            },
            timestamp: format!("{now:.3}"),
            granted: Some(counts.granted),
            pod: None,
            boot: None,
            generation: None,
            database: None,
        }
    }
}

impl UtilizationStatus {
    fn of_tenths(tenths: u32) -> Self {
        match tenths {
            _ if tenths >= CRITICAL * 10 => Self::Critical,
            _ if tenths >= WARNING * 10 => Self::Warning,
            _ => Self::Normal,
        }
    }
}

/// `part / whole` in tenths of a percent, rounded half up. A whole of 0 counts as 1: who may hold nothing and has clients waiting is
/// overloaded, and the figure stays finite.
fn tenths_of_percent(part: u64, whole: u32) -> u32 {
    let whole = u64::from(whole.max(1));
    u32::try_from((part.saturating_mul(1000) + whole / 2) / whole).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
