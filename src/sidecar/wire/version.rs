//! Versions of the protocol. 3.2, of PostgreSQL 18, differs from 3.0 by the length of cancel keys; 3.1 was never used.

use std::fmt;

/// A version as the start-up packet writes it: the major one in the high half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32);

impl Version {
    /// What every client and server speaks.
    pub const V3_0: Self = Self(3 << 16);
    /// Cancel keys of up to [`CANCEL_KEY_MAX`] bytes.
    pub const V3_2: Self = Self(3 << 16 | 2);

    /// The number before the point.
    pub const fn major(self) -> u32 {
        self.0 >> 16
    }

    /// The number behind the point.
    pub const fn minor(self) -> u32 {
        self.0 & 0xffff
    }
}

/// Longest secret of a cancel key; 3.0 has [`CANCEL_KEY_SHORT`].
pub const CANCEL_KEY_MAX: usize = 256;
/// Length of the secret of a cancel key before 3.2.
pub const CANCEL_KEY_SHORT: usize = 4;

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major(), self.minor())
    }
}
