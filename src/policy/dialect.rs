//! The client libraries, as data: which URL schemes they take, which pool parameters they read from the URL and in which unit,
//! and how they read `sslmode`. A row is all it takes to support one more.

/// One client library.
#[derive(Debug, PartialEq, Eq)]
pub struct Dialect {
    /// As written in `spec.client`.
    pub id: &'static str,
}

/// Every client library, in the order in which a refusal lists them.
pub static DIALECTS: &[Dialect] =
    &[Dialect { id: "none" }, Dialect { id: "prisma" }, Dialect { id: "node-postgres" }, Dialect { id: "libpq" }];

/// The dialect of that id.
pub fn find(id: &str) -> Option<&'static Dialect> {
    DIALECTS.iter().find(|dialect| dialect.id == id)
}

/// Every id, in the order of [`DIALECTS`].
pub fn ids() -> Vec<&'static str> {
    DIALECTS.iter().map(|dialect| dialect.id).collect()
}
