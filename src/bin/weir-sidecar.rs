//! The data plane: `run` (the default), `wait` (the postStart hook), `version`.

use std::env;
use std::process::ExitCode;

use weir::sidecar::{run, wait};

fn main() -> ExitCode {
    let command = env::args_os().nth(1).unwrap_or_else(|| "run".into());
    match command.to_str() {
        Some("run") => run::run(),
        Some("wait") => match wait::wait(|name| env::var_os(name)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("weir-sidecar wait: {error}");
                ExitCode::FAILURE
            }
        },
        Some("version") => {
            println!("weir-sidecar {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: weir-sidecar [run | wait | version]; run reads its configuration from WEIR_* variables");
            ExitCode::from(2)
        }
    }
}
