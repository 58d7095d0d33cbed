//! The cache of pools.
//!
//! A pool that this version can't read is kept by its metadata, so that it stops neither the watch nor the other pools.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use tokio::sync::watch;

use super::touches::Touches;
use crate::crd::ConnectionPool;
use crate::metrics::Metrics;
use crate::policy::entries::PoolKey;
use crate::shutdown::Stopping;

/// A pool, or what could be read of it.
pub type Guarded = DeserializeGuard<ConnectionPool>;

/// The pools of the cluster.
#[derive(Clone)]
pub struct Pools {
    store: Store<Guarded>,
    version: watch::Sender<u64>,
}

impl Pools {
    /// A cache, and the task that fills it and touches every pool that changed. The task reports errors and backs off by itself, and
    /// ends only with the process.
    pub fn watch(
        client: Client,
        metrics: Arc<Metrics>,
        touches: Arc<Touches>,
        stopping: Stopping,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (store, writer) = reflector::store();
        let pools = Self { store, version: watch::Sender::new(0) };
        let events = watcher(Api::<Guarded>::all(client), super::config()).default_backoff().reflect(writer);
        let inner = pools.clone();
        let mut specs = Specs::default();
        let follow = events.for_each(move |event| {
            inner.follow(event, &mut specs, &metrics, &touches);
            std::future::ready(())
        });
        let task = async move {
            tokio::select! {
                () = follow => {}
                () = stopping.wait() => {}
            }
        };
        (pools, task)
    }

    /// The cache has the event already.
    fn follow(
        &self,
        event: Result<watcher::Event<Guarded>, watcher::Error>,
        specs: &mut Specs,
        metrics: &Metrics,
        touches: &Touches,
    ) {
        let news = match event {
            Ok(watcher::Event::Apply(pool)) => {
                touches.touch(key(&pool));
                let spec = spec(&pool);
                specs.insert(key(&pool), spec.clone()) != Some(spec)
            }
            Ok(watcher::Event::Delete(pool)) => {
                touches.touch(key(&pool));
                specs.remove(&key(&pool)).is_some()
            }
            Ok(watcher::Event::InitDone) => {
                let pools = self.all();
                for pool in &pools {
                    touches.touch(key(pool));
                }
                *specs = pools.iter().map(|pool| (key(pool), spec(pool))).collect();
                true
            }
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => false,
            Err(error) => {
                metrics.failed("watch_pools");
                tracing::warn!(error = crate::telemetry::chain(&error), "the watch of pools failed and is retried");
                false
            }
        };
        if news {
            self.version.send_modify(|version| *version += 1);
        }
    }

    /// A cache that holds exactly these.
    #[cfg(test)]
    pub fn fixed(pools: impl Iterator<Item = Guarded>) -> Self {
        let (store, mut writer) = reflector::store();
        writer.apply_watcher_event(&watcher::Event::Init);
        pools.for_each(|pool| writer.apply_watcher_event(&watcher::Event::InitApply(pool)));
        writer.apply_watcher_event(&watcher::Event::InitDone);
        Self { store, version: watch::Sender::new(1) }
    }

    /// A version that grows when a pool comes, goes or gets another spec. Statuses leave it alone: they are written all the time, and
    /// whoever acts on specs would never come to rest.
    pub fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// For a `Controller`.
    pub fn store(&self) -> Store<Guarded> {
        self.store.clone()
    }

    /// Whether every pool was seen once.
    pub fn synced(&self) -> bool {
        *self.version.borrow() > 0
    }

    /// Resolves once every pool was seen.
    pub async fn wait_synced(&self) {
        // The sender lives in self.
        let _ = self.version().wait_for(|version| *version > 0).await;
    }

    /// Every pool.
    pub fn all(&self) -> Vec<Arc<Guarded>> {
        self.store.state()
    }

    /// Every pool of a namespace that can be read.
    pub fn of(&self, namespace: &str) -> Vec<Arc<Guarded>> {
        self.store.state_filter(|pool| pool.0.is_ok() && pool.namespace().as_deref() == Some(namespace))
    }

    /// One pool.
    pub fn get(&self, key: &PoolKey) -> Option<Arc<Guarded>> {
        self.store.get(&ObjectRef::new(&key.name).within(&key.namespace))
    }

    /// As [`Pools::get`], but waits a while for a pool that this cache does not have yet, or not as it is `wanted`. What is there
    /// after the wait is returned as it is.
    pub async fn wait(
        &self,
        key: &PoolKey,
        patience: Duration,
        wanted: impl Fn(&Guarded) -> bool,
    ) -> Option<Arc<Guarded>> {
        let mut version = self.version();
        let appears =
            async { while !self.get(key).is_some_and(|pool| wanted(&pool)) && version.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(patience, appears).await;
        self.get(key)
    }
}

/// What tells one spec of a pool from another: the pool's UID and the spec's generation.
type Specs = HashMap<PoolKey, (Option<String>, Option<i64>)>;

fn spec(pool: &Guarded) -> (Option<String>, Option<i64>) {
    let meta = pool.meta();
    (meta.uid.clone(), meta.generation)
}

/// Namespace and name.
pub fn key(pool: &Guarded) -> PoolKey {
    PoolKey::new(pool.namespace().unwrap_or_default(), pool.name_any())
}

/// As a `Controller` names it.
pub fn reference(key: &PoolKey) -> ObjectRef<Guarded> {
    ObjectRef::new(&key.name).within(&key.namespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::activity::Activity;
    use serde_json::json;

    fn pool(name: &str, uid: &str, generation: i64, resource_version: &str) -> Guarded {
        let pool = json!({
            "apiVersion": "weir.dev/v1alpha1", "kind": "ConnectionPool",
            "metadata": {
                "namespace": "shop", "name": name, "uid": uid, "generation": generation, "resourceVersion": resource_version,
            },
            "spec": {"profile": "test", "selector": {"matchLabels": {"app": name}}},
        });
        serde_json::from_value(pool).expect("guarded")
    }

    #[test]
    fn only_another_spec_makes_another_version() {
        let pools = Pools::fixed([pool("a", "u1", 1, "1")].into_iter());
        let (metrics, touches) = (Metrics::new(Activity::default()), Touches::default());
        let mut specs = Specs::default();
        let mut after = |event| {
            pools.follow(Ok(event), &mut specs, &metrics, &touches);
            *pools.version().borrow()
        };
        let listed = after(watcher::Event::InitDone);
        for (event, more, why) in [
            (watcher::Event::Apply(pool("a", "u1", 1, "2")), 0, "a status"),
            (watcher::Event::Apply(pool("a", "u1", 2, "3")), 1, "a spec"),
            (watcher::Event::Apply(pool("a", "u1", 2, "4")), 1, "a status"),
            (watcher::Event::Apply(pool("a", "u2", 2, "5")), 2, "another pool of the same name"),
            (watcher::Event::Apply(pool("b", "u3", 1, "6")), 3, "a new pool"),
            (watcher::Event::Delete(pool("b", "u3", 1, "7")), 4, "a pool that went"),
        ] {
            assert_eq!(after(event), listed + more, "{why}");
        }
    }
}
