//! The data plane: a PostgreSQL pooler beside the application.
//!
//! One thread owns every socket and runs the loop; a second one serves health, metrics and hello, and looks names up. They meet in
//! [`figures`]: counters that only the loop writes, and two queues. The protocol's state machines do no I/O.

pub mod charge;
pub mod client;
pub mod drive;
pub mod figures;
pub mod journal;
pub mod login;
pub mod pool;
pub mod server;
pub mod target;
pub mod tls;
pub mod wire;
