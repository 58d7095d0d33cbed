//! What the leader tells a boot, signed: a discovery, which only asks and fences, or a statement with settings and a grant.

use super::frame::{self, BOOT, EPOCH, Fields, GRANT, Kind, NONCE, POD, POOL, SEQUENCE, SETTINGS, Unknown, Writer};
use super::keys::{Keys, SigningKey};
use super::{BootId, Connections, Digest, Document, Epoch, Nonce, PodUid, PoolName, Refusal, Sequence};

/// Longest discovery or statement: 8 KiB of settings, 4 KiB of later builds' fields, below 400 bytes of the rest.
pub const STATEMENT_MAX: usize = 16 * 1024;

/// A discovery or a statement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Statement {
    /// Whose budget and settings.
    pub pool: PoolName,
    /// To whom.
    pub pod: PodUid,
    /// To which run of its sidecar.
    pub boot: BootId,
    /// Of the boot's last hello. Must be there in the first message of an epoch to a boot, and must be fresh wherever it is.
    pub nonce: Option<Nonce>,
    /// The leader's.
    pub epoch: Epoch,
    /// Grows within the epoch with every message to the pod.
    pub sequence: Sequence,
    /// `None` in a discovery: what the pod has stays as it is.
    pub order: Option<Order>,
    /// Fields of newer writers.
    pub unknown: Unknown,
}

/// What a statement sets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// The settings; the pool's generation is in them. Their pool is the statement's.
    pub settings: Document,
    /// What the pod may be charged with from now on. The lower of this and the settings' max holds.
    pub grant: Connections,
}

/// Where a pod stands: the last message that it took. Every message that it takes is above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// Of the leader.
    pub epoch: Epoch,
    /// Within the epoch.
    pub sequence: Sequence,
}

/// A message as it was sent, and what its answer is held against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sent {
    /// What is sent, signature included.
    pub bytes: Vec<u8>,
    /// To whom.
    pub pod: PodUid,
    /// To which run of its sidecar.
    pub boot: BootId,
    /// The leader's.
    pub epoch: Epoch,
    /// Of `bytes`.
    pub digest: Digest,
}

/// A message whose signature was found good: made by [`Verified::open`] alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Verified {
    statement: Statement,
    digest: Digest,
}

impl Statement {
    /// Its place in the order of all messages to the pod.
    pub const fn fence(&self) -> Fence {
        Fence { epoch: self.epoch, sequence: self.sequence }
    }

    /// Writes and signs it.
    pub fn sign(&self, key: &SigningKey) -> Sent {
        let bytes = key.sign(self.body());
        let digest = Digest::of(&bytes);
        Sent { bytes, pod: self.pod.clone(), boot: self.boot, epoch: self.epoch, digest }
    }

    fn body(&self) -> Vec<u8> {
        let writer = Writer::new(if self.order.is_some() { Kind::Statement } else { Kind::Discovery })
            .field(POD, self.pod.as_str().as_bytes())
            .field(BOOT, &self.boot.0)
            .optional(NONCE, self.nonce.as_ref().map(|nonce| nonce.0.as_slice()))
            .field(EPOCH, &self.epoch.get().to_be_bytes())
            .field(SEQUENCE, &self.sequence.get().to_be_bytes())
            .field(POOL, self.pool.as_str().as_bytes());
        let writer = match &self.order {
            Some(Order { settings, grant }) => {
                writer.field(SETTINGS, settings.as_bytes()).field(GRANT, &grant.get().to_be_bytes())
            }
            None => writer,
        };
        writer.finish(&self.unknown)
    }

    fn read(kind: Kind, mut fields: Fields<'_>) -> Result<Self, Refusal> {
        let pod = fields.required(POD, |value| PodUid::new(frame::text(value)?))?;
        let boot = BootId(fields.required(BOOT, frame::array)?);
        let nonce =
            fields.optional(NONCE)?.map(|value| frame::array(value).map(Nonce).ok_or(NONCE.malformed())).transpose()?;
        let epoch = fields.required(EPOCH, |value| frame::u64(value).and_then(Epoch::new))?;
        let sequence = fields.required(SEQUENCE, |value| frame::u64(value).and_then(Sequence::new))?;
        let pool = fields.required(POOL, |value| PoolName::new(frame::text(value)?))?;
        let order = match kind {
            Kind::Statement => {
                let settings = fields.required(SETTINGS, Document::read)?;
                if settings.settings().pool != pool.as_str() {
                    return Err(SETTINGS.malformed());
                }
                Some(Order { settings, grant: fields.required(GRANT, |value| Connections::new(frame::u32(value)?))? })
            }
            _ => None,
        };
        Ok(Self { pool, pod, boot, nonce, epoch, sequence, order, unknown: fields.unknown()? })
    }
}

impl Sent {
    pub(super) fn went_to(&self, pod: &PodUid, boot: BootId) -> Result<(), Refusal> {
        if *pod != self.pod {
            return Err(Refusal::OtherPod);
        }
        if boot == self.boot { Ok(()) } else { Err(Refusal::OtherBoot) }
    }
}

impl Verified {
    /// Length, header, signature, and only then the fields: nothing that a stranger wrote is parsed.
    pub fn open(bytes: &[u8], keys: &Keys) -> Result<Self, Refusal> {
        let (kind, rest) = frame::open(bytes, STATEMENT_MAX, &[Kind::Discovery, Kind::Statement])?;
        let fields = keys.verify(bytes, rest)?;
        Ok(Self { statement: Statement::read(kind, Fields(fields))?, digest: Digest::of(bytes) })
    }

    /// What it says.
    pub const fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Of the bytes that were received.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn into_parts(self) -> (Statement, Digest) {
        (self.statement, self.digest)
    }
}
