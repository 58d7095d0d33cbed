//! Mode None: the application pools by itself and serves the health endpoint. Its URL keeps its host; only the query changes, and
//! only where the declared library reads pool parameters there. Every container that has the variable is given its limits.

use serde_json::{Value, json};

use super::editor::{Editor, Step};
use super::environment::{give, lowered};
use super::pod::{Container, List, Pod};
use super::pooler::no_variable;
use super::reason::{Skip, SkipReason};
use super::rewrite::unusable;
use crate::names;
use crate::policy::settings::Injected;
use crate::policy::url::{self, Existing, Template, UrlError};
use crate::policy::validate::ValidatedPool;

/// See the module.
pub(super) fn inject(editor: &mut Editor, pool: &ValidatedPool) -> Result<(), Skip> {
    let document = editor.document().clone();
    let pod = Pod(&document);
    let takes = |container: &Container<'_>| {
        container.variable(&pool.env).next().is_some() || container.may_take_from_env_from(&pool.env)
    };
    let applications: Vec<_> = pod.list(List::Main).filter(takes).collect();
    if applications.is_empty() {
        return Err(no_variable(pod, &pool.env, None));
    }
    let limits = lowered(pool.limits, applications.iter().copied())?;
    let parameters = pool.dialect.query(&limits);
    let mut kept = Vec::new();
    for container in &applications {
        let mut entries = container.variable(&pool.env);
        if let Some((entry, value)) = entries.next() {
            if entries.next().is_some() {
                let seen = format!("container {:?} lists {} twice", container.name(), pool.env);
                return Err(SkipReason::DuplicateVariable.because(seen));
            }
            if let Some(text) = value.get("value").and_then(Value::as_str).filter(|_| !parameters.is_empty()) {
                let edited = Template::new(text)
                    .url(pool.dialect)
                    .and_then(|url| url::parameters(&url, &parameters, Existing::Keep))
                    .map_err(|error| unusable(error, container, &pool.env))?;
                let text =
                    String::from_utf8(edited.text).map_err(|_| unusable(UrlError::Encoding, container, &pool.env))?;
                kept.extend(edited.kept.into_iter().map(str::to_owned));
                let list = container.list.field();
                let path = [
                    Step::Key("spec"),
                    list.into(),
                    container.index.into(),
                    "env".into(),
                    entry.into(),
                    "value".into(),
                ];
                editor.set(&path, Value::from(text));
            }
        }
        give(editor, container, &limits, pool.dialect);
    }
    kept.sort();
    kept.dedup();
    let note = Injected {
        generation: pool.generation,
        listen: None,
        control: pool.probe.port.unwrap_or(names::CONTROL_PORT),
        max: limits.max,
        kept,
        left_alone: Vec::new(),
        unknown: serde_json::Map::new(),
    };
    editor.annotate(&names::injected_annotation(&pool.name), &json!(note).to_string());
    Ok(())
}
