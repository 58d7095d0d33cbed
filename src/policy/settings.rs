//! What a pod carries for its whole life: one versioned document of settings, and a note of what was injected.
//!
//! Both are written by one version of Weir and read by others, older and newer. So fields are only ever added, a reader keeps what
//! it does not know ([`Settings::unknown`]), and `version` changes only when an old reader would do harm.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::limits::{Limits, Profile};

/// The version that this build writes, and the newest that it can honour.
pub const SETTINGS_VERSION: u32 = 1;

/// When a server connection is given back to the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "operator", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PoolMode {
    /// When the client disconnects.
    Session,
    /// When the client's transaction ends.
    Transaction,
}

impl PoolMode {
    /// What a settings document without a mode means, whatever a pool without one means by now: a pod stays as it was injected.
    const fn unsaid() -> Self {
        Self::Session
    }
}

/// When PostgreSQL is asked what a transaction has left in the session, before another client gets the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "operator", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// After a transaction whose commands hint that it may have left something.
    #[default]
    Hints,
    /// After every transaction.
    Always,
}

impl Verify {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Bounds of busyPercent at which a pool counts as elevated and critical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Percent, 1 to 99.
    pub warning: u32,
    /// Percent, above `warning`, at most 100.
    pub critical: u32,
}

/// The names that an application uses where the real ones are hidden in a Secret: it may name these and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placeholders {
    /// Instead of the URL's user.
    pub user: String,
    /// Instead of the URL's database.
    pub database: String,
}

/// The settings of one sidecar, as in [`crate::names::ENV_SETTINGS`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// [`SETTINGS_VERSION`] of the writer.
    pub version: u32,
    /// `namespace/name` of the pool: its identity in a pod, so that rendering without a cluster gives the same.
    pub pool: String,
    /// `metadata.generation` of the pool that these settings come from; 0 when rendered without a cluster.
    pub generation: i64,
    /// See [`Profile`].
    pub profile: Profile,
    /// See [`PoolMode`].
    #[serde(default = "PoolMode::unsaid")]
    pub pool_mode: PoolMode,
    /// See [`Verify`]; for transaction pooling.
    #[serde(default, skip_serializing_if = "Verify::is_default")]
    pub verify: Verify,
    /// Id of the client library's dialect: decides how `sslmode` is read.
    pub client: String,
    /// What this instance may hold.
    pub limits: Limits,
    /// See [`Thresholds`].
    pub thresholds: Thresholds,
    /// Set where the URL comes from a Secret or ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placeholders: Option<Placeholders>,
    /// Fields of newer writers, kept as they are.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// What was injected into a pod, as in [`crate::names::injected_annotation`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Injected {
    /// `metadata.generation` of the pool at injection.
    pub generation: i64,
    /// Port of the application's side, on loopback; absent in mode None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<u16>,
    /// Port of the control endpoints, or of the application's own health endpoint in mode None.
    pub control: u16,
    /// Max of this instance: what it counts as while nothing else is known.
    pub max: u32,
    /// Pool parameters of the URL that the user wrote and that stay as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// Containers that may hold the variable and still go past the pool, each with the reason, as `container: Reason`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_alone: Vec<String>,
    /// Fields of newer writers, kept as they are.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLDEST: &str = r#"{"version":1,"pool":"shop/orders","generation":3,"profile":"test","poolMode":"session","client":"none",
        "limits":{"min":1,"max":5,"idleTimeout":"5s","connectionTimeout":"3s","maxLifetime":"30m"},"thresholds":{"warning":80,"critical":90}}"#;

    fn read(text: &str) -> Settings {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_document_holds_what_differs_from_the_oldest_one() {
        let oldest: Value = serde_json::from_str(OLDEST).unwrap();
        assert_eq!(serde_json::to_value(read(OLDEST)).unwrap(), oldest);
        let mut newer = read(OLDEST);
        (newer.pool_mode, newer.verify) = (PoolMode::Transaction, Verify::Always);
        newer.limits.query_timeout = Some(std::time::Duration::from_secs(90));
        let text = serde_json::to_string(&newer).unwrap();
        for part in [r#""poolMode":"transaction""#, r#""verify":"always""#, r#""queryTimeout":"90s""#] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert_eq!(read(&text), newer);
    }
}
