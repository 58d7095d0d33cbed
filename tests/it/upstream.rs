//! Logins and looks of the sidecar against a real PostgreSQL, with and without TLS.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on must fail")]

#[path = "upstream/driver.rs"]
mod driver;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "upstream/servers.rs"]
mod servers;

#[path = "upstream/authentication.rs"]
mod authentication;
#[path = "upstream/encryption.rs"]
mod encryption;
#[path = "upstream/looks.rs"]
mod looks;
