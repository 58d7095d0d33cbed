//! Faults that the model of the budget plants, one at a time, to show that it would find them. Compiled in by the feature `faults`
//! alone, which nothing that is shipped has; without it [`planted`] is a constant `false`.

/// A fault in the code that keeps the budget's invariant. Each is one branch, at the place that its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Fault {
    /// A pod that was asked for a connection counts as having given it, before it has answered.
    GrowBeforeConfirmation = 1,
    /// The charge ends when our own side closes the socket.
    ReleaseAtOurOwnClose,
    /// The charge ends when a reset is received.
    ReleaseOnReset,
    /// A pod whose backends are not seen counts as having no grant.
    GrantFreedByMissingPids,
    /// A restarted container counts as having no grant.
    GrantFreedByRestart,
    /// After a restart the larger of what was left and what is open counts, not both.
    LargerAfterRestart,
    /// A lowered limit counts at once, also for a pod that has not heard of it.
    LimitLoweredWhileCutOff,
    /// A discovery is answered without raising the fence.
    DiscoveryWithoutFence,
    /// A claim is taken for one's own by its epoch alone.
    SameEpochTwice,
    /// The total is raised after the order is sent.
    TotalRaisedAfterSending,
    /// The answer of another boot, to another message, is taken.
    AnswerOfAnotherBoot,
    /// A dead pod's grant is free without a look at what it left at PostgreSQL.
    OrphanForgotten,
    /// The budget grows by what is found to be outstanding.
    EffectiveRaised,
    /// A death makes the remainder smaller while a pod is not fenced.
    DeathReleasedWhileUnfenced,
    /// What an end sets free is used before the end is written.
    EndUsedBeforeWritten,
    /// A write of unknown outcome is believed to have succeeded.
    UnknownWriteBelieved,
    /// A lower total is felt only after its write.
    LoweredTotalFeltLate,
    /// A message is taken though it is below the fence.
    FenceIgnored,
    /// An order exceeds the ceiling that the ledger has.
    CeilingIgnored,
    /// One more is granted to look than was promised.
    PromiseExceeded,
}

/// Whether the model has planted `fault`.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn planted(_fault: Fault) -> bool {
    false
}

#[cfg(feature = "faults")]
pub use switch::{plant, planted};

#[cfg(feature = "faults")]
mod switch {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Fault;

    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// Plants `fault` in this process, or none.
    pub fn plant(fault: Option<Fault>) {
        PLANTED.store(fault.map_or(0, |fault| fault as u8), Ordering::SeqCst);
    }

    /// Whether `fault` is planted.
    pub fn planted(fault: Fault) -> bool {
        PLANTED.load(Ordering::Relaxed) == fault as u8
    }
}
