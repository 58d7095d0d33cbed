//! The data plane: a PostgreSQL pooler beside the application.
//!
//! One thread owns every socket and runs the loop; a second one serves health, metrics and hello, and looks names up. They meet in
//! [`figures`]: counters that only the loop writes, and two queues. The protocol's state machines do no I/O.

pub mod boot;
pub mod config;
pub mod control;
pub mod figures;
pub mod harden;
pub mod metrics;
pub mod run;
pub mod target;
pub mod termination;
pub mod wait;
