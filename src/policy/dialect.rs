//! The client libraries, as data: which URL schemes they take, which pool parameters they read from the URL and in which unit,
//! and how they read `sslmode`. A row is all it takes to support one more.

/// One client library.
#[derive(Debug, PartialEq, Eq)]
pub struct Dialect {
    /// As written in `spec.client`.
    pub id: &'static str,
}
