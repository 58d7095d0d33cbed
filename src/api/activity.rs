//! When each watch last showed life: an answer, an event or a bookmark on the wire.
//!
//! An idle cluster sends no events for hours, but bookmarks about once a minute and a new answer at each renewal. A watch without
//! any of these hangs, whatever its connection says. A refusal is life too: it is retried, and it is seen elsewhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Ages of the watches, by plural name of their resource.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<Mutex<BTreeMap<String, Instant>>>);

impl Activity {
    /// Something was heard of this watch. `path` is the request's, as in `/api/v1/pods`.
    pub fn heard(&self, path: &str) {
        let resource = path.rsplit('/').next().unwrap_or_default();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get_mut(resource) {
            Some(last) => *last = Instant::now(),
            None => drop(seen.insert(resource.to_owned(), Instant::now())),
        }
    }

    /// How long each watch has been silent.
    pub fn ages(&self) -> Vec<(String, Duration)> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().map(|(resource, last)| (resource.clone(), last.elapsed())).collect()
    }

    /// The longest silence.
    pub fn oldest(&self) -> Duration {
        self.ages().into_iter().map(|(_, age)| age).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ages_are_kept_by_resource() {
        let activity = Activity::default();
        activity.heard("/api/v1/pods");
        tokio::time::advance(Duration::from_secs(10)).await;
        activity.heard("/apis/weir.dev/v1alpha1/connectionpools");
        assert_eq!(
            activity.ages(),
            [("connectionpools".to_owned(), Duration::ZERO), ("pods".to_owned(), Duration::from_secs(10))]
        );
        activity.heard("/api/v1/pods");
        assert_eq!(activity.oldest(), Duration::ZERO);
    }
}
