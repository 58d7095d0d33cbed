//! How busy a pool is: normal, elevated or critical, by busyPercent against the thresholds.
//!
//! A band is entered at its threshold and left a little below it, so that a load that hovers there does not flap.

use super::settings::Thresholds;

/// The band that a pool is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Below the warning threshold.
    Normal,
    /// At the warning threshold or above.
    Elevated,
    /// At the critical threshold or above.
    Critical,
}

/// A band is left this many points below its threshold, or a tenth of the threshold where that is less.
pub const HYSTERESIS: f64 = 5.0;

impl Verdict {
    /// What to do about it, where something is.
    pub const fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Normal => None,
            Self::Elevated => Some("if this lasts, raise spec.limits.max or add pods before clients have to wait"),
            Self::Critical => Some(
                "raise spec.limits.max or add pods, or look for slow queries and idle transactions that hold connections",
            ),
        }
    }

    /// The band at this busyPercent, after `previous`.
    pub fn next(previous: Self, busy: f64, thresholds: Thresholds) -> Self {
        let reached = |band: Self, threshold: u32| {
            let enter = f64::from(threshold);
            let leave = enter - HYSTERESIS.min(enter / 10.0);
            busy >= enter || previous >= band && busy >= leave
        };
        if reached(Self::Critical, thresholds.critical) {
            Self::Critical
        } else if reached(Self::Elevated, thresholds.warning) {
            Self::Elevated
        } else {
            Self::Normal
        }
    }
}

/// (active + waiting) / granted * 100; passes 100 while clients wait. Without a grant, 100 as soon as somebody wants one.
pub fn busy_percent(wanted: u64, granted: u64) -> f64 {
    match (wanted, granted) {
        (0, _) => 0.0,
        (_, 0) => 100.0,
        // Both are sums of 32-bit counts of a fleet, far below 2^52.
        #[expect(clippy::cast_precision_loss, reason = "sums of connections are far below 2^52")]
        (wanted, granted) => wanted as f64 * 100.0 / granted as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THRESHOLDS: Thresholds = Thresholds { warning: 80, critical: 90 };

    #[test]
    fn enters_at_the_threshold_and_leaves_below_it() {
        use Verdict::{Critical, Elevated, Normal};
        for (previous, busy, expected) in [
            (Normal, 79.9, Normal),
            (Normal, 80.0, Elevated),
            (Elevated, 75.0, Elevated),
            (Elevated, 74.9, Normal),
            (Normal, 75.0, Normal),
            (Elevated, 89.9, Elevated),
            (Elevated, 90.0, Critical),
            (Normal, 250.0, Critical),
            (Critical, 85.0, Critical),
            (Critical, 84.9, Elevated),
            (Critical, 74.9, Normal),
            (Critical, 0.0, Normal),
        ] {
            assert_eq!(Verdict::next(previous, busy, THRESHOLDS), expected, "{previous:?} at {busy}");
        }
    }

    #[test]
    fn a_grant_of_nothing_is_full_once_wanted() {
        assert!((busy_percent(0, 0) - 0.0).abs() < f64::EPSILON);
        assert!((busy_percent(3, 0) - 100.0).abs() < f64::EPSILON);
        assert!((busy_percent(30, 20) - 150.0).abs() < f64::EPSILON);
    }

    proptest! {
        #[test]
        fn the_same_load_again_changes_nothing(warning in 1..99_u32, above in 1..50_u32, busy in 0.0..300.0_f64, first in 0..3_usize) {
            let thresholds = Thresholds { warning, critical: (warning + above).min(100) };
            let first = [Verdict::Normal, Verdict::Elevated, Verdict::Critical][first];
            let verdict = Verdict::next(first, busy, thresholds);
            prop_assert_eq!(Verdict::next(verdict, busy, thresholds), verdict);
        }

        #[test]
        fn an_idle_pool_is_normal(warning in 1..99_u32, first in 0..3_usize) {
            let first = [Verdict::Normal, Verdict::Elevated, Verdict::Critical][first];
            prop_assert_eq!(Verdict::next(first, 0.0, Thresholds { warning, critical: warning + 1 }), Verdict::Normal);
        }
    }
}
