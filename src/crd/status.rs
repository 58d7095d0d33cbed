//! What is written back: kstatus-compatible conditions and a few figures. Nothing here grows with the number of pods.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds;

/// What Weir has observed. Figures are as of the last write, which follows a change within seconds; exact values are metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionPoolStatus {
    /// Generation of the spec that this status speaks of; -1 before the first look.
    #[schemars(range(min = -1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds now, one entry per type. `Ready`: the pool is accepted and new pods get it. `Accepted`: the spec is valid.
    /// `Injected`: every matching pod has what it should. `Reachable`: every instance answers. `DatabaseReachable`: every instance
    /// can log in at PostgreSQL. `Saturated`: how busy the pool is. `Reconciling` and `Stalled` are there while they hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Values that are accepted but unusual, in words.
    #[schemars(length(max = bounds::WARNINGS), inner(length(max = bounds::MESSAGE_LENGTH)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Pods with the pool / pods that match the selector, as in `6/6`.
    #[schemars(length(max = bounds::FIGURE_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<String>,
    /// Open connections to PostgreSQL, over all instances.
    #[schemars(length(max = bounds::FIGURE_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<String>,
    /// (active + waiting) / granted connections, over all instances, as in `42%`. Above 100% clients wait.
    #[schemars(length(max = bounds::FIGURE_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilization: Option<String>,
    /// Clients that wait for a connection, over all instances.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<i64>,
    /// Reason of the most serious condition.
    #[schemars(length(max = bounds::FIGURE_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is added to a pod, defaults included.
    #[schemars(length(max = bounds::FIGURE_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The client library that the URL is written for, defaults included.
    #[schemars(length(max = bounds::FIGURE_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The instance with the highest utilization.
    #[schemars(length(max = bounds::POD_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_instance: Option<String>,
}
