//! Every string that is API: labels, annotations, container and volume names, environment variables, ports, paths.
//!
//! A pod keeps what it was injected with for its whole life, so none of these may change once released.

/// API group of [`ConnectionPool`](crate), also the prefix of every label and annotation.
pub const GROUP: &str = "weir.dev";
/// Served API version.
pub const VERSION: &str = "v1alpha1";
/// Field manager of every server-side apply, and the reporting component of events.
pub const FIELD_MANAGER: &str = "weir";

/// Longest name of a pool: its container is `weir-<pool>`, its volumes `weir-<pool>-state` and so on, and Kubernetes allows 63.
pub const POOL_NAME_MAX: usize = 50;

/// Annotation on an injected pod, one per pool: what was injected, as JSON ([`crate::policy::settings::Injected`]).
pub fn injected_annotation(pool: &str) -> String {
    format!("{GROUP}/injected.{pool}")
}

/// Annotation on a pod that was looked at and left alone, one per pool: `Reason: message`.
pub fn skipped_annotation(pool: &str) -> String {
    format!("{GROUP}/skipped.{pool}")
}

/// Annotation by which a pod asks to be left alone: `weir.dev/inject: "false"`.
pub const INJECT_ANNOTATION: &str = "weir.dev/inject";

/// Label of the dry-run pod that shows that a webhook entry is in force; its value is the name of the configuration.
pub const CANARY_LABEL: &str = "weir.dev/canary";
/// Annotation that the canary's patch writes: the revision of the configuration that was called.
pub const CANARY_ANNOTATION: &str = "weir.dev/canary-revision";

/// Our native sidecar container in a pod.
pub fn container(pool: &str) -> String {
    format!("weir-{pool}")
}
/// The emptyDir that holds the journal.
pub fn state_volume(pool: &str) -> String {
    format!("weir-{pool}-state")
}
/// The mounted key of the Secret or ConfigMap that holds the connection URL.
pub fn url_volume(pool: &str) -> String {
    format!("weir-{pool}-url")
}
/// The empty volume that covers the ServiceAccount token in our container.
pub fn token_volume(pool: &str) -> String {
    format!("weir-{pool}-token")
}

/// Where the ServiceAccount admission plugin mounts tokens (Kubernetes: DefaultAPITokenMountPath).
pub const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Where the journal's volume is mounted.
pub const STATE_PATH: &str = "/var/lib/weir";
/// Where [`url_volume`] is mounted; the file in it is [`URL_FILE`].
pub const URL_PATH: &str = "/etc/weir/url";
/// The file under [`URL_PATH`] that holds the connection URL.
pub const URL_FILE: &str = "url";

/// What the names of all variables of our container start with, but for [`ENV_ROOTS`].
pub const ENV_PREFIX: &str = "WEIR_";
/// Names a bundle of certificate authorities to trust instead of those in the image (the variable that OpenSSL reads).
pub const ENV_ROOTS: &str = "SSL_CERT_FILE";
/// Settings of a boot: [`crate::policy::settings::Settings`] as JSON.
pub const ENV_SETTINGS: &str = "WEIR_SETTINGS";
/// The application's original connection URL, when it was a literal.
pub const ENV_URL: &str = "WEIR_DATABASE_URL";
/// Path of the file that holds the connection URL, when it came from a Secret or ConfigMap; re-read by content.
pub const ENV_URL_FILE: &str = "WEIR_DATABASE_URL_FILE";
/// `host:port` that the application connects to; always loopback.
pub const ENV_LISTEN: &str = "WEIR_LISTEN";
/// Path of the Unix socket for the same, `<directory>/.s.PGSQL.<port>`; absent where only loopback is listened on.
pub const ENV_SOCKET: &str = "WEIR_SOCKET";
/// `host:port` of the control endpoints: health, metrics, hello.
pub const ENV_CONTROL: &str = "WEIR_CONTROL";
/// Directory of the journal.
pub const ENV_STATE: &str = "WEIR_STATE";
/// UID of the pod (downward API).
pub const ENV_POD_UID: &str = "WEIR_POD_UID";
/// Ed25519 public keys that statements may be signed with: base64, comma-separated, any number.
pub const ENV_PUBLIC_KEYS: &str = "WEIR_PUBLIC_KEYS";
/// What is logged, by level and module: `info`, `weir=debug,info`.
pub const ENV_LOG: &str = "WEIR_LOG";
/// How it is logged: `json` or `text`.
pub const ENV_LOG_FORMAT: &str = "WEIR_LOG_FORMAT";
/// Where the kubelet looks for the container's last words; [`TERMINATION_PATH`] where it is not set.
pub const ENV_TERMINATION: &str = "WEIR_TERMINATION_LOG";
/// Kubernetes' default of `terminationMessagePath`.
pub const TERMINATION_PATH: &str = "/dev/termination-log";

/// The sidecar's program in its image.
pub const PROGRAM: &str = "/weir-sidecar";
/// The numeric user of the sidecar's image; also set in a pod that would run it as root.
pub const USER: i64 = 65532;

/// First choice of the port that the application connects to, on loopback; the next free one is taken when a container
/// of the pod declares it. Neither this nor [`CONTROL_PORT`] is one that a pooler or an exporter in the pod would take without
/// declaring it (6432, 9187), nor in the kernel's range of ephemeral ports.
pub const LISTEN_PORT: u16 = 16432;
/// First choice of the control port, on all addresses of the pod.
pub const CONTROL_PORT: u16 = 19187;
/// Name of the control port in the pod: `weir-<n>` would say less; Kubernetes allows 15 characters.
pub const CONTROL_PORT_NAME: &str = "weir-control";

/// User and database name that the application is given when its own are hidden in a Secret.
pub const PLACEHOLDER: &str = "weir";

/// The names under which the application reads its pool's limits, and may lower them (milliseconds for the timeouts).
pub const ENV_POOL_MIN: &str = "DATABASE_POOL_MIN";
/// See [`ENV_POOL_MIN`].
pub const ENV_POOL_MAX: &str = "DATABASE_POOL_MAX";
/// See [`ENV_POOL_MIN`].
pub const ENV_POOL_IDLE_TIMEOUT: &str = "DATABASE_POOL_IDLE_TIMEOUT";
/// See [`ENV_POOL_MIN`].
pub const ENV_POOL_CONNECTION_TIMEOUT: &str = "DATABASE_POOL_CONNECTION_TIMEOUT";
