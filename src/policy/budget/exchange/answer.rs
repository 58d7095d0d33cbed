//! What a boot answers: a report, or its last word. Under its pool's reply key, and tied to one message to one boot.
//!
//! A boot answers a message once, when it has something to say or after the pool's probe interval. So a digest names one report,
//! and one that was overtaken can be told.

use std::time::Duration;

use super::frame::{
    self, ACTIVE, BACKENDS, BOOT, CHARGE, DIGEST, EPOCH, Fields, GRANT, INCOMPLETE, Kind, LIMIT, OPEN, POD, Tag,
    UNCONFIRMED, UPSTREAM, Unknown, WAIT, WAITING, Writer,
};
use super::{
    Backends, BootId, Connections, Digest, Epoch, PodUid, Refusal, ReplyKey, ReplyKeys, Sent, Upstream, backends,
};

/// Longest answer: 12 KiB of backends, 4 KiB of later builds' fields, below 400 bytes of the rest.
pub const ANSWER_MAX: usize = 24 * 1024;

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

/// How things are when a boot answers. A pod's own word: figures are within their types, and need not agree with each other, but that
/// no more is listed than charged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Report {
    /// What it was granted and has journalled. `None` where no order was ever taken and the pod was injected without a budget, so that
    /// only `limit` binds it; a pod that was injected with one has 0 before its first order.
    pub grant: Option<Connections>,
    /// What its settings and the pod's own variables allow at most, with or without a grant.
    pub limit: Connections,
    /// What it may be costing PostgreSQL: the most that may be on one server.
    pub charge: Connections,
    /// Usable server connections.
    pub open: Connections,
    /// Those that clients have.
    pub active: Connections,
    /// Clients that wait for one.
    pub waiting: u32,
    /// How long the first of them has waited; whole milliseconds, at most 2^32 - 1.
    pub wait: Duration,
    /// What of `charge` would stay if all that is open were closed: of some backends the socket is gone, and they are not known to be.
    pub unconfirmed: Connections,
    /// The journal was damaged or has lost records: `charge` and `grant` may be too low.
    pub incomplete: bool,
    /// The server in use, which `backends` are at; `None` before the first login. A list without it says nothing.
    pub upstream: Option<Upstream>,
    /// Backends at `upstream` that are charged, at most `charge` of them.
    pub backends: Backends,
}

impl Report {
    /// Whether a boot that opens nothing more may leave it at that.
    pub(super) fn is_of_nothing(&self) -> bool {
        let figures = [self.charge, self.unconfirmed];
        self.grant == Some(Connections::NONE) && figures == [Connections::NONE; 2] && !self.incomplete
    }

    /// What is charged and not listed: its pid or its start is not known, it is at another server, or there was no room. While it is not
    /// 0, a backend that nobody lists may be this pod's.
    pub fn unlisted(&self) -> u32 {
        let listed = u32::try_from(self.backends.as_slice().len()).unwrap_or(u32::MAX);
        self.charge.get().saturating_sub(listed)
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
        let upstream = report.upstream.map(|upstream| upstream.write());
        writer
            .optional(GRANT, grant.as_ref().map(<[u8; 4]>::as_slice))
            .field(DIGEST, &self.digest.0)
            .field(LIMIT, &report.limit.get().to_be_bytes())
            .field(CHARGE, &report.charge.get().to_be_bytes())
            .field(OPEN, &report.open.get().to_be_bytes())
            .field(ACTIVE, &report.active.get().to_be_bytes())
            .field(WAITING, &report.waiting.to_be_bytes())
            .field(WAIT, &wait.to_be_bytes())
            .field(UNCONFIRMED, &report.unconfirmed.get().to_be_bytes())
            .field(INCOMPLETE, &[report.incomplete.into()])
            .optional(UPSTREAM, upstream.as_ref().map(<[u8; 24]>::as_slice))
            .field(BACKENDS, &backends::write(report.backends.as_slice()))
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
    /// stranger's, of another pod or boot, of one that follows another leader, or ([`Refusal::OtherStatement`]) to another message. The
    /// answer to an older one, held against that one, is sound but late: it says nothing about what was sent since, so it must release
    /// nothing.
    pub fn verify(sent: &Sent, bytes: &[u8], keys: &ReplyKeys) -> Result<Self, Refusal> {
        let answer = Self::decode(bytes, keys)?;
        sent.went_to(&answer.pod, answer.boot)?;
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
    let unconfirmed = fields.required(UNCONFIRMED, connections)?;
    let incomplete = fields.required(INCOMPLETE, frame::flag)?;
    let upstream =
        fields.optional(UPSTREAM)?.map(|value| Upstream::read(value).ok_or(UPSTREAM.malformed())).transpose()?;
    let backends = fields.required(BACKENDS, Backends::read)?;
    if u64::from(charge.get()) < backends.as_slice().len() as u64 {
        return Err(BACKENDS.malformed());
    }
    Ok(Report { grant, limit, charge, open, active, waiting, wait, unconfirmed, incomplete, upstream, backends })
}
