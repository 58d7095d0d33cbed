//! A word out of a list.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// One of the words of `T`, or a word that this build does not know.
///
/// The schema allows the known ones only. Reading takes any, so that a pool written for a newer version is refused by a condition
/// that names the field, and does not vanish as undecodable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a word")]
pub enum Choice<T> {
    /// A word of the list.
    Known(T),
    /// Anything else.
    Unknown(String),
}

impl<T> From<T> for Choice<T> {
    fn from(known: T) -> Self {
        Self::Known(known)
    }
}

impl<T: JsonSchema> JsonSchema for Choice<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut words = T::json_schema(generator);
        // The docs of the type and of its words: those of the field are the manual.
        words.remove("description");
        words
    }
}
