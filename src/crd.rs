//! `ConnectionPool` (weir.dev/v1alpha1, short name `cpool`): what users write and what they read back.
//!
//! Field docs are the user's manual (`kubectl explain`). A field enters together with the code that honours it.

pub mod status;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::policy::limits::Profile;
pub use crate::policy::settings::PoolMode;
pub use status::ConnectionPoolStatus;

/// A pool of PostgreSQL connections for the pods that a selector matches.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "weir.dev",
    version = "v1alpha1",
    kind = "ConnectionPool",
    plural = "connectionpools",
    shortname = "cpool",
    namespaced,
    status = "ConnectionPoolStatus",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionPoolSpec {
    /// The kind of environment; sets every limit that is left open.
    pub profile: Profile,
    /// Which pods of this namespace get the pool. Read when a pod is created.
    pub selector: LabelSelector,
    /// Limits per instance; each overrides the profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsSpec>,
    /// Where the connection URL is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseSpec>,
    /// The client library, which decides which pool parameters its URL understands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// What is added to a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<SidecarSpec>,
    /// How instances are asked for their health.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeSpec>,
    /// When a pool counts as elevated and critical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<ThresholdsSpec>,
    /// What happens to a matching pod when the webhook can't be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_policy: Option<FailurePolicy>,
}

/// Limits per instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitsSpec {
    /// Server connections kept open while nobody needs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i32>,
    /// Most server connections at any moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i32>,
    /// How long a server connection above `min` may idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<String>,
    /// How long a client waits for a server connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_timeout: Option<String>,
    /// Age at which an idle server connection is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lifetime: Option<String>,
}

/// Where the connection URL is found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSpec {
    /// Environment variable that holds the URL. Default `DATABASE_URL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// User name that the application is given where the real one is hidden in a Secret. Default `weir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Database name that the application is given where the real one is hidden in a Secret. Default `weir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What is added to a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SidecarSpec {
    /// Pooler (default) or None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// When a server connection is given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_mode: Option<PoolMode>,
}

/// What is added to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// A pooler; the URL points at it.
    Pooler,
    /// Nothing: the application pools by itself and serves `/health/pool`; its URL gets the pool parameters.
    None,
}

/// How instances are asked for their health.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeSpec {
    /// Path of the health endpoint. Default `/health/pool`; another one only in mode None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Port of the application's health endpoint; required in mode None, forbidden otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// Time between two probes of one instance. Default `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// How long one probe may take. Default `1s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// Bounds of busyPercent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThresholdsSpec {
    /// From here on the pool is elevated. Default 80.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<i32>,
    /// From here on it is critical. Default 90.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<i32>,
}

/// What happens to a matching pod when the webhook can't be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FailurePolicy {
    /// The pod starts without the pool, and is counted as missed.
    Ignore,
    /// The pod is refused.
    Fail,
}
