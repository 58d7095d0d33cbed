//! The bounds, forms and defaults of every field: the schema, the CEL rules and [`crate::policy::validate`] read the same values.
//!
//! A string, list or map without a bound would make the API server's estimate of a rule's cost explode, and lets one object grow
//! until it is too large to be watched. Lengths are in characters, as in OpenAPI. Forms are written in what RE2 and a reader share.

use std::time::Duration;

use crate::names;
use crate::policy::settings::{PoolMode, Thresholds};

/// Most connections of one instance: PostgreSQL itself allows 262143 (`max_connections`), and none of them is cheap.
pub const CONNECTIONS_MAX: i64 = 10_000;
/// Effective `max` above which a warning is given.
pub const MAX_WARNING: u32 = 100;
/// Effective `min` above which a warning is given.
pub const MIN_WARNING: u32 = 50;

/// Longest text of a time; the longest useful one is `86400000ms`.
pub const TIME_LENGTH: u32 = 16;
/// Shortest time, in milliseconds: below it a pool is busier with connecting than with queries.
pub const TIME_MIN_MS: u64 = 1_000;
/// Longest time, in milliseconds: one day.
pub const TIME_MAX_MS: u64 = 86_400_000;

/// Where the connection URL is unless `database.env` says otherwise.
pub const ENV: &str = "DATABASE_URL";
/// A variable's name that every shell can read (POSIX, Base Definitions 8.1, with lower case).
pub const ENV_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_]*$";
/// Start of the names of the sidecar's own variables.
pub const ENV_PREFIX: &str = "WEIR_";
/// Names of variables by which the application is told its limits.
pub const ENV_TAKEN: [&str; 4] =
    [names::ENV_POOL_MIN, names::ENV_POOL_MAX, names::ENV_POOL_IDLE_TIMEOUT, names::ENV_POOL_CONNECTION_TIMEOUT];
/// Longest name of an environment variable.
pub const ENV_LENGTH: u32 = 253;
/// Longest user or database name (PostgreSQL: NAMEDATALEN - 1).
pub const IDENTIFIER_LENGTH: u32 = 63;
/// A name that needs no escape in a URL and no quote in a message.
pub const IDENTIFIER_PATTERN: &str = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$";

/// When a server connection is given back unless `sidecar.poolMode` says otherwise. Pods keep what they were injected with.
pub const POOL_MODE: PoolMode = PoolMode::Transaction;

/// What the sidecar serves, and what is probed unless `probe.path` says otherwise.
pub const PROBE_PATH: &str = "/health/pool";
/// An absolute path with an optional query (RFC 3986, without the characters that shells and YAML make trouble with).
pub const PATH_PATTERN: &str = "^/[A-Za-z0-9._~/%?&=+-]*$";
/// Between two probes of one instance unless `probe.interval` says otherwise.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// For one probe unless `probe.timeout` says otherwise; not above the shortest interval.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// The seed's alert line and the line of `unhealthy`.
pub const THRESHOLDS: Thresholds = Thresholds { warning: 80, critical: 90 };
/// Longest path of a health endpoint.
pub const PATH_LENGTH: u32 = 256;

/// Most entries of `selector.matchLabels` and of `selector.matchExpressions`.
pub const SELECTOR_ITEMS: u32 = 16;
/// Most values of one expression.
pub const SELECTOR_VALUES: u32 = 64;
/// Longest label key: a DNS subdomain of 253, a slash, a name of 63 (Kubernetes: "Labels and Selectors", syntax).
pub const LABEL_KEY_LENGTH: u32 = 317;
/// Longest DNS prefix of a label key.
pub const LABEL_PREFIX_LENGTH: u32 = 253;
/// Longest name part of a label key.
pub const LABEL_NAME_LENGTH: u32 = 63;
/// A label's key (Kubernetes: "Labels and Selectors", syntax), without its lengths.
pub const LABEL_KEY_PATTERN: &str =
    "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";
/// A label's value.
pub const LABEL_VALUE_PATTERN: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";
/// Longest label value.
pub const LABEL_VALUE_LENGTH: u32 = 63;

/// Most conditions that a status holds.
pub const CONDITIONS: u32 = 16;
/// Longest message of a condition (Kubernetes' own bound is 32768).
pub const MESSAGE_LENGTH: u32 = 1_024;
/// Longest figure or word in a status.
pub const FIGURE_LENGTH: u32 = 128;
/// Most warnings.
pub const WARNINGS: u32 = 8;
/// Longest name of an instance: a pod's name.
pub const POD_LENGTH: u32 = 253;
/// What a selector's expression may do (Kubernetes: LabelSelectorOperator).
pub const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];
