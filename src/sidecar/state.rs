//! Session state in transaction pooling: when it may have changed, what it is, and what of it can follow the client.
//!
//! A server connection serves others between the transactions of a client. What a client changes of its session either follows it, as
//! settings do, or [pins](Pins) it to its connection. Three steps, none of which does I/O:
//!
//! 1. [`hints_of_text`] and [`hints_of_tag`] tell whether a text, or what a statement said it did, may have changed the session.
//!    They err on the side of a hint: one too many costs a question, one too few shows one client the state of another.
//! 2. After a hint the server is [asked](Ask), outside of any transaction and before another client gets the connection.
//! 3. The [`Answer`] becomes the client's settings ([`settle`]) and its pins.
//!
//! A text hints at what it does when it is *executed*: for a prepared statement that is each time, not when it is parsed.

mod answer;
mod ask;
mod calls;
mod hints;
mod lexer;
mod pins;
mod settings;
mod tag;
mod text;

pub use answer::{Answer, AnswerError, Roles};
pub use ask::{Ask, SQL, WHO};
pub use hints::Hints;
pub use pins::{Pin, Pins};
pub use settings::{parse_settings, settle};
pub use tag::hints_of_tag;
pub use text::hints_of_text;

#[cfg(test)]
mod tests;
