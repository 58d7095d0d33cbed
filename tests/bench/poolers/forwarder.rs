//! The bare forwarder, for information. It opens a server connection for each client, so PostgreSQL does more beside it than beside a
//! pooler; only with as many clients as connections (`unqueued`) is the difference to it what pooling costs.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::scenario::Wiring;
use super::target::{Process, Running, Setup, free_port};

/// Starts one.
pub fn start(setup: Setup<'_>) -> Result<Running, String> {
    if setup.wiring != Wiring::Tcp {
        return Err("it has one thread, TCP and no TLS".to_owned());
    }
    let port = free_port();
    let start = Instant::now();
    let process = Process::spawn(
        Command::new(setup.program)
            .arg(format!("127.0.0.1:{port}"))
            .arg(format!("127.0.0.1:{}", setup.database.server.port()))
            // It ends when this does.
            .stdin(Stdio::piped()),
    )?;
    Running::listening(setup, port, vec![process], start)
}
