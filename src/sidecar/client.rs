//! A client of the pool, from its first packet to its goodbye: a state machine without I/O.
//!
//! [`Opening`] reads the packets before the login. Clients come over loopback only, so they are let in without a password; but a
//! client that names another user or database than the pool's is refused, never served by another. Start-up parameters belong to
//! the client: they become its [`Identity`], which every server connection that it uses must take on first.

mod identity;
mod key;
mod opening;
mod options;
mod startup;

pub use identity::{Identities, Identity, corrections, repetition};
pub use key::{Key, Keys};
pub use opening::{Opening, Step};
pub use startup::{PACKET_MAX, Startup};

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the login.
    Opening(Opening),
    /// Its packet is read, and it waits for the first server login, which tells what to greet it with; its ticket.
    Greeting(u32),
    /// Logged in, without a server connection.
    Idle,
    /// In the queue, with its ticket: its request stays in the socket.
    Waiting(u32),
    /// It has this server connection.
    Attached(usize),
    /// It has sent a cancel request that is on its way to PostgreSQL: its connection ends with that, whatever else it says.
    Canceling,
    /// It was told why it must go; only its end is waited for, so that the kernel does not take the reason back.
    Leaving,
}
