//! What the leader asks of a boot for the judge, signed: to look at its PostgreSQL. It moves nothing, so it is not in the order of
//! statements and is not journalled.

use super::frame::{self, BOOT, EPOCH, Fields, Kind, LOOK, POD, POOL, Unknown, Writer};
use super::{BootId, Digest, Epoch, Keys, PodUid, PoolName, Refusal, Sent, SigningKey};

/// Longest look: 4 KiB of later builds' fields, below 400 bytes of the rest.
pub const LOOK_MAX: usize = 8 * 1024;

/// A look that is asked for. Who received one can ask that boot for the same again, so a boot paces what it looks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Look {
    /// Whose server and role.
    pub pool: PoolName,
    /// To whom.
    pub pod: PodUid,
    /// To which run of its sidecar.
    pub boot: BootId,
    /// The leader's.
    pub epoch: Epoch,
    /// Tells this look from all others of the epoch: an old answer must not be taken for a new look.
    pub id: u64,
    /// Fields of newer writers.
    pub unknown: Unknown,
}

/// A look whose signature was found good: made by [`VerifiedLook::open`] alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerifiedLook {
    look: Look,
    digest: Digest,
}

/// A look that a boot is to make and answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a look is to be made and answered"]
pub struct Looking {
    pub(super) digest: Digest,
}

impl Look {
    /// Writes and signs it.
    pub fn sign(&self, key: &SigningKey) -> Sent {
        let plain = Writer::new(Kind::Look)
            .field(POD, self.pod.as_str().as_bytes())
            .field(BOOT, &self.boot.0)
            .field(EPOCH, &self.epoch.get().to_be_bytes())
            .field(POOL, self.pool.as_str().as_bytes())
            .field(LOOK, &self.id.to_be_bytes())
            .finish(&self.unknown);
        let bytes = key.sign(plain);
        let digest = Digest::of(&bytes);
        Sent { bytes, pod: self.pod.clone(), boot: self.boot, epoch: self.epoch, digest }
    }
}

impl VerifiedLook {
    /// Length, header, signature, and only then the fields.
    pub fn open(bytes: &[u8], keys: &Keys) -> Result<Self, Refusal> {
        let (_, rest) = frame::open(bytes, LOOK_MAX, &[Kind::Look])?;
        let mut fields = Fields(keys.verify(bytes, rest)?);
        let pod = fields.required(POD, |value| PodUid::new(frame::text(value)?))?;
        let boot = BootId(fields.required(BOOT, frame::array)?);
        let epoch = fields.required(EPOCH, |value| frame::u64(value).and_then(Epoch::new))?;
        let pool = fields.required(POOL, |value| PoolName::new(frame::text(value)?))?;
        let id = fields.required(LOOK, frame::u64)?;
        let look = Look { pool, pod, boot, epoch, id, unknown: fields.unknown()? };
        Ok(Self { look, digest: Digest::of(bytes) })
    }

    /// What it says.
    pub const fn look(&self) -> &Look {
        &self.look
    }

    /// Of the bytes that were received.
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}
