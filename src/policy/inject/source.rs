//! Where a container's variable comes from.

use serde_json::Value;

use super::literal::Literal;
use super::pod::Container;
use super::reason::{Skip, SkipReason};

/// A source that the sidecar can have as well.
#[derive(Clone, PartialEq)]
pub(super) enum Source<'p> {
    /// A literal `value`.
    Literal(Literal<'p>),
    /// One key of an object.
    Key { kind: Kind, name: &'p str, key: &'p str },
}

/// The object that a key is in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Secret,
    ConfigMap,
}

/// A container that has the variable.
#[derive(Clone)]
pub(super) struct Holder<'p> {
    pub(super) container: Container<'p>,
    /// Position of its entry in `env`.
    pub(super) entry: usize,
    pub(super) source: Source<'p>,
}

/// The container's variable. `Ok(None)`: it has no such entry.
pub(super) fn holder<'p>(container: Container<'p>, variable: &str) -> Result<Option<Holder<'p>>, Skip> {
    let name = container.name();
    let mut entries = container.variable(variable);
    let Some((entry, value)) = entries.next() else { return Ok(None) };
    if entries.next().is_some() {
        return Err(SkipReason::DuplicateVariable.because(format!("container {name:?} lists {variable} twice")));
    }
    let source = match key(value, name, variable)? {
        Some(key) => key,
        None => Source::Literal(Literal::new(container, entry, value, variable)?),
    };
    Ok(Some(Holder { container, entry, source }))
}

/// The key of an object that an entry takes its value from; `None` for a literal.
pub(super) fn key<'p>(entry: &'p Value, container: &str, variable: &str) -> Result<Option<Source<'p>>, Skip> {
    let Some(from) = entry.get("valueFrom").filter(|from| !from.is_null()) else { return Ok(None) };
    let kinds = [("secretKeyRef", Kind::Secret), ("configMapKeyRef", Kind::ConfigMap)];
    let reference = kinds.into_iter().find_map(|(field, kind)| Some((from.get(field)?, kind)));
    let text = |reference: &'p Value, field: &str| reference.get(field).and_then(Value::as_str);
    match reference {
        Some((reference, _)) if reference.get("optional") == Some(&Value::Bool(true)) => {
            let seen = format!("{variable} of container {container:?} comes from an optional reference");
            Err(SkipReason::OptionalReference.because(seen))
        }
        Some((reference, kind)) => match (text(reference, "name"), text(reference, "key")) {
            (Some(name), Some(key)) => Ok(Some(Source::Key { kind, name, key })),
            _ => Err(unsupported(container, variable)),
        },
        None => Err(unsupported(container, variable)),
    }
}

fn unsupported(container: &str, variable: &str) -> Skip {
    let seen =
        format!("{variable} of container {container:?} comes from neither a value nor a key of a Secret or ConfigMap");
    SkipReason::UnsupportedSource.because(seen)
}
