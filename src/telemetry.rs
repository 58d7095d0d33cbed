//! Logs of both binaries, and what happens when they panic.
//!
//! Lines go to standard error, as JSON unless a person reads them. Nothing that may hold a credential is ever passed here; the panic
//! hook keeps that promise too: it says where, never what, since a panic's message may quote any value.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::names::{ENV_LOG, ENV_LOG_FORMAT};

/// Starts logging as [`ENV_LOG`] and [`ENV_LOG_FORMAT`] say, and installs the panic hook. A value that can't be read is reported and
/// the default (`info`; JSON unless standard error is a terminal) is used: a typing error must not keep a data plane down.
/// Called once, before anything is logged.
pub fn start() {
    let filter = std::env::var(ENV_LOG).ok().filter(|text| !text.is_empty());
    let format = std::env::var(ENV_LOG_FORMAT).ok().filter(|text| !text.is_empty());
    let parsed = filter.as_deref().map(str::parse::<Targets>);
    let targets = match &parsed {
        Some(Ok(targets)) => targets.clone(),
        _ => Targets::new().with_default(Level::INFO),
    };
    let json = match format.as_deref() {
        Some("json") => true,
        Some("text") => false,
        _ => !io::stderr().is_terminal(),
    };
    let layer = fmt::layer().with_writer(io::stderr);
    let layer = if json { layer.json().flatten_event(true).boxed() } else { layer.with_ansi(false).boxed() };
    tracing_subscriber::registry().with(layer.with_filter(targets)).init();
    if let Some(Err(_)) = parsed {
        tracing::warn!(variable = ENV_LOG, "not a log filter such as \"info\" or \"weir=debug,info\": using info");
    }
    if format.is_some_and(|format| format != "json" && format != "text") {
        tracing::warn!(variable = ENV_LOG_FORMAT, "not one of \"json\" and \"text\": using the default");
    }
    report_panics();
}

/// An error and all its causes on one line: `cannot read "x": permission denied`.
pub fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source()).fold(error.to_string(), |mut line, cause| {
        let _ = write!(line, ": {cause}");
        line
    })
}

fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        let (file, line) = panic.location().map_or(("unknown", 0), |at| (at.file(), at.line()));
        tracing::error!(thread, file, line, "panicked");
    }));
}
