//! Edits of a URL: whole spans are replaced, every other byte stays.

use super::decode::{Plus, decode};
use super::expansion::escape;
use super::query::Change;
use super::{Span, Url, UrlError};
use crate::names;
use crate::policy::dialect::{Dialect, Parameter};

/// What happens to a pool parameter that the user wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and is named in [`Edited::kept`].
    Keep,
    /// Its value is replaced in place.
    Replace,
}

/// Where an application's URL is to point, and what its query is to say.
#[derive(Clone, Debug)]
pub struct Redirect<'p> {
    /// Port of the sidecar on loopback.
    pub port: u16,
    /// Pool parameters.
    pub parameters: &'p [Parameter],
    /// See [`Existing`].
    pub existing: Existing,
}

/// An edited URL.
pub struct Edited {
    /// The new text.
    pub text: Vec<u8>,
    /// Pool parameters that stay as the user wrote them.
    pub kept: Vec<&'static str>,
}

/// Keys that say where to connect, with what password, and how safely: all of it is the sidecar's hop now. `user` and `dbname` stay,
/// for the application still names its own.
const HOP: [&str; 29] = [
    "host",
    "hostaddr",
    "port",
    "password",
    "ssl",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcrl",
    "sslcrldir",
    "sslcompression",
    "sslcertmode",
    "sslsni",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "channel_binding",
    "uselibpqcompat",
    "sslaccept",
    "sslidentity",
    "gssencmode",
    "gssdelegation",
    "krbsrvname",
    "gsslib",
    "require_auth",
    "target_session_attrs",
    "load_balance_hosts",
    "targetServerType",
];

/// Whether this key of a query, which may be written percent-encoded, says something about the hop to the server.
pub(super) fn is_hop(key: &[u8]) -> bool {
    let key = decode(key, Plus::Literal);
    HOP.iter().chain(&["sslmode"]).any(|hop| hop.as_bytes() == key)
}

/// Points a URL at the sidecar: host and port, a password that is none, `sslmode=disable` in place of everything about TLS, and the
/// pool parameters. Refuses a URL whose server or TLS policy the sidecar could not stand in for.
pub fn redirect(url: &Url<'_>, dialect: &Dialect, to: &Redirect<'_>) -> Result<Edited, UrlError> {
    url.hosts(dialect)?;
    url.user(dialect)?.filter(|user| !user.is_empty()).ok_or(UrlError::NoUser)?;
    url.database(dialect)?;
    url.password(dialect)?;
    url.ssl(dialect)?;

    let mut replaced = Vec::new();
    if let Some(password) = url.password.clone().filter(|password| !password.is_empty()) {
        replaced.push((password, names::PLACEHOLDER.to_owned()));
    }
    replaced.push((url.hosts.clone(), format!("127.0.0.1:{}", to.port)));

    let mut change = Change::new(url);
    for key in HOP {
        change.remove(key)?;
    }
    change.set("sslmode", "disable", Existing::Replace)?;
    let kept = set(&mut change, to.parameters, to.existing)?;
    replaced.extend(change.finish());
    Ok(Edited { text: apply(url.original, replaced), kept })
}

/// Sets pool parameters and nothing else.
pub fn parameters(url: &Url<'_>, parameters: &[Parameter], existing: Existing) -> Result<Edited, UrlError> {
    let mut change = Change::new(url);
    let kept = set(&mut change, parameters, existing)?;
    Ok(Edited { text: apply(url.original, change.finish()), kept })
}

/// The URL of an application whose own one is hidden from us. The scheme is the one that every library takes, since SQLAlchemy
/// refuses `postgres`. The text is that of a container's `value`: its expansion is the URL.
pub fn placeholder(port: u16, user: &str, database: &str, parameters: &[Parameter]) -> String {
    // In a path node-postgres leaves an encoded reserved character as it is.
    let (user, database) = (encode(user, b""), encode(database, b";:&=+$,"));
    let mut url = format!("postgresql://{user}:{}@127.0.0.1:{port}/{database}?sslmode=disable", names::PLACEHOLDER);
    for Parameter { name, value } in parameters {
        url.push('&');
        url.push_str(name);
        url.push('=');
        url.push_str(value);
    }
    url
}

fn set(
    change: &mut Change<'_, '_>,
    parameters: &[Parameter],
    existing: Existing,
) -> Result<Vec<&'static str>, UrlError> {
    let mut kept = Vec::new();
    for Parameter { name, value } in parameters {
        if !change.set(name, value, existing)? {
            kept.push(*name);
        }
    }
    Ok(kept)
}

/// Percent-encodes all but RFC 3986's unreserved characters and those of `plain`, and escapes `$` for the kubelet.
fn encode(text: &str, plain: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || plain.contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    escape(&text.bytes().map(one).collect::<String>())
}

/// Replaces spans that do not overlap, given in order.
fn apply(text: &[u8], replaced: Vec<(Span, String)>) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len() + 64);
    let mut at = 0;
    for (span, with) in replaced {
        result.extend_from_slice(text.get(at..span.start).unwrap_or_default());
        result.extend_from_slice(with.as_bytes());
        at = span.end;
    }
    result.extend_from_slice(text.get(at..).unwrap_or_default());
    result
}
