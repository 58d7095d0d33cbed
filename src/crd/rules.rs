//! The rules that no keyword of OpenAPI can state, as CEL for the API server, and the words of each refusal.
//!
//! A refusal names the field, the value and the remedy. Its words are written once: [`words`] fills them for
//! [`crate::policy::validate`], `message` makes the CEL expression out of the same text, and `tests/it/crd.rs` compares what comes
//! out on both sides. A rule over several fields is silent where one of them breaks a rule of its own, so that every mistake is
//! said once.
//!
//! - [`selector`]: the rules inside of `spec.selector`

pub mod selector;

use kube::core::{Message, Reason, Rule};

use super::bounds;
use crate::names;
use crate::policy::duration;
use crate::policy::limits::Profile;
use crate::policy::settings::PoolMode;

/// See [`names::POOL_NAME_MAX`].
pub const NAME_LENGTH: &str =
    "metadata.name is too long; the sidecar and its volumes are named after the pool, so use at most 50 characters";
/// Kubernetes lets an object's name have dots; a container's may not.
pub const NAME_LABEL: &str =
    "metadata.name is no DNS label; the sidecar is named after the pool, so use only a-z, 0-9 and '-', without dots";
/// A time that is not written as one.
pub const TIME_FORM: &str = "{} is \"{}\"; write a whole number and one of ms, s, m, h, such as 30s or 1500ms";
/// A time out of bounds.
pub const TIME_RANGE: &str = "{} is {}; set it to at least 1s (1000ms) and at most 24h";
/// An explicit min above the max in force.
pub const MIN_WITHIN_MAX: &str =
    "spec.limits.min is {}, above the effective maximum of {}; lower min or raise spec.limits.max";
/// A variable that can't be one. The value is not repeated: it may be a connection URL that was pasted into the wrong field.
pub const ENV_FORM: &str = "spec.database.env is no name of a variable; use letters, digits and '_', not starting with a digit, such as ORDERS_DATABASE_URL";
/// A variable that Weir writes.
pub const ENV_FREE: &str =
    "spec.database.env is \"{}\", which Weir sets itself; name the variable that holds the connection URL";
/// A name that would need quoting in a URL.
pub const IDENTIFIER: &str =
    "{} is \"{}\"; use letters, digits, '_', '-' and '.', starting with a letter, digit or '_'";
/// A field that only a pooler honours.
pub const NEEDS_POOLER: &str = "{} has no effect in sidecar mode None; remove it, or set spec.sidecar.mode to Pooler";
/// In session pooling everything that a session holds is thrown away.
pub const VERIFY_NEEDS_TRANSACTION: &str =
    "spec.sidecar.verify has no effect in session pooling; remove it, or set spec.sidecar.poolMode to transaction";
/// A path that is none.
pub const PATH_FORM: &str =
    "spec.probe.path is \"{}\"; write an absolute path of letters, digits and -._~/%?&=+, such as /health/pool";
/// The sidecar serves one path.
pub const PATH_DEFAULT: &str = "spec.probe.path is \"{}\", but the sidecar serves /health/pool; remove the field, or set spec.sidecar.mode to None";
/// Nobody else knows the application's port.
pub const PORT_REQUIRED: &str = "spec.probe.port is required in sidecar mode None; set it to the port where the application serves its health endpoint";
/// The sidecar's port is chosen per pod.
pub const PORT_FORBIDDEN: &str =
    "spec.probe.port is set, but the sidecar's own port is probed; remove the field, or set spec.sidecar.mode to None";
/// Otherwise probes of one instance would overlap.
pub const TIMEOUT_WITHIN_INTERVAL: &str =
    "spec.probe.timeout is {}, longer than the interval of {}; shorten it, or lengthen spec.probe.interval";
/// An explicit warning, at or above the critical in force.
pub const WARNING_BELOW_CRITICAL: &str =
    "spec.thresholds.warning is {}, not below critical at {}; lower it, or raise spec.thresholds.critical";
/// An explicit critical, at or below the default warning.
pub const CRITICAL_ABOVE_WARNING: &str =
    "spec.thresholds.critical is {}, not above warning at {}; raise it, or set a lower spec.thresholds.warning";

/// A warning: accepted, but rarely meant. `charts/weir/templates/warnings.yaml` has the same words.
pub const MAX_WARNING: &str = "spec.limits.max is {}, above 100: every pod may open that many connections, and PostgreSQL slows down with some \
                               hundreds of them; lower it unless more was measured to be faster";
/// See [`MAX_WARNING`].
pub const MIN_WARNING: &str = "spec.limits.min is {}, above 50: every pod holds that many connections even when it is idle; lower it unless first \
                               queries after a quiet time are too slow";

/// A time of at most 24h has no more digits than this, so that reading it can't overflow.
const TIME_SHORT: &str = "^0*([0-9]{1,8}ms|[0-9]{1,5}s|[0-9]{1,4}m|[0-9]{1,2}h)$";
const POOLER: &str = "!(has(self.sidecar) && has(self.sidecar.mode) && self.sidecar.mode == 'None')";

/// A string value in a message. The API server drops a message of several lines.
const SELF: &str = r#"self.replace("\n", " ")"#;

/// The text of a refusal, in one line, with its values in place of each `{}`.
pub fn words(text: &str, values: &[&dyn std::fmt::Display]) -> String {
    let mut values = values.iter();
    let mut parts = text.split("{}");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |filled, part| match values.next() {
        Some(value) => format!("{filled}{}{part}", value.to_string().replace('\n', " ")),
        None => format!("{filled}{part}"),
    })
}

/// The same text as a CEL expression over expressions of type string.
fn message(text: &str, values: &[&str]) -> Message {
    let mut values = values.iter();
    let mut parts = text.split("{}");
    let first = format!("{:?}", parts.next().unwrap_or_default());
    Message::Expression(parts.fold(first, |expression, part| match values.next() {
        Some(value) => format!("{expression} + {value} + {part:?}"),
        None => format!("{expression} + {part:?}"),
    }))
}

/// A number from 0 to below 10^`digits` as a CEL string. `string(number)` would do, but the API server takes what it returns for
/// unboundedly long and prices a message with it above its limit; a substring is no longer than its string.
fn digits(number: &str, digits: u32) -> String {
    let place = |power: i64| {
        let digit = format!("{number} / {power} % 10");
        let digit = format!("'0123456789'.substring({digit}, {digit} + 1)");
        if power == 1 { digit } else { format!("({number} >= {power} ? {digit} : '')") }
    };
    (0..digits).rev().map(|exponent| place(10_i64.pow(exponent))).collect::<Vec<_>>().join(" + ")
}

fn rule(rule: impl Into<String>, message: Message) -> Rule {
    Rule::new(rule).message(message)
}

// === metadata ===

pub(super) fn name_length() -> Rule {
    rule(format!("self.metadata.name.size() <= {}", names::POOL_NAME_MAX), NAME_LENGTH.into())
        .field_path(".metadata.name")
}

pub(super) fn name_label() -> Rule {
    rule(
        format!("self.metadata.name.size() > {} || !self.metadata.name.contains('.')", names::POOL_NAME_MAX),
        NAME_LABEL.into(),
    )
    .field_path(".metadata.name")
}

// === limits ===

/// In bounds of its own: `field` is an expression of a number.
fn in_bounds(field: &str, min: i64, max: i64) -> String {
    format!("{field} >= {min} && {field} <= {max}")
}

/// The profile's max where the resource has none.
fn effective_max() -> String {
    let default = |profile: Profile| profile.limits().max;
    format!(
        "(has(self.limits.max) ? self.limits.max : self.profile == 'development' ? {} : self.profile == 'test' ? {} : {})",
        default(Profile::Development),
        default(Profile::Test),
        default(Profile::Production),
    )
}

pub(super) fn min_within_max() -> Rule {
    let max = effective_max();
    rule(
        format!(
            "!has(self.limits) || !has(self.limits.min) || !({}) || !({}) || self.limits.min <= {max}",
            in_bounds("self.limits.min", 1, bounds::CONNECTIONS_MAX),
            in_bounds(&max, 1, bounds::CONNECTIONS_MAX),
        ),
        message(MIN_WITHIN_MAX, &[&digits("self.limits.min", 5), &digits(&max, 5)]),
    )
    .field_path(".limits.min")
}

pub(super) fn time_form(field: &str) -> Rule {
    rule(format!("self.matches('{}')", duration::PATTERN), message(TIME_FORM, &[&format!("{field:?}"), SELF]))
}

pub(super) fn time_range(field: &str) -> Rule {
    rule(
        format!("!self.matches('{}') || ({})", duration::PATTERN, time_in_range("self")),
        message(TIME_RANGE, &[&format!("{field:?}"), SELF]),
    )
}

fn time_in_range(time: &str) -> String {
    format!(
        "{time}.matches('{TIME_SHORT}') && duration({time}) >= duration('1s') && duration({time}) <= duration('24h')"
    )
}

// === database ===

pub(super) fn env_form() -> Rule {
    rule(format!("self.matches('{}')", bounds::ENV_PATTERN), ENV_FORM.into())
}

pub(super) fn env_free() -> Rule {
    let names = bounds::ENV_TAKEN.map(|name| format!("'{name}'")).join(", ");
    rule(format!("!self.startsWith('{}') && !(self in [{names}])", bounds::ENV_PREFIX), message(ENV_FREE, &[SELF]))
}

pub(super) fn identifier(field: &str) -> Rule {
    rule(format!("self.matches('{}')", bounds::IDENTIFIER_PATTERN), message(IDENTIFIER, &[&format!("{field:?}"), SELF]))
}

// === sidecar ===

fn needs_pooler(parent: &str, field: &str) -> Rule {
    rule(
        format!("{POOLER} || !has(self.{parent}) || !has(self.{parent}.{field})"),
        message(NEEDS_POOLER, &[&format!("\"spec.{parent}.{field}\"")]),
    )
    .reason(Reason::FieldValueForbidden)
    .field_path(format!(".{parent}.{field}"))
}

pub(super) fn pool_mode_needs_pooler() -> Rule {
    needs_pooler("sidecar", "poolMode")
}

pub(super) fn verify_needs_pooler() -> Rule {
    needs_pooler("sidecar", "verify")
}

pub(super) fn verify_needs_transaction() -> Rule {
    let session = match bounds::POOL_MODE {
        PoolMode::Session => "!has(self.sidecar.poolMode) || self.sidecar.poolMode == 'session'",
        PoolMode::Transaction => "has(self.sidecar.poolMode) && self.sidecar.poolMode == 'session'",
    };
    rule(
        format!("!({POOLER}) || !has(self.sidecar) || !has(self.sidecar.verify) || !({session})"),
        VERIFY_NEEDS_TRANSACTION.into(),
    )
    .reason(Reason::FieldValueForbidden)
    .field_path(".sidecar.verify")
}

pub(super) fn idle_transaction_timeout_needs_pooler() -> Rule {
    needs_pooler("limits", "idleTransactionTimeout")
}

pub(super) fn query_timeout_needs_pooler() -> Rule {
    needs_pooler("limits", "queryTimeout")
}

pub(super) fn user_needs_pooler() -> Rule {
    needs_pooler("database", "user")
}

pub(super) fn name_needs_pooler() -> Rule {
    needs_pooler("database", "name")
}

// === probe ===

pub(super) fn path_form() -> Rule {
    rule(format!("self.matches('{}')", bounds::PATH_PATTERN), message(PATH_FORM, &[SELF]))
}

pub(super) fn path_default() -> Rule {
    rule(
        format!(
            "!({POOLER}) || !has(self.probe) || !has(self.probe.path) || self.probe.path == '{}' \
             || !self.probe.path.matches('{}')",
            bounds::PROBE_PATH,
            bounds::PATH_PATTERN
        ),
        message(PATH_DEFAULT, &["self.probe.path"]),
    )
    .field_path(".probe.path")
}

pub(super) fn port_required() -> Rule {
    rule(format!("{POOLER} || has(self.probe) && has(self.probe.port)"), PORT_REQUIRED.into())
        .reason(Reason::FieldValueRequired)
        .field_path(".probe.port")
}

pub(super) fn port_forbidden() -> Rule {
    rule(format!("!({POOLER}) || !has(self.probe) || !has(self.probe.port)"), PORT_FORBIDDEN.into())
        .reason(Reason::FieldValueForbidden)
        .field_path(".probe.port")
}

pub(super) fn timeout_within_interval() -> Rule {
    let interval = format!("(has(self.interval) ? self.interval : '{}')", duration::format(bounds::PROBE_INTERVAL));
    rule(
        format!(
            "!has(self.timeout) || !({}) || has(self.interval) && !({}) || duration(self.timeout) <= duration({interval})",
            time_in_range("self.timeout"),
            time_in_range("self.interval"),
        ),
        message(TIMEOUT_WITHIN_INTERVAL, &["self.timeout", &interval]),
    )
    .field_path(".timeout")
}

// === thresholds ===

pub(super) fn warning_below_critical() -> Rule {
    let critical = format!("(has(self.critical) ? self.critical : {})", bounds::THRESHOLDS.critical);
    rule(
        format!(
            "!has(self.warning) || !({}) || !({}) || self.warning < {critical}",
            in_bounds("self.warning", 1, 99),
            in_bounds(&critical, 2, 100),
        ),
        message(WARNING_BELOW_CRITICAL, &[&digits("self.warning", 2), &digits(&critical, 3)]),
    )
    .field_path(".warning")
}

pub(super) fn critical_above_warning() -> Rule {
    let warning = bounds::THRESHOLDS.warning;
    rule(
        format!(
            "has(self.warning) || !has(self.critical) || !({}) || self.critical > {warning}",
            in_bounds("self.critical", 2, 100)
        ),
        message(CRITICAL_ABOVE_WARNING, &[&digits("self.critical", 3), &format!("\"{warning}\"")]),
    )
    .field_path(".critical")
}
