//! The words that messages are made of, each with its bounds. None of them is secret.

use std::fmt;
use std::num::NonZeroU64;

use ring::digest::{SHA256, digest};

/// UID of a pod: 1 to 64 letters, digits and hyphens. A UUID wherever the API server made it, which nothing here relies on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodUid(String);

/// `namespace/name` of a pool: two DNS labels, the name of at most [`crate::names::POOL_NAME_MAX`] characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolName(String);

/// The random identity of one run of a sidecar's process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(pub [u8; 16]);

/// What a boot said a moment ago, and nobody can have known before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub [u8; 16]);

/// What the asker of a hello made up: the hello that repeats it was made after it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Challenge(pub [u8; 16]);

/// SHA-256 of a message, signature included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// The first 8 bytes of a public key's SHA-256. Says which key to try, and proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

/// One leadership, from 1: no two leaders ever have the same. A leader has its own from the ledger alone, never from what a pod says: a
/// pod's may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(NonZeroU64);

/// Which statement of an epoch, from 1. Counts up for a pod, whichever of its boots is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(NonZeroU64);

impl PodUid {
    /// `None` where it is no UID.
    pub fn new(text: &str) -> Option<Self> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        ((1..=64).contains(&text.len()) && text.bytes().all(legal)).then(|| Self(text.to_owned()))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PoolName {
    /// `None` where it names no pool.
    pub fn new(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        (is_label(namespace, 63) && is_label(name, crate::names::POOL_NAME_MAX)).then(|| Self(text.to_owned()))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 1123, as Kubernetes reads it: lower case.
fn is_label(text: &str, max: usize) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=max).contains(&text.len())
        && text.bytes().all(|byte| alphanumeric(byte) || byte == b'-')
        && [text.bytes().next(), text.bytes().last()].iter().flatten().all(|byte| alphanumeric(*byte))
}

impl Epoch {
    /// The lowest.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// `None` for 0, which stands for "none yet" wherever a number must stand.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// From 1.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl Sequence {
    /// `None` for 0.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// From 1.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl BootId {
    /// 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|number| Self(number.to_be_bytes()))
    }
}

impl Digest {
    /// Of the bytes of a whole message.
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(out)
    }
}

impl KeyId {
    /// Of an Ed25519 public key.
    pub fn of(public: &[u8; 32]) -> Self {
        let mut out = [0; 8];
        out.iter_mut().zip(Digest::of(public).0).for_each(|(to, from)| *to = from);
        Self(out)
    }
}

macro_rules! hexadecimal {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{self}")
            }
        }
    )*};
}

hexadecimal!(BootId, Nonce, Challenge, Digest, KeyId, super::RoleId);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::budget::Connections;

    #[test]
    fn words_have_bounds() {
        let pod = |text: &str| PodUid::new(text).is_some();
        assert_eq!(["a", "0f-A", &"x".repeat(64)].map(pod), [true; 3]);
        assert_eq!(["", "a b", "a/b", "ä", &"x".repeat(65)].map(pod), [false; 5]);

        let pool = |text: &str| PoolName::new(text).is_some();
        let longest = format!("{}/{}", "n".repeat(63), "p".repeat(50));
        assert_eq!(["shop/orders", "a/0-b", &longest].map(pool), [true; 3]);
        let long = [format!("{}/p", "n".repeat(64)), format!("n/{}", "p".repeat(51))];
        assert_eq!(long.each_ref().map(|text| pool(text)), [false; 2]);
        assert_eq!(["", "/", "a", "a/", "/a", "a/b/c", "A/b", "-a/b", "a-/b", "a/b.c"].map(pool), [false; 10]);

        assert_eq!(Connections::new(0x3_FFFF), Some(Connections::MAX));
        assert_eq!((Connections::new(0x4_0000), Epoch::new(0), Sequence::new(0)), (None, None, None));
    }
}
