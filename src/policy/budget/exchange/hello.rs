//! What a boot says of itself to anyone who asks.
//!
//! Its MAC shows that a pod of the pool said so, and the challenge that it was said to this asker, now. It tells whom to talk to, and
//! proves nothing else: the leader never adopts an epoch from a hello. A higher one than its own is a reason to read the ledger
//! again.

use super::frame::{self, BOOT, CHALLENGE, EPOCH, Fields, KEYS, Kind, NONCE, POD, SPOKEN, Unknown, Writer};
use super::{BootId, Challenge, Epoch, KeyId, Nonce, PodUid, Refusal, ReplyKey, ReplyKeys};

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
    /// Its bytes, for the one who asked with `challenge`.
    pub fn encode(&self, challenge: Challenge, key: &ReplyKey) -> Vec<u8> {
        let keys: Vec<_> = self.keys.iter().take(KEYS_MAX).flat_map(|id| id.0).collect();
        let plain = Writer::new(Kind::Hello)
            .field(POD, self.pod.as_str().as_bytes())
            .field(BOOT, &self.boot.0)
            .field(NONCE, &self.nonce.0)
            .optional(EPOCH, self.epoch.map(|epoch| epoch.get().to_be_bytes()).as_ref().map(<[u8; 8]>::as_slice))
            .field(SPOKEN, &[self.protocol])
            .field(KEYS, &keys)
            .field(CHALLENGE, &challenge.0)
            .finish(&self.unknown);
        key.seal(plain)
    }

    /// Reads it; `challenge` is what it was asked with, `pod` whom the asker wanted to reach, and `keys` are those of its pool.
    pub fn decode(bytes: &[u8], challenge: Challenge, pod: &PodUid, keys: &ReplyKeys) -> Result<Self, Refusal> {
        let (_, rest) = frame::open(bytes, HELLO_MAX, &[Kind::Hello])?;
        let mut fields = Fields(keys.verify(bytes, rest)?);
        let pod_said = fields.required(POD, |value| PodUid::new(frame::text(value)?))?;
        let boot = BootId(fields.required(BOOT, frame::array)?);
        let nonce = Nonce(fields.required(NONCE, frame::array)?);
        let epoch = fields.optional(EPOCH)?;
        let epoch = epoch.map(|value| frame::u64(value).and_then(Epoch::new).ok_or(EPOCH.malformed())).transpose()?;
        let spoken = |value| frame::array(value).map(u8::from_be_bytes).filter(|spoken| *spoken > 0);
        let protocol = fields.required(SPOKEN, spoken)?;
        let keys = fields.required(KEYS, key_ids)?;
        let repeated = Challenge(fields.required(CHALLENGE, frame::array)?);
        let unknown = fields.unknown()?;
        if repeated != challenge {
            return Err(Refusal::OtherChallenge);
        }
        if pod_said != *pod {
            return Err(Refusal::OtherPod);
        }
        Ok(Self { pod: pod_said, boot, nonce, epoch, protocol, keys, unknown })
    }
}

fn key_ids(value: &[u8]) -> Option<Vec<KeyId>> {
    let (ids, rest) = value.as_chunks();
    (rest.is_empty() && ids.len() <= KEYS_MAX).then(|| ids.iter().copied().map(KeyId).collect())
}
