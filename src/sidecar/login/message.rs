//! Messages of the server as byte ranges: one kind, four bytes of length, a body.

use super::error::LoginError;
use crate::sidecar::wire::Version;

/// What the front of a buffer holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Take<'a> {
    /// A whole message of `length` bytes, header included.
    Message { kind: u8, body: &'a [u8], length: usize },
    /// The start of one.
    Partial,
}

/// Why it can't be one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MessageError {
    /// The kind has no place here.
    Kind { kind: u8 },
    /// The length is below 4 or above the kind's bound.
    Length { kind: u8 },
}

/// Looks at the front of `input`; `bound` gives the longest body of a kind. A wrong kind or length is told as soon as it can be
/// seen, so that nobody waits for, or buffers, a message that will be refused.
pub(super) fn take(input: &[u8], bound: impl Fn(u8) -> Option<usize>) -> Result<Take<'_>, MessageError> {
    let Some((&kind, rest)) = input.split_first() else { return Ok(Take::Partial) };
    let max = bound(kind).ok_or(MessageError::Kind { kind })?;
    let Some((length, rest)) = rest.split_first_chunk() else { return Ok(Take::Partial) };
    let body = usize::try_from(u32::from_be_bytes(*length))
        .ok()
        .and_then(|length| length.checked_sub(4))
        .filter(|body| *body <= max)
        .ok_or(MessageError::Length { kind })?;
    Ok(rest.get(..body).map_or(Take::Partial, |bytes| Take::Message { kind, body: bytes, length: body + 5 }))
}

/// Text up to a NUL, and what follows it.
pub(super) fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// Two texts and nothing else.
pub(super) fn pair(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = text(body)?;
    let (value, rest) = text(rest)?;
    (!name.is_empty() && rest.is_empty()).then_some((name, value))
}

/// NegotiateProtocolVersion: the server speaks an older version than the one `asked` for. We ask for no option, so none can be refused.
pub(super) fn negotiated(body: &[u8], asked: Version) -> Result<(), LoginError> {
    let Some(([a, b, c, d], &[0, 0, 0, 0])) = body.split_first_chunk() else { return Err(LoginError::Version) };
    // PostgreSQL names the whole version; the manual calls it the minor one, which is what others send.
    let version = Version(u32::from_be_bytes([*a, *b, *c, *d]));
    let version = if version.major() == 0 { Version(Version::V3_0.0 | version.minor()) } else { version };
    if version <= asked && [Version::V3_0, Version::V3_2].contains(&version) {
        Ok(())
    } else {
        Err(LoginError::Version)
    }
}
