//! The keys by which our clients cancel: our own, never PostgreSQL's.

use ring::rand::{SecureRandom, SystemRandom};

/// BackendKeyData of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// Positive, as clients expect of a process id. Holds the client's place in the table in its low bits.
    pub pid: u32,
    /// Random.
    pub secret: u32,
}

/// Low bits of [`Key::pid`] that say which client: 1,048,575 of them, far beyond what a process may have of files.
const PLACE_BITS: u32 = 20;
const PLACE_MASK: u32 = (1 << PLACE_BITS) - 1;

impl Key {
    /// Reads what follows the code of a CancelRequest.
    pub fn read(body: &[u8]) -> Option<Self> {
        let [a, b, c, d, secret @ ..] = *<&[u8; 8]>::try_from(body).ok()?;
        Some(Self { pid: u32::from_be_bytes([a, b, c, d]), secret: u32::from_be_bytes(secret) })
    }

    /// Place of the client that this key may belong to; the whole key must still be compared.
    pub fn place(self) -> Option<usize> {
        (self.pid & PLACE_MASK).checked_sub(1).map(|place| place as usize)
    }

    /// Compares in a time that tells nothing.
    pub fn matches(self, other: Self) -> bool {
        (self.pid ^ other.pid) | (self.secret ^ other.secret) == 0
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
    /// A key for the client at `place`; `None` if the kernel has no random bytes or the place does not fit.
    pub fn make(&mut self, place: usize) -> Option<Key> {
        let place = u32::try_from(place).ok()?.checked_add(1).filter(|place| *place <= PLACE_MASK)?;
        let (high, secret) = (self.number()?, self.number()?);
        Some(Key { pid: (high << PLACE_BITS) & 0x7fff_ffff | place, secret })
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

    #[test]
    fn a_key_leads_to_its_place_and_no_two_are_alike() {
        let mut keys = Keys::default();
        let made: Vec<_> = (0..2000).map(|_| keys.make(77).unwrap()).collect();
        assert!(made.iter().all(|key| key.place() == Some(77) && key.pid < 1 << 31 && key.matches(*key)));
        assert!(made.windows(2).all(|pair| !pair[0].matches(pair[1])));
        assert!(keys.make(PLACE_MASK as usize).is_none());
        assert_eq!(Key { pid: 0, secret: 0 }.place(), None);
    }
}
