//! A raw spec in, a [`ValidatedPool`] or every violation out. Later steps accept nothing else.
//!
//! The rules are those of the CRD's schema and CEL, which `tests/it/crd.rs` holds against this module on a real API server.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::dialect::Dialect;
use super::limits::{Limits, Profile};
use super::settings::{Placeholders, PoolMode, Thresholds};
use crate::crd::{FailurePolicy, Mode};

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, as the API server writes it: `spec.limits.min`.
    pub field: String,
    /// Names the value and the remedy.
    pub message: String,
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
