//! JSON to a raw pool.

use serde_json::Value;

use super::Violation;
use crate::crd::ConnectionPool;

/// Reads a pool as it was written, in a file or by an API server.
///
/// # Errors
///
/// The first field whose JSON type is wrong, by its path. Words, numbers and missing fields are left to [`super::validate`].
pub fn read(object: &Value) -> Result<ConnectionPool, Violation> {
    if object.get("spec").is_none_or(Value::is_null) {
        return Err(Violation {
            field: "spec".to_owned(),
            message: "spec is required; write profile and selector at least".to_owned(),
        });
    }
    // serde reads an array as the fields of a struct in their order, which nobody means.
    if let Some((name, _)) = object["spec"].as_object().into_iter().flatten().find(|(_, group)| group.is_array()) {
        return Err(wrong_type(&format!("spec.{name}"), "an array, expected fields"));
    }
    serde_path_to_error::deserialize(object).map_err(|error| wrong_type(&error.path().to_string(), error.inner()))
}

fn wrong_type(field: &str, what: impl std::fmt::Display) -> Violation {
    let message =
        format!("{field} has a value of the wrong type ({what}); see `kubectl explain connectionpool.{field}`");
    Violation { field: field.to_owned(), message }
}
