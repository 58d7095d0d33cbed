//! How long a pool whose reconcile failed is left alone: doubled with each failure in a row, from 1 s to 5 min, with jitter.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::policy::entries::PoolKey;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// Failures in a row, by pool; pools that do well are not in it.
#[derive(Debug, Default)]
pub struct Backoff(Mutex<HashMap<PoolKey, u32>>);

impl Backoff {
    /// Counts a failure; returns how long to wait. `unit`: 0.0 to 1.0, moves it by a quarter either way.
    pub fn failed(&self, pool: &PoolKey, unit: f64) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(pool.clone()).and_modify(|count| *count = count.saturating_add(1)).or_insert(1);
        let doubled = FIRST.saturating_mul(1_u32.checked_shl(*count - 1).unwrap_or(u32::MAX)).min(LONGEST);
        doubled.mul_f64(0.75 + unit.clamp(0.0, 1.0) / 2.0).clamp(FIRST, LONGEST)
    }

    /// It went well, or the pool is gone.
    pub fn succeeded(&self, pool: &PoolKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(pool);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_five_minutes_and_starts_anew() {
        let backoff = Backoff::default();
        let pool = PoolKey::new("shop", "orders");
        let waits: Vec<_> = (0..12).map(|_| backoff.failed(&pool, 0.5).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        for _ in 0..100 {
            assert_eq!(backoff.failed(&pool, 1.0), LONGEST);
        }
        assert_eq!(backoff.failed(&PoolKey::new("shop", "other"), 0.0), FIRST);
        backoff.succeeded(&pool);
        assert_eq!(backoff.failed(&pool, 1.0), Duration::from_millis(1250));
    }
}
