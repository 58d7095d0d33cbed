//! The whole spec: effective values, and the rules between fields, which are silent where a field is wrong by itself.

use crate::crd::{
    Choice, ConnectionPool, ConnectionPoolSpec, FailurePolicy, LimitsSpec, Mode, ProbeSpec, bounds, rules,
};
use crate::names;
use crate::policy::dialect::{self, Dialect};
use crate::policy::limits::{Limits, Profile};
use crate::policy::settings::{Placeholders, PoolMode, Thresholds, Verify};
use crate::policy::{duration, validate::Probe};

use super::value::{Violations, is_dns_label, is_env, is_identifier, is_path};
use super::{ValidatedPool, Violation, selector};

/// Dialect of a pool that names none.
const CLIENT: &str = "none";

pub(super) fn validate(pool: &ConnectionPool) -> Result<ValidatedPool, Vec<Violation>> {
    let mut found = Violations::default();
    let name = pool.metadata.name.clone().unwrap_or_default();
    check_name(&name, &mut found);
    let spec = &pool.spec;
    let profile = profile(spec, &mut found);
    match &spec.selector {
        Some(selector) => selector::check(selector, &mut found),
        None => found.add(
            "spec.selector",
            "spec.selector is required; name a label, such as matchLabels: {app: orders}",
            &[],
        ),
    }
    let sidecar = spec.sidecar.as_ref();
    let mode = found.choice(
        "spec.sidecar.mode",
        sidecar.and_then(|s| s.mode.as_ref()),
        Mode::Pooler,
        &[Mode::Pooler, Mode::None],
    );
    let limits = limits(spec.limits.as_ref(), profile, mode, &mut found);
    let env = env(spec, &mut found);
    let placeholders = placeholders(spec, mode, &mut found);
    let dialect = client(spec, &mut found);
    let pool_mode = pool_mode(spec, mode, &mut found);
    let verify = verify(spec, mode, pool_mode, &mut found);
    let probe = probe(spec.probe.as_ref(), mode, &mut found);
    let thresholds = thresholds(spec, &mut found);
    let policies = [FailurePolicy::Ignore, FailurePolicy::Fail];
    let failure_policy =
        found.choice("spec.failurePolicy", spec.failure_policy.as_ref(), FailurePolicy::Ignore, &policies);

    let complete = || {
        let limits = limits?;
        Some(ValidatedPool {
            namespace: pool.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
            name,
            generation: pool.metadata.generation.unwrap_or_default(),
            profile: profile?,
            selector: spec.selector.clone()?,
            warnings: warnings(&limits),
            limits,
            env,
            placeholders,
            dialect: dialect?,
            mode: mode?,
            pool_mode: pool_mode?,
            verify: verify?,
            probe: probe?,
            thresholds: thresholds?,
            failure_policy: failure_policy?,
        })
    };
    match complete() {
        Some(valid) if found.0.is_empty() => Ok(valid),
        _ => Err(found.0),
    }
}

fn check_name(name: &str, found: &mut Violations) {
    if name.len() > names::POOL_NAME_MAX {
        found.add("metadata.name", rules::NAME_LENGTH, &[]);
    } else if !is_dns_label(name) {
        found.add("metadata.name", rules::NAME_LABEL, &[]);
    }
}

fn profile(spec: &ConnectionPoolSpec, found: &mut Violations) -> Option<Profile> {
    let all = [Profile::Development, Profile::Test, Profile::Production];
    match &spec.profile {
        None => {
            found.add("spec.profile", "spec.profile is required; set it to one of development, test, production", &[]);
            None
        }
        choice @ Some(Choice::Known(known)) => found.choice("spec.profile", choice.as_ref(), *known, &all),
        choice => found.choice("spec.profile", choice.as_ref(), Profile::Production, &all),
    }
}

fn limits(
    spec: Option<&LimitsSpec>,
    profile: Option<Profile>,
    mode: Option<Mode>,
    found: &mut Violations,
) -> Option<Limits> {
    let empty = LimitsSpec::default();
    let spec = spec.unwrap_or(&empty);
    let defaults = profile.map(Profile::limits);
    let most = bounds::CONNECTIONS_MAX;
    let min = spec.min.map(|min| found.number("spec.limits.min", min, 1, most));
    let max = match spec.max {
        Some(max) => found.number("spec.limits.max", max, 1, most),
        None => defaults.map(|defaults| defaults.max),
    };
    if let (Some(Some(min)), Some(max)) = (min, max)
        && min > max
    {
        found.add("spec.limits.min", rules::MIN_WITHIN_MAX, &[&min, &max]);
    }
    let idle_timeout = spec.idle_timeout.as_deref().map(|text| found.time("spec.limits.idleTimeout", text));
    let connection_timeout =
        spec.connection_timeout.as_deref().map(|text| found.time("spec.limits.connectionTimeout", text));
    let max_lifetime = spec.max_lifetime.as_deref().map(|text| found.time("spec.limits.maxLifetime", text));
    let mut bound = |field: &str, text: Option<&str>| {
        let Some(text) = text else { return Some(None) };
        needs_pooler(field, mode, found);
        found.time(field, text).map(Some)
    };
    let idle_transaction_timeout =
        bound("spec.limits.idleTransactionTimeout", spec.idle_transaction_timeout.as_deref());
    let query_timeout = bound("spec.limits.queryTimeout", spec.query_timeout.as_deref());
    let (defaults, max) = (defaults?, max?);
    Some(Limits {
        min: min.unwrap_or_else(|| Some(defaults.min.min(max)))?,
        max,
        idle_timeout: idle_timeout.unwrap_or(Some(defaults.idle_timeout))?,
        connection_timeout: connection_timeout.unwrap_or(Some(defaults.connection_timeout))?,
        max_lifetime: max_lifetime.unwrap_or(Some(defaults.max_lifetime))?,
        idle_transaction_timeout: idle_transaction_timeout?,
        query_timeout: query_timeout?,
    })
}

fn env(spec: &ConnectionPoolSpec, found: &mut Violations) -> String {
    let Some(env) = spec.database.as_ref().and_then(|database| database.env.as_deref()) else {
        return bounds::ENV.to_owned();
    };
    let field = "spec.database.env";
    let taken = env.starts_with(bounds::ENV_PREFIX) || bounds::ENV_TAKEN.contains(&env);
    let _ = found.length(field, env, bounds::ENV_LENGTH)
        && found.hold(field, is_env(env), rules::ENV_FORM, &[])
        && found.hold(field, !taken, rules::ENV_FREE, &[&env]);
    env.to_owned()
}

fn placeholders(spec: &ConnectionPoolSpec, mode: Option<Mode>, found: &mut Violations) -> Placeholders {
    let database = spec.database.as_ref();
    let mut name = |field: &str, name: Option<&String>| {
        let Some(name) = name else { return names::PLACEHOLDER.to_owned() };
        let _ = found.length(field, name, bounds::IDENTIFIER_LENGTH)
            && found.hold(field, is_identifier(name), rules::IDENTIFIER, &[&field, name]);
        needs_pooler(field, mode, found);
        name.clone()
    };
    Placeholders {
        user: name("spec.database.user", database.and_then(|database| database.user.as_ref())),
        database: name("spec.database.name", database.and_then(|database| database.name.as_ref())),
    }
}

fn client(spec: &ConnectionPoolSpec, found: &mut Violations) -> Option<&'static Dialect> {
    let id = spec.client.as_deref().unwrap_or(CLIENT);
    let dialect = dialect::find(id);
    if dialect.is_none() {
        found.unknown("spec.client", id, &dialect::ids().collect::<Vec<_>>());
    }
    dialect
}

fn pool_mode(spec: &ConnectionPoolSpec, mode: Option<Mode>, found: &mut Violations) -> Option<PoolMode> {
    let choice = spec.sidecar.as_ref().and_then(|sidecar| sidecar.pool_mode.as_ref());
    if choice.is_some() {
        needs_pooler("spec.sidecar.poolMode", mode, found);
    }
    found.choice("spec.sidecar.poolMode", choice, bounds::POOL_MODE, &[PoolMode::Transaction, PoolMode::Session])
}

fn verify(
    spec: &ConnectionPoolSpec,
    mode: Option<Mode>,
    pool_mode: Option<PoolMode>,
    found: &mut Violations,
) -> Option<Verify> {
    let field = "spec.sidecar.verify";
    let choice = spec.sidecar.as_ref().and_then(|sidecar| sidecar.verify.as_ref());
    if choice.is_some() {
        needs_pooler(field, mode, found);
    }
    if matches!(choice, Some(Choice::Known(_))) && mode == Some(Mode::Pooler) && pool_mode == Some(PoolMode::Session) {
        found.add(field, rules::VERIFY_NEEDS_TRANSACTION, &[]);
    }
    found.choice(field, choice, Verify::default(), &[Verify::Hints, Verify::Always])
}

fn needs_pooler(field: &str, mode: Option<Mode>, found: &mut Violations) {
    if mode == Some(Mode::None) {
        found.add(field, rules::NEEDS_POOLER, &[&field]);
    }
}

fn probe(spec: Option<&ProbeSpec>, mode: Option<Mode>, found: &mut Violations) -> Option<Probe> {
    let empty = ProbeSpec::default();
    let spec = spec.unwrap_or(&empty);
    let field = "spec.probe.path";
    let path = spec.path.as_deref().unwrap_or(bounds::PROBE_PATH);
    let _ = found.length(field, path, bounds::PATH_LENGTH)
        && found.hold(field, is_path(path), rules::PATH_FORM, &[&path])
        && found.hold(field, path == bounds::PROBE_PATH || mode != Some(Mode::Pooler), rules::PATH_DEFAULT, &[&path]);
    let field = "spec.probe.port";
    let port = spec.port.and_then(|port| found.number(field, port, 1, i64::from(u16::MAX)));
    match mode {
        Some(Mode::None) if spec.port.is_none() => found.add(field, rules::PORT_REQUIRED, &[]),
        Some(Mode::Pooler) if spec.port.is_some() => found.add(field, rules::PORT_FORBIDDEN, &[]),
        _ => {}
    }
    let mut time = |field, text: Option<&String>, default| text.map_or(Some(default), |text| found.time(field, text));
    let interval = time("spec.probe.interval", spec.interval.as_ref(), bounds::PROBE_INTERVAL);
    let timeout = time("spec.probe.timeout", spec.timeout.as_ref(), bounds::PROBE_TIMEOUT);
    let (interval, timeout) = (interval?, timeout?);
    if timeout > interval {
        let written = |text: &Option<String>, time| text.clone().unwrap_or_else(|| duration::format(time));
        let (timeout, interval) = (written(&spec.timeout, timeout), written(&spec.interval, interval));
        found.add("spec.probe.timeout", rules::TIMEOUT_WITHIN_INTERVAL, &[&timeout, &interval]);
    }
    Some(Probe { path: path.to_owned(), port: port.and_then(|port| u16::try_from(port).ok()), interval, timeout })
}

fn thresholds(spec: &ConnectionPoolSpec, found: &mut Violations) -> Option<Thresholds> {
    let explicit = spec.thresholds.clone().unwrap_or_default();
    let warning = explicit
        .warning
        .map_or(Some(bounds::THRESHOLDS.warning), |warning| found.number("spec.thresholds.warning", warning, 1, 99));
    let critical = explicit.critical.map_or(Some(bounds::THRESHOLDS.critical), |critical| {
        found.number("spec.thresholds.critical", critical, 2, 100)
    });
    let thresholds = Thresholds { warning: warning?, critical: critical? };
    if thresholds.warning >= thresholds.critical {
        let (field, text, values): (_, _, [&dyn std::fmt::Display; 2]) = if explicit.warning.is_some() {
            ("spec.thresholds.warning", rules::WARNING_BELOW_CRITICAL, [&thresholds.warning, &thresholds.critical])
        } else {
            ("spec.thresholds.critical", rules::CRITICAL_ABOVE_WARNING, [&thresholds.critical, &thresholds.warning])
        };
        found.add(field, text, &values);
    }
    Some(thresholds)
}

/// The chart's ValidatingAdmissionPolicy returns the same words to whoever writes the pool.
fn warnings(limits: &Limits) -> Vec<String> {
    let mut warnings = Vec::new();
    if limits.max > bounds::MAX_WARNING {
        warnings.push(rules::words(rules::MAX_WARNING, &[&limits.max]));
    }
    if limits.min > bounds::MIN_WARNING {
        warnings.push(rules::words(rules::MIN_WARNING, &[&limits.min]));
    }
    warnings
}
