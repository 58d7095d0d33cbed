//! The sidecar: transaction mode as soon as the settings know it.

use std::time::Instant;

use weir::policy::settings::PoolMode;

use super::scenario::{POOL, Wiring};
use super::sidecar::Options;
use super::target::{Process, Running, Setup, free_port};

/// Whether this build pools transactions. If not, each client of the load needs a connection of its own.
pub fn pools_transactions() -> bool {
    serde_json::from_str::<PoolMode>("\"transaction\"").is_ok()
}

/// Starts one; all its sockets are on one thread, so [`Wiring::Two`] is nothing to it.
pub fn start(setup: Setup<'_>) -> Result<Running, String> {
    let (mode, pool) = if pools_transactions() { ("transaction", POOL) } else { ("session", setup.clients) };
    let tls = if setup.wiring == Wiring::Tls { "require" } else { "disable" };
    let server = &setup.database.server;
    let url = format!("postgres://{0}:secret@127.0.0.1:{1}/{0}?sslmode={tls}", setup.database.name, server.port());
    let port = free_port();
    let mut options =
        Options::new(&url, pool, pool).set("WEIR_LOG", "info").set("WEIR_LISTEN", format!("127.0.0.1:{port}"));
    options.settings["poolMode"] = mode.into();
    options.settings["client"] = "libpq".into();
    options.settings["limits"]["idleTimeout"] = "10m".into();
    options.settings["limits"]["connectionTimeout"] = "1m".into();
    setup.program.clone_into(&mut options.program);
    // As PostgreSQL names it: libpq is told the directory and the port.
    let socket = setup.directory.join(format!(".s.PGSQL.{port}"));
    let unix = setup.wiring == Wiring::Unix;
    if unix {
        options = options.set("WEIR_SOCKET", socket.display().to_string());
    }
    let start = Instant::now();
    let sidecar = Box::new(options.spawn());
    let mut running = Running::listening(setup, port, vec![Process::Sidecar(sidecar)], start)?;
    if unix {
        let Process::Sidecar(sidecar) = &running.processes[0] else { return Err("no sidecar".to_owned()) };
        sidecar.logged("\"starting\"");
        if !socket.exists() {
            return Err("this build does not listen at WEIR_SOCKET".to_owned());
        }
        running.host = running.directory.display().to_string();
    }
    Ok(running)
}
