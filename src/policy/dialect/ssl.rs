//! How a library reads `sslmode` and its relatives, in words that the sidecar's own hop can honour.
//!
//! The application's hop becomes loopback without TLS, so the sidecar's hop carries the whole promise: it never verifies less than
//! the library would have. What it can't verify in the library's place (a CA file in the application's image, a client certificate,
//! channel binding) is refused, never left out, and so is a way of connecting that the sidecar does not know.

use crate::policy::url::UrlError;

/// What the hop to PostgreSQL demands, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslPolicy {
    /// No TLS.
    Disable,
    /// TLS where the server offers it, unverified.
    Prefer,
    /// TLS, unverified.
    Require,
    /// TLS with a certificate of a trusted authority.
    VerifyCa,
    /// TLS with a certificate of a trusted authority that names the host.
    VerifyFull,
}

/// Whose reading applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslRule {
    /// PostgreSQL manual, 34.19: unset is `prefer`. `allow` (TLS only if the server insists) is raised to `prefer`.
    Libpq,
    /// pg-connection-string 2.x: unset is no TLS; every mode but `disable` and `no-verify` verifies fully, even `prefer`, unless
    /// `uselibpqcompat=true`.
    NodePostgres,
    /// quaint: unset and unknown are `prefer`; `sslaccept` decides whether a certificate is verified.
    Prisma,
}

/// A query key, and the values besides the empty one that ask for nothing. Any other is refused.
type Key = (&'static str, &'static [&'static str]);

/// Keys that this module reads: a second copy is ambiguous.
const READ: [&str; 4] = ["sslmode", "ssl", "uselibpqcompat", "sslaccept"];

impl SslRule {
    /// The policy for a URL with these decoded query pairs, or why the sidecar can't stand in for the library.
    pub fn read(self, pairs: &[(String, String)]) -> Result<SslPolicy, UrlError> {
        for key in READ {
            if pairs.iter().filter(|(name, _)| name == key).count() > 1 {
                return Err(UrlError::DuplicateKey(key));
            }
        }
        let get = |key: &str| pairs.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let asked =
            |&&(key, harmless): &&Key| get(key).is_some_and(|value| !value.is_empty() && !harmless.contains(&value));
        if let Some((key, _)) = self.files().iter().find(asked) {
            return Err(UrlError::ClientFile(key));
        }
        if let Some((key, _)) = self.checks().iter().find(asked) {
            return Err(UrlError::ClientCheck(key));
        }
        if let Some((key, _)) = self.services().iter().find(asked) {
            return Err(UrlError::Unsupported(key));
        }
        let system = get("sslrootcert") == Some("system");
        match self {
            Self::Libpq => libpq(get("sslmode"), get("ssl"), system),
            Self::NodePostgres => node_postgres(get("sslmode"), get("ssl"), get("uselibpqcompat") == Some("true")),
            Self::Prisma => prisma(get("sslmode"), get("sslaccept")),
        }
    }

    /// Keys by which the library reads a file of the application's image.
    const fn files(self) -> &'static [Key] {
        match self {
            Self::Libpq => &[
                ("sslrootcert", &["system"]),
                ("sslcert", &[]),
                ("sslkey", &[]),
                ("sslcrl", &[]),
                ("sslcrldir", &[]),
                ("passfile", &[]),
                ("service", &[]),
                ("servicefile", &[]),
            ],
            Self::NodePostgres => &[("sslrootcert", &[]), ("sslcert", &[]), ("sslkey", &[])],
            // Here sslcert is the authority's certificate.
            Self::Prisma => &[("sslcert", &[]), ("sslidentity", &[])],
        }
    }

    /// Keys by which the library checks what the sidecar does not.
    const fn checks(self) -> &'static [Key] {
        match self {
            Self::Libpq => &[
                ("channel_binding", &["prefer", "disable"]),
                ("gssencmode", &["prefer", "disable"]),
                ("sslcertmode", &["allow", "disable"]),
                ("ssl_min_protocol_version", &["TLSv1", "TLSv1.1", "TLSv1.2"]),
                ("require_auth", &[]),
                ("requirepeer", &[]),
                ("requiressl", &[]),
            ],
            Self::NodePostgres => &[("enableChannelBinding", &["false", "0"])],
            Self::Prisma => &[("channel_binding", &["prefer", "disable"])],
        }
    }

    /// Keys by which the library connects in a way that the sidecar does not know.
    const fn services(self) -> &'static [Key] {
        match self {
            Self::Libpq => &[
                ("target_session_attrs", &["any"]),
                ("load_balance_hosts", &["disable"]),
                ("sslnegotiation", &["postgres"]),
                ("ssl_max_protocol_version", &["TLSv1.2", "TLSv1.3"]),
                ("min_protocol_version", &["3.0"]),
                ("replication", &["false", "off", "no", "0"]),
                ("sslkeylogfile", &[]),
                ("scram_client_key", &[]),
                ("scram_server_key", &[]),
                ("oauth_issuer", &[]),
                ("oauth_client_id", &[]),
            ],
            Self::NodePostgres => &[("sslnegotiation", &["postgres"]), ("replication", &["false"])],
            Self::Prisma => &[],
        }
    }
}

fn libpq(mode: Option<&str>, ssl: Option<&str>, system: bool) -> Result<SslPolicy, UrlError> {
    let mode = match (mode, ssl) {
        // In a URI, and only there, libpq takes ssl=true for sslmode=require.
        (None, Some("true")) => Some("require"),
        (mode, None) => mode,
        _ => return Err(UrlError::SslMode),
    };
    match mode {
        // With the system's authorities libpq takes no mode but the strongest, which is then the default.
        None | Some("verify-full") if system => Ok(SslPolicy::VerifyFull),
        _ if system => Err(UrlError::SslMode),
        Some("disable") => Ok(SslPolicy::Disable),
        None | Some("allow" | "prefer") => Ok(SslPolicy::Prefer),
        Some("require") => Ok(SslPolicy::Require),
        Some("verify-ca") => Ok(SslPolicy::VerifyCa),
        Some("verify-full") => Ok(SslPolicy::VerifyFull),
        Some(_) => Err(UrlError::SslMode),
    }
}

fn node_postgres(mode: Option<&str>, ssl: Option<&str>, compatible: bool) -> Result<SslPolicy, UrlError> {
    // An empty value counts as unset there, and any non-empty sslmode replaces what `ssl` said.
    match (mode.filter(|mode| !mode.is_empty()), ssl.filter(|ssl| !ssl.is_empty())) {
        (Some("disable"), _) | (None, None | Some("0")) => Ok(SslPolicy::Disable),
        (None, Some("no-verify")) => Ok(SslPolicy::Require),
        (Some("no-verify"), _) if !compatible => Ok(SslPolicy::Require),
        (Some("prefer" | "require"), _) if compatible => Ok(SslPolicy::Require),
        // Without a CA file the library refuses to start.
        (Some("verify-ca"), _) if compatible => Err(UrlError::SslMode),
        // Whatever else is not empty switches TLS on with the platform's default, which is to verify everything.
        (Some(_), _) | (None, Some(_)) => Ok(SslPolicy::VerifyFull),
    }
}

fn prisma(mode: Option<&str>, accept: Option<&str>) -> Result<SslPolicy, UrlError> {
    let strict = accept.is_some_and(|accept| accept != "accept_invalid_certs");
    match mode {
        Some("disable") => Ok(SslPolicy::Disable),
        Some("require") if strict => Ok(SslPolicy::VerifyFull),
        Some("require") => Ok(SslPolicy::Require),
        // "Verified TLS where the server offers it": no policy says that, and both neighbours are wrong for somebody.
        _ if strict => Err(UrlError::SslAccept),
        _ => Ok(SslPolicy::Prefer),
    }
}
