//! A server connection: where it is between connect() and its end, and what may be done with it there. No I/O.
//!
//! It is charged to PostgreSQL from before connect() until its end was received ([`super::charge`]), so it is never just dropped:
//! whatever goes wrong leads to [`Phase::Closing`], which waits for the server's own end of the stream.

mod errand;
mod tools;
mod wardrobe;

use super::login::Login;
use super::tls::Negotiation;

pub use errand::{Errand, Reply, report};
pub use tools::{ask, make_tools};
pub use wardrobe::{calm, discard, dress, dress_again, query};

/// Where a server connection is.
#[derive(Debug)]
pub enum Phase {
    /// connect() is under way.
    Connecting,
    /// SSLRequest is sent.
    Negotiating(Negotiation),
    /// TLS is being set up.
    Handshaking,
    /// The start-up packet is sent.
    LoggingIn(Box<Login>),
    /// Statements of our own run.
    Busy(Errand, Purpose),
    /// Nobody uses it.
    Idle,
    /// A client uses it.
    Attached,
    /// Its client is gone, and it is being brought to ReadyForQuery; or a cancel request for it is on its way, which must not meet
    /// the next client's statement.
    Draining,
    /// We are done with it; its end is waited for.
    Closing,
}

/// What our own statements are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The first ones after the login: which server and backend is this?
    Identify,
    /// The same, asked in the way that every role may.
    IdentifyAgain,
    /// A client waits for its start-up parameters to be set.
    Dress,
    /// A client has reset all settings: its start-up parameters are set again.
    DressAgain,
    /// What of its session has a client left?
    Ask,
    /// Everything that a client left is thrown away.
    Reset,
    /// What its last client has set would end it while nobody uses it: that is reset.
    Calm,
    /// Which of our lost backends are still there?
    Look,
}

impl Phase {
    /// Whether the login is done and the end has not begun.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Busy(..) | Self::Idle | Self::Attached | Self::Draining)
    }

    /// Whether it is on its way to be open.
    pub const fn is_opening(&self) -> bool {
        matches!(self, Self::Connecting | Self::Negotiating(_) | Self::Handshaking | Self::LoggingIn(_))
    }
}
