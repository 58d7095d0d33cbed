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
