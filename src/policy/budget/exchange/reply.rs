//! HMAC-SHA256 (RFC 2104) over what a pod says, by a key that the pods of one pool share with the operator.
//!
//! An address may be reused while the API server still shows it as a pod's. Who listens there receives the message, so everything
//! that an answer repeats. The leader would believe a stranger's "final" and give away what a living pod still has, or a stranger's
//! huge epoch, above which no leader could ever claim one. So what a pod says ends in 32 bytes of MAC over every byte in front of
//! them, version and kind included, and nothing of a stranger's is read but the header.
//!
//! The webhook injects the key into the pods of its pool, where those see it who may read pods in that namespace; the operator keeps
//! the secret that it derives all of them from. A pod keeps its key for life, so the operator tries each secret that a living pod
//! may have been injected from.

use ring::hmac;

use super::{PoolName, Refusal};

/// In front of the pool's name, where a key is derived.
const DOMAIN: &[u8] = b"weir reply key 1\0";
const MAC: usize = 32;

/// What the pods of a pool prove themselves with. No Debug, no comparison: it is secret.
#[derive(Clone)]
pub struct ReplyKey([u8; 32]);

/// Those that the pods of a pool may have, as the operator's secret rotates.
#[derive(Clone, Default)]
pub struct ReplyKeys(Vec<ReplyKey>);

impl ReplyKey {
    /// As a pod was injected with it.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// From one of the operator's secrets.
    pub fn derive(secret: &[u8; 32], pool: &PoolName) -> Self {
        Self(mac(secret, &[DOMAIN, pool.as_str().as_bytes()].concat()))
    }

    /// To inject it. Secret.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Makes a message of what stands in front of the MAC.
    pub(super) fn seal(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let mac = mac(&self.0, &bytes);
        bytes.extend_from_slice(&mac);
        bytes
    }
}

impl ReplyKeys {
    /// In any order; with none, everything is forged.
    pub fn new(keys: impl IntoIterator<Item = ReplyKey>) -> Self {
        Self(keys.into_iter().collect())
    }

    /// From all the secrets that a living pod may have been injected from.
    pub fn derive<'a>(secrets: impl IntoIterator<Item = &'a [u8; 32]>, pool: &PoolName) -> Self {
        Self::new(secrets.into_iter().map(|secret| ReplyKey::derive(secret, pool)))
    }

    /// Checks the MAC over `message`, of which `rest` is the end, and takes it off `rest`. How long that takes tells nothing of how
    /// much of a MAC was right.
    pub(super) fn verify<'a>(&self, message: &[u8], rest: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let at = rest.len().checked_sub(MAC);
        let (fields, mac) = at.and_then(|at| rest.split_at_checked(at)).ok_or(Refusal::Malformed("MAC"))?;
        let (sealed, _) = message.split_at(message.len() - MAC);
        let seals = |key: &ReplyKey| hmac::verify(&hmac_key(&key.0), sealed, mac).is_ok();
        if self.0.iter().any(seals) { Ok(fields) } else { Err(Refusal::Forged) }
    }
}

fn hmac_key(key: &[u8; 32]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key)
}

fn mac(key: &[u8; 32], message: &[u8]) -> [u8; MAC] {
    let mut out = [0; MAC];
    out.copy_from_slice(hmac::sign(&hmac_key(key), message).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any other derivation would leave running pods without a leader.
    #[test]
    fn a_key_is_derived_from_the_secret_and_the_pool() {
        let key = |secret: u8, pool| ReplyKey::derive(&[secret; 32], &PoolName::new(pool).unwrap()).0;
        // As OpenSSL makes it.
        let hex = super::super::Digest(key(7, "shop/orders")).to_string();
        assert_eq!(hex, "53688c36cf262bbcb617bd179b317be83a055ea79220e8737bcb1b71c3c835cc");
        assert_ne!(key(7, "shop/orders"), key(7, "shop/other"));
        assert_ne!(key(7, "shop/orders"), key(8, "shop/orders"));
    }
}
