//! "Look at this pool again": hints that are gathered for a moment, so that a thousand new pods cost one look and not a thousand.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::policy::entries::PoolKey;

/// How long hints are gathered after the first one. Not extended by later ones, so a busy pool is not starved.
const GATHER: Duration = Duration::from_millis(100);

/// The pools to look at.
#[derive(Debug, Default)]
pub struct Touches {
    pools: Mutex<BTreeSet<PoolKey>>,
    some: Notify,
}

impl Touches {
    /// Asks for a look.
    pub fn touch(&self, pool: PoolKey) {
        if self.pools.lock().unwrap_or_else(PoisonError::into_inner).insert(pool) {
            self.some.notify_one();
        }
    }

    /// Waits for hints and takes them; only one caller may do so.
    pub async fn take(&self) -> BTreeSet<PoolKey> {
        loop {
            self.some.notified().await;
            tokio::time::sleep(GATHER).await;
            let taken = std::mem::take(&mut *self.pools.lock().unwrap_or_else(PoisonError::into_inner));
            if !taken.is_empty() {
                return taken;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn gathers_and_forgets() {
        let touches = Touches::default();
        let (a, b) = (PoolKey::new("x", "a"), PoolKey::new("x", "b"));
        for pool in [&a, &b, &a] {
            touches.touch(pool.clone());
        }
        assert_eq!(touches.take().await, BTreeSet::from([a.clone(), b]));
        touches.touch(a.clone());
        assert_eq!(touches.take().await, BTreeSet::from([a]));
        assert!(tokio::time::timeout(Duration::from_mins(1), touches.take()).await.is_err());
    }
}
