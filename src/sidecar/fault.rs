//! Faults of poolers that the fuzzer plants, one at a time, to show that it would find them. Compiled in by the feature `faults` alone,
//! which nothing that is shipped has; without it [`planted`] is a constant `false`.

/// A fault in what keeps clients apart that share server connections. Each is one branch, at the place that its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A Bind of the unnamed statement is passed on, whoever has parsed it there.
    UnnamedForwardedBlindly,
    /// After a SET nobody asks.
    SettingsLeaked,
    /// A server connection is given back while one Sync is outstanding.
    ReleasedOneSyncEarly,
    /// A cancel request reaches a server connection that its client does not have.
    CancelToTheWrongBackend,
    /// A client is not told what its server connection calls otherwise than the last.
    ParameterStatusCrossed,
    /// A statement is dropped to make room, and is still believed to be there.
    EvictedWhileInUse,
    /// Nothing is done about what a client leaves that disconnects.
    DirtyHandOver,
    /// The answer to a Parse of ours is passed on.
    ParseCompleteOutOfPlace,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::UnnamedForwardedBlindly,
        Self::SettingsLeaked,
        Self::ReleasedOneSyncEarly,
        Self::CancelToTheWrongBackend,
        Self::ParameterStatusCrossed,
        Self::EvictedWhileInUse,
        Self::DirtyHandOver,
        Self::ParseCompleteOutOfPlace,
    ];
}

/// Whether `fault` is planted in this thread.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn planted(_: Fault) -> bool {
    false
}

#[cfg(feature = "faults")]
mod plant {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Plants a fault in this thread, or none.
    pub fn plant(fault: Option<Fault>) {
        PLANTED.set(fault);
    }

    /// Whether `fault` is planted in this thread.
    pub fn planted(fault: Fault) -> bool {
        PLANTED.get() == Some(fault)
    }
}

#[cfg(feature = "faults")]
pub use plant::{plant, planted};
