//! TLS towards the server: the SSLRequest exchange, then records in and out, without I/O.
//!
//! Two rules hold whatever the server does. Nothing that arrived before the handshake is kept (PgBouncer CVE-2021-3935): the answer
//! to SSLRequest is one byte, and a second one ends the attempt. And a connection never goes on in plain when the policy asked for
//! TLS, nor after a handshake that failed, under `prefer` either (libpq would try again in plain; a server whose TLS is broken
//! needs `sslmode=disable`, said by name).
//!
//! Source: PostgreSQL manual, Message Flow, SSL Session Encryption.

mod error;
mod policy;
mod verifier;

use std::fmt;
use std::io::{BufRead, Write};

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

pub use error::TlsError;
pub use policy::{Demand, Policy, ROOTS_PATH, Roots, RootsError, Verification, Versions};

/// SSLRequest: its length, then 1234 and 5679.
pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// How bytes travel on a server connection.
pub enum Transport {
    /// As they are: the loop must use its buffers directly ([`Transport::is_plain`]) instead of copying through here.
    Plain,
    /// In TLS records.
    Tls(Box<ClientConnection>),
}

/// The exchange of SSLRequest and its answer, for one connection.
#[derive(Debug)]
pub struct Negotiation {
    policy: Policy,
    host: String,
}

impl Negotiation {
    /// `host` is the name in the URL, for the certificate and SNI. `None` when the policy asks for no TLS: the connection is plain
    /// from the first byte.
    pub fn new(policy: &Policy, host: &str) -> Option<Self> {
        (policy.demand() != Demand::Disable).then(|| Self { policy: policy.clone(), host: host.to_owned() })
    }

    /// Writes the request.
    pub fn start(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&SSL_REQUEST);
    }

    /// Takes everything that has arrived, at least one byte. After `Ok` of a TLS transport, send what [`Transport::drain`] gives.
    pub fn answer(self, input: &[u8]) -> Result<Transport, TlsError> {
        match input {
            [b'S'] => self.handshake(),
            [b'N'] if self.policy.demand() == Demand::Prefer => Ok(Transport::Plain),
            [b'N'] => Err(TlsError::NotOffered),
            [b'S' | b'N', ..] => Err(TlsError::EarlyBytes),
            [other, ..] => Err(TlsError::Answer { byte: *other }),
            [] => Err(TlsError::EndOfStream),
        }
    }

    fn handshake(self) -> Result<Transport, TlsError> {
        let config = self.policy.config().ok_or(TlsError::NotOffered)?;
        let name = ServerName::try_from(self.host).map_err(|_| TlsError::HostName)?;
        let connection = ClientConnection::new(std::sync::Arc::clone(config), name)
            .map_err(|error| TlsError::from_rustls(&error))?;
        Ok(Transport::Tls(Box::new(connection)))
    }
}

impl Transport {
    /// Whether bytes travel as they are.
    pub const fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }

    /// Whether the handshake is not done yet: the StartupMessage must wait.
    pub fn is_handshaking(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tls(connection) => connection.is_handshaking(),
        }
    }

    /// Takes records, whole or in parts, and appends what they carry to `plaintext`. Afterwards [`Transport::drain`] may have bytes
    /// for the server: the next flight, a key update, or the alert that explains an error returned here.
    pub fn decrypt(&mut self, mut input: &[u8], plaintext: &mut Vec<u8>) -> Result<(), TlsError> {
        let Self::Tls(connection) = self else {
            plaintext.extend_from_slice(input);
            return Ok(());
        };
        while !input.is_empty() {
            // Reading from a slice cannot fail; what can is rustls's own bound on what it holds.
            match connection.read_tls(&mut input) {
                Err(_) => return Err(TlsError::Overflow),
                // It takes nothing after close_notify.
                Ok(0) => return Ok(()),
                Ok(_) => {}
            }
            let state = connection.process_new_packets().map_err(|error| TlsError::from_rustls(&error))?;
            let (mut pending, closed) = (state.plaintext_bytes_to_read(), state.peer_has_closed());
            while pending > 0 {
                let mut reader = connection.reader();
                let chunk = reader.fill_buf().map_err(|_| TlsError::EndOfStream)?;
                let length = chunk.len();
                plaintext.extend_from_slice(chunk);
                reader.consume(length);
                pending = pending.saturating_sub(length.max(1));
            }
            if closed {
                // What follows close_notify is no part of the session (RFC 8446 section 6.1).
                return Ok(());
            }
        }
        Ok(())
    }

    /// Appends the records that carry `plaintext` to `out`, and whatever [`Transport::drain`] would.
    pub fn encrypt(&mut self, mut plaintext: &[u8], out: &mut Vec<u8>) {
        let Self::Tls(connection) = self else {
            out.extend_from_slice(plaintext);
            return;
        };
        while !plaintext.is_empty() {
            // rustls takes what fits in its buffer, which the drain below empties.
            let taken = connection.writer().write(plaintext).unwrap_or(0);
            plaintext = plaintext.get(taken..).unwrap_or_default();
            if drain(connection, out) == 0 && taken == 0 {
                // Before the handshake's end: rustls holds what it took and refuses the rest. The login waits for the end.
                return;
            }
        }
    }

    /// Appends what rustls wants to send by itself: handshake flights, key updates, alerts.
    pub fn drain(&mut self, out: &mut Vec<u8>) {
        if let Self::Tls(connection) = self {
            drain(connection, out);
        }
    }

    /// Appends close_notify to `out`: nothing may be encrypted afterwards.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if let Self::Tls(connection) = self {
            connection.send_close_notify();
            drain(connection, out);
        }
    }
}

fn drain(connection: &mut ClientConnection, out: &mut Vec<u8>) -> usize {
    let before = out.len();
    while connection.wants_write() {
        if !matches!(connection.write_tls(out), Ok(1..)) {
            break;
        }
    }
    out.len() - before
}

impl fmt::Debug for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_plain() { "Plain" } else { "Tls(..)" })
    }
}

#[cfg(test)]
mod tests;
