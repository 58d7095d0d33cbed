//! How long clients waited for a server connection: a histogram of relaxed counters, written by the loop alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, inclusive, in milliseconds: from what a free connection costs to past every sensible
/// connectionTimeout. One more bucket takes what is longer.
pub const BOUNDS_MILLIS: [u32; 15] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000];

/// The histogram.
#[derive(Debug, Default)]
pub struct Waits {
    /// Waits by bucket, not added up.
    pub buckets: [AtomicU64; BOUNDS_MILLIS.len() + 1],
    /// Microseconds, in all.
    pub micros: AtomicU64,
}

impl Waits {
    /// A wait is over, however it ended. Only the loop calls it.
    pub fn record(&self, waited: Duration) {
        let bucket = BOUNDS_MILLIS.iter().position(|bound| waited <= Duration::from_millis((*bound).into()));
        if let Some(bucket) = self.buckets.get(bucket.unwrap_or(BOUNDS_MILLIS.len())) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        if !waited.is_zero() {
            self.micros.fetch_add(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_falls_in_the_first_bucket_that_holds_it() {
        let waits = Waits::default();
        for micros in [0, 1, 1_000, 1_001, 2_000, 999_999, 60_000_000, 60_000_001, 3_600_000_000] {
            waits.record(Duration::from_micros(micros));
        }
        let counts = waits.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
        assert_eq!(counts, [3, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2]);
        assert_eq!(waits.micros.load(Ordering::Relaxed), 3_721_004_002);
    }
}
