//! What may happen, and how often.

use proptest::prelude::*;

use super::super::memory::{ACTS, Act, Fate};

/// What happens next. Numbers choose among what is there, by remainder.
#[derive(Clone, Debug)]
pub enum Step {
    /// A login begins; its backend takes a slot after so many ms, or the connection is refused, or nothing is sent through it.
    Begin { delay: u64, refused: bool, looking: bool, silent: bool },
    /// A backend has authenticated its client, or will not ask, and waits for a lock on a catalog.
    Block { which: usize },
    /// It gets the lock.
    Unblock,
    /// The server ends a login and the sidecar reads BackendKeyData; it may crash before it has sent anything else.
    Login { which: usize, crash: bool },
    /// The sidecar asks who the server is; the answer may take its time.
    Identify { which: usize },
    /// The answers to that arrive.
    Identified,
    /// The sidecar closes, or a RST arrives; the backend notices after so many ms.
    Lose { which: usize, notices: u64 },
    /// The server ends a backend; the client sees EOF once the slot is free.
    Terminate { which: usize },
    /// A look is sent through a connection.
    Look { which: usize },
    /// The server reads the rows and answers, or the answer is lost.
    Answer { lost: bool },
    /// Two looks that are answered at once, so many ms apart.
    Looks { which: usize, apart: u64 },
    /// All backends end at once; the sidecar finds out when it loses the connections.
    Restart,
    /// The sidecar's process is killed and starts again; backends notice after so many ms.
    Crash { notices: u64 },
    /// Its node loses power; backends don't notice.
    LosePower { fate: Fate, renamed: bool },
    /// These acts of its disk fail from now on.
    Disk(Vec<Act>),
    /// The operator orders another maximum.
    Order { grant: u32 },
    /// Nothing happens for so many ms.
    Wait(u64),
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = any::<usize>;
    let notices = || prop_oneof![0..50u64, 0..5_000u64, 0..200_000u64];
    let step = prop_oneof![
        6 => (
            prop_oneof![Just(0u64), 0..9_000u64, 0..69_000u64],
            prop::bool::weighted(0.1),
            prop::bool::weighted(0.2),
            prop::bool::weighted(0.1),
        )
            .prop_map(|(delay, refused, looking, silent)| Step::Begin { delay, refused, looking, silent }),
        2 => which().prop_map(|which| Step::Block { which }),
        1 => Just(Step::Unblock),
        6 => (which(), prop::bool::weighted(0.05)).prop_map(|(which, crash)| Step::Login { which, crash }),
        4 => which().prop_map(|which| Step::Identify { which }),
        4 => Just(Step::Identified),
        4 => (which(), 900..4_000u64).prop_map(|(which, apart)| Step::Looks { which, apart }),
        4 => (which(), notices()).prop_map(|(which, notices)| Step::Lose { which, notices }),
        2 => which().prop_map(|which| Step::Terminate { which }),
        4 => which().prop_map(|which| Step::Look { which }),
        4 => prop::bool::weighted(0.2).prop_map(|lost| Step::Answer { lost }),
        1 => Just(Step::Restart),
        1 => notices().prop_map(|notices| Step::Crash { notices }),
        2 => (prop_oneof![Just(Fate::Kept), (0..100usize).prop_map(Fate::Cut), Just(Fate::Zeroed)], any::<bool>())
            .prop_map(|(fate, renamed)| Step::LosePower { fate, renamed }),
        2 => prop::sample::subsequence(ACTS.to_vec(), 0..3).prop_map(Step::Disk),
        2 => (0..5u32).prop_map(|grant| Step::Order { grant }),
        5 => prop_oneof![0..100u64, 0..3_000u64, 0..90_000u64].prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..120)
}
