//! The data plane against a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[path = "support/dice.rs"]
mod dice;
#[path = "support/pooler.rs"]
mod pooler;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/raw.rs"]
mod raw;
#[path = "upstream/servers.rs"]
#[expect(dead_code, reason = "shared with other test binaries")]
mod servers;

#[path = "pool/asking.rs"]
mod asking;
#[path = "pool/attach.rs"]
mod attach;
#[path = "pool/cancel.rs"]
mod cancel;
#[path = "pool/chaos.rs"]
mod chaos;
#[path = "pool/differential.rs"]
mod differential;
#[path = "pool/drain.rs"]
mod drain;
#[path = "pool/encrypted.rs"]
mod encrypted;
#[path = "pool/failures.rs"]
mod failures;
#[path = "pool/figures.rs"]
mod figures;
#[path = "pool/leaks.rs"]
mod leaks;
#[path = "pool/limits.rs"]
mod limits;
#[path = "pool/login.rs"]
mod login;
#[path = "pool/lost.rs"]
mod lost;
#[path = "pool/pieces.rs"]
mod pieces;
#[path = "pool/programs.rs"]
mod programs;
#[path = "pool/protocol.rs"]
mod protocol;
#[path = "pool/roles.rs"]
mod roles;
#[path = "pool/sessions.rs"]
mod sessions;
#[path = "pool/socket.rs"]
mod socket;
#[path = "pool/statements.rs"]
mod statements;
#[path = "pool/timeouts.rs"]
mod timeouts;
#[path = "pool/waiting.rs"]
mod waiting;
