//! What of a session may have changed.

use std::ops::{BitOr, BitOrAssign};

use super::{Pin, Pins, hints_of_tag};

/// A set of reasons to ask the server for the session's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hints(u16);

impl Hints {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Any parameter of pg_settings.
    pub const SETTINGS: Self = Self(1);
    /// A custom parameter whose name was told.
    pub const CUSTOM: Self = Self(1 << 1);
    /// A custom parameter whose name can't be told, so that the server can't be asked for it: pins by itself.
    pub const UNKNOWN_CUSTOM: Self = Self(1 << 2);
    /// Session advisory locks.
    pub const LOCKS: Self = Self(1 << 3);
    /// Temporary objects.
    pub const TEMPORARY: Self = Self(1 << 4);
    /// Cursors WITH HOLD.
    pub const CURSORS: Self = Self(1 << 5);
    /// Channels of LISTEN.
    pub const CHANNELS: Self = Self(1 << 6);
    /// Statements of SQL PREPARE.
    pub const STATEMENTS: Self = Self(1 << 7);
    /// Role, session authorization.
    pub const ROLE: Self = Self(1 << 8);
    /// The text may DEALLOCATE or DISCARD, and so drop statements of the protocol. No reason to ask.
    pub const DROPS_STATEMENTS: Self = Self(1 << 9);
    /// Something that pins may be gone: a reason to ask only while the client is pinned.
    pub const UNPINS: Self = Self(1 << 10);
    /// Each SET of the text is SET LOCAL or SET TRANSACTION: the tag SET of this text tells nothing. No reason to ask.
    pub const ONLY_LOCAL: Self = Self(1 << 11);

    /// All that a statement of an unknown kind may change; locks are too dear to be asked for after each.
    pub const ANYTHING: Self = Self(
        Self::SETTINGS.0
            | Self::CUSTOM.0
            | Self::TEMPORARY.0
            | Self::CURSORS.0
            | Self::CHANNELS.0
            | Self::STATEMENTS.0
            | Self::ROLE.0,
    );
    /// All that can be asked for: after a text that was not seen whole, or a FunctionCall.
    pub const EVERYTHING: Self = Self(Self::ANYTHING.0 | Self::LOCKS.0);

    /// Whether all of `other` is in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What a statement of a text with these hints may have changed by its command tag. Together with the text's own hints that is
    /// all that is known.
    #[must_use]
    pub fn after_tag(self, tag: &[u8]) -> Self {
        if self.contains(Self::ONLY_LOCAL) && tag == b"SET" { Self::NONE } else { hints_of_tag(tag) }
    }

    /// Whether the server must be asked, given what pins the client now.
    pub fn asks(self, pins: Pins) -> bool {
        let asking = Self::EVERYTHING.0 | Self::UNKNOWN_CUSTOM.0;
        self.0 & asking != 0 || (self.contains(Self::UNPINS) && !pins.is_empty()) || pins.contains(Pin::Unknown)
    }
}

impl BitOr for Hints {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Hints {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
