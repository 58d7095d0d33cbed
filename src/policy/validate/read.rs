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
    serde_path_to_error::deserialize(object).map_err(|error| {
        let field = error.path().to_string();
        let message = format!(
            "{field} has a value of the wrong type ({}); see `kubectl explain connectionpool.{field}`",
            error.inner()
        );
        Violation { field, message }
    })
}
