//! Pacing: a grant grows by half of what is missing, and rests before the next step.
//!
//! After a recovery every instance wants everything at once; each new connection is a process that PostgreSQL has to start. Half of the
//! gap needs no figure for how large a fleet is: four fifths are there after three steps, whatever the size. What an instance is
//! guaranteed, its floor, does not wait.

use std::time::Duration;

/// Rounds may come in bursts; a grant that grew grows again after this time.
pub const REST: Duration = Duration::from_millis(250);

/// The smallest step, so that the end of a growth is not spent on single connections.
const STEP: u32 = 4;

/// How one instance's grant has grown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    pub(super) outstanding: u32,
    pub(super) asked: Duration,
    pub(super) rests_until: Duration,
}

impl Pace {
    /// After the ledger was seen to hold `outstanding`. It rests from when a growth was proposed that came to be; one that could not be
    /// granted yet costs no rest.
    pub(super) fn follow(self, outstanding: u32) -> Self {
        let grew = outstanding > self.outstanding;
        Self { outstanding, rests_until: if grew { self.asked.saturating_add(REST) } else { self.rests_until }, ..self }
    }

    /// How far towards `share`. Never above it, never below the smaller of `share` and `floor`, monotone in `share`.
    pub(super) fn step(&mut self, share: u32, floor: u32, now: Duration) -> u32 {
        let Some(gap) = share.checked_sub(self.outstanding) else { return share };
        let step = if now < self.rests_until { 0 } else { gap.div_ceil(2).max(STEP.min(gap)) };
        let target = (self.outstanding + step).max(floor.min(share));
        if target > self.outstanding {
            self.asked = now;
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_the_gap_and_rests_between_steps() {
        let mut pace = Pace::default();
        let mut grants = vec![];
        for round in 0..10 {
            let now = REST * round / 2;
            pace = pace.follow(grants.last().copied().unwrap_or(0));
            grants.push(pace.step(100, 5, now));
        }
        assert_eq!(grants, [50, 50, 75, 75, 88, 88, 94, 94, 98, 98]);
    }

    #[test]
    fn shrinks_at_once_and_gives_the_floor_at_once() {
        let mut rested = Pace { outstanding: 20, ..Pace::default() };
        assert_eq!(rested.step(3, 1, Duration::ZERO), 3);
        let mut resting = Pace { outstanding: 1, rests_until: REST, ..Pace::default() };
        assert_eq!(resting.step(40, 5, Duration::ZERO), 5);
        assert_eq!(resting.step(40, 5, REST), 21);
    }
}
