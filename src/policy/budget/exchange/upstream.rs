//! Which server, and as whom: what a pod reports and what a look finds can be compared only where both are the same.

use super::Digest;

/// One run of one server, and the role that is used there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Upstream {
    /// `system_identifier` of pg_control_system(): a standby has its primary's. 0 where the role may not ask.
    pub system: u64,
    /// pg_postmaster_start_time(), as timestamptz_send() writes it.
    pub started: u64,
    /// Of the role that logs in.
    pub role: RoleId,
}

/// The first 8 bytes of the SHA-256 of a role's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleId(pub [u8; 8]);

impl RoleId {
    /// Of a name, as in pg_roles.
    pub fn of(name: &[u8]) -> Self {
        let mut out = [0; 8];
        out.iter_mut().zip(Digest::of(name).0).for_each(|(to, from)| *to = from);
        Self(out)
    }
}

impl Upstream {
    pub(super) fn write(&self) -> [u8; 24] {
        let mut out = [0; 24];
        let bytes = [self.system.to_be_bytes(), self.started.to_be_bytes(), self.role.0];
        out.as_chunks_mut().0.copy_from_slice(&bytes);
        out
    }

    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let (words, []) = value.as_chunks::<8>() else { return None };
        let &[system, started, role] = words else { return None };
        Some(Self { system: u64::from_be_bytes(system), started: u64::from_be_bytes(started), role: RoleId(role) })
    }
}
