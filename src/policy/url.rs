//! Connection URLs as spans of bytes: `scheme://user:password@host:port,host:port/database?key=value`.
//!
//! General URL parsers refuse several hosts, re-encode passwords and know fragments, which libpq does not. This one only finds where
//! the parts are. What it can't split in the one way that every client library would, it refuses, with an error that never
//! repeats any of the URL. Editing replaces whole spans; every other byte stays as it is.

mod decode;
mod edit;
mod error;
pub mod expansion;
mod query;
mod split;
mod template;

use std::fmt;
use std::ops::Range;

pub use decode::Host;
pub use edit::{Edited, Existing, Redirect, parameters, placeholder, redirect};
pub use error::UrlError;
pub use template::Template;

use query::Pair;

/// Longest URL that is looked at, in bytes. Linux takes environment entries of up to 128 KiB.
pub const LENGTH_MAX: usize = 16 * 1024;
/// Most hosts of one URL.
pub const HOSTS_MAX: usize = 32;

/// Where bytes are.
type Span = Range<usize>;

/// A URL that was split. Its `Debug` shows nothing of it.
pub struct Url<'a> {
    text: &'a [u8],
    /// What edits start from: the text, but for a [`Template`].
    original: &'a [u8],
    scheme: Span,
    user: Option<Span>,
    password: Option<Span>,
    /// All hosts with their ports; empty where the URL names none.
    hosts: Span,
    /// What follows the `/` after the authority.
    path: Option<Span>,
    /// What follows the `?`.
    query: Option<Span>,
    pairs: Vec<Pair>,
}

impl fmt::Debug for Url<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Url(..)")
    }
}

impl Url<'_> {
    fn bytes(&self, span: &Span) -> &[u8] {
        self.text.get(span.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
