//! A raw pool in, a [`ValidatedPool`] or every violation out. Later steps accept nothing else.
//!
//! The rules are those of the CRD's schema and CEL, with the same field paths, which `tests/it/crd.rs` shows on a real API server.
//! They are checked again here because a pool may have been stored under an older or newer CRD than this build's, or come from a
//! file. Nothing here panics on any input, and no rule is checked twice for the same mistake.
//!
//! - [`read`]: JSON to a raw pool, with the path of what has a wrong type
//! - `selector`, `value`: rules of one field
//! - `spec`: the whole, effective values and the rules between fields

pub mod read;
mod selector;
mod spec;
mod value;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::dialect::Dialect;
use super::limits::{Limits, Profile};
use super::settings::{Placeholders, PoolMode, Thresholds, Verify};
use crate::crd::{ConnectionPool, FailurePolicy, Mode};

/// Every rule of the resource, on the values that are in force (profile and defaults filled in).
///
/// # Errors
///
/// All that is wrong, in the order of the fields; never empty.
pub fn validate(pool: &ConnectionPool) -> Result<ValidatedPool, Vec<Violation>> {
    spec::validate(pool)
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, as the API server writes it: `spec.limits.min`.
    pub field: String,
    /// Names the value and the remedy.
    pub message: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Most messages begin with the field themselves, so that they can stand alone where the API server shows them.
        if self.message.starts_with(&self.field) {
            formatter.write_str(&self.message)
        } else {
            write!(formatter, "{}: {}", self.field, self.message)
        }
    }
}

/// A pool whose every value is known, legal and effective.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedPool {
    /// Namespace of the pool and of its pods.
    pub namespace: String,
    /// Name of the pool.
    pub name: String,
    /// `metadata.generation`; 0 without a cluster.
    pub generation: i64,
    /// See [`Profile`].
    pub profile: Profile,
    /// Which pods.
    pub selector: LabelSelector,
    /// Effective limits of one instance.
    pub limits: Limits,
    /// Environment variable that holds the connection URL.
    pub env: String,
    /// Names for an application whose URL is hidden.
    pub placeholders: Placeholders,
    /// The client library.
    pub dialect: &'static Dialect,
    /// What is added to a pod.
    pub mode: Mode,
    /// When a server connection is given back.
    pub pool_mode: PoolMode,
    /// When PostgreSQL is asked what a transaction has left.
    pub verify: Verify,
    /// How instances are probed.
    pub probe: Probe,
    /// Bounds of busyPercent.
    pub thresholds: Thresholds,
    /// What happens to pods while the webhook is away.
    pub failure_policy: FailurePolicy,
    /// Accepted but unusual values, in words.
    pub warnings: Vec<String>,
}

/// How instances are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Path of the health endpoint.
    pub path: String,
    /// Port of the application's endpoint, in mode None only.
    pub port: Option<u16>,
    /// Between two probes of one instance.
    pub interval: Duration,
    /// For one probe.
    pub timeout: Duration,
}

#[cfg(test)]
pub(crate) mod tests;
