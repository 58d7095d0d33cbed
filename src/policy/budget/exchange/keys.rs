//! Ed25519 (RFC 8032) over what is sent, and nothing else.
//!
//! A signed message ends in `key id (8 bytes) | signature (64 bytes)`. Signed is [`DOMAIN`] and then every byte of the message in
//! front of the signature, so version, kind and key id are under it and no other use of the key can be mistaken for a statement.
//! A pod checks with any of the keys that it was injected with; which of them is old it cannot know, so a key is withdrawn by
//! keeping its private half out of reach, and the operator signs with the newest that the pod's hello names.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::{Hello, KeyId, Refusal};

/// In front of what is signed.
pub(super) const DOMAIN: &[u8] = b"weir.dev/exchange\0";
const KEY_ID: usize = 8;
const SIGNATURE: usize = 64;
pub(super) const TRAILER: usize = KEY_ID + SIGNATURE;

/// The private half of a key. No Debug: it is secret.
pub struct SigningKey {
    id: KeyId,
    pair: Ed25519KeyPair,
}

/// It is no Ed25519 key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("cannot understand an Ed25519 key")]
pub struct KeyError;

impl SigningKey {
    /// From PKCS#8 (RFC 8410), as the operator's Secret holds it.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyError> {
        Self::new(Ed25519KeyPair::from_pkcs8(bytes).map_err(|_| KeyError)?)
    }

    pub(super) fn new(pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError)?;
        Ok(Self { id: KeyId::of(&public), pair })
    }

    /// Of the public half.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Of the operator's keys, oldest first, the one to sign with for the boot that said this. A hello may be an old one, but all that
    /// it can do here is to choose among the operator's own. `None` where the pod would understand none of them.
    pub fn for_boot<'a>(own: &'a [Self], hello: &Hello) -> Option<&'a Self> {
        own.iter().rev().find(|key| hello.keys.contains(&key.id))
    }

    /// Makes a message of what stands in front of the trailer.
    pub(super) fn sign(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.extend_from_slice(&self.id.0);
        let signature = self.pair.sign(&[DOMAIN, &bytes].concat());
        bytes.extend_from_slice(signature.as_ref());
        bytes
    }
}

/// The public halves that a pod was injected with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Keys(Vec<(KeyId, [u8; 32])>);

impl Keys {
    /// In the order of the list.
    pub fn new(public: impl IntoIterator<Item = [u8; 32]>) -> Self {
        Self(public.into_iter().map(|key| (KeyId::of(&key), key)).collect())
    }

    /// In the order of the list.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.0.iter().map(|(id, _)| *id)
    }

    /// Checks the signature over `message`, of which `rest` is the end, and takes the trailer off `rest`.
    pub(super) fn verify<'a>(&self, message: &[u8], rest: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let (fields, trailer) = rest
            .len()
            .checked_sub(TRAILER)
            .and_then(|at| rest.split_at_checked(at))
            .ok_or(Refusal::Malformed("signature"))?;
        let (signed, signature) = message.split_at(message.len() - SIGNATURE);
        let named = |id: &KeyId| trailer.starts_with(&id.0);
        if !self.0.iter().any(|(id, _)| named(id)) {
            return Err(Refusal::UnknownKey);
        }
        let signed = [DOMAIN, signed].concat();
        let verifies = |key: &[u8; 32]| UnparsedPublicKey::new(&ED25519, key).verify(&signed, signature).is_ok();
        let good = self.0.iter().any(|(id, key)| named(id) && verifies(key));
        if good { Ok(fields) } else { Err(Refusal::BadSignature) }
    }
}
