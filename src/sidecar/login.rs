//! The client's side of PostgreSQL's start-up, from StartupMessage to ReadyForQuery, without I/O.
//!
//! Bytes in, bytes out; it never reads past ReadyForQuery. Whatever a server sends, memory stays within the bounds below and
//! nothing panics: a hostile or broken server costs one attempt. As libpq does, it answers whatever the server asks for, a
//! password in clear included (what protects it on the way is the URL's sslmode), but once a SCRAM exchange has begun it is not
//! logged in before the server has proved that it knows the password too.
//!
//! The password is wiped from memory with the last [`Secret`] that shares it; while a SCRAM exchange runs, the library that
//! computes it holds one more copy, which it does not wipe.
//!
//! SCRAM-SHA-256-PLUS is not spoken yet. Where the server offers it, plain SCRAM-SHA-256 is used with the flag 'n' ("the client
//! does not support channel binding", RFC 5802 section 6), as libpq does with `channel_binding=disable`.
//!
//! Source: PostgreSQL manual, Message Flow, Start-up, and Message Formats.

mod auth;
mod error;
mod message;
mod offer;

use std::fmt;

use self::auth::{Auth, Step};
use self::message::{MessageError, Take, take};
use crate::sidecar::target::{Bytes, Secret, Target};
use crate::sidecar::wire::{CANCEL_KEY_MAX, Version};

pub use error::{LoginError, ServerError};
pub use offer::Offer;

/// Longest error or notice (libpq: 30 000), also for a parameter's value.
pub const MESSAGE_MAX: usize = 30_000;
/// Longest authentication request (libpq: 2 000).
pub const AUTHENTICATION_MAX: usize = 2_000;
/// PostgreSQL 18 reports 15 parameters; extensions may add some.
pub const PARAMETERS_MAX: usize = 256;
/// Names and values of all parameters together.
pub const PARAMETERS_BYTES_MAX: usize = 64 * 1024;

/// A server connection that is ready for its first query.
pub struct LoggedIn {
    /// ParameterStatus values, the last of each name, in the order in which they first came.
    pub parameters: Vec<(Bytes, Bytes)>,
    /// The backend's process, 0 if the server sent no BackendKeyData (a pooler may not).
    pub pid: i32,
    /// What a CancelRequest must show; empty if the server sent none.
    pub secret: Box<[u8]>,
}

impl fmt::Debug for LoggedIn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LoggedIn").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// Whether a server has shown that it could read the start-up packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// It sent nothing yet, or an error that came first of all.
    None,
    /// It sent something that only follows a packet that was read.
    Some,
}

/// One login. Give it all bytes of the server (decrypted) until [`Login::feed`] returns [`LoggedIn`] or an error.
pub struct Login {
    user: Bytes,
    asked: Version,
    reaction: Reaction,
    startup: Vec<u8>,
    password: Option<Secret>,
    phase: Phase,
    parameters: Vec<(Bytes, Bytes)>,
    parameter_bytes: usize,
    key: Option<(i32, Box<[u8]>)>,
}

enum Phase {
    /// The server has not said yet that we are who we say.
    Authenticating(Auth),
    /// AuthenticationOk has come.
    Starting,
    /// ReadyForQuery or an error has come.
    Over,
}

impl Login {
    /// A login at `target` whose backend shows `application_name` in pg_stat_activity until someone sets another. The server may
    /// choose an older version of the protocol than `asked`.
    pub fn new(target: &Target, application_name: &str, asked: Version) -> Self {
        let mut body = Vec::with_capacity(256);
        let mut pair = |name: &[u8], value: &[u8]| {
            for text in [name, value] {
                body.extend_from_slice(text);
                body.push(0);
            }
        };
        pair(b"user", &target.user);
        pair(b"database", &target.database);
        pair(b"application_name", application_name.as_bytes());
        for (name, value) in &target.startup {
            pair(name, value);
        }
        body.push(0);
        let length = u32::try_from(body.len() + 8).unwrap_or(u32::MAX);
        let mut startup = Vec::with_capacity(body.len() + 8);
        startup.extend_from_slice(&length.to_be_bytes());
        startup.extend_from_slice(&asked.0.to_be_bytes());
        startup.extend_from_slice(&body);
        Self {
            user: target.user.clone(),
            asked,
            reaction: Reaction::None,
            startup,
            password: target.password.clone(),
            phase: Phase::Authenticating(Auth::Expecting),
            parameters: Vec::new(),
            parameter_bytes: 0,
            key: None,
        }
    }

    /// The version that it asks for.
    pub const fn asked(&self) -> Version {
        self.asked
    }

    /// See [`Reaction`].
    pub const fn reaction(&self) -> Reaction {
        self.reaction
    }

    /// Appends the StartupMessage. To be sent once, when TLS is settled.
    pub fn start(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.startup);
    }

    /// Takes the whole messages at the start of `input` and appends the answers to `out`. Returns how many bytes were taken: the
    /// caller keeps the rest, which never needs to grow past [`MESSAGE_MAX`] and a header, and gives it again with more. After
    /// `LoggedIn` the rest belongs to the session.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(usize, Option<LoggedIn>), LoginError> {
        let mut taken = 0;
        while !matches!(self.phase, Phase::Over) {
            let rest = input.get(taken..).unwrap_or_default();
            let (kind, body, length) = match take(rest, Self::bound) {
                Ok(Take::Message { kind, body, length }) => (kind, body, length),
                Ok(Take::Partial) => break,
                Err(MessageError::Length { kind }) => return self.fail(LoginError::Length { kind }),
                Err(MessageError::Kind { kind }) => return self.fail(LoginError::Unexpected { kind }),
            };
            taken += length;
            match self.message(kind, body, out) {
                Ok(None) => {}
                Ok(Some(logged_in)) => {
                    self.phase = Phase::Over;
                    return Ok((taken, Some(logged_in)));
                }
                Err(error) => return self.fail(error),
            }
        }
        Ok((taken, None))
    }

    fn fail<T>(&mut self, error: LoginError) -> Result<T, LoginError> {
        self.phase = Phase::Over;
        self.password = None;
        Err(error)
    }

    /// The longest body of a kind of message; `None` for kinds that have no place in a start-up.
    const fn bound(kind: u8) -> Option<usize> {
        match kind {
            b'R' | b'v' => Some(AUTHENTICATION_MAX),
            b'E' | b'N' | b'S' => Some(MESSAGE_MAX),
            b'K' => Some(4 + CANCEL_KEY_MAX),
            b'Z' => Some(1),
            _ => None,
        }
    }

    fn message(&mut self, kind: u8, body: &[u8], out: &mut Vec<u8>) -> Result<Option<LoggedIn>, LoginError> {
        match (kind, &mut self.phase) {
            (b'E', _) => return Err(LoginError::Refused(Box::new(ServerError::parse(body)))),
            (b'N', _) => {}
            (b'v', Phase::Authenticating(_)) => {
                message::negotiated(body, self.asked)?;
                self.reaction = Reaction::Some;
            }
            (b'R', Phase::Authenticating(auth)) => {
                self.reaction = Reaction::Some;
                if auth.step(body, &self.user, self.password.as_ref(), out)? == Step::Done {
                    self.phase = Phase::Starting;
                    self.password = None;
                }
            }
            (b'S', Phase::Starting) => self.parameter(body)?,
            (b'K', Phase::Starting) => {
                let (pid, secret) = body.split_first_chunk().ok_or(LoginError::Malformed { kind })?;
                self.key = Some((i32::from_be_bytes(*pid), secret.into()));
            }
            (b'Z', Phase::Starting) => {
                if body != b"I" {
                    return Err(LoginError::Malformed { kind });
                }
                let (pid, secret) = self.key.take().unwrap_or_default();
                return Ok(Some(LoggedIn { parameters: std::mem::take(&mut self.parameters), pid, secret }));
            }
            _ => return Err(LoginError::Unexpected { kind }),
        }
        Ok(None)
    }

    fn parameter(&mut self, body: &[u8]) -> Result<(), LoginError> {
        let (name, value) = message::pair(body).ok_or(LoginError::Malformed { kind: b'S' })?;
        if let Some((_, old)) = self.parameters.iter_mut().find(|(known, _)| **known == *name) {
            self.parameter_bytes = self.parameter_bytes + value.len() - old.len();
            *old = value.into();
        } else {
            self.parameter_bytes += name.len() + value.len();
            self.parameters.push((name.into(), value.into()));
        }
        if self.parameters.len() > PARAMETERS_MAX || self.parameter_bytes > PARAMETERS_BYTES_MAX {
            return Err(LoginError::TooManyParameters);
        }
        Ok(())
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Login(..)")
    }
}

#[cfg(test)]
mod tests;
