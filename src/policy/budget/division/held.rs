//! Hysteresis: a figure that rises at once and falls late, so that a load that comes and goes keeps what it will want again.
//!
//! It works on what division is told, never on what it answers: answers held back would no longer add up to the budget.

use std::time::Duration;

/// A peak is remembered this long after the figure was last near it.
pub const HOLD: Duration = Duration::from_secs(10);

/// Then it falls half of the way, once in this time.
pub const FALL: Duration = Duration::from_secs(1);

/// A figure is near its peak from eight ninths of it: an instance's noise is not news.
const NOISE: u32 = 8;

/// A remembered peak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub(super) value: u32,
    pub(super) until: Duration,
}

impl Held {
    /// What is remembered after `seen`. Rises with `seen`, and by at most 2 where that rises by 1.
    pub(super) fn follow(self, seen: u32, now: Duration) -> Self {
        let near = seen.saturating_add(seen / NOISE);
        if near >= self.value {
            Self { value: self.value.max(seen), until: now.saturating_add(HOLD) }
        } else if now < self.until {
            self
        } else {
            let above = self.value - near;
            Self { value: self.value - above.div_ceil(2), until: now.saturating_add(FALL) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_at_once_and_falls_late_by_halves() {
        let mut held = Held::default();
        let mut values = vec![];
        for (second, seen) in
            [(0, 3), (1, 20), (2, 18), (3, 4), (11, 4), (12, 4), (12, 4), (13, 4), (14, 4), (15, 4), (16, 4)]
        {
            held = held.follow(seen, Duration::from_secs(second));
            values.push(held.value);
        }
        assert_eq!(values, [3, 20, 20, 20, 20, 12, 12, 8, 6, 5, 4]);
    }

    #[test]
    fn comes_to_rest_near_any_figure() {
        for seen in 0..200 {
            let mut held = Held { value: 200, until: Duration::ZERO };
            for second in 0..12 {
                held = held.follow(seen, Duration::from_secs(second));
            }
            let rest = held.follow(seen, Duration::from_mins(1));
            assert_eq!(rest.value, held.value, "{seen}");
            assert!(rest.value >= seen && rest.value <= seen + seen / NOISE, "{seen}: {rest:?}");
        }
    }
}
