//! A URL whose text refers to other variables by `$(NAME)`, as it stands in a container's `value` before the kubelet expands it.
//!
//! It is split and edited with digits in the place of each reference, as many as it is long: they mean nothing in any part of a URL,
//! and are a port where a port stands. So the spans are those of the text, and edits leave its references as they are.

use super::edit::is_hop;
use super::expansion::{mask, references};
use super::{Span, Url, UrlError};
use crate::policy::dialect::Dialect;

/// See the module. A text without references is a template as well.
#[derive(Clone, PartialEq, Eq)]
pub struct Template<'a> {
    text: &'a str,
    masked: String,
}

impl<'a> Template<'a> {
    /// Any text.
    pub fn new(text: &'a str) -> Self {
        Self { text, masked: mask(text) }
    }

    /// As written.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The URL. What it says where a reference stands is not known: digits.
    ///
    /// A reference may stand for a user, a password, a host, a port or a database, wholly or in part, and for the value of a query key
    /// that is neither read nor changed on the way to the sidecar. Anywhere else it is refused.
    pub fn url(&self, dialect: &Dialect) -> Result<Url<'_>, UrlError> {
        let references = references(self.text);
        // Most likely the whole of it is another variable.
        let scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if references.first().is_some_and(|(first, _)| self.text.get(..first.start).is_some_and(scheme)) {
            return Err(UrlError::Reference);
        }
        let url = Url { original: self.text.as_bytes(), ..Url::parse(self.masked.as_bytes(), dialect)? };
        // Behind the host nothing follows: the database may be in its value.
        let open = |span: &Span| url.path.is_none() && span.end == url.hosts.end;
        let inside = |span: &Span| url.places().any(|place| place.start <= span.start && span.end <= place.end);
        let stands_well = references.iter().all(|(span, _)| inside(span) && !open(span));
        if stands_well { Ok(url) } else { Err(UrlError::Reference) }
    }
}

impl Url<'_> {
    /// Where a reference may stand.
    fn places(&self) -> impl Iterator<Item = &Span> {
        let parts = [self.user.as_ref(), self.password.as_ref(), Some(&self.hosts), self.path.as_ref()];
        let values = self.pairs.iter().filter(|pair| !is_hop(self.bytes(&pair.key)));
        parts.into_iter().flatten().chain(values.filter_map(|pair| pair.value.as_ref()))
    }
}
