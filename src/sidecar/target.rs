//! The upstream that a connection URL names: where to connect, as whom, and how much the server must prove.
//!
//! A [`Target`] is made from the bytes of the URL and the application's dialect, and is all that the pool knows of them. It never
//! verifies less than the client's own library would have done with the same URL; what it cannot honour it refuses, naming the key
//! and never its value, since any part of a URL may be a credential.

mod keys;
mod secret;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

pub use crate::policy::url::Host;
pub use secret::Secret;

use self::keys::{Meaning, meaning};
use crate::policy::dialect::{Dialect, SslPolicy};
use crate::policy::settings::Placeholders;
use crate::policy::url::{Url, UrlError};
use crate::sidecar::tls::{Demand, Policy, Roots, Verification, Versions};

/// How long the kernel trusts a silent connection. A field that is `None` keeps the kernel's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// False where the URL says `keepalives=0`.
    pub disabled: bool,
    /// Silence before the first probe.
    pub idle: Option<Duration>,
    /// Between probes.
    pub interval: Option<Duration>,
    /// Lost probes that end the connection.
    pub count: Option<u32>,
    /// Unacknowledged data that ends the connection (TCP_USER_TIMEOUT).
    pub user_timeout: Option<Duration>,
}

/// The names that a client on loopback must give: those of the URL, or the placeholders where the URL is hidden from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientNames {
    /// Else SQLSTATE 28000.
    pub user: Box<[u8]>,
    /// Else SQLSTATE 3D000.
    pub database: Box<[u8]>,
}

/// A start-up parameter or its value, as bytes of the wire without the final NUL.
pub type Bytes = Box<[u8]>;

/// Everything that a server connection needs. `Debug` shows no credential.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// In the order to try them; at least one.
    pub hosts: Vec<Host>,
    /// Role of the login.
    pub user: Bytes,
    /// Never empty: without one the user's name, as in libpq.
    pub database: Bytes,
    /// `None` where the URL has none; a server that asks for one then gets [`LoginError::NoPassword`](crate::sidecar::login::LoginError::NoPassword).
    pub password: Option<Secret>,
    /// How much TLS the server must offer and prove.
    pub tls: Policy,
    /// Start-up parameters of the URL for every server login, `application_name` apart.
    pub startup: Vec<(Bytes, Bytes)>,
    /// `application_name` of the URL: a base value, since our logins carry a name of their own.
    pub application_name: Option<Bytes>,
    /// For one host, from connect() to the end of the login; `None` where the URL has none or says for ever.
    pub connect_timeout: Option<Duration>,
    /// See [`Keepalive`].
    pub keepalive: Keepalive,
    /// See [`ClientNames`].
    pub client: ClientNames,
    /// Query keys that the application's own library reads from its own URL; nothing is done about them here.
    pub left_to_client: Vec<String>,
}

/// Why a URL can't be served. Names keys, and never a value or anything else of the URL.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// It can't be read, or its TLS keys can't be honoured.
    #[error("the connection URL can't be used: {0}")]
    Url(#[from] UrlError),
    /// No user: a library would take the name of the application's operating system user, or an environment variable.
    #[error("the connection URL names no user")]
    NoUser,
    /// It is the URL that the application was given, or like it.
    #[error("the connection URL leads to this sidecar itself: let it name the database's own host and port")]
    Itself,
    /// The key demands something that is not done here.
    #[error("the connection URL's key {key} has a value that the sidecar can't honour: remove it")]
    Unsupported {
        /// Of our own table.
        key: &'static str,
    },
    /// The key's value has the wrong form.
    #[error("the connection URL's key {key} has a malformed value")]
    Value {
        /// Of our own table.
        key: &'static str,
    },
    /// The application does not see this URL, and its library would have read these keys.
    #[error("the application can't see the connection URL, so these keys of it would be lost: {}", .keys.join(", "))]
    Lost {
        /// Sorted; a key that is no plain word is replaced by `?`.
        keys: Vec<String>,
    },
}

impl TargetError {
    /// A word for metrics and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Url(_) | Self::Value { .. } => "UrlMalformed",
            Self::NoUser => "UrlWithoutUser",
            Self::Itself => "UrlLeadsBack",
            Self::Unsupported { .. } => "UrlUnsupported",
            Self::Lost { .. } => "UrlKeysLost",
        }
    }
}

impl Target {
    /// Reads a URL as the library of `dialect` would. `placeholders` are set where the application does not see the URL and so uses
    /// these names. White space at the end of the bytes is that of a file, not of the URL.
    pub fn parse(
        url: &[u8],
        dialect: &Dialect,
        placeholders: Option<&Placeholders>,
        roots: &Roots,
    ) -> Result<Self, TargetError> {
        let url = Url::parse(url.trim_ascii_end(), dialect)?;
        let user = url.user(dialect)?.filter(|user| !user.is_empty()).ok_or(TargetError::NoUser)?;
        let database = url.database(dialect)?.filter(|database| !database.is_empty()).unwrap_or_else(|| user.clone());
        let password = url.password(dialect)?.filter(|password| !password.is_empty()).map(Secret::new);
        let (user, database): (Bytes, Bytes) = (user.into_bytes().into(), database.into_bytes().into());
        let client = match placeholders {
            Some(names) => {
                ClientNames { user: names.user.as_bytes().into(), database: names.database.as_bytes().into() }
            }
            None => ClientNames { user: user.clone(), database: database.clone() },
        };
        let mut query = Query::default();
        let pairs = Zeroizing::new(url.pairs(dialect)?);
        for (key, value) in pairs.iter() {
            match meaning(dialect.ssl, dialect.facts, key) {
                Some((key, meaning)) => query.take(key, meaning, value)?,
                None => query.unknown.push(key.clone()),
            }
        }
        if placeholders.is_some() && !query.unknown.is_empty() {
            return Err(TargetError::Lost { keys: shown(query.unknown) });
        }
        let (demand, verification) = match url.ssl(dialect)? {
            SslPolicy::Disable => (Demand::Disable, Verification::None),
            SslPolicy::Prefer => (Demand::Prefer, Verification::None),
            SslPolicy::Require => (Demand::Require, Verification::None),
            SslPolicy::VerifyCa => (Demand::Require, Verification::Chain),
            SslPolicy::VerifyFull => (Demand::Require, Verification::Full),
        };
        Ok(Self {
            hosts: url.hosts(dialect)?,
            user,
            database,
            password,
            tls: Policy::new(demand, verification, query.versions, !query.hide_name, roots),
            startup: query.startup,
            application_name: query.application_name.or(query.fallback_application_name),
            connect_timeout: query.connect_timeout,
            keepalive: query.keepalive,
            client,
            left_to_client: shown(query.unknown),
        })
    }

    /// Whether a host of the URL is plainly `listen`, where our own clients connect. A name may still turn out to be: see
    /// [`arrives_at`].
    pub fn leads_to(&self, listen: SocketAddr) -> bool {
        self.hosts.iter().any(|host| {
            let place = host.address.as_ref().unwrap_or(&host.name);
            let ip: Option<IpAddr> =
                if place.eq_ignore_ascii_case("localhost") { Some(listen.ip()) } else { place.parse().ok() };
            ip.is_some_and(|ip| arrives_at(listen, SocketAddr::new(ip, host.port)))
        })
    }
}

/// Whether who connects to `address` is accepted at `listen`. The kernel takes the unspecified address for a loopback one.
pub fn arrives_at(listen: SocketAddr, address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    address.port() == listen.port() && (ip == listen.ip().to_canonical() || ip.is_unspecified())
}

/// What the query says, key by key; the last of equal keys counts, as in every library of the table.
#[derive(Default)]
struct Query {
    startup: Vec<(Bytes, Bytes)>,
    application_name: Option<Bytes>,
    fallback_application_name: Option<Bytes>,
    connect_timeout: Option<Duration>,
    keepalive: Keepalive,
    versions: Versions,
    hide_name: bool,
    unknown: Vec<String>,
}

impl Query {
    fn take(&mut self, key: &'static str, meaning: Meaning, value: &str) -> Result<(), TargetError> {
        let number = || value.trim_ascii().parse::<i32>().map_err(|_| TargetError::Value { key });
        // Zero and less mean the kernel's default, or for ever.
        let positive = || number().map(|number| u32::try_from(number).ok().filter(|number| *number > 0));
        let time = |unit: fn(u64) -> Duration| positive().map(|number| number.map(|number| unit(number.into())));
        let seconds = || time(Duration::from_secs);
        let milliseconds = || time(Duration::from_millis);
        let text = || Some(Bytes::from(value.as_bytes())).filter(|value| !value.is_empty());
        match meaning {
            Meaning::Read | Meaning::Harmless | Meaning::Pool => {}
            Meaning::Only(values) if values.contains(&value) => {}
            Meaning::Only(_) => return Err(TargetError::Unsupported { key }),
            Meaning::Startup => {
                self.startup.retain(|(name, _)| **name != *key.as_bytes());
                self.startup.extend(text().map(|value| (key.as_bytes().into(), value)));
            }
            Meaning::ApplicationName => self.application_name = text(),
            Meaning::FallbackApplicationName => self.fallback_application_name = text(),
            // libpq's rule: one second is too short to tell anything (fe-connect.c).
            Meaning::ConnectSeconds => self.connect_timeout = seconds()?.map(|time| time.max(Duration::from_secs(2))),
            Meaning::ConnectMilliseconds => self.connect_timeout = milliseconds()?,
            Meaning::Keepalives => self.keepalive.disabled = number()? == 0,
            Meaning::KeepaliveIdle => self.keepalive.idle = seconds()?,
            Meaning::KeepaliveInterval => self.keepalive.interval = seconds()?,
            Meaning::KeepaliveCount => self.keepalive.count = positive()?,
            Meaning::UserTimeout => self.keepalive.user_timeout = milliseconds()?,
            Meaning::ServerName => self.hide_name = value == "0",
            Meaning::TlsMax => {
                self.versions = match value {
                    "" | "TLSv1.3" => Versions::Any,
                    "TLSv1.2" => Versions::Tls12,
                    _ => return Err(TargetError::Unsupported { key }),
                }
            }
        }
        Ok(())
    }
}

/// Keys as they may be shown: words, sorted, each once. Anything else could be part of a credential that was cut in two.
fn shown(keys: Vec<String>) -> Vec<String> {
    const KEY_MAX: usize = 63;
    let word = |key: &str| {
        (1..=KEY_MAX).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    };
    let mut shown: Vec<_> = keys.into_iter().map(|key| if word(&key) { key } else { "?".to_owned() }).collect();
    shown.sort_unstable();
    shown.dedup();
    shown
}

#[cfg(test)]
mod tests;
