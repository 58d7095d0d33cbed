//! What a boot saw of PostgreSQL: under its pool's reply key, and tied to the look that was asked for.

use std::time::Duration;

use super::frame::{self, BOOT, CUT, DIGEST, Fields, INVISIBLE, Kind, POD, ROWS, TIMEOUT, UPSTREAM, Unknown, Writer};
use super::{Backend, BootId, Digest, PodUid, Refusal, ReplyKey, ReplyKeys, Sent, Upstream, backends};

/// Longest: 48 KiB of rows, 4 KiB of later builds' fields, below 300 bytes of the rest.
pub const LOOKED_MAX: usize = 64 * 1024;
/// Most rows: 20 times what a production pool is warned about, and what a field holds.
pub const ROWS_MAX: usize = 4 * 1024;

/// The answer to a look.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Looked {
    /// Who.
    pub pod: PodUid,
    /// Which run of its sidecar.
    pub boot: BootId,
    /// Of the look that it answers.
    pub digest: Digest,
    /// What it saw, after that look came.
    pub sighting: Sighting,
    /// Fields of newer writers.
    pub unknown: Unknown,
}

/// A server at one moment, as one role sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sighting {
    /// Which server, and which role.
    pub upstream: Upstream,
    /// The server's setting; whole milliseconds, at most 2^32 - 1.
    pub authentication_timeout: Duration,
    /// Processes that hold a lock in pg_locks and have no row in pg_stat_activity: logins that were let in and wait for a lock on a
    /// catalog, for any time and of any role. While there are some, a backend that no row shows may be there.
    pub invisible: u32,
    /// The role's.
    pub rows: Rows,
}

/// Client backends of a role in pg_stat_activity, the one that looks included, of which a list holds at most [`ROWS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rows {
    rows: Vec<Backend>,
    cut: bool,
}

impl Rows {
    /// Each counts once. What has no pid, and what does not fit, is left out, and the list is [cut](Self::is_cut).
    pub fn new(rows: impl IntoIterator<Item = Backend>) -> Self {
        let (mut rows, invalid) = backends::listed(rows);
        let cut = invalid || rows.len() > ROWS_MAX;
        rows.truncate(ROWS_MAX);
        Self { rows, cut }
    }

    /// Ascending.
    pub fn as_slice(&self) -> &[Backend] {
        &self.rows
    }

    /// Whether there were more: what the list doesn't show may be there.
    pub const fn is_cut(&self) -> bool {
        self.cut
    }
}

impl Looked {
    /// Its bytes.
    pub fn encode(&self, key: &ReplyKey) -> Vec<u8> {
        let Sighting { upstream, authentication_timeout, invisible, rows } = &self.sighting;
        let timeout = u32::try_from(authentication_timeout.as_millis()).unwrap_or(u32::MAX);
        let plain = Writer::new(Kind::Looked)
            .field(POD, self.pod.as_str().as_bytes())
            .field(BOOT, &self.boot.0)
            .field(DIGEST, &self.digest.0)
            .field(UPSTREAM, &upstream.write())
            .field(TIMEOUT, &timeout.to_be_bytes())
            .field(INVISIBLE, &invisible.to_be_bytes())
            .field(CUT, &[rows.cut.into()])
            .field(ROWS, &backends::write(&rows.rows))
            .finish(&self.unknown);
        key.seal(plain)
    }

    /// Reads it, whichever pod of the pool gave it, to whatever.
    pub(super) fn decode(bytes: &[u8], keys: &ReplyKeys) -> Result<Self, Refusal> {
        let (_, rest) = frame::open(bytes, LOOKED_MAX, &[Kind::Looked])?;
        let mut fields = Fields(keys.verify(bytes, rest)?);
        let pod = fields.required(POD, |value| PodUid::new(frame::text(value)?))?;
        let boot = BootId(fields.required(BOOT, frame::array)?);
        let digest = Digest(fields.required(DIGEST, frame::array)?);
        let upstream = fields.required(UPSTREAM, Upstream::read)?;
        let authentication_timeout = Duration::from_millis(fields.required(TIMEOUT, frame::u32)?.into());
        let invisible = fields.required(INVISIBLE, frame::u32)?;
        let cut = fields.required(CUT, frame::flag)?;
        let rows = Rows { rows: fields.required(ROWS, |value| backends::read(value, ROWS_MAX))?, cut };
        let sighting = Sighting { upstream, authentication_timeout, invisible, rows };
        Ok(Self { pod, boot, digest, sighting, unknown: fields.unknown()? })
    }

    /// What that boot saw after it received `sent`, a [`Look`](super::Look); `keys` are those of the pod's pool. Anything else is refused,
    /// an older look's answer as [`Refusal::OtherStatement`].
    pub fn verify(sent: &Sent, bytes: &[u8], keys: &ReplyKeys) -> Result<Self, Refusal> {
        let looked = Self::decode(bytes, keys)?;
        sent.went_to(&looked.pod, looked.boot)?;
        if looked.digest != sent.digest {
            return Err(Refusal::OtherStatement);
        }
        Ok(looked)
    }
}
