//! The Ed25519 keys that statements to sidecars will be signed with.
//!
//! A pod learns the public halves when it is injected and keeps them for its life, so the key is made before the first pod and
//! the Secret keeps every key that a living pod may hold. Only public halves leave this module.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};

use crate::api::document::{Document, DocumentError};

/// A key could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make an Ed25519 key")]
pub struct MakeError;

/// What the Secret holds. No Debug: it holds keys.
#[derive(Serialize, Deserialize)]
struct Keys {
    /// Oldest first.
    keys: Vec<Key>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Key {
    /// PKCS#8, base64.
    private: String,
    /// Base64.
    public: String,
    since: Timestamp,
}

/// The public keys in base64; makes the first key where there is none.
pub async fn public_keys(document: &Document, now: Timestamp) -> Result<Vec<String>, DocumentError> {
    let keys = document.keep(|current: Option<&Keys>| next(current, now)).await?;
    Ok(keys.map(|keys| keys.keys.into_iter().map(|key| key.public).collect()).unwrap_or_default())
}

fn next(current: Option<&Keys>, now: Timestamp) -> Result<Option<Keys>, MakeError> {
    if current.is_some_and(|current| !current.keys.is_empty()) {
        return Ok(None);
    }
    let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| MakeError)?;
    let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).map_err(|_| MakeError)?;
    let key =
        Key { private: STANDARD.encode(private.as_ref()), public: STANDARD.encode(pair.public_key()), since: now };
    Ok(Some(Keys { keys: vec![key] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_one_key_and_keeps_it() {
        let now = "2026-01-01T00:00:00Z".parse().expect("a time");
        let made = next(None, now).unwrap_or_else(|error| panic!("{error}")).expect("none was there");
        assert_eq!(STANDARD.decode(&made.keys[0].public).expect("base64").len(), 32);
        assert!(next(Some(&made), now).unwrap_or_else(|error| panic!("{error}")).is_none());
        assert!(next(Some(&Keys { keys: Vec::new() }), now).unwrap_or_else(|error| panic!("{error}")).is_some());
    }
}
