//! What a boot says of itself to anyone who asks.
//!
//! Its MAC shows that a pod of the pool said so once. Who asked it can say it again, from another address and at another time, so it
//! tells whom to talk to, and proves nothing else: the leader never adopts an epoch from a hello. A higher one than its own is a
//! reason to read the ledger again.

use super::frame::{self, BOOT, EPOCH, Fields, KEYS, Kind, NONCE, POD, SPOKEN, Unknown, Writer};
use super::{BootId, Epoch, KeyId, Nonce, PodUid, Refusal, ReplyKey, ReplyKeys};

/// Longest hello: below 800 bytes of our own, [`super::UNKNOWN_MAX`] of later builds'.
pub const HELLO_MAX: usize = 8 * 1024;
/// Most keys that a hello names.
pub const KEYS_MAX: usize = 64;

/// Written in version 1 for ever, so that an operator of any age can read what a boot speaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hello {
    /// UID of the pod.
    pub pod: PodUid,
    /// Which run of the sidecar.
    pub boot: BootId,
    /// Proves that what repeats it was made after this hello.
    pub nonce: Nonce,
    /// The highest epoch that this pod has answered.
    pub epoch: Option<Epoch>,
    /// The newest version of the exchange that it speaks; it speaks all before.
    pub protocol: u8,
    /// The keys that it checks with, at most [`KEYS_MAX`].
    pub keys: Vec<KeyId>,
    /// Fields of newer writers.
    pub unknown: Unknown,
}

impl Hello {
    /// Its bytes.
    pub fn encode(&self, key: &ReplyKey) -> Vec<u8> {
        let keys: Vec<_> = self.keys.iter().take(KEYS_MAX).flat_map(|id| id.0).collect();
        let plain = Writer::new(Kind::Hello)
            .field(POD, self.pod.as_str().as_bytes())
            .field(BOOT, &self.boot.0)
            .field(NONCE, &self.nonce.0)
            .optional(EPOCH, self.epoch.map(|epoch| epoch.get().to_be_bytes()).as_ref().map(<[u8; 8]>::as_slice))
            .field(SPOKEN, &[self.protocol])
            .field(KEYS, &keys)
            .finish(&self.unknown);
        key.seal(plain)
    }

    /// Reads it; `pod` is whom the asker wanted to reach, and `keys` are those of its pool.
    pub fn decode(bytes: &[u8], pod: &PodUid, keys: &ReplyKeys) -> Result<Self, Refusal> {
        let (_, rest) = frame::open(bytes, HELLO_MAX, &[Kind::Hello])?;
        let mut fields = Fields(keys.verify(bytes, rest)?);
        let hello = Self {
            pod: fields.required(POD, |value| PodUid::new(frame::text(value)?))?,
            boot: BootId(fields.required(BOOT, frame::array)?),
            nonce: Nonce(fields.required(NONCE, frame::array)?),
            epoch: fields
                .optional(EPOCH)?
                .map(|value| frame::u64(value).and_then(Epoch::new).ok_or(EPOCH.malformed()))
                .transpose()?,
            protocol: fields
                .required(SPOKEN, |value| frame::array(value).map(u8::from_be_bytes).filter(|spoken| *spoken > 0))?,
            keys: fields.required(KEYS, key_ids)?,
            unknown: fields.unknown()?,
        };
        if hello.pod == *pod { Ok(hello) } else { Err(Refusal::OtherPod) }
    }
}

fn key_ids(value: &[u8]) -> Option<Vec<KeyId>> {
    let (ids, rest) = value.as_chunks();
    (rest.is_empty() && ids.len() <= KEYS_MAX).then(|| ids.iter().copied().map(KeyId).collect())
}
