//! Why a client keeps its server connection beyond the transaction.

use std::ops::{BitOr, BitOrAssign};

use super::Hints;

/// One reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pin {
    /// LISTEN.
    Listen,
    /// A cursor WITH HOLD.
    Cursor,
    /// A temporary object, or a search_path that makes what is created temporary.
    Temporary,
    /// A session advisory lock.
    Lock,
    /// A statement of SQL PREPARE.
    Prepared,
    /// A role or a session authorization other than at login.
    Role,
    /// A custom parameter whose name can't be told.
    Custom,
    /// A setting that can't be given to another connection.
    Setting,
    /// A prepared statement that can't be given to another connection.
    Statement,
    /// The server could not be asked.
    Unknown,
}

impl Pin {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Listen,
        Self::Cursor,
        Self::Temporary,
        Self::Lock,
        Self::Prepared,
        Self::Role,
        Self::Custom,
        Self::Setting,
        Self::Statement,
        Self::Unknown,
    ];

    /// In metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Cursor => "cursor",
            Self::Temporary => "temporary",
            Self::Lock => "lock",
            Self::Prepared => "prepared",
            Self::Role => "role",
            Self::Custom => "custom",
            Self::Setting => "setting",
            Self::Statement => "statement",
            Self::Unknown => "unknown",
        }
    }

    /// For people: what it is, and what ends it.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Listen => "The client listens on a channel; UNLISTEN ends it.",
            Self::Cursor => "The client has a cursor WITH HOLD; CLOSE ends it.",
            Self::Temporary => {
                "The client has a temporary object, or pg_temp in its search_path; DROP or DISCARD TEMP, or RESET search_path, ends it."
            }
            Self::Lock => "The client holds a session advisory lock; pg_advisory_unlock() ends it.",
            Self::Prepared => "The client has a statement of SQL PREPARE; DEALLOCATE ends it.",
            Self::Role => {
                "The client has taken another role or session authorization; RESET ROLE or RESET SESSION AUTHORIZATION ends it."
            }
            Self::Custom => {
                "The client has called set_config() with a name that is not in the text of the query; only DISCARD ALL ends it."
            }
            Self::Setting => {
                "The client has set a parameter that the role may not set, or temp_buffers, or one to a value outside of ASCII; RESET ends it."
            }
            Self::Statement => {
                "The client has a prepared statement that is very long, or that was parsed under settings of a transaction; closing it ends it."
            }
            Self::Unknown => "The server could not be asked for the state of the session; the next answer ends it.",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of reasons; the client is pinned while there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pins(u16);

impl Pins {
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether the client is free.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this is one of the reasons.
    pub const fn contains(self, pin: Pin) -> bool {
        self.0 & pin.bit() != 0
    }

    /// Adds a reason.
    pub fn insert(&mut self, pin: Pin) {
        self.0 |= pin.bit();
    }

    /// Takes a reason away.
    pub fn remove(&mut self, pin: Pin) {
        self.0 &= !pin.bit();
    }

    /// The reasons, in the order of [`Pin::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Pin> {
        Pin::ALL.into_iter().filter(move |pin| self.contains(*pin))
    }

    /// What hints pin by themselves, since no answer can tell.
    pub fn of_hints(hints: Hints) -> Self {
        if hints.contains(Hints::UNKNOWN_CUSTOM) { Pin::Custom.into() } else { Self::NONE }
    }

    /// The reasons after an answer that showed `found`: what the server can't be asked for stays.
    #[must_use]
    pub fn answered(self, found: Self) -> Self {
        Self(self.0 & (Pin::Custom.bit() | Pin::Statement.bit()) | found.0)
    }
}

impl From<Pin> for Pins {
    fn from(pin: Pin) -> Self {
        Self(pin.bit())
    }
}

impl BitOr for Pins {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Pins {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_reason_has_a_bit_and_a_label_of_its_own() {
        let mut pins = Pins::NONE;
        let labels: BTreeSet<_> = Pin::ALL.into_iter().map(Pin::label).collect();
        assert_eq!(labels.len(), Pin::ALL.len());
        for pin in Pin::ALL {
            assert!(!pins.contains(pin));
            pins.insert(pin);
            assert!(pin.label().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        }
        assert_eq!(pins.iter().count(), Pin::ALL.len());
        pins.remove(Pin::Lock);
        assert!(!pins.contains(Pin::Lock) && pins.contains(Pin::Prepared));
    }

    #[test]
    fn an_answer_ends_all_that_it_can_tell() {
        let before = Pins::from(Pin::Listen) | Pin::Custom.into() | Pin::Statement.into() | Pin::Unknown.into();
        let after = before.answered(Pin::Lock.into());
        assert_eq!(after.iter().collect::<Vec<_>>(), [Pin::Lock, Pin::Custom, Pin::Statement]);
    }
}
