//! What a URL says, decoded: for the sidecar, which connects in the application's place.

use super::query::Pair;
use super::split::position;
use super::{HOSTS_MAX, Span, Url, UrlError};
use crate::policy::dialect::{Decoding, Dialect, Fact, SslPolicy};

/// PostgreSQL's port where a URL names none.
const PORT: u16 = 5432;

/// One server that the URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Name or address, without brackets: what a certificate must name.
    pub name: String,
    /// Where to connect instead of looking `name` up.
    pub address: Option<String>,
    /// TCP port.
    pub port: u16,
}

/// Whether `+` is a space.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plus {
    Literal,
    Space,
}

/// Percent-decodes. The splitter has seen every `%`, so that none is malformed.
pub(super) fn decode(text: &[u8], plus: Plus) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next()) << 4 | digit(bytes.next()),
            b'+' if plus == Plus::Space => b' ',
            byte => byte,
        });
    }
    decoded
}

/// Percent-decodes all but the reserved characters, as JavaScript's decodeURI does (ECMA-262, 19.2.6.2).
fn decode_uri(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let escaped = rest.get(..3).filter(|_| *byte == b'%');
        let plain = escaped
            .map(|escaped| decode(escaped, Plus::Literal))
            .filter(|plain| !plain.first().is_some_and(|byte| b";/?:@&=+$,#".contains(byte)));
        match (escaped, plain) {
            (Some(_), Some(plain)) => decoded.extend(plain),
            (Some(escaped), None) => decoded.extend(escaped),
            (None, _) => decoded.push(*byte),
        }
        rest = if escaped.is_some() { rest.get(3..).unwrap_or_default() } else { after };
    }
    decoded
}

fn digit(byte: Option<u8>) -> u8 {
    match byte {
        Some(byte @ b'0'..=b'9') => byte - b'0',
        Some(byte @ b'a'..=b'f') => byte - b'a' + 10,
        Some(byte @ b'A'..=b'F') => byte - b'A' + 10,
        _ => 0,
    }
}

fn text(bytes: Vec<u8>) -> Result<String, UrlError> {
    String::from_utf8(bytes).map_err(|_| UrlError::Encoding)
}

impl Url<'_> {
    /// The user, where the URL names one.
    pub fn user(&self, dialect: &Dialect) -> Result<Option<String>, UrlError> {
        self.fact(dialect, Fact::User, self.user.as_ref())?.map(text).transpose()
    }

    /// The password, where the URL holds one. The caller keeps it from being shown, and wipes it.
    pub fn password(&self, dialect: &Dialect) -> Result<Option<Vec<u8>>, UrlError> {
        self.fact(dialect, Fact::Password, self.password.as_ref())
    }

    /// The database, where the URL or the library names one; else the server takes the user's name.
    pub fn database(&self, dialect: &Dialect) -> Result<Option<String>, UrlError> {
        let named = match self.path.as_ref() {
            Some(path) if dialect.decoding == Decoding::Script => Some(decode_uri(self.bytes(path))),
            path => self.fact(dialect, Fact::Database, path)?,
        };
        let named = named.filter(|named| !named.is_empty()).map(text).transpose()?;
        Ok(named.or_else(|| dialect.default_database.map(str::to_owned)))
    }

    /// The servers in the order in which they are tried; at least one.
    pub fn hosts(&self, dialect: &Dialect) -> Result<Vec<Host>, UrlError> {
        let (mut names, mut ports) = self.authority_hosts()?;
        if let Some(listed) = self.overriding(dialect, Fact::Host)? {
            names = list(&listed)?;
        }
        let addresses = self.overriding(dialect, Fact::HostAddress)?.map(|listed| list(&listed)).transpose()?;
        if let Some(listed) = self.overriding(dialect, Fact::Port)? {
            ports = list(&listed)?;
        }
        if names.iter().all(String::is_empty) {
            names = addresses.clone().ok_or(UrlError::NoHost)?;
        }
        if names.len() > HOSTS_MAX || addresses.as_ref().is_some_and(|addresses| addresses.len() != names.len()) {
            return Err(UrlError::HostCount);
        }
        if names.len() > 1 && !dialect.multi_host {
            return Err(UrlError::SeveralHosts);
        }
        let port = |index: usize| match ports.as_slice() {
            [] => Ok(PORT),
            [one] => self::port(one),
            several if several.len() == names.len() => several.get(index).map_or(Ok(PORT), |text| self::port(text)),
            _ => Err(UrlError::HostCount),
        };
        let host = |(index, name): (usize, &String)| {
            let socket = |name: &str| name.starts_with(['/', '@']);
            let address = addresses.as_ref().and_then(|addresses| addresses.get(index)).cloned();
            match name.as_str() {
                "" => Err(UrlError::NoHost),
                name if socket(name) => Err(UrlError::Socket),
                name => Ok(Host { name: name.to_owned(), address, port: port(index)? }),
            }
        };
        names.iter().enumerate().map(host).collect()
    }

    /// Whether the URL names a port, rather than leaving it to its reader.
    pub fn names_port(&self) -> bool {
        self.authority_hosts().is_ok_and(|(_, ports)| !ports.is_empty()) || self.has(&["port"])
    }

    /// Whether the query has one of these keys.
    pub fn has(&self, keys: &[&str]) -> bool {
        let is = |pair: &Pair| keys.iter().any(|key| decode(self.bytes(&pair.key), Plus::Literal) == key.as_bytes());
        self.pairs.iter().any(is)
    }

    /// Every pair of the query, decoded, in order.
    pub fn pairs(&self, dialect: &Dialect) -> Result<Vec<(String, String)>, UrlError> {
        let plus = plus(dialect);
        let pair = |pair: &Pair| {
            let value = pair.value.as_ref().map(|value| decode(self.bytes(value), plus)).unwrap_or_default();
            Ok((text(decode(self.bytes(&pair.key), plus))?, text(value)?))
        };
        self.pairs.iter().filter(|pair| !pair.whole.is_empty()).map(pair).collect()
    }

    /// What the hop to the server demands, so that it verifies no less than the library would.
    pub fn ssl(&self, dialect: &Dialect) -> Result<SslPolicy, UrlError> {
        dialect.ssl.read(&self.pairs(dialect)?)
    }

    /// A fact that the authority or the path states, and a query key may state instead. Both at once is refused, since the
    /// application's own library might take the other one.
    fn fact(&self, dialect: &Dialect, fact: Fact, stated: Option<&Span>) -> Result<Option<Vec<u8>>, UrlError> {
        let stated = stated.filter(|span| !span.is_empty()).map(|span| decode(self.bytes(span), Plus::Literal));
        match (stated, self.overriding(dialect, fact)?) {
            (Some(_), Some(_)) => Err(UrlError::SaidTwice(fact.key())),
            (stated, overriding) => Ok(overriding.or(stated)),
        }
    }

    /// The value of a fact's query key, where this library reads it.
    fn overriding(&self, dialect: &Dialect, fact: Fact) -> Result<Option<Vec<u8>>, UrlError> {
        if !dialect.facts.contains(&fact) {
            return Ok(None);
        }
        let value = self.only(fact.key())?.and_then(|pair| pair.value.as_ref());
        Ok(value.map(|value| decode(self.bytes(value), plus(dialect))).filter(|value| !value.is_empty()))
    }

    /// The authority's hosts and ports; no port at all where it names none.
    fn authority_hosts(&self) -> Result<(Vec<String>, Vec<String>), UrlError> {
        let (mut names, mut ports) = (Vec::new(), Vec::new());
        for entry in self.bytes(&self.hosts).split(|byte| *byte == b',') {
            let (name, port) = match entry.strip_prefix(b"[") {
                Some(rest) => {
                    let close = rest.iter().position(|byte| *byte == b']').ok_or(UrlError::Host)?;
                    let (name, rest) =
                        (rest.get(..close).unwrap_or_default(), rest.get(close + 1..).unwrap_or_default());
                    let port = if rest.is_empty() { rest } else { rest.strip_prefix(b":").ok_or(UrlError::Host)? };
                    (name, port)
                }
                None => match position(entry, 0..entry.len(), b":") {
                    None => (entry, &[][..]),
                    Some(colon) => (entry.get(..colon).unwrap_or_default(), entry.get(colon + 1..).unwrap_or_default()),
                },
            };
            names.push(text(decode(name, Plus::Literal))?);
            ports.push(text(port.to_vec())?);
        }
        if ports.iter().all(String::is_empty) {
            ports.clear();
        }
        ports.iter().try_for_each(|port| self::port(port).map(drop))?;
        Ok((names, ports))
    }
}

fn plus(dialect: &Dialect) -> Plus {
    if dialect.decoding == Decoding::Plain { Plus::Literal } else { Plus::Space }
}

fn list(bytes: &[u8]) -> Result<Vec<String>, UrlError> {
    bytes.split(|byte| *byte == b',').map(|entry| text(entry.to_vec())).collect()
}

/// An empty port is the default one.
fn port(text: &str) -> Result<u16, UrlError> {
    if text.is_empty() {
        return Ok(PORT);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0).ok_or(UrlError::Host)
}
