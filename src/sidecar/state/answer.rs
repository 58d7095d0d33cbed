//! What the server said about its session.

use thiserror::Error;

use super::{Pin, Pins};
use crate::sidecar::wire::{Parameters, columns};

/// Who a session is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// `SESSION_USER`.
    pub session: Box<[u8]>,
    /// The setting `role`: `none` where it is the same.
    pub current: Box<[u8]>,
}

/// The state of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    settings: Parameters,
    roles: Roles,
    pins: Pins,
}

/// Why an answer is none: the state of the session is then unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the answer to the question for the session's state has an unexpected form")]
pub struct AnswerError;

/// Can be set on a fresh connection only: PostgreSQL refuses it once temporary tables were used.
const TEMP_BUFFERS: &[u8] = b"temp_buffers";

impl Answer {
    /// Reads the bodies of the DataRow messages that answered [`super::SQL`] or [`super::WHO`].
    pub fn parse<'a>(rows: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, AnswerError> {
        let mut answer = Self::default();
        let mut roles = None;
        let (mut custom, mut unset) = (Vec::new(), Vec::new());
        for row in rows {
            let [Some(kind), name, value] = columns(row).ok_or(AnswerError)? else { return Err(AnswerError) };
            match (kind, name, value) {
                (b"r", Some(session), Some(current)) => {
                    let found = Roles { session: bytes(session)?.into(), current: bytes(current)?.into() };
                    if roles.replace(found).is_some() {
                        return Err(AnswerError);
                    }
                }
                (b"s" | b"x", Some(name), Some(value)) => answer.setting(kind == b"s", name, &bytes(value)?),
                (b"u", Some(name), Some(value)) => custom.push((name, bytes(value)?)),
                (b"d", Some(name), _) => unset.push(name),
                (b"l", None, None) => answer.pins.insert(Pin::Listen),
                (b"c", None, None) => answer.pins.insert(Pin::Cursor),
                (b"t", None, None) => answer.pins.insert(Pin::Temporary),
                (b"p", None, None) => answer.pins.insert(Pin::Prepared),
                (b"k", None, None) => answer.pins.insert(Pin::Lock),
                _ => return Err(AnswerError),
            }
        }
        // Where an extension has defined it, pg_settings tells.
        custom.retain(|(name, _)| {
            answer.settings.get(name).is_none() && !unset.iter().any(|unset| name.eq_ignore_ascii_case(unset))
        });
        for (name, value) in custom {
            answer.setting(true, name, &value);
        }
        answer.roles = roles.ok_or(AnswerError)?;
        Ok(answer)
    }

    fn setting(&mut self, may_be_set: bool, name: &[u8], value: &[u8]) {
        // Values travel in the client's encoding, which the next connection may not have.
        if !may_be_set || name.eq_ignore_ascii_case(TEMP_BUFFERS) || !value.is_ascii() {
            self.pins.insert(Pin::Setting);
        }
        let schema = b"pg_temp";
        if name == b"search_path" && value.windows(schema.len()).any(|part| part.eq_ignore_ascii_case(schema)) {
            // CREATE TABLE AS there shows neither in its text nor in its tag.
            self.pins.insert(Pin::Temporary);
        }
        self.settings.set(name, value);
    }

    /// What is set in the session: all of pg_settings, with units left out, and the custom parameters that were asked for. A custom
    /// parameter that was reset has an empty value, as it has in PostgreSQL.
    pub fn settings(&self) -> &Parameters {
        &self.settings
    }

    /// Who the session is now.
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// Why the session can't be another client's, nor the client on another connection. `login` is who a fresh connection is;
    /// `startup` are the start-up parameters of the client, a role among them is its own.
    pub fn pins(&self, login: &Roles, startup: &Parameters) -> Pins {
        let session = startup.get(b"session_authorization").unwrap_or(&login.session);
        let current = startup.get(b"role").unwrap_or(&login.current);
        // RESET ROLE leads to none on a connection whose own start-up packet had no role.
        let is_reset = &*self.roles.current == b"none" && startup.get(b"role").is_some();
        let mut pins = self.pins;
        if *self.roles.session != *session || (*self.roles.current != *current && !is_reset) {
            pins.insert(Pin::Role);
        }
        pins
    }
}

impl Roles {
    /// Of a fresh connection of this user, as long as the server was not asked whether it gives every login another role.
    pub fn of_login(user: &[u8]) -> Self {
        Self { session: user.into(), current: (*b"none").into() }
    }
}

/// Bytes from the format `escape`: a backslash doubled, others as they are or as `\` and three octal digits.
fn bytes(text: &[u8]) -> Result<Vec<u8>, AnswerError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'\\', [b'\\', after @ ..]) => {
                bytes.push(b'\\');
                rest = after;
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            (b'\\', _) => return Err(AnswerError),
            (byte, _) => bytes.push(*byte),
        }
    }
    Ok(bytes)
}
