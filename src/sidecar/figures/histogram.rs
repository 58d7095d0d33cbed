//! How long things took: histograms of relaxed counters, written by the loop alone.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::add;

/// Upper bounds of the buckets, inclusive, in microseconds: from a query that finds all in memory to past every sensible time-out.
/// One more bucket takes what is longer.
pub const BOUNDS_MICROS: [u32; 19] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
];

/// The histogram.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Durations by bucket, not added up.
    pub buckets: [AtomicU64; BOUNDS_MICROS.len() + 1],
    /// Microseconds, in all.
    pub micros: AtomicU64,
}

impl Histogram {
    /// Something is over that took so long. Only the loop calls it.
    #[inline]
    pub fn record(&self, took: Duration) {
        let micros = took.as_secs().saturating_mul(1_000_000).saturating_add(took.subsec_micros().into());
        let compared = u32::try_from(micros).unwrap_or(u32::MAX);
        // One after the other: most of what is counted is short, and so found at once.
        let bucket = BOUNDS_MICROS.iter().position(|bound| compared <= *bound);
        if let Some(bucket) = self.buckets.get(bucket.unwrap_or(BOUNDS_MICROS.len())) {
            add(bucket, 1);
        }
        add(&self.micros, micros);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(super::read).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn a_duration_falls_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for micros in [0, 100, 101, 1_000, 1_001, 999_999, 60_000_000, 60_000_001, 300_000_001, u64::MAX / 4] {
            histogram.record(Duration::from_micros(micros));
        }
        let counts = histogram.buckets.each_ref().map(|bucket| bucket.load(Relaxed));
        assert_eq!(counts, [2, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 2]);
        assert_eq!(histogram.count(), 10);
        assert_eq!(histogram.micros.load(Relaxed), u64::MAX / 4 + 421_002_203);
        assert!(BOUNDS_MICROS.is_sorted());
    }
}
