//! How much of each thing the model may use.

use weir::policy::budget::fault::Fault;

use crate::world::World;

/// Bounds of one exhaustive search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Messages that the leader of the beginning sends.
    pub messages_first: u8,
    /// Messages that each new leadership sends.
    pub messages: u8,
    /// Messages that all leaders send together: whoever has one more, another has one less.
    pub messages_all: u8,
    /// Attempts to connect of each boot.
    pub attempts: u8,
    /// Writes of the ledger, claims not counted.
    pub writes: u8,
    /// Each may happen once.
    pub trouble: [Trouble; 2],
    pub budget: u32,
}

/// How far a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// `make test`: minutes.
    Small,
    /// `make model`: one more message.
    Large,
}

/// What may go wrong, or change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// A pod's process is killed, at any time or between the journal and the answer; another starts.
    Kill,
    /// A socket ends without EOF, and its backend lives on: the pool closes it, or it is reset.
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
    /// An answer is given late, arrives later, or never.
    LateAnswer,
    /// The spec's budget is lowered or raised, from 2 to 1 or 3.
    Budget,
    /// The pool's limit is lowered, the second time raised again.
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
    pub const HEADER: [&str; 3] = ["messages", "attempts", "writes"];

    pub fn of(size: Size, one: Trouble, other: Trouble) -> Self {
        use Trouble as T;
        let has = |any: &[Trouble]| any.iter().any(|trouble| [one, other].contains(trouble));
        // What a new leader does comes on top of what was done before, so there is less of both.
        let led = has(&[T::Stop, T::Takeover, T::LateClaim, T::LateBudget]);
        let messages_first = if has(&[T::Takeover]) {
            1
        } else if led || has(&[T::Budget]) {
            2
        } else {
            3
        };
        // A write that is late needs another that settles it; a change of the spec is written, and what follows from it too.
        let written = has(&[T::LateWrite, T::Takeover, T::Budget, T::Limit, T::LateBudget]) && !has(&[T::LateClaim]);
        let more = u8::from(size == Size::Large);
        Self {
            messages_first: messages_first + more,
            messages: 3 + more,
            messages_all: 4 + more,
            attempts: if led { 1 } else { 2 },
            writes: 1 + u8::from(written),
            trouble: [one, other],
            budget: 2,
        }
    }

    /// For the table.
    pub fn columns(&self) -> [String; 3] {
        let Self { messages_first, messages, messages_all, attempts, writes, .. } = self;
        [format!("{messages_first} + {messages}, <= {messages_all}"), attempts.to_string(), writes.to_string()]
    }

    /// Every pair of troubles, and each twice.
    pub fn clean(size: Size) -> Vec<Self> {
        let after = |(index, one): (usize, &Trouble)| {
            Trouble::ALL[index..].iter().map(|other| Self::of(size, *one, *other)).collect::<Vec<_>>()
        };
        Trouble::ALL.iter().enumerate().flat_map(after).collect()
    }

    /// Where each planted fault is to be found.
    pub fn planted(size: Size) -> Vec<(Fault, Self)> {
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
            (Fault::PromiseExceeded, T::Kill, T::Kill),
        ]
        .map(|(fault, one, other)| (fault, Self::of(size, one, other)))
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
