//! A literal `value` as written, before the kubelet expands `$(NAME)` in it, with all that it takes to expand it elsewhere.
//!
//! The kubelet goes through `env` from top to bottom, so a reference means the last entry of its name above. What is not listed
//! there may come from `envFrom` or a Service, or be defined by nobody, in which case the text stays as it is: that can't be told.

use std::collections::BTreeMap;

use serde_json::Value;

use super::pod::Container;
use super::reason::{Skip, SkipReason};
use super::source::key;
use crate::names;
use crate::policy::dialect::Dialect;
use crate::policy::url::expansion::{expand, references};
use crate::policy::url::{Edited, LENGTH_MAX, Template, Url, UrlError};

/// Entries that a text may lead to. References to references grow without bounds, in a webhook.
const ENTRIES_MAX: usize = 64;

/// Stands for a value that is in a Secret or the like, in any part of a URL.
const UNKNOWN: &str = "1";

/// See the module.
#[derive(Clone, PartialEq)]
pub(super) struct Literal<'p> {
    template: Template<'p>,
    /// The entries that it refers to, and those that these refer to, in the container's order.
    entries: Vec<&'p Value>,
    /// The values of those that it refers to itself.
    values: BTreeMap<&'p str, String>,
}

impl<'p> Literal<'p> {
    /// The literal at position `at` of the container's `env`. Refused where it refers to what our container can't have as well.
    pub(super) fn new(container: Container<'p>, at: usize, value: &'p Value, variable: &str) -> Result<Self, Skip> {
        let template = Template::new(text(value));
        let refuse = |what: &str| {
            let seen = format!("{variable} of container {:?} refers to {what}", container.name());
            SkipReason::Reference.because(seen)
        };
        let direct = references(template.text());
        if direct.is_empty() {
            return Ok(Self { template, entries: Vec::new(), values: BTreeMap::new() });
        }
        let listed = Listed::of(&container);
        let mut needed = BTreeMap::new();
        let mut unread = vec![(at, template.text())];
        while let Some((at, text)) = unread.pop() {
            for (_, name) in references(text) {
                // What stands in `$()` may be a part of a password, so it is not repeated unless it is a name.
                let (above, entry) = listed
                    .above(at, name)
                    .ok_or_else(|| refuse("another variable by $(NAME), which is not listed above it"))?;
                if name.starts_with(names::ENV_PREFIX) || name == names::ENV_ROOTS {
                    return Err(refuse(&format!("{name}, which the sidecar has a use of its own for")));
                }
                let text = known(entry, &container, name)?;
                if text.is_some_and(|text| text.len() > LENGTH_MAX) {
                    return Err(refuse(&format!("{name}, which is too long")));
                }
                if needed.insert(above, entry).is_none() {
                    unread.extend(text.map(|text| (above, text)));
                }
                if needed.len() > ENTRIES_MAX {
                    return Err(refuse("too many other variables"));
                }
            }
        }
        let mut values: BTreeMap<usize, String> = BTreeMap::new();
        for (at, entry) in &needed {
            let value = |name: &str| Some(values.get(&listed.above(*at, name)?.0)?.as_str());
            let expanded = match entry.get("valueFrom") {
                Some(from) if !from.is_null() => Some(UNKNOWN.to_owned()),
                _ => expand(text(entry), LENGTH_MAX, value),
            };
            values.insert(*at, expanded.ok_or_else(|| refuse("variables that are too long together"))?);
        }
        let value = |name| Some((name, values.get(&listed.above(at, name)?.0)?.clone()));
        let values = direct.into_iter().filter_map(|(_, name)| value(name)).collect();
        Ok(Self { template, entries: needed.into_values().collect(), values })
    }

    /// As written.
    pub(super) fn text(&self) -> &'p str {
        self.template.text()
    }

    /// The entries that it refers to, and those that these refer to, in the container's order.
    pub(super) fn entries(&self) -> impl Iterator<Item = &'p Value> {
        self.entries.iter().copied()
    }

    /// The URL that it is, see [`Template::url`].
    pub(super) fn url(&self, dialect: &Dialect) -> Result<Url<'_>, UrlError> {
        self.template.url(dialect)
    }

    /// The text after an edit, and what the edit kept.
    ///
    /// As far as values are known, the new text must expand to the URL that the same edit makes of the expanded text: a value with an
    /// `@` or a `?` in it moves the parts of the URL, and the edit would have been of others.
    pub(super) fn edited(
        &self,
        dialect: &Dialect,
        edit: impl Fn(&Url<'_>) -> Result<Edited, UrlError>,
    ) -> Result<(String, Vec<&'static str>), UrlError> {
        let edited = edit(&self.url(dialect)?)?;
        let text = String::from_utf8(edited.text).map_err(|_| UrlError::Encoding)?;
        if !self.values.is_empty() {
            let expanded = |text| expand(text, 2 * LENGTH_MAX, |name| self.values.get(name).map(String::as_str));
            let whole = expanded(self.text()).ok_or(UrlError::TooLong)?;
            let whole = edit(&Url::parse(whole.as_bytes(), dialect)?)?;
            if expanded(&text).is_none_or(|text| text.as_bytes() != whole.text) {
                return Err(UrlError::Reference);
            }
        }
        Ok((text, edited.kept))
    }
}

/// A container's entries by name, with their positions.
struct Listed<'p>(BTreeMap<&'p str, Vec<(usize, &'p Value)>>);

impl<'p> Listed<'p> {
    fn of(container: &Container<'p>) -> Self {
        let mut listed: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (at, entry) in container.env() {
            let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
            listed.entry(name).or_default().push((at, entry));
        }
        Self(listed)
    }

    fn above(&self, at: usize, name: &str) -> Option<(usize, &'p Value)> {
        let entries = self.0.get(name)?;
        entries.get(..entries.partition_point(|(above, _)| *above < at))?.last().copied()
    }
}

/// The text of an entry that is one; `None` where its value comes from elsewhere, and our container finds it there as well.
fn known<'p>(entry: &'p Value, container: &Container<'_>, name: &str) -> Result<Option<&'p str>, Skip> {
    // A field of the pod is the same for every container.
    if entry.get("valueFrom").is_some_and(|from| from.get("fieldRef").is_some()) {
        return Ok(None);
    }
    Ok(key(entry, container.name(), name)?.is_none().then(|| text(entry)))
}

fn text(entry: &Value) -> &str {
    entry.get("value").and_then(Value::as_str).unwrap_or_default()
}
