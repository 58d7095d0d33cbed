//! What a boot answers: a report, or its last word. Under its pool's reply key, and tied to one message to one boot.
//!
//! A boot answers a message once, when it has something to say or after the pool's probe interval. So a digest names one report,
//! and one that was overtaken can be told.

use std::time::Duration;

use super::frame::{
    self, ACTIVE, BOOT, CHARGE, DIGEST, EPOCH, Fields, GRANT, Kind, LIMIT, OPEN, PIDS, POD, Tag, UNLISTED, Unknown,
    WAIT, WAITING, Writer,
};
use super::{BootId, Connections, Digest, Epoch, PodUid, Refusal, ReplyKey, ReplyKeys, Sent};

/// Longest answer: 16 KiB of pids, 4 KiB of later builds' fields, below 400 bytes of the rest.
pub const ANSWER_MAX: usize = 32 * 1024;
/// Most pids in an answer: 20 times what a production pool is warned about, and a fiftieth of PostgreSQL's most backends.
pub const PIDS_MAX: usize = 4 * 1024;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// Who.
    pub pod: PodUid,
    /// Which run of its sidecar.
    pub boot: BootId,
    /// Whom it follows when it answers: a leader that is not followed any more learns it here.
    pub epoch: Epoch,
    /// Of the message that it answers.
    pub digest: Digest,
    /// What it says.
    pub said: Said,
    /// Fields of newer writers.
    pub unknown: Unknown,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Said {
    /// How things are.
    Report(Report),
    /// Charge 0, and this boot opens nothing more.
    Final,
}

/// How things are when a boot answers. A pod's own word: figures are within their types, and need not agree with each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Report {
    /// What it was granted and has journalled; `None` where that never happened.
    pub grant: Option<Connections>,
    /// What its settings and the pod's own variables allow at most, with or without a grant.
    pub limit: Connections,
    /// What it may be costing PostgreSQL.
    pub charge: Connections,
    /// Usable server connections.
    pub open: Connections,
    /// Those that clients have.
    pub active: Connections,
    /// Clients that wait for one.
    pub waiting: u32,
    /// How long the first of them has waited; whole milliseconds, at most 2^32 - 1.
    pub wait: Duration,
    /// Processes at PostgreSQL that are charged.
    pub backends: Backends,
}

impl Report {
    /// Whether a boot that opens nothing more may leave it at that.
    pub(super) fn is_of_nothing(&self) -> bool {
        self.grant == Some(Connections::NONE) && self.charge == Connections::NONE
    }
}

/// Pids, of which a list holds at most [`PIDS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Backends {
    /// Ascending, positive.
    pids: Vec<i32>,
    unlisted: u32,
}

impl Backends {
    /// Each pid counts once; what is not positive is none.
    pub fn new(pids: impl IntoIterator<Item = i32>) -> Self {
        let mut pids: Vec<_> = pids.into_iter().filter(|pid| *pid > 0).collect();
        pids.sort_unstable();
        pids.dedup();
        let unlisted = u32::try_from(pids.len().saturating_sub(PIDS_MAX)).unwrap_or(u32::MAX);
        pids.truncate(PIDS_MAX);
        Self { pids, unlisted }
    }

    /// Ascending.
    pub fn pids(&self) -> &[i32] {
        &self.pids
    }

    /// How many more there are. While it is not 0, a pid that nobody lists may be this pod's.
    pub const fn unlisted(&self) -> u32 {
        self.unlisted
    }
}

impl Answer {
    /// Its bytes.
    pub fn encode(&self, key: &ReplyKey) -> Vec<u8> {
        key.seal(self.body())
    }

    fn body(&self) -> Vec<u8> {
        let kind = if self.said == Said::Final { Kind::Final } else { Kind::Answer };
        let writer = Writer::new(kind)
            .field(POD, self.pod.as_str().as_bytes())
            .field(BOOT, &self.boot.0)
            .field(EPOCH, &self.epoch.get().to_be_bytes());
        let Said::Report(report) = &self.said else {
            return writer.field(DIGEST, &self.digest.0).finish(&self.unknown);
        };
        let grant = report.grant.map(|grant| grant.get().to_be_bytes());
        let wait = u32::try_from(report.wait.as_millis()).unwrap_or(u32::MAX);
        let pids: Vec<_> = report.backends.pids.iter().flat_map(|pid| pid.to_be_bytes()).collect();
        writer
            .optional(GRANT, grant.as_ref().map(<[u8; 4]>::as_slice))
            .field(DIGEST, &self.digest.0)
            .field(LIMIT, &report.limit.get().to_be_bytes())
            .field(CHARGE, &report.charge.get().to_be_bytes())
            .field(OPEN, &report.open.get().to_be_bytes())
            .field(ACTIVE, &report.active.get().to_be_bytes())
            .field(WAITING, &report.waiting.to_be_bytes())
            .field(WAIT, &wait.to_be_bytes())
            .field(PIDS, &pids)
            .field(UNLISTED, &report.backends.unlisted.to_be_bytes())
            .finish(&self.unknown)
    }

    /// Reads it, whichever pod of the pool gave it, to whatever.
    pub(super) fn decode(bytes: &[u8], keys: &ReplyKeys) -> Result<Self, Refusal> {
        let (kind, rest) = frame::open(bytes, ANSWER_MAX, &[Kind::Answer, Kind::Final])?;
        let mut fields = Fields(keys.verify(bytes, rest)?);
        let pod = fields.required(POD, |value| PodUid::new(frame::text(value)?))?;
        let boot = BootId(fields.required(BOOT, frame::array)?);
        let epoch = fields.required(EPOCH, |value| frame::u64(value).and_then(Epoch::new))?;
        let grant = match kind {
            Kind::Answer => fields.optional(GRANT)?,
            _ => None,
        };
        let grant = grant.map(|value| connections(value).ok_or(GRANT.malformed())).transpose()?;
        let digest = Digest(fields.required(DIGEST, frame::array)?);
        let said = match kind {
            Kind::Answer => Said::Report(report(grant, &mut fields)?),
            _ => Said::Final,
        };
        Ok(Self { pod, boot, epoch, digest, said, unknown: fields.unknown()? })
    }

    /// What stands where a leader waits for the answer to `sent`; `keys` are those of the pod's pool. Anything else is refused: a
    /// stranger's, of another pod or boot, of one that follows another leader, or ([`Refusal::OtherStatement`]) to another message. The answer to an older one, held against that
    /// one, is sound but late: it says nothing about what was sent since, so it must release nothing.
    pub fn verify(sent: &Sent, bytes: &[u8], keys: &ReplyKeys) -> Result<Self, Refusal> {
        let answer = Self::decode(bytes, keys)?;
        if answer.pod != sent.pod {
            return Err(Refusal::OtherPod);
        }
        if answer.boot != sent.boot {
            return Err(Refusal::OtherBoot);
        }
        if answer.epoch != sent.epoch {
            return Err(Refusal::OtherEpoch);
        }
        if answer.digest != sent.digest {
            return Err(Refusal::OtherStatement);
        }
        Ok(answer)
    }
}

fn connections(value: &[u8]) -> Option<Connections> {
    frame::u32(value).and_then(Connections::new)
}

fn report(grant: Option<Connections>, fields: &mut Fields<'_>) -> Result<Report, Refusal> {
    let mut count = |tag: Tag| fields.required(tag, connections);
    let (limit, charge, open, active) = (count(LIMIT)?, count(CHARGE)?, count(OPEN)?, count(ACTIVE)?);
    let waiting = fields.required(WAITING, frame::u32)?;
    let wait = Duration::from_millis(fields.required(WAIT, frame::u32)?.into());
    let pids = fields.required(PIDS, pids)?;
    let unlisted = fields.required(UNLISTED, frame::u32)?;
    if unlisted > 0 && pids.len() < PIDS_MAX {
        return Err(UNLISTED.malformed());
    }
    Ok(Report { grant, limit, charge, open, active, waiting, wait, backends: Backends { pids, unlisted } })
}

fn pids(value: &[u8]) -> Option<Vec<i32>> {
    let (pids, rest) = value.as_chunks();
    if !rest.is_empty() || pids.len() > PIDS_MAX {
        return None;
    }
    let pids: Vec<_> = pids.iter().copied().map(i32::from_be_bytes).collect();
    (pids.first().is_none_or(|first| *first > 0) && pids.is_sorted_by(|a, b| a < b)).then_some(pids)
}
