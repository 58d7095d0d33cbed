//! What a boot is told by its environment, read and checked once at the start.
//!
//! Every refusal names the variable and what to do, and never shows a value that may hold a credential: neither the URL nor any part
//! of it. [`crate::policy::settings::Settings`] holds no secret, so its faults are described.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::socket::is_found_by_clients;
use crate::names::{
    ENV_CONTROL, ENV_LISTEN, ENV_POD_UID, ENV_PUBLIC_KEYS, ENV_SETTINGS, ENV_SOCKET, ENV_STATE, ENV_URL, ENV_URL_FILE,
};
use crate::policy::dialect::{self, Dialect};
use crate::policy::limits::{Limits, TIMEOUT_MIN};
use crate::policy::settings::{SETTINGS_VERSION, Settings};

/// Everything that the environment says.
pub struct Config {
    /// What this instance may hold, and how it pools.
    pub settings: Settings,
    /// How the application's library reads its URL.
    pub dialect: &'static Dialect,
    /// Where the connection URL is.
    pub url: UrlSource,
    /// Where the application connects to; loopback.
    pub listen: SocketAddr,
    /// A Unix socket for the same.
    pub socket: Option<PathBuf>,
    /// Where the control endpoints are.
    pub control: SocketAddr,
    /// Directory of the journal.
    pub state: PathBuf,
    /// UID of the pod.
    pub pod_uid: String,
    /// Keys that statements may be signed with.
    pub public_keys: Vec<PublicKey>,
}

/// An Ed25519 public key (RFC 8032).
pub type PublicKey = [u8; 32];

/// Where the connection URL comes from. No Debug: the literal holds a password.
pub enum UrlSource {
    /// The URL itself.
    Literal(Vec<u8>),
    /// A file that is re-read: a mounted key of a Secret or ConfigMap.
    File(PathBuf),
}

/// Why the environment can't be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A variable that is needed is not there.
    #[error("{variable} is not set: {remedy}")]
    Missing {
        /// Its name.
        variable: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A variable holds something else than it should.
    #[error("{variable} {reason}: {remedy}")]
    Malformed {
        /// Its name.
        variable: &'static str,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The settings were written for a sidecar that is newer than this one.
    #[error(
        "{ENV_SETTINGS} has version {found}, but weir-sidecar {ours} understands versions up to {SETTINGS_VERSION}: \
         run the sidecar image of the operator that injected this pod",
        ours = env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// Version of the document.
        found: u64,
    },
}

const INJECTED: &str = "the webhook sets it; let Weir inject the pod again instead of copying its containers";

impl Config {
    /// Reads the environment through `variable`, which gives a variable's value.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let variables = Variables(&variable);
        let settings = settings(&variables.required(ENV_SETTINGS)?)?;
        Ok(Self {
            dialect: dialect(&settings.client)?,
            settings,
            url: url(&variables)?,
            listen: listen(&variables)?,
            socket: socket(&variables)?,
            control: variables.address(ENV_CONTROL, "give address:port, as in 0.0.0.0:19187")?,
            state: variables.required(ENV_STATE)?.into(),
            pod_uid: variables.required(ENV_POD_UID)?,
            public_keys: public_keys(&variables.optional(ENV_PUBLIC_KEYS)?.unwrap_or_default())?,
        })
    }
}

/// Where the application connects to, alone: all that the hook needs to know.
pub fn listen_address(variable: impl Fn(&str) -> Option<OsString>) -> Result<SocketAddr, ConfigError> {
    listen(&Variables(&variable))
}

struct Variables<'a>(&'a dyn Fn(&str) -> Option<OsString>);

impl Variables<'_> {
    /// An empty variable counts as absent: that is how Kubernetes writes a reference to nothing.
    fn optional(&self, variable: &'static str) -> Result<Option<String>, ConfigError> {
        match (self.0)(variable).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(Err(_)) => Err(malformed(variable, "is not UTF-8", INJECTED)),
        }
    }

    fn required(&self, variable: &'static str) -> Result<String, ConfigError> {
        self.optional(variable)?.ok_or(ConfigError::Missing { variable, remedy: INJECTED })
    }

    fn address(&self, variable: &'static str, remedy: &'static str) -> Result<SocketAddr, ConfigError> {
        let text = self.required(variable)?;
        text.parse().map_err(|_| malformed(variable, format!("is {text:?}, not an address and a port"), remedy))
    }
}

fn settings(text: &str) -> Result<Settings, ConfigError> {
    let refused = |reason: String| malformed(ENV_SETTINGS, reason, INJECTED);
    let document: Value = serde_json::from_str(text).map_err(|error| refused(format!("is not JSON ({error})")))?;
    // Before anything else: a newer document may differ in every other field.
    if let Some(found) = document.get("version").and_then(Value::as_u64)
        && found > u64::from(SETTINGS_VERSION)
    {
        return Err(ConfigError::Newer { found });
    }
    let settings: Settings =
        serde_json::from_value(document).map_err(|error| refused(format!("is not a settings document ({error})")))?;
    let Limits { min, max, .. } = settings.limits;
    if min < 1 || min > max {
        return Err(refused(format!("has limits.min {min} and limits.max {max}, not 1 <= min <= max")));
    }
    if settings.limits.timeouts().any(|timeout| timeout < TIMEOUT_MIN) {
        return Err(refused("has a timeout below 1s in limits".to_owned()));
    }
    Ok(settings)
}

fn dialect(id: &str) -> Result<&'static Dialect, ConfigError> {
    // It decides how much the server has to prove, so it is never guessed.
    dialect::find(id).ok_or_else(|| {
        let known: Vec<_> = dialect::ids().collect();
        malformed(ENV_SETTINGS, format!("names the client {id:?}, known are {}", known.join(", ")), INJECTED)
    })
}

fn url(variables: &Variables<'_>) -> Result<UrlSource, ConfigError> {
    // The literal is bytes: a URL of the application that is not UTF-8 is the URL parser's to refuse.
    let literal = (variables.0)(ENV_URL).filter(|url| !url.is_empty()).map(OsString::into_encoded_bytes);
    match (literal, variables.optional(ENV_URL_FILE)?) {
        (Some(literal), None) => Ok(UrlSource::Literal(literal)),
        (None, Some(path)) => Ok(UrlSource::File(path.into())),
        (None, None) => Err(ConfigError::Missing {
            variable: ENV_URL,
            remedy: "set it to the connection URL, or WEIR_DATABASE_URL_FILE to a file that holds it",
        }),
        (Some(_), Some(_)) => {
            Err(malformed(ENV_URL, "is set together with WEIR_DATABASE_URL_FILE", "set exactly one of the two"))
        }
    }
}

fn listen(variables: &Variables<'_>) -> Result<SocketAddr, ConfigError> {
    const REMEDY: &str = "give a loopback address and a port, as in 127.0.0.1:16432";
    let address = variables.address(ENV_LISTEN, REMEDY)?;
    // Whoever reaches this port is let in as the pool's user, so nobody outside the pod may.
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(malformed(ENV_LISTEN, format!("is \"{address}\", which other pods can reach"), REMEDY))
    }
}

fn socket(variables: &Variables<'_>) -> Result<Option<PathBuf>, ConfigError> {
    const REMEDY: &str = "give <directory>/.s.PGSQL.<port>, absolute and of at most 107 bytes";
    match variables.optional(ENV_SOCKET)? {
        Some(path) if !is_found_by_clients(path.as_ref()) => {
            Err(malformed(ENV_SOCKET, format!("is {path:?}, where no client library looks"), REMEDY))
        }
        path => Ok(path.map(PathBuf::from)),
    }
}

fn public_keys(text: &str) -> Result<Vec<PublicKey>, ConfigError> {
    text.split(',')
        .map(str::trim)
        .filter(|key| !key.is_empty())
        .enumerate()
        .map(|(index, key)| {
            STANDARD.decode(key).ok().and_then(|key| PublicKey::try_from(key).ok()).ok_or_else(|| {
                let reason = format!("has no Ed25519 key at position {}", index + 1);
                malformed(ENV_PUBLIC_KEYS, reason, "give keys of 32 bytes in base64, separated by commas")
            })
        })
        .collect()
}

fn malformed(variable: &'static str, reason: impl Into<String>, remedy: &'static str) -> ConfigError {
    ConfigError::Malformed { variable, reason: reason.into(), remedy }
}

#[cfg(test)]
mod tests;
