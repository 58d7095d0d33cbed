//! How one container's variable is pointed at our listener.

use serde_json::Value;

use super::editor::{Editor, Step};
use super::environment::give;
use super::pod::{Container, List};
use super::reason::{Skip, SkipReason};
use super::source::{Holder, Source};
use crate::names;
use crate::policy::dialect::{Dialect, Parameter};
use crate::policy::settings::{Placeholders, Settings};
use crate::policy::url::{self, Existing, Redirect, UrlError};

/// See the module.
pub(super) struct Rewrite<'d> {
    dialect: &'d Dialect,
    listen: u16,
    settings: &'d Settings,
    parameters: Vec<Parameter>,
}

impl<'d> Rewrite<'d> {
    pub(super) fn new(settings: &'d Settings, dialect: &'d Dialect, listen: u16) -> Self {
        Self { dialect, listen, settings, parameters: dialect.query(&settings.limits) }
    }

    /// Whether the variable points at our listener already.
    pub(super) fn done(&self, holder: &Holder<'_>) -> bool {
        let Source::Literal(literal) = &holder.source else { return false };
        let hosts = literal.url(self.dialect).and_then(|url| url.hosts(self.dialect));
        hosts.is_ok_and(
            |hosts| matches!(hosts.as_slice(), [host] if host.name == "127.0.0.1" && host.port == self.listen),
        )
    }

    /// Rewrites the variable, and gives an application its limits. Returns the pool parameters that its user wrote.
    pub(super) fn apply(&self, editor: &mut Editor, holder: &Holder<'_>, variable: &str) -> Result<Vec<String>, Skip> {
        let container = &holder.container;
        let application = container.list == List::Main;
        let parameters: &[Parameter] = if application { &self.parameters } else { &[] };
        let (text, kept) = match &holder.source {
            Source::Literal(literal) => {
                let to = Redirect { port: self.listen, parameters, existing: Existing::Keep };
                let (text, kept) = literal
                    .edited(self.dialect, |url| url::redirect(url, self.dialect, &to))
                    .map_err(|error| unusable(error, container, variable))?;
                (text, kept.into_iter().map(str::to_owned).collect())
            }
            Source::Key { .. } => {
                let default = Placeholders { user: names::PLACEHOLDER.into(), database: names::PLACEHOLDER.into() };
                let names = self.settings.placeholders.as_ref().unwrap_or(&default);
                (url::placeholder(self.listen, &names.user, &names.database, parameters), Vec::new())
            }
        };
        let entry = [
            Step::Key("spec"),
            container.list.field().into(),
            container.index.into(),
            "env".into(),
            holder.entry.into(),
        ];
        let member = |key| entry.iter().copied().chain([Step::Key(key)]).collect::<Vec<_>>();
        editor.remove(&member("valueFrom"));
        editor.set(&member("value"), Value::from(text));
        if application {
            give(editor, container, &self.settings.limits, self.dialect);
        }
        Ok(kept)
    }
}

/// A URL that can't be edited.
pub(super) fn unusable(error: UrlError, container: &Container<'_>, variable: &str) -> Skip {
    let reason = match error {
        UrlError::ClientFile(_) | UrlError::ClientCheck(_) => SkipReason::ClientVerification,
        UrlError::Reference => SkipReason::Reference,
        _ => SkipReason::UrlNotRewritable,
    };
    reason.because(format!("{variable} of container {:?}: {error}", container.name()))
}

/// Ports that the URL names: its server may be in the same pod, such as another proxy, and then ours must be others.
pub(super) fn ports_of(source: &Source<'_>, dialect: &Dialect) -> Vec<u16> {
    let Source::Literal(literal) = source else { return Vec::new() };
    let hosts = literal.url(dialect).and_then(|url| url.hosts(dialect)).unwrap_or_default();
    hosts.into_iter().map(|host| host.port).collect()
}
