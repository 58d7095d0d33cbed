//! The one write of a reconcile: the pool's status.
//!
//! Server-side apply of the status alone, with the pool's UID, so that a status never lands on a pool that was made anew under the
//! same name. Nothing of the pool's spec or metadata is sent.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Context, Error};
use crate::api::within;
use crate::crd::{ConnectionPool, ConnectionPoolStatus};
use crate::names::FIELD_MANAGER;
use crate::observe::pools::Guarded;
use crate::policy::entries::PoolKey;

/// Between two writes over all pools: at most ten statuses a second.
const PACE: Duration = Duration::from_millis(100);

/// When each status was last written from here, and when the next write may be made.
#[derive(Debug, Default)]
pub struct Writes {
    last: Mutex<HashMap<PoolKey, Timestamp>>,
    next: Mutex<Option<Instant>>,
}

impl Writes {
    /// When this pool's status was last written.
    pub fn last(&self, pool: &PoolKey) -> Option<Timestamp> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).get(pool).copied()
    }

    /// The pool is gone.
    pub fn forget(&self, pool: &PoolKey) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).remove(pool);
    }

    fn wrote(&self, pool: PoolKey, now: Timestamp) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(pool, now);
    }

    /// Waits for this write's turn.
    async fn turn(&self) {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = next.map_or_else(Instant::now, |next| next.max(Instant::now()));
            *next = Some(turn + PACE);
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}

/// Writes the status. A pool that went meanwhile needs none.
pub async fn status(
    context: &Context,
    pool: &ConnectionPool,
    status: &ConnectionPoolStatus,
    now: Timestamp,
) -> Result<(), Error> {
    write(context, &pool.namespace().unwrap_or_default(), &pool.name_any(), pool.metadata.uid.as_deref(), status, now)
        .await
}

/// As [`status`], by name.
pub async fn write(
    context: &Context,
    namespace: &str,
    name: &str,
    uid: Option<&str>,
    status: &ConnectionPoolStatus,
    now: Timestamp,
) -> Result<(), Error> {
    context.writes.turn().await;
    let api = Api::<Guarded>::namespaced(context.client.clone(), namespace);
    let patch = patch(name, uid, status);
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    match within(api.patch_status(name, &parameters, &Patch::Apply(&patch))).await {
        Ok(_) => {
            context.metrics.status_written();
            context.writes.wrote(PoolKey::new(namespace, name), now);
            Ok(())
        }
        Err(error) if error.code() == Some(404) => Ok(()),
        Err(error) => Err(Error::WriteStatus(error)),
    }
}

fn patch(name: &str, uid: Option<&str>, status: &ConnectionPoolStatus) -> Value {
    let mut metadata = json!({"name": name});
    if let (Some(uid), Some(metadata)) = (uid, metadata.as_object_mut()) {
        metadata.insert("uid".to_owned(), json!(uid));
    }
    json!({
        "apiVersion": ConnectionPool::api_version(&()),
        "kind": ConnectionPool::kind(&()),
        "metadata": metadata,
        "status": status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_the_status_and_nothing_else() {
        let status = ConnectionPoolStatus { observed_generation: Some(3), ..ConnectionPoolStatus::default() };
        assert_eq!(
            patch("orders", Some("u1"), &status),
            json!({
                "apiVersion": "weir.dev/v1alpha1", "kind": "ConnectionPool",
                "metadata": {"name": "orders", "uid": "u1"}, "status": {"observedGeneration": 3},
            })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn writes_are_paced_over_all_pools() {
        let (writes, start) = (Writes::default(), Instant::now());
        for _ in 0..11 {
            writes.turn().await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }
}
