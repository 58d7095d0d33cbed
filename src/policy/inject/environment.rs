//! The variables beside the URL: DATABASE_POOL_* and a library's own levers, which an application is given, and PGSSLMODE and its
//! relatives, which decide beside the URL where it is silent.

use serde_json::json;

use super::editor::{Editor, Step};
use super::pod::Container;
use super::reason::{Skip, SkipReason};
use super::source::{Holder, Source};
use crate::policy::dialect::Dialect;
use crate::policy::limits::{self, Limits};

/// When a variable of libpq's stands in the way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// Whatever it says: it would break the application's hop to loopback, or sends the server's hop elsewhere.
    Always,
    /// When its literal is none of these; a value that is not seen counts as another.
    Unless(&'static [&'static str]),
    /// When the URL says nothing about the same thing.
    UrlLacks(Piece),
}

/// What a URL may say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    User,
    Password,
    Database,
    Port,
    Ssl,
}

/// PostgreSQL manual, 34.15. Read by libpq, and most of them by node-postgres.
const LIBPQ: [(&str, When); 18] = [
    ("PGHOSTADDR", When::Always),
    ("PGSERVICE", When::Always),
    ("PGSERVICEFILE", When::Always),
    ("PGREQUIREAUTH", When::Always),
    ("PGREQUIREPEER", When::Always),
    ("PGSSLROOTCERT", When::Always),
    ("PGSSLCERT", When::Always),
    ("PGSSLKEY", When::Always),
    ("PGSSLCRL", When::Always),
    ("PGSSLCERTMODE", When::Unless(&["allow", "disable"])),
    ("PGSSLNEGOTIATION", When::Unless(&["postgres"])),
    ("PGCHANNELBINDING", When::Unless(&["prefer", "disable"])),
    ("PGGSSENCMODE", When::Unless(&["prefer", "disable"])),
    ("PGSSLMODE", When::UrlLacks(Piece::Ssl)),
    ("PGUSER", When::UrlLacks(Piece::User)),
    ("PGPASSWORD", When::UrlLacks(Piece::Password)),
    ("PGDATABASE", When::UrlLacks(Piece::Database)),
    ("PGPORT", When::UrlLacks(Piece::Port)),
];

/// Refuses a container whose PG variables would have a say that the sidecar does not hear. A URL that is hidden counts as complete,
/// but for its TLS mode.
pub(super) fn undisturbed(holder: &Holder<'_>, dialect: &Dialect) -> Result<(), Skip> {
    if !dialect.reads_environment {
        return Ok(());
    }
    let said = |piece: Piece| match holder.source {
        Source::Key { .. } => piece != Piece::Ssl,
        Source::Literal(ref literal) => literal.url(dialect).is_ok_and(|url| match piece {
            Piece::User => url.user(dialect).is_ok_and(|user| user.is_some()),
            Piece::Password => url.password(dialect).is_ok_and(|password| password.is_some()),
            Piece::Database => url.database(dialect).is_ok_and(|database| database.is_some()),
            Piece::Port => url.names_port(),
            Piece::Ssl => url.has(&["sslmode", "ssl"]),
        }),
    };
    for (variable, when) in LIBPQ {
        if holder.container.variable(variable).next().is_none() {
            continue;
        }
        let harmless = match when {
            When::Always => false,
            When::Unless(values) => holder.container.literal(variable).is_some_and(|text| values.contains(&text)),
            When::UrlLacks(piece) => said(piece),
        };
        if !harmless {
            let container = holder.container.name();
            let seen = format!("{variable} of container {container:?} has a say beside the URL");
            return Err(SkipReason::PgEnvironment.because(seen));
        }
    }
    Ok(())
}

/// The pool's limits as these containers' own variables lower them. A variable that is no literal is not seen.
pub(super) fn lowered<'p>(limits: Limits, containers: impl Iterator<Item = Container<'p>>) -> Result<Limits, Skip> {
    let mut limits = limits;
    for container in containers {
        for variable in limits::VARIABLES {
            if let Some(text) = container.literal(variable) {
                limits = limits::lower(limits, variable, text).map_err(|bad| {
                    SkipReason::InvalidLimit.because(format!("container {:?}: {bad}", container.name()))
                })?;
            }
        }
    }
    Ok(limits)
}

/// Gives a container the effective limits under the names that it does not set itself. An entry of ours would win over `envFrom`, where
/// a user may have set a lower limit; so a name that may come from there is not given.
pub(super) fn give(editor: &mut Editor, container: &Container<'_>, limits: &Limits, dialect: &Dialect) {
    let levers = dialect.environment(limits).into_iter().map(|lever| (lever.name, lever.value));
    for (name, value) in limits::environment(limits).into_iter().chain(levers) {
        if container.variable(name).next().is_none() && !container.may_take_from_env_from(name) {
            let list = [Step::Key("spec"), container.list.field().into(), container.index.into(), "env".into()];
            editor.insert(&list, None, json!({"name": name, "value": value}));
        }
    }
}
