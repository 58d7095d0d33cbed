//! The fields of the contract one by one, for the one question that the JSON reader can't answer without repeating what it read: which
//! of them is wrong.

use serde_json::Value;

use super::ReportError;

/// One field that an answer has, or may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field {
    /// Its path, as in `metrics.poolSize`.
    pub name: &'static str,
    /// What it should be, in words that follow "is not".
    pub expected: &'static str,
    kind: Kind,
    required: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Health,
    Status,
    Count,
    Milliseconds,
    Integer,
    Number,
    Text,
    Flag,
    Object,
}

impl Kind {
    const fn expected(self) -> &'static str {
        match self {
            Self::Health => "healthy or unhealthy",
            Self::Status => "normal, warning or critical",
            Self::Count => "a whole number from 0 to 4294967295",
            Self::Milliseconds => "a whole number of milliseconds",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Flag => "true or false",
            Self::Object => "an object",
        }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Health => value.as_str().is_some_and(|text| ["healthy", "unhealthy"].contains(&text)),
            Self::Status => value.as_str().is_some_and(|text| ["normal", "warning", "critical"].contains(&text)),
            Self::Count => value.as_u64().is_some_and(|number| u32::try_from(number).is_ok()),
            Self::Milliseconds => value.is_u64(),
            Self::Integer => value.is_i64(),
            Self::Number => value.is_number(),
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Object => value.is_object(),
        }
    }
}

const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, expected: kind.expected(), kind, required: true }
}

const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { name, expected: kind.expected(), kind, required: false }
}

/// Every field, objects before what is in them. What is in an optional object is required where the object is there.
pub(super) const FIELDS: [Field; 24] = [
    required("status", Kind::Health),
    required("metrics", Kind::Object),
    required("metrics.activeConnections", Kind::Count),
    required("metrics.idleConnections", Kind::Count),
    required("metrics.waitingRequests", Kind::Count),
    required("metrics.totalConnections", Kind::Count),
    required("metrics.poolSize", Kind::Count),
    required("config", Kind::Object),
    required("config.min", Kind::Count),
    required("config.max", Kind::Count),
    required("config.idleTimeout", Kind::Milliseconds),
    required("config.connectionTimeout", Kind::Milliseconds),
    required("utilization", Kind::Object),
    required("utilization.percent", Kind::Number),
    required("utilization.status", Kind::Status),
    optional("utilization.busyPercent", Kind::Number),
    required("timestamp", Kind::Text),
    optional("granted", Kind::Count),
    optional("pod", Kind::Text),
    optional("boot", Kind::Text),
    optional("generation", Kind::Integer),
    optional("database", Kind::Object),
    required("database.reachable", Kind::Flag),
    optional("database.sqlstate", Kind::Text),
];

/// Why this body is no report, where the JSON reader refused it.
pub(super) fn fault(body: &[u8]) -> ReportError {
    let Ok(answer @ Value::Object(_)) = serde_json::from_slice::<Value>(body) else { return ReportError::Malformed };
    for field in FIELDS {
        let parent = field.name.rsplit_once('.').map_or(Some(&answer), |(parent, _)| answer.get(parent));
        // An object that is not there was judged in its own line.
        let Some(parent) = parent.filter(|parent| parent.is_object()) else { continue };
        let name = field.name.rsplit('.').next().unwrap_or(field.name);
        match parent.get(name) {
            None if field.required => return ReportError::Missing(field.name),
            None => {}
            Some(Value::Null) if !field.required => {}
            Some(value) if field.kind.fits(value) => {}
            Some(_) => return ReportError::Field(field),
        }
    }
    ReportError::Malformed
}
