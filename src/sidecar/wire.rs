//! The messages of the PostgreSQL protocol (version 3): their borders, and those that a pooler reads or writes whole.
//!
//! Nothing here does I/O, allocates by a length that a peer names, or panics on what a peer sends.
//!
//! Source: PostgreSQL manual, "Frontend/Backend Protocol", sections "Message Flow" and "Message Formats".

mod message;
mod parameters;
mod version;

pub use message::{Column, Fields, Message, Refusal, columns, fatal, message, next, put};
pub use parameters::Parameters;
pub use version::{CANCEL_KEY_MAX, CANCEL_KEY_SHORT, Version};

/// Highest length that PostgreSQL accepts of a message (`PQ_LARGE_MESSAGE_LIMIT`, which is `MaxAllocSize - 1`). It counts itself.
pub const CLIENT_MESSAGE_MAX: u32 = 0x3fff_fffe;
/// Highest length of a message that PostgreSQL sends: `MaxAllocSize - 1` bytes (`enlargeStringInfo`), and the length itself.
pub const SERVER_MESSAGE_MAX: u32 = CLIENT_MESSAGE_MAX + 4;

/// A stream that is not the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A length below 4 or above [`CLIENT_MESSAGE_MAX`], or [`SERVER_MESSAGE_MAX`].
    #[error("invalid message length")]
    Length,
    /// A message type that a client may not send.
    #[error("invalid frontend message type {0}")]
    Kind(u8),
    /// A message type that a server may not send to us.
    #[error("invalid backend message type {0}")]
    Answer(u8),
    /// A message that must be seen whole is longer than we hold.
    #[error("message of {0} bytes is too long here")]
    TooLong(u32),
    /// A message whose fields do not add up.
    #[error("invalid message format")]
    Fields,
}

/// The type and the length of the body of the message that `data` starts with, whose own length is at most `max`; `None` before the
/// header is complete.
#[inline]
pub fn header(data: &[u8], max: u32) -> Result<Option<(u8, u32)>, Malformed> {
    let [kind, a, b, c, d, ..] = *data else { return Ok(None) };
    match u32::from_be_bytes([a, b, c, d]) {
        len if len >= 4 && len <= max => Ok(Some((kind, len - 4))),
        _ => Err(Malformed::Length),
    }
}
