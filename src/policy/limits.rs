//! What one instance may hold, and for how long: the profiles and their defaults, and what a pod's own variables lower.

mod environment;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
pub use environment::{BadVariable, VARIABLES, environment, lower};

/// The kind of environment a pool serves; it sets every limit that the resource leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "operator", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A developer's machine or preview: min 2, max 10, idleTimeout 10s, connectionTimeout 5s.
    Development,
    /// A test run: min 1, max 5, idleTimeout 5s, connectionTimeout 3s.
    Test,
    /// Production: min 5, max 20, idleTimeout 30s, connectionTimeout 10s.
    Production,
}

/// Limits of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Server connections kept open while nobody needs them; 1 to `max`.
    pub min: u32,
    /// Most server connections at any moment; at least 1.
    pub max: u32,
    /// How long a server connection above `min` may idle.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// How long a client waits for a server connection before it gets SQLSTATE 53300.
    #[serde(with = "duration")]
    pub connection_timeout: Duration,
    /// Age at which an idle server connection is replaced.
    #[serde(with = "duration")]
    pub max_lifetime: Duration,
    /// How long a client may leave its transaction open without a word; `None`: as long as it likes.
    #[serde(with = "duration::optional", default, skip_serializing_if = "Option::is_none")]
    pub idle_transaction_timeout: Option<Duration>,
    /// How long PostgreSQL may work on one query; `None`: as long as it takes.
    #[serde(with = "duration::optional", default, skip_serializing_if = "Option::is_none")]
    pub query_timeout: Option<Duration>,
}

impl Limits {
    /// Every time in it that is set.
    pub fn timeouts(&self) -> impl Iterator<Item = Duration> {
        let always = [self.idle_timeout, self.connection_timeout, self.max_lifetime];
        always.into_iter().chain(self.idle_transaction_timeout).chain(self.query_timeout)
    }
}

/// The shortest time that any timeout may be set to.
pub const TIMEOUT_MIN: Duration = Duration::from_secs(1);

impl Profile {
    /// What the profile means where the resource is silent.
    pub const fn limits(self) -> Limits {
        let (min, max, idle, connect) = match self {
            Self::Development => (2, 10, 10, 5),
            Self::Test => (1, 5, 5, 3),
            Self::Production => (5, 20, 30, 10),
        };
        Limits {
            min,
            max,
            idle_timeout: Duration::from_secs(idle),
            connection_timeout: Duration::from_secs(connect),
            max_lifetime: Duration::from_mins(30),
            idle_transaction_timeout: None,
            query_timeout: None,
        }
    }

    /// As written in the resource.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Test => "test",
            Self::Production => "production",
        }
    }
}
