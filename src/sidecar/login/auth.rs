//! Authentication requests and their answers: none, password, md5, SCRAM-SHA-256.

use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use zeroize::Zeroizing;

use super::error::LoginError;
use super::message::text;
use crate::sidecar::target::Secret;

const OK: u32 = 0;
const CLEARTEXT: u32 = 3;
const MD5: u32 = 5;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

/// Where the exchange stands. Each request has one place where it may come; in particular AuthenticationOk may not cut a SCRAM
/// exchange short, or an impostor could skip the proof that it knows the password.
pub(super) enum Auth {
    /// Nothing was asked yet.
    Expecting,
    /// A password or hash was sent: only the verdict is left.
    Answered,
    /// Our first message was sent.
    First(Box<ScramSha256>),
    /// Our proof was sent; the server's is due.
    Proof(Box<ScramSha256>),
}

/// Whether more requests may come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    More,
    Done,
}

impl Auth {
    pub(super) fn step(
        &mut self,
        body: &[u8],
        user: &[u8],
        password: Option<&Secret>,
        out: &mut Vec<u8>,
    ) -> Result<Step, LoginError> {
        let (code, rest) = body.split_first_chunk().ok_or(LoginError::Malformed { kind: b'R' })?;
        let password = || password.ok_or(LoginError::NoPassword);
        // On any error the state is lost, and with it the attempt.
        match (u32::from_be_bytes(*code), std::mem::replace(self, Self::Answered)) {
            (OK, Self::Expecting | Self::Answered) => return Ok(Step::Done),
            (CLEARTEXT, Self::Expecting) => answer(out, &[password()?.expose(), &[0]]),
            (MD5, Self::Expecting) => {
                let salt = rest.try_into().map_err(|_| LoginError::Malformed { kind: b'R' })?;
                let hash = Zeroizing::new(md5_hash(user, password()?.expose(), salt));
                answer(out, &[hash.as_bytes(), &[0]]);
            }
            (SASL, Self::Expecting) => {
                if !mechanisms(rest)?.any(|name| name == SCRAM_SHA_256.as_bytes()) {
                    return Err(LoginError::Mechanism);
                }
                let scram = ScramSha256::new(password()?.expose(), ChannelBinding::unsupported());
                let first = scram.message();
                let length = u32::try_from(first.len()).expect("a nonce of 24 characters is short");
                answer(out, &[SCRAM_SHA_256.as_bytes(), &[0], &length.to_be_bytes(), first]);
                *self = Self::First(Box::new(scram));
            }
            (SASL_CONTINUE, Self::First(mut scram)) => {
                scram.update(rest).map_err(|error| LoginError::Scram { detail: error.to_string() })?;
                answer(out, &[scram.message()]);
                *self = Self::Proof(scram);
            }
            (SASL_FINAL, Self::Proof(mut scram)) => {
                scram.finish(rest).map_err(|error| LoginError::Scram { detail: error.to_string() })?;
            }
            (OK | CLEARTEXT | MD5 | SASL | SASL_CONTINUE | SASL_FINAL, _) => return Err(LoginError::OutOfTurn),
            (method, _) => return Err(LoginError::Method { method }),
        }
        Ok(Step::More)
    }
}

/// PasswordMessage, SASLInitialResponse and SASLResponse share their form.
fn answer(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let length = u32::try_from(length + 4).expect("a URL is shorter than 4 GiB");
    out.push(b'p');
    out.extend_from_slice(&length.to_be_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// The list ends with an empty name.
fn mechanisms(mut rest: &[u8]) -> Result<impl Iterator<Item = &[u8]>, LoginError> {
    let mut names = Vec::new();
    loop {
        let (name, next) = text(rest).ok_or(LoginError::Malformed { kind: b'R' })?;
        if name.is_empty() {
            return Ok(names.into_iter());
        }
        names.push(name);
        rest = next;
    }
}
