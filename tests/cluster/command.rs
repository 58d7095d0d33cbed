//! Runs a program to its end. It never loses what the program said.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Returns standard output, or an error that says what was run and what came back.
pub(super) fn run(command: &mut Command, input: &str) -> Result<String, String> {
    let shown =
        std::iter::once(command.get_program()).chain(command.get_args()).collect::<Vec<_>>().join(OsStr::new(" "));
    let shown = shown.display();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("start {shown}: {e}"))?;
    // A program that ends without having read all is judged by its status alone.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    let output = child.wait_with_output().map_err(|e| format!("wait for {shown}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(format!("{shown}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Reads JSON, or panics and says what it was.
pub(super) fn parse(what: &str, text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{what} is not JSON: {e}\n{text}"))
}
