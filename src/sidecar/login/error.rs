//! Why a login failed: the server's own words, or a reason of ours, both safe to show.

use thiserror::Error;

use super::message::text;

/// Longest text of a field that is kept.
const FIELD_MAX: usize = 1_024;

/// An ErrorResponse, its texts cut to 1024 bytes and freed of bytes that are not UTF-8 (PostgreSQL manual, Error and Notice
/// Message Fields).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// `FATAL`, `PANIC`, `ERROR`, not translated (field V, else S).
    pub severity: String,
    /// Five letters or digits; `XX000` where the server sent none that is.
    pub sqlstate: [u8; 5],
    /// Field M.
    pub message: String,
    /// Field D.
    pub detail: Option<String>,
    /// Field H.
    pub hint: Option<String>,
}

impl ServerError {
    /// Reads the body of an ErrorResponse or NoticeResponse. Never fails: a field that is missing or broken is left at a default,
    /// since the connection is over whatever it says.
    pub fn parse(body: &[u8]) -> Self {
        let mut error = Self { sqlstate: *b"XX000", ..Self::default() };
        let mut rest = body;
        while let Some((kind, fields)) = rest.split_first() {
            let Some((value, next)) = text(fields) else { break };
            match kind {
                b'V' => error.severity = shown(value),
                b'S' if error.severity.is_empty() => error.severity = shown(value),
                b'C' => error.sqlstate = sqlstate(value).unwrap_or(error.sqlstate),
                b'M' => error.message = shown(value),
                b'D' => error.detail = Some(shown(value)),
                b'H' => error.hint = Some(shown(value)),
                _ => {}
            }
            rest = next;
        }
        error
    }

    /// As text.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.sqlstate).unwrap_or("XX000")
    }
}

fn sqlstate(value: &[u8]) -> Option<[u8; 5]> {
    value.try_into().ok().filter(|code: &[u8; 5]| code.iter().all(u8::is_ascii_alphanumeric))
}

fn shown(value: &[u8]) -> String {
    let cut = value.get(..FIELD_MAX).unwrap_or(value);
    String::from_utf8_lossy(cut).into_owned()
}

/// Why there is no session. Messages hold no password and nothing of the URL beyond what the server itself quotes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoginError {
    /// The server said no.
    #[error("the server refused the login: {}: {}", .0.code(), .0.message)]
    Refused(Box<ServerError>),
    /// The server asks for a password and the URL has none.
    #[error("the server asks for a password, and the URL has none")]
    NoPassword,
    /// No mechanism in common.
    #[error("the server offers no SASL mechanism but ones that Weir does not speak: SCRAM-SHA-256 is needed")]
    Mechanism,
    /// GSSAPI, SSPI, Kerberos and the like.
    #[error(
        "the server asks for authentication method {method}, which Weir does not speak: use scram-sha-256, md5 or password in pg_hba.conf"
    )]
    Method {
        /// AuthenticationRequest code.
        method: u32,
    },
    /// The SCRAM exchange failed on our side: the server does not know the password, asks for too many iterations, or sends
    /// nonsense.
    #[error("SCRAM-SHA-256 failed: {detail}")]
    Scram {
        /// Never holds more than the server's own words.
        detail: String,
    },
    /// An authentication message in a place where none may come.
    #[error("the server broke the order of authentication: it may be an impostor")]
    OutOfTurn,
    /// No protocol version in common.
    #[error("the server speaks neither protocol 3.2 nor 3.0")]
    Version,
    /// A message that has no place in a start-up.
    #[error("the server sent message {kind:#04x} during the start-up: it may not be PostgreSQL")]
    Unexpected {
        /// First byte.
        kind: u8,
    },
    /// A message of an impossible length.
    #[error("the server sent message {kind:#04x} with an impossible length")]
    Length {
        /// First byte.
        kind: u8,
    },
    /// A message whose body does not have its form.
    #[error("the server sent a broken message {kind:#04x}")]
    Malformed {
        /// First byte.
        kind: u8,
    },
    /// See [`PARAMETERS_MAX`](super::PARAMETERS_MAX).
    #[error("the server reports more parameters than Weir is ready to keep")]
    TooManyParameters,
}

impl LoginError {
    /// What a client that waits for this login is told: the server's own code, else one of the same meaning (PostgreSQL manual,
    /// Appendix A).
    pub fn sqlstate(&self) -> [u8; 5] {
        match self {
            Self::Refused(error) => error.sqlstate,
            Self::NoPassword | Self::Scram { .. } => *b"28P01",
            Self::Mechanism | Self::Method { .. } | Self::OutOfTurn => *b"28000",
            _ => *b"08P01",
        }
    }
}
