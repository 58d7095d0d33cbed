//! The settings in a statement, as the bytes that were signed.
//!
//! A pod must be able to keep and show what it was told, also what its build does not know, so the text is what is carried. One
//! document has one text: JSON as `serde_json` writes it without whitespace, names in the order in which they stand, each once,
//! numbers that are integers of 64 bits.

use serde_json::Value;

use crate::policy::settings::Settings;

/// Longest text. Settings with the longest names are below 700 bytes; newer ones get room.
pub const DOCUMENT_MAX: usize = 8 * 1024;

/// A [`Settings`] and its one text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Document(Vec<u8>);

impl std::fmt::Debug for Document {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl Document {
    /// `None` where its unknown fields can't be signed: too long, or a number that is no integer.
    pub fn write(settings: &Settings) -> Option<Self> {
        Self::read(&serde_json::to_vec(settings).ok()?)
    }

    /// `None` where the bytes are not the one text of a [`Settings`].
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > DOCUMENT_MAX {
            return None;
        }
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let canonical = integers_only(&value) && serde_json::to_vec(&value).is_ok_and(|text| text == bytes);
        (canonical && serde_json::from_slice::<Settings>(bytes).is_ok()).then(|| Self(bytes.to_vec()))
    }

    /// What it says. Fields that this build does not know are in [`Settings::unknown`] where they stand at the top, and in
    /// [`Document::as_bytes`] wherever they stand.
    #[expect(clippy::missing_panics_doc, reason = "`read` has read it as such")]
    pub fn settings(&self) -> Settings {
        serde_json::from_slice(&self.0).expect("`read` has read the same bytes as the same type")
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// `serde_json` bounds the depth (128) when it reads.
fn integers_only(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(values) => values.iter().all(integers_only),
        Value::Object(fields) => fields.values().all(integers_only),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}
