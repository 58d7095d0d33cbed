//! The query keys of connection URLs, as data: what the sidecar does about each, in the place of the library that would have read it.
//!
//! Sources: PostgreSQL manual 34.1.2 (libpq), pg and pg-connection-string 8.x/2.x, quaint (Prisma's engine).

use crate::policy::dialect::{Fact, SslRule};

/// What is done about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Read with the URL's other facts or by the dialect's TLS rule, which refuse what they can't honour.
    Read,
    /// A start-up parameter of the same name for the server.
    Startup,
    /// `application_name`.
    ApplicationName,
    /// The same, where that is not set.
    FallbackApplicationName,
    /// For one host; in seconds, 0 and less for ever.
    ConnectSeconds,
    /// The same in milliseconds.
    ConnectMilliseconds,
    /// 0 switches keepalive off.
    Keepalives,
    /// Seconds.
    KeepaliveIdle,
    /// Seconds.
    KeepaliveInterval,
    /// A number.
    KeepaliveCount,
    /// Milliseconds.
    UserTimeout,
    /// 0: the host's name is not sent in clear.
    ServerName,
    /// The highest TLS version.
    TlsMax,
    /// Without effect here whatever it says.
    Harmless,
    /// Without effect here at these values, refused at others.
    Only(&'static [&'static str]),
    /// The size and times of a pool, which the resource sets.
    Pool,
}

type Row = (&'static str, Meaning);

const LIBPQ: &[Row] = &[
    ("ssl", Meaning::Read),
    ("requiressl", Meaning::Read),
    ("sslrootcert", Meaning::Read),
    ("sslcert", Meaning::Read),
    ("sslkey", Meaning::Read),
    ("sslcrl", Meaning::Read),
    ("sslcrldir", Meaning::Read),
    ("sslcertmode", Meaning::Read),
    ("passfile", Meaning::Read),
    ("service", Meaning::Read),
    ("servicefile", Meaning::Read),
    ("channel_binding", Meaning::Read),
    ("gssencmode", Meaning::Read),
    ("ssl_min_protocol_version", Meaning::Read),
    ("require_auth", Meaning::Read),
    ("requirepeer", Meaning::Read),
    ("ssl_max_protocol_version", Meaning::TlsMax),
    ("sslsni", Meaning::ServerName),
    // Only for a key file; compression is gone; the rest names things of GSSAPI, which is never spoken here.
    ("sslpassword", Meaning::Harmless),
    ("sslcompression", Meaning::Harmless),
    ("krbsrvname", Meaning::Harmless),
    ("gsslib", Meaning::Harmless),
    ("gssdelegation", Meaning::Harmless),
    ("max_protocol_version", Meaning::Harmless),
    ("min_protocol_version", Meaning::Only(&["3.0"])),
    ("sslnegotiation", Meaning::Only(&["postgres"])),
    ("sslkeylogfile", Meaning::Only(&[])),
    ("target_session_attrs", Meaning::Only(&["any"])),
    ("load_balance_hosts", Meaning::Only(&["disable"])),
    ("replication", Meaning::Only(&["false", "off", "no", "0"])),
    ("scram_client_key", Meaning::Only(&[])),
    ("scram_server_key", Meaning::Only(&[])),
    ("oauth_issuer", Meaning::Only(&[])),
    ("oauth_client_id", Meaning::Only(&[])),
    ("oauth_client_secret", Meaning::Only(&[])),
    ("oauth_scope", Meaning::Only(&[])),
    ("options", Meaning::Startup),
    ("client_encoding", Meaning::Startup),
    ("application_name", Meaning::ApplicationName),
    ("fallback_application_name", Meaning::FallbackApplicationName),
    ("connect_timeout", Meaning::ConnectSeconds),
    ("keepalives", Meaning::Keepalives),
    ("keepalives_idle", Meaning::KeepaliveIdle),
    ("keepalives_interval", Meaning::KeepaliveInterval),
    ("keepalives_count", Meaning::KeepaliveCount),
    ("tcp_user_timeout", Meaning::UserTimeout),
];

const NODE_POSTGRES: &[Row] = &[
    ("ssl", Meaning::Read),
    ("uselibpqcompat", Meaning::Read),
    ("sslrootcert", Meaning::Read),
    ("sslcert", Meaning::Read),
    ("sslkey", Meaning::Read),
    ("enableChannelBinding", Meaning::Only(&["", "false", "0"])),
    ("sslnegotiation", Meaning::Only(&["", "postgres"])),
    ("replication", Meaning::Only(&["", "false"])),
    ("options", Meaning::Startup),
    ("statement_timeout", Meaning::Startup),
    ("lock_timeout", Meaning::Startup),
    ("idle_in_transaction_session_timeout", Meaning::Startup),
    ("client_encoding", Meaning::Startup),
    ("application_name", Meaning::ApplicationName),
    ("fallback_application_name", Meaning::FallbackApplicationName),
    ("connectionTimeoutMillis", Meaning::ConnectMilliseconds),
];

const PRISMA: &[Row] = &[
    ("sslaccept", Meaning::Read),
    ("sslcert", Meaning::Read),
    ("sslidentity", Meaning::Read),
    ("channel_binding", Meaning::Read),
    ("sslpassword", Meaning::Harmless),
    ("options", Meaning::Startup),
    ("application_name", Meaning::ApplicationName),
    ("connect_timeout", Meaning::ConnectSeconds),
];

/// Words of some library's pool. Clients that forward what they don't know would have PostgreSQL refuse the connection over them.
const POOL: &[&str] = &[
    "connection_limit",
    "pool_timeout",
    "max_idle_connection_lifetime",
    "max_connection_lifetime",
    "pgbouncer",
    "pool_max_conns",
    "pool_min_conns",
    "pool_min_idle_conns",
    "pool_max_conn_lifetime",
    "pool_max_conn_lifetime_jitter",
    "pool_max_conn_idle_time",
    "pool_health_check_period",
    "pool",
    "pool_size",
    "max_connections",
    "min_connections",
    "checkout_timeout",
    "max",
    "idle_timeout",
    "max_lifetime",
    "max_size",
    "min_size",
    "maxsize",
    "minsize",
];

/// What is done about `key`, and the key as the table has it; `None`: nothing that the sidecar knows of.
pub(super) fn meaning(rule: SslRule, facts: &[Fact], key: &str) -> Option<(&'static str, Meaning)> {
    let rows = match rule {
        SslRule::Libpq => LIBPQ,
        SslRule::NodePostgres => NODE_POSTGRES,
        SslRule::Prisma => PRISMA,
    };
    let facts = facts.iter().map(|fact| (fact.key(), Meaning::Read));
    let pool = POOL.iter().map(|word| (*word, Meaning::Pool));
    [("sslmode", Meaning::Read)]
        .into_iter()
        .chain(facts)
        .chain(rows.iter().copied())
        .chain(pool)
        .find(|row| row.0 == key)
}
