//! The data plane: a PostgreSQL pooler beside the application.
//!
//! One thread owns every socket and runs the loop; a second one serves health, metrics and hello, and looks names up. They meet in
//! [`figures`]: counters that only the loop writes, and two queues. The protocol's state machines do no I/O.
//!
//! - [`run`]: from the environment to the exit code; [`config`], [`socket`], [`boot`], [`harden`], [`descriptors`] and
//!   [`termination`] are its steps
//! - [`drive`]: the loop; [`client`], [`server`] and [`pool`] decide what it does, [`exchange`] follows what passes between a client and
//!   its server, [`statement`] whose prepared statements are where; [`wire`] reads and writes messages
//! - [`state`]: which session state a client has, and what of it pins the client to its server connection
//! - [`target`], [`tls`], [`login`]: where to connect, as whom, and the start of a server connection
//! - [`charge`], [`journal`]: what this instance may be costing PostgreSQL, and its memory across restarts
//! - [`control`]: the control thread, with [`metrics`]
//! - [`wait`]: the hook that keeps the application back until the listener is up

pub mod boot;
pub mod charge;
pub mod client;
pub mod config;
pub mod control;
pub mod descriptors;
pub mod drive;
pub mod exchange;
pub mod fault;
pub mod figures;
pub mod harden;
pub mod holder;
pub mod journal;
pub mod login;
pub mod metrics;
pub mod pool;
pub mod run;
pub mod server;
pub mod socket;
pub mod state;
pub mod statement;
pub mod target;
pub mod termination;
pub mod tls;
pub mod wait;
pub mod wire;
