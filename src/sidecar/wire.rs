//! The PostgreSQL protocol (version 3) as far as a pooler must know it: message borders, and what a server still owes.
//!
//! Nothing here does I/O, and no payload is looked at that need not be: [`Exchange`] reads headers and lets the bytes of both
//! directions pass as they are. It never allocates by a length that a peer names, and never panics on what a peer sends.
//!
//! Source: PostgreSQL manual, "Frontend/Backend Protocol", sections "Message Flow" and "Message Formats".

mod exchange;
mod message;
mod owed;
mod parameters;

pub use exchange::{Abandoned, Exchange, Fed, Stop};
pub use message::{Fields, Message, Refusal, fatal, message, next, put};
pub use owed::{Owed, Queue};
pub use parameters::Parameters;

/// Longest message that PostgreSQL accepts or sends (`PQ_LARGE_MESSAGE_LIMIT`).
pub const MESSAGE_MAX: u32 = 0x3fff_fffe;

/// A stream that is not the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A length below 4 or above [`MESSAGE_MAX`].
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

/// The type and the length of the body of the message that `data` starts with; `None` before the header is complete.
#[inline]
fn header(data: &[u8]) -> Result<Option<(u8, u32)>, Malformed> {
    let [kind, a, b, c, d, ..] = *data else { return Ok(None) };
    match u32::from_be_bytes([a, b, c, d]) {
        len @ 4..=MESSAGE_MAX => Ok(Some((kind, len - 4))),
        _ => Err(Malformed::Length),
    }
}
