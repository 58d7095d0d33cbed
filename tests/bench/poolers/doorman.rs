//! pg_doorman, of a path.

use std::fs;
use std::process::Command;
use std::time::Instant;

use super::scenario::{POOL, Wiring};
use super::target::{Process, Running, Setup, free_port};

/// Starts one.
pub fn start(setup: Setup<'_>) -> Result<Running, String> {
    if setup.wiring == Wiring::Unix {
        return Err("not every version has a Unix socket".to_owned());
    }
    let (name, server, port) = (&setup.database.name, setup.database.server.port(), free_port());
    let workers = if setup.wiring == Wiring::Two { 2 } else { 1 };
    let tls = if setup.wiring == Wiring::Tls { "require" } else { "disable" };
    let text = format!(
        "[general]\nhost = \"127.0.0.1\"\nport = {port}\nworker_threads = {workers}\nmax_connections = 10200\n\
         server_tls_mode = \"{tls}\"\nlog_client_connections = false\nlog_client_disconnections = false\n\
         admin_username = \"admin\"\nadmin_password = \"admin\"\npg_hba = {{ content = \"host all all 127.0.0.1/32 trust\" }}\n\n\
         [pools.{name}]\nserver_host = \"127.0.0.1\"\nserver_port = {server}\npool_mode = \"transaction\"\n\n\
         [pools.{name}.users.0]\nusername = \"{name}\"\npassword = \"\"\nserver_username = \"{name}\"\nserver_password = \"secret\"\n\
         pool_size = {POOL}\nmin_pool_size = {POOL}\n"
    );
    let file = setup.directory.join("pg_doorman.toml");
    fs::write(&file, text).map_err(|error| error.to_string())?;
    let start = Instant::now();
    let process = Process::spawn(Command::new(setup.program).arg(file))?;
    Running::listening(setup, port, vec![process], start)
}
