//! The keys by which our clients cancel: our own, never PostgreSQL's.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};

use crate::sidecar::wire::{CANCEL_KEY_MAX, CANCEL_KEY_SHORT, Version};

/// BackendKeyData of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// Positive, as clients expect of a process id. Holds the client's place in the table in its low bits.
    pub pid: u32,
    secret: Secret,
}

/// What a cancel request must show.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Secret {
    /// Random, as far as `length` says; the rest is zero.
    bytes: [u8; LONG],
    /// [`CANCEL_KEY_SHORT`] or [`LONG`]; 0 for what is none of ours.
    length: usize,
}

/// Length of a secret for clients of protocol 3.2, as PostgreSQL 18 makes it.
const LONG: usize = 32;

/// Low bits of [`Key::pid`] that say which client: 1,048,575 of them, far beyond what a process may have of files.
const PLACE_BITS: u32 = 20;
const PLACE_MASK: u32 = (1 << PLACE_BITS) - 1;

impl Key {
    /// Reads what follows the code of a CancelRequest. A secret of a length that none of ours has is one that matches nothing.
    pub fn read(body: &[u8]) -> Option<Self> {
        let (pid, secret) = body.split_first_chunk()?;
        let pid = u32::from_be_bytes(*pid);
        (1..=CANCEL_KEY_MAX).contains(&secret.len()).then(|| Self { pid, secret: Secret::of(secret) })
    }

    /// Appends it as BackendKeyData and CancelRequest have it.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.pid.to_be_bytes());
        out.extend_from_slice(self.secret.bytes.get(..self.secret.length).unwrap_or_default());
    }

    /// Place of the client that this key may belong to; the whole key must still be compared.
    pub fn place(&self) -> Option<usize> {
        (self.pid & PLACE_MASK).checked_sub(1).map(|place| place as usize)
    }

    /// Compares in a time that tells nothing but the length, which is no secret.
    pub fn matches(&self, other: &Self) -> bool {
        let differ = self.secret.bytes.iter().zip(&other.secret.bytes).fold(0, |differ, (a, b)| differ | (a ^ b));
        let same_length = self.secret.length == other.secret.length && self.secret.length > 0;
        same_length && (self.pid ^ other.pid) | u32::from(std::hint::black_box(differ)) == 0
    }
}

impl Secret {
    fn of(bytes: &[u8]) -> Self {
        let mut secret = Self::default();
        if let CANCEL_KEY_SHORT | LONG = bytes.len()
            && let Some(place) = secret.bytes.get_mut(..bytes.len())
        {
            place.copy_from_slice(bytes);
            secret.length = bytes.len();
        }
        secret
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret({})", self.length)
    }
}

/// Makes keys, from random bytes fetched a few hundred at a time.
pub struct Keys {
    source: SystemRandom,
    bytes: [u8; 512],
    left: usize,
}

impl Default for Keys {
    fn default() -> Self {
        Self { source: SystemRandom::new(), bytes: [0; 512], left: 0 }
    }
}

impl Keys {
    /// A key for the client at `place`, which speaks `version`; `None` if the kernel has no random bytes or the place does not fit.
    pub fn make(&mut self, place: usize, version: Version) -> Option<Key> {
        let place = u32::try_from(place).ok()?.checked_add(1).filter(|place| *place <= PLACE_MASK)?;
        let high = self.number()?;
        let mut secret = [0; LONG];
        let length = if version >= Version::V3_2 { LONG } else { CANCEL_KEY_SHORT };
        let secret = secret.get_mut(..length)?;
        for part in secret.chunks_mut(size_of::<u32>()) {
            part.copy_from_slice(&self.number()?.to_be_bytes());
        }
        Some(Key { pid: (high << PLACE_BITS) & 0x7fff_ffff | place, secret: Secret::of(secret) })
    }

    /// A random number, for keys and for jitter.
    pub fn number(&mut self) -> Option<u32> {
        if self.left < 4 {
            self.source.fill(&mut self.bytes).ok()?;
            self.left = self.bytes.len();
        }
        self.left -= 4;
        let bytes = self.bytes.get(self.left..)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VERSIONS: [(Version, usize); 3] = [(Version::V3_0, 4), (Version(0x3_0001), 4), (Version::V3_2, 32)];

    fn written(key: &Key) -> Vec<u8> {
        let mut out = Vec::new();
        key.write(&mut out);
        out
    }

    #[test]
    fn a_key_leads_to_its_place_and_no_two_are_alike() {
        let mut keys = Keys::default();
        for (version, length) in VERSIONS {
            let made: Vec<_> = (0..2000).map(|_| keys.make(77, version).unwrap()).collect();
            assert!(made.iter().all(|key| key.place() == Some(77) && key.pid < 1 << 31 && key.matches(key)));
            assert!(made.iter().all(|key| written(key).len() == 4 + length));
            assert!(made.windows(2).all(|pair| !pair[0].matches(&pair[1])));
            assert!(keys.make(PLACE_MASK as usize, version).is_none());
        }
        assert_eq!(Key::default().place(), None);
        assert!(!Key::default().matches(&Key::default()), "no key is no key");
    }

    #[test]
    fn a_part_of_a_key_or_more_than_it_is_another_one() {
        let mut keys = Keys::default();
        for (version, length) in VERSIONS {
            let key = keys.make(5, version).unwrap();
            let whole = written(&key);
            assert!(Key::read(&whole).unwrap().matches(&key));
            for part in 5..4 + length {
                assert!(!Key::read(&whole[..part]).unwrap().matches(&key), "{part} bytes");
            }
            let padded = [&whole[..], &[0; 28]].concat();
            assert!(!Key::read(&padded).unwrap().matches(&key));
            for at in 0..whole.len() {
                let mut wrong = whole.clone();
                wrong[at] ^= 1;
                assert!(!Key::read(&wrong).unwrap().matches(&key), "byte {at}");
            }
            assert_eq!(format!("{key:?}"), format!("Key {{ pid: {}, secret: Secret({length}) }}", key.pid));
        }
        for length in [0, 3, 4, 4 + CANCEL_KEY_MAX + 1] {
            assert_eq!(Key::read(&vec![7; length]), None, "{length} bytes");
        }
        assert!(Key::read(&[7; 4 + CANCEL_KEY_MAX]).is_some());
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_back_or_matches_nothing(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let key = Key::read(&body);
            prop_assert_eq!(key.is_some(), (5..=4 + CANCEL_KEY_MAX).contains(&body.len()));
            if let Some(key) = key {
                let ours = [8, 36].contains(&body.len());
                prop_assert_eq!(key.matches(&key), ours);
                prop_assert_eq!(&written(&key)[..], if ours { &body[..] } else { &body[..4] });
            }
        }
    }
}
