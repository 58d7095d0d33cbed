//! The cache of pods.
//!
//! Kept by namespace, since a pool only ever looks at its own. A relist replaces all of it at once and compares, so pods that went
//! while the watch was away are found, and their pools touched, like those whose end was seen.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Pod as ApiPod;
use kube::core::DeserializeGuard;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;

use super::pod::Pod;
use crate::metrics::Metrics;
use crate::shutdown::Stopping;

type Fleet = HashMap<String, BTreeMap<String, Arc<Pod>>>;

/// What became of a pod: as it was, as it is.
pub type Change<'a> = (Option<&'a Pod>, Option<&'a Pod>);

/// The pods of the cluster.
#[derive(Debug)]
pub struct Pods {
    fleet: RwLock<Fleet>,
    synced: watch::Sender<bool>,
}

impl Default for Pods {
    fn default() -> Self {
        Self { fleet: RwLock::default(), synced: watch::Sender::new(false) }
    }
}

impl Pods {
    /// The pods of a namespace, by name.
    pub fn of(&self, namespace: &str) -> Vec<Arc<Pod>> {
        let fleet = self.fleet.read().unwrap_or_else(PoisonError::into_inner);
        fleet.get(namespace).map(|pods| pods.values().cloned().collect()).unwrap_or_default()
    }

    /// Whether every pod was seen once. Until then nothing may be concluded from a pod that is not here.
    pub fn synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Resolves once every pod was seen.
    pub async fn wait_synced(&self) {
        // The sender lives in self.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Watches until the process stops, and tells `changed` of every difference.
    pub async fn watch(&self, client: Client, metrics: Arc<Metrics>, stopping: Stopping, changed: impl Fn(Change<'_>)) {
        let api = Api::<DeserializeGuard<ApiPod>>::all(client);
        let events = watcher(api, super::config()).default_backoff();
        tokio::select! {
            () = self.follow(events, &metrics, changed) => {}
            () = stopping.wait() => {}
        }
    }

    async fn follow(
        &self,
        events: impl Stream<Item = Result<watcher::Event<DeserializeGuard<ApiPod>>, watcher::Error>>,
        metrics: &Metrics,
        changed: impl Fn(Change<'_>),
    ) {
        let mut events = std::pin::pin!(events);
        let mut listed = Fleet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => listed.clear(),
                Ok(watcher::Event::InitApply(pod)) => {
                    let pod = view(&pod);
                    listed.entry(pod.namespace.clone()).or_default().insert(pod.name.clone(), Arc::new(pod));
                }
                Ok(watcher::Event::InitDone) => {
                    self.replace(&std::mem::take(&mut listed), &changed);
                    self.synced.send_if_modified(|synced| !std::mem::replace(synced, true));
                }
                Ok(watcher::Event::Apply(pod)) => {
                    let pod = Arc::new(view(&pod));
                    let old = self.insert(Arc::clone(&pod));
                    if old.as_deref() != Some(&*pod) {
                        changed((old.as_deref(), Some(&pod)));
                    }
                }
                Ok(watcher::Event::Delete(pod)) => {
                    if let Some(old) = self.remove(&pod.namespace().unwrap_or_default(), &pod.name_any()) {
                        changed((Some(&old), None));
                    }
                }
                Err(error) => {
                    metrics.failed("watch_pods");
                    tracing::warn!(error = crate::telemetry::chain(&error), "the watch of pods failed and is retried");
                }
            }
        }
    }

    fn insert(&self, pod: Arc<Pod>) -> Option<Arc<Pod>> {
        let mut fleet = self.fleet.write().unwrap_or_else(PoisonError::into_inner);
        fleet.entry(pod.namespace.clone()).or_default().insert(pod.name.clone(), pod)
    }

    fn remove(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let mut fleet = self.fleet.write().unwrap_or_else(PoisonError::into_inner);
        let pods = fleet.get_mut(namespace)?;
        let old = pods.remove(name);
        if pods.is_empty() {
            fleet.remove(namespace);
        }
        old
    }

    fn replace(&self, listed: &Fleet, changed: &impl Fn(Change<'_>)) {
        let old = std::mem::replace(&mut *self.fleet.write().unwrap_or_else(PoisonError::into_inner), listed.clone());
        for (namespace, pods) in listed {
            for (name, pod) in pods {
                let before = old.get(namespace).and_then(|pods| pods.get(name));
                if before != Some(pod) {
                    changed((before.map(|pod| &**pod), Some(pod)));
                }
            }
        }
        for (namespace, pods) in &old {
            for (name, pod) in pods {
                if listed.get(namespace).is_none_or(|pods| !pods.contains_key(name)) {
                    changed((Some(pod), None));
                }
            }
        }
    }
}

/// A pod that can't be read still counts by its metadata.
fn view(pod: &DeserializeGuard<ApiPod>) -> Pod {
    match &pod.0 {
        Ok(pod) => Pod::new(pod),
        Err(invalid) => Pod::new(&ApiPod { metadata: invalid.metadata.clone(), ..ApiPod::default() }),
    }
}
