//! The cache of pools.
//!
//! A pool that this version can't read is kept by its metadata, so that it stops neither the watch nor the other pools.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
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
        let follow = events.for_each(move |event| {
            inner.follow(event, &metrics, &touches);
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
    fn follow(&self, event: Result<watcher::Event<Guarded>, watcher::Error>, metrics: &Metrics, touches: &Touches) {
        match event {
            Ok(watcher::Event::Apply(pool) | watcher::Event::Delete(pool)) => touches.touch(key(&pool)),
            Ok(watcher::Event::InitDone) => self.all().iter().for_each(|pool| touches.touch(key(pool))),
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => return,
            Err(error) => {
                metrics.failed("watch_pools");
                tracing::warn!(error = crate::telemetry::chain(&error), "the watch of pools failed and is retried");
                return;
            }
        }
        self.version.send_modify(|version| *version += 1);
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

    /// A version that grows with every change.
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

    /// As [`Pools::get`], but waits a while for a pool that this cache does not have yet.
    pub async fn wait(&self, key: &PoolKey, patience: Duration) -> Option<Arc<Guarded>> {
        let mut version = self.version();
        let appears = async {
            loop {
                if let Some(pool) = self.get(key) {
                    return Some(pool);
                }
                version.changed().await.ok()?;
            }
        };
        tokio::time::timeout(patience, appears).await.ok().flatten()
    }
}

/// Namespace and name.
pub fn key(pool: &Guarded) -> PoolKey {
    PoolKey::new(pool.namespace().unwrap_or_default(), pool.name_any())
}

/// As a `Controller` names it.
pub fn reference(key: &PoolKey) -> ObjectRef<Guarded> {
    ObjectRef::new(&key.name).within(&key.namespace)
}
