//! How much of each thing the model may use.

use weir::policy::budget::fault::Fault;

use crate::world::World;

/// Bounds of one exhaustive search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Boots of each pod.
    pub boots: u8,
    /// Messages that a new leadership sends.
    pub messages: u64,
    /// Messages that the leader of the beginning sends.
    pub messages_first: u64,
    /// Attempts to connect of each boot.
    pub attempts: u8,
    /// Writes of the ledger, claims not counted.
    pub writes: u8,
    /// Each may happen once.
    pub trouble: [Trouble; 2],
    pub budget: u32,
}

/// What may go wrong, or change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// A pod's process is killed; another starts.
    Kill,
    /// A socket ends without EOF: closed here, timed out, or reset.
    Loss,
    /// A pod stops in order; another process may start.
    Finish,
    /// A pod's process is killed, and none starts any more.
    Death,
    /// The leader ends, another claims.
    Stop,
    /// Another claims while the leader runs on: it was stopped and resumed, or is cut off.
    Takeover,
    /// A claim takes effect late or never.
    LateClaim,
    /// Another write takes effect late or never.
    LateWrite,
    /// An answer arrives late.
    LateAnswer,
    /// The spec's budget changes.
    Budget,
    /// The pool's limit is lowered.
    Limit,
    /// The pods ran before there was a budget.
    LateBudget,
}

impl Trouble {
    pub const ALL: [Self; 12] = [
        Self::Kill,
        Self::Loss,
        Self::Finish,
        Self::Death,
        Self::Stop,
        Self::Takeover,
        Self::LateClaim,
        Self::LateWrite,
        Self::LateAnswer,
        Self::Budget,
        Self::Limit,
        Self::LateBudget,
    ];
}

impl Bounds {
    pub fn of(one: Trouble, other: Trouble) -> Self {
        use Trouble as T;
        let overlap = [one, other].contains(&T::Takeover);
        let late = [one, other].contains(&T::LateAnswer);
        let messages_first = if overlap {
            1
        } else if late {
            3
        } else {
            2
        };
        let led = [T::Stop, T::Takeover, T::LateBudget].iter().any(|change| [one, other].contains(change));
        let attempts = if led { 1 } else { 2 };
        Self { boots: 1, messages: 3, messages_first, attempts, writes: 1, trouble: [one, other], budget: 2 }
    }

    /// Every pair of troubles, and each twice.
    pub fn clean() -> Vec<Self> {
        let after = |(index, one): (usize, &Trouble)| {
            Trouble::ALL[index..].iter().map(|other| Self::of(*one, *other)).collect::<Vec<_>>()
        };
        Trouble::ALL.iter().enumerate().flat_map(after).collect()
    }

    /// Where each planted fault is to be found.
    pub fn planted() -> Vec<(Fault, Self)> {
        use Trouble as T;
        [
            (Fault::GrowBeforeConfirmation, T::Kill, T::Kill),
            (Fault::ReleaseAtOurOwnClose, T::Loss, T::Kill),
            (Fault::ReleaseOnReset, T::Loss, T::Kill),
            (Fault::GrantFreedByMissingPids, T::Kill, T::Kill),
            (Fault::GrantFreedByRestart, T::Kill, T::Kill),
            (Fault::LargerAfterRestart, T::Kill, T::Kill),
            (Fault::LimitLoweredWhileCutOff, T::Kill, T::Limit),
            (Fault::DiscoveryWithoutFence, T::Kill, T::Takeover),
            (Fault::SameEpochTwice, T::Stop, T::LateClaim),
            (Fault::TotalRaisedAfterSending, T::Kill, T::Takeover),
            (Fault::AnswerOfAnotherBoot, T::Kill, T::LateAnswer),
            (Fault::OrphanForgotten, T::Kill, T::Death),
            (Fault::EffectiveRaised, T::Kill, T::Stop),
            (Fault::DeathReleasedWhileUnfenced, T::Death, T::Takeover),
            (Fault::EndUsedBeforeWritten, T::Death, T::Takeover),
            (Fault::UnknownWriteBelieved, T::LateWrite, T::Takeover),
            (Fault::LoweredTotalFeltLate, T::LateWrite, T::Takeover),
            (Fault::FenceIgnored, T::Kill, T::LateAnswer),
            (Fault::CeilingIgnored, T::Stop, T::Limit),
        ]
        .map(|(fault, one, other)| (fault, Self::of(one, other)))
        .into()
    }

    pub fn worlds(&self) -> Vec<World> {
        if self.has(Trouble::LateBudget) {
            return vec![World::without_a_budget(self)];
        }
        [([1, 1], false), ([2, 0], false), ([1, 0], false), ([1, 0], true)]
            .map(|(grants, tight)| World::at_rest(self, grants, tight))
            .into()
    }

    pub fn has(&self, trouble: Trouble) -> bool {
        self.trouble.contains(&trouble)
    }
}
