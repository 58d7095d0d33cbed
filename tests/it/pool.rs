//! The data plane against a real PostgreSQL.

#[path = "support/pooler.rs"]
mod pooler;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/raw.rs"]
mod raw;

#[path = "pool/cancel.rs"]
mod cancel;
#[path = "pool/differential.rs"]
mod differential;
#[path = "pool/drain.rs"]
mod drain;
#[path = "pool/failures.rs"]
mod failures;
#[path = "pool/leaks.rs"]
mod leaks;
#[path = "pool/limits.rs"]
mod limits;
#[path = "pool/login.rs"]
mod login;
#[path = "pool/programs.rs"]
mod programs;
