//! The programs as they are shipped.

#![allow(dead_code, reason = "each benchmark uses its own part")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// Cargo's target directory.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from)
}

/// Builds the sidecar as `make image` does.
pub fn sidecar() -> PathBuf {
    static_program("weir-sidecar", &["--bin", "weir-sidecar", "--no-default-features", "--features", "sidecar"])
}

/// Builds the bare forwarder in the same way.
pub fn forwarder() -> PathBuf {
    static_program("weir-bench-forwarder", &["-p", "weir-bench-forwarder"])
}

fn static_program(name: &str, arguments: &[&str]) -> PathBuf {
    let machine = format!("{}-unknown-linux-musl", env::consts::ARCH);
    eprintln!("building {name} for {machine}");
    run(Command::new(env!("CARGO"))
        .args(["build", "--locked", "--quiet", "--profile", "sidecar", "--target", &machine])
        .args(arguments));
    target().join(machine).join("sidecar").join(name)
}

/// Runs a command of which everything else depends.
pub fn run(command: &mut Command) {
    let status = command.current_dir(env!("CARGO_MANIFEST_DIR")).status();
    assert!(status.as_ref().is_ok_and(ExitStatus::success), "{command:?}: {status:?}");
}
