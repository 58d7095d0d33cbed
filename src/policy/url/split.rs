//! Where the parts of a URL are. Every byte is looked at; none is decoded.

use super::decode::{Plus, decode};
use super::query::Pair;
use super::{LENGTH_MAX, Span, Url, UrlError};
use crate::policy::dialect::Dialect;

impl<'a> Url<'a> {
    /// Splits `text`, whose scheme must be one that `dialect` takes.
    ///
    /// A raw `@ / ? #` in the user or password is refused, since libraries split there differently: libpq at the first `@`, WHATWG
    /// parsers at the last one.
    pub fn parse(text: &'a [u8], dialect: &Dialect) -> Result<Self, UrlError> {
        let url = Self::split(text)?;
        let scheme = url.bytes(&url.scheme);
        if dialect.schemes.iter().any(|known| known.as_bytes() == scheme) { Ok(url) } else { Err(UrlError::Scheme) }
    }

    fn split(text: &'a [u8]) -> Result<Self, UrlError> {
        if text.len() > LENGTH_MAX {
            return Err(UrlError::TooLong);
        }
        let scheme = scheme(text).ok_or(UrlError::NotUrl)?;
        check_bytes(text)?;
        let start = scheme.end + "://".len();
        let authority = start..position(text, start..text.len(), b"/?").unwrap_or(text.len());
        let path = (text.get(authority.end) == Some(&b'/')).then(|| {
            let from = authority.end + 1;
            from..position(text, from..text.len(), b"?").unwrap_or(text.len())
        });
        let before_query = path.as_ref().map_or(authority.end, |path| path.end);
        let query = (before_query < text.len()).then(|| before_query + 1..text.len());

        let at = position(text, authority.clone(), b"@");
        if at.is_some_and(|at| position(text, at + 1..authority.end, b"@").is_some()) {
            return Err(UrlError::Userinfo);
        }
        // An '@' further on means that the user or password ended where a raw '/' or '?' was.
        if path.clone().is_some_and(|path| position(text, path, b"@").is_some())
            || at.is_none() && query.clone().is_some_and(|query| position(text, query, b"@").is_some())
        {
            return Err(UrlError::Userinfo);
        }
        if path.clone().is_some_and(|path| has_dots(text.get(path).unwrap_or_default())) {
            return Err(UrlError::Dots);
        }
        let (user, password) = match at {
            None => (None, None),
            Some(at) => match position(text, start..at, b":") {
                None => (Some(start..at), None),
                Some(colon) => (Some(start..colon), Some(colon + 1..at)),
            },
        };
        let hosts = at.map_or(start, |at| at + 1)..authority.end;
        let pairs = query.clone().map(|query| Pair::split(text, query)).unwrap_or_default();
        Ok(Self { text, original: text, scheme, user, password, hosts, path, query, pairs })
    }
}

/// The scheme, where `://` follows one. A keyword DSN has none, whatever its values hold.
fn scheme(text: &[u8]) -> Option<Span> {
    let end = text.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b"+-.".contains(byte)))?;
    (end > 0 && text.get(end..)?.starts_with(b"://")).then_some(0..end)
}

fn check_bytes(text: &[u8]) -> Result<(), UrlError> {
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b' ' | 0x7f | 0..0x20 => return Err(UrlError::Whitespace),
            b'#' => return Err(UrlError::Fragment),
            b'%' => match text.get(at + 1..at + 3) {
                Some(b"00") => return Err(UrlError::Percent),
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {}
                _ => return Err(UrlError::Percent),
            },
            _ => {}
        }
    }
    Ok(())
}

/// Whether a segment is `.` or `..`, encoded or not.
fn has_dots(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|segment| matches!(decode(segment, Plus::Literal).as_slice(), b"." | b".."))
}

/// The first of `wanted` within `span`.
pub(super) fn position(text: &[u8], span: Span, wanted: &[u8]) -> Option<usize> {
    let found = text.get(span.clone())?.iter().position(|byte| wanted.contains(byte))?;
    Some(span.start + found)
}
