//! `ConnectionPool` (weir.dev/v1alpha1, short name `cpool`): what users write and what they read back.
//!
//! Field docs are the user's manual (`kubectl explain`). A field enters together with the code that honours it. The types read
//! more than the schema allows: every word and number is checked by [`crate::policy::validate`], so a pool that was stored under
//! another version's schema gets a condition that names the field, and only a wrong JSON type makes it undecodable.
//!
//! - [`bounds`]: the limits of every field, shared by the schema and the validation
//! - [`rules`]: the rules that the API server checks by CEL, with the words of each refusal
//! - [`choice`]: a word out of a list, which may be one that this build does not know
//! - [`definition`]: the CustomResourceDefinition that all this makes

pub mod bounds;
pub mod choice;
pub mod definition;
pub mod rules;
pub mod status;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::dialect;
pub use crate::policy::limits::Profile;
pub use crate::policy::settings::{PoolMode, Verify};
pub use choice::Choice;
pub use definition::{definition, yaml};
pub use status::ConnectionPoolStatus;

/// Which pods get a pool, and how it behaves. Only `profile` and `selector` are required.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "weir.dev",
    version = "v1alpha1",
    kind = "ConnectionPool",
    plural = "connectionpools",
    shortname = "cpool",
    category = "weir",
    namespaced,
    doc = "A pool of PostgreSQL connections for the pods of this namespace that a selector matches. Every new matching pod gets a local \
           pooler, and its connection URL points there. Workload objects are never edited, and running pods are never touched.",
    status = "ConnectionPoolStatus",
    derive = "PartialEq",
    validation = rules::name_length(),
    validation = rules::name_label(),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::min_within_max(),
    validation = rules::port_required(),
    validation = rules::port_forbidden(),
    validation = rules::path_default(),
    validation = rules::pool_mode_needs_pooler(),
    validation = rules::verify_needs_pooler(),
    validation = rules::verify_needs_transaction(),
    validation = rules::idle_transaction_timeout_needs_pooler(),
    validation = rules::query_timeout_needs_pooler(),
    validation = rules::user_needs_pooler(),
    validation = rules::name_needs_pooler(),
)]
pub struct ConnectionPoolSpec {
    /// The kind of environment that the pods run in. It sets every limit that `limits` leaves open:
    /// `development` is min 2, max 10, idleTimeout 10s, connectionTimeout 5s;
    /// `test` is min 1, max 5, idleTimeout 5s, connectionTimeout 3s;
    /// `production` is min 5, max 20, idleTimeout 30s, connectionTimeout 10s.
    /// maxLifetime is 30m in each. Required. Example: `production`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Choice<Profile>>,

    /// Which pods of this namespace get the pool, by their labels. It is read when a pod is created, so changing it reaches new
    /// pods only; pods that match and have no pool are counted in status. It must name at least one label, since an empty
    /// selector would match every pod. Two pools must not select the same pod. Required.
    /// Example: `matchLabels: {app: orders}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::selector::not_empty())]
    pub selector: Option<LabelSelector>,

    /// Limits of each instance (one pod). Each field overrides what the profile says; leave out what the profile has right.
    /// A change reaches new pods only; until all are replaced, status says how many run with older limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsSpec>,

    /// Where the pods have their connection URL. Leave it out if that is a plain `DATABASE_URL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseSpec>,

    /// The client library of the application. It decides which pool parameters are added to the URL's query, and how the URL's
    /// `sslmode` is read. Default `none`: the query is left as it is, which every library understands. Set it so that the
    /// library's own pool is sized like this one. Example: `prisma`.
    #[schemars(extend("enum" = dialect::ids().collect::<Vec<_>>()))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,

    /// What is added to a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<SidecarSpec>,

    /// How each instance is asked for its health (`GET /health/pool`), from which utilization and readiness are computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeSpec>,

    /// From which utilization on the condition `Saturated` says Elevated and Critical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<ThresholdsSpec>,

    /// What happens to a matching pod that is created while Weir's webhook can't be reached. `Ignore` (the default): it starts
    /// without the pool, and is counted and named in the condition `Injected`. `Fail`: it is refused, and its controller tries
    /// again. Choose `Fail` where a pod that bypasses the pool does more harm than one that starts late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_policy: Option<Choice<FailurePolicy>>,
}

/// Limits of each instance (one pod). Each field overrides what the profile says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitsSpec {
    /// Connections to PostgreSQL that each instance keeps open while nobody needs them. 1 to 10000; default: the profile's, or
    /// `max` where that is smaller. More than 50 gives a warning. Raise it when the first queries after a quiet time are slow;
    /// lower it when idle instances hold too many of PostgreSQL's max_connections. Example: `5`.
    #[schemars(range(min = 1, max = bounds::CONNECTIONS_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,

    /// Most connections to PostgreSQL that each instance may cost at any moment. 1 to 10000; default: the profile's. More than
    /// 100 gives a warning. The whole fleet may cost max times the number of pods. Raise it when clients wait (WAITING) while
    /// PostgreSQL has capacity; lower it when PostgreSQL runs out of max_connections. Example: `20`.
    #[schemars(range(min = 1, max = bounds::CONNECTIONS_MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,

    /// How long a connection to PostgreSQL above `min` may be idle before it is closed. 1s to 24h, in ms, s, m or h; default: the
    /// profile's. Raise it for load that comes in bursts; lower it to give connections back sooner. Example: `30s`.
    #[schemars(length(max = bounds::TIME_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::time_form("spec.limits.idleTimeout"), validation = rules::time_range("spec.limits.idleTimeout"))]
    pub idle_timeout: Option<String>,

    /// How long a client waits for a connection before it gets an error (SQLSTATE 53300). 1s to 24h, in ms, s, m or h; default:
    /// the profile's. Keep it below the time-out of the application's own requests. Example: `10s`.
    #[schemars(length(max = bounds::TIME_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = rules::time_form("spec.limits.connectionTimeout"),
        validation = rules::time_range("spec.limits.connectionTimeout"),
    )]
    pub connection_timeout: Option<String>,

    /// The age at which a connection to PostgreSQL is closed once it is idle, so that memory and plans of old sessions are freed
    /// and a new address of the server is found. 1s to 24h, in ms, s, m or h; default `30m`. Example: `1h`.
    #[schemars(length(max = bounds::TIME_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::time_form("spec.limits.maxLifetime"), validation = rules::time_range("spec.limits.maxLifetime"))]
    pub max_lifetime: Option<String>,

    /// How long a client may leave its transaction open without sending anything. Then it gets an error (SQLSTATE 25P03), its
    /// connections end, and PostgreSQL rolls back, so that a forgotten transaction gives its locks and its connection back. 1s to
    /// 24h, in ms, s, m or h; default: no limit. Set it well above the longest pause that the application makes inside of a
    /// transaction. Only in sidecar mode `Pooler`. Example: `1m`.
    #[schemars(length(max = bounds::TIME_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = rules::time_form("spec.limits.idleTransactionTimeout"),
        validation = rules::time_range("spec.limits.idleTransactionTimeout"),
    )]
    pub idle_transaction_timeout: Option<String>,

    /// How long PostgreSQL may work on one query before it is cancelled. 1s to 24h, in ms, s, m or h; default: no limit. Set it above
    /// the longest query that is meant, migrations and reports included; PostgreSQL's own statement_timeout is finer where the
    /// application can set it. Only in sidecar mode `Pooler`. Example: `5m`.
    #[schemars(length(max = bounds::TIME_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::time_form("spec.limits.queryTimeout"), validation = rules::time_range("spec.limits.queryTimeout"))]
    pub query_timeout: Option<String>,
}

/// Where the pods have their connection URL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSpec {
    /// Name of the environment variable that holds the connection URL, in every container that has it. Its value may be a literal
    /// or come from a Secret or ConfigMap key (`valueFrom`). At most 253 letters, digits and underscores, not starting with a
    /// digit; names that Weir sets itself (`WEIR_...`, `DATABASE_POOL_...`) are refused. Default `DATABASE_URL`.
    /// Example: `ORDERS_DATABASE_URL`.
    #[schemars(length(max = bounds::ENV_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::env_form(), validation = rules::env_free())]
    pub env: Option<String>,

    /// User name in the URL that the application is given where the real URL is hidden in a Secret or ConfigMap. The pooler logs
    /// in as the real user whatever is written here. At most 63 letters, digits, `_`, `-` and `.`. Default `weir`; change it when
    /// the application shows or checks the name. Only in sidecar mode `Pooler`. Example: `orders`.
    #[schemars(length(max = bounds::IDENTIFIER_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::identifier("spec.database.user"))]
    pub user: Option<String>,

    /// Database name in the URL that the application is given where the real URL is hidden in a Secret or ConfigMap. The pooler
    /// connects to the real database whatever is written here. At most 63 letters, digits, `_`, `-` and `.`. Default `weir`;
    /// change it when the application shows or checks the name. Only in sidecar mode `Pooler`. Example: `orders`.
    #[schemars(length(max = bounds::IDENTIFIER_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::identifier("spec.database.name"))]
    pub name: Option<String>,
}

/// What is added to a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SidecarSpec {
    /// `Pooler` (the default): a native sidecar that pools connections; the pod's connection URL points at it.
    /// `None`: nothing; the application pools by itself and serves `/health/pool` on `probe.port`, its URL keeps its host and only
    /// gets the pool parameters of `client`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Choice<Mode>>,

    /// When a client's connection to PostgreSQL goes back to the pool. `transaction` (the default): when its transaction ends, so
    /// that few connections serve many clients; what a session holds beyond that, such as prepared statements and settings, is
    /// carried along or keeps the connection. `session`: when the client disconnects, so every feature of PostgreSQL works as
    /// without a pool. A pod keeps the mode that it was created with. Only in sidecar mode `Pooler`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_mode: Option<Choice<PoolMode>>,

    /// When PostgreSQL is asked what a transaction has left in the session, before another client gets the connection. `hints` (the
    /// default): when one of its commands may have left something, such as SET or PREPARE. `always`: after every transaction, which
    /// also finds what a function has set unseen, and costs a round trip each time. Only in transaction pooling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Choice<Verify>>,
}

/// What is added to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// A pooler; the URL points at it.
    Pooler,
    /// Nothing: the application pools by itself and serves `/health/pool`; its URL gets the pool parameters.
    None,
}

impl Mode {
    /// As written in the resource.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pooler => "Pooler",
            Self::None => "None",
        }
    }
}

/// How each instance is asked for its health (`GET /health/pool`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::timeout_within_interval())]
pub struct ProbeSpec {
    /// Path of the health endpoint. Default `/health/pool`, which is what the sidecar serves; another one only in sidecar mode
    /// `None`, for an application that serves it elsewhere. Starts with `/`, at most 256 characters of a URL's path.
    /// Example: `/internal/health/pool`.
    #[schemars(length(max = bounds::PATH_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::path_form())]
    pub path: Option<String>,

    /// Port of the application's health endpoint. Required in sidecar mode `None`, forbidden otherwise, where the sidecar's own
    /// port is used. 1 to 65535. Example: `8080`.
    #[schemars(range(min = 1, max = 65535))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,

    /// Time between two probes of one instance. 1s to 24h, in ms, s, m or h; default `10s`. Shorten it to see saturation sooner;
    /// lengthen it for fleets of thousands of pods. Example: `5s`.
    #[schemars(length(max = bounds::TIME_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::time_form("spec.probe.interval"), validation = rules::time_range("spec.probe.interval"))]
    pub interval: Option<String>,

    /// How long one probe may take before the instance counts as unreachable. 1s to 24h, in ms, s, m or h, not longer than
    /// `interval`; default `1s`. Lengthen it for instances that are starved of CPU. Example: `2s`.
    #[schemars(length(max = bounds::TIME_LENGTH))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::time_form("spec.probe.timeout"), validation = rules::time_range("spec.probe.timeout"))]
    pub timeout: Option<String>,
}

/// Bounds of the condition `Saturated`, in percent of (active + waiting) / granted connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::warning_below_critical(), validation = rules::critical_above_warning())]
pub struct ThresholdsSpec {
    /// From this percentage on the pool is Elevated. 1 to 99, below `critical`; default 80. Example: `70`.
    #[schemars(range(min = 1, max = 99))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<i64>,

    /// From this percentage on the pool is Critical. 2 to 100, above `warning`; default 90. Example: `95`.
    #[schemars(range(min = 2, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<i64>,
}

/// What happens to a matching pod when the webhook can't be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FailurePolicy {
    /// The pod starts without the pool, and is counted as missed.
    Ignore,
    /// The pod is refused.
    Fail,
}
