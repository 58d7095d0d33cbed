//! Messages of the server as byte ranges: one kind, four bytes of length, a body.

use super::error::LoginError;

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

/// NegotiateProtocolVersion: we ask for 3.0 without extensions, so the only answer that leaves a protocol in common names 3.0 and
/// no option (a server of protocol 3.2 sends it to clients that asked for more).
pub(super) fn negotiated(body: &[u8]) -> Result<(), LoginError> {
    // PostgreSQL up to 17 sends the minor version alone, 18 the whole version.
    match body {
        [0, 0 | 3, 0, 0, 0, 0, 0, 0] => Ok(()),
        _ => Err(LoginError::Version),
    }
}
