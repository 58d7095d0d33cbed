//! The cache of LimitRanges, within which sidecars have to stay.
//!
//! A help and no condition: where they can't be watched, pods are injected as in a namespace that has none.

use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::LimitRange;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::policy::inject::Bounds;
use crate::shutdown::Stopping;

/// The LimitRanges of the cluster.
#[derive(Clone)]
pub struct LimitRanges {
    store: Store<LimitRange>,
    answered: watch::Sender<bool>,
}

impl LimitRanges {
    /// A cache, and the task that fills it. The task reports errors and backs off by itself, and ends only with the process.
    pub fn watch(
        client: Client,
        metrics: Arc<Metrics>,
        stopping: Stopping,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (store, writer) = reflector::store();
        let ranges = Self { store, answered: watch::Sender::new(false) };
        let events = watcher(Api::all(client), super::config()).default_backoff();
        let inner = ranges.clone();
        let task = async move {
            tokio::select! {
                () = inner.follow(events, writer, &metrics) => {}
                () = stopping.wait() => {}
            }
        };
        (ranges, task)
    }

    async fn follow(
        &self,
        events: impl Stream<Item = Result<watcher::Event<LimitRange>, watcher::Error>>,
        writer: Writer<LimitRange>,
        metrics: &Metrics,
    ) {
        let mut events = std::pin::pin!(events.reflect(writer));
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::InitDone) => self.answer(),
                Ok(_) => {}
                Err(error) => {
                    metrics.failed("watch_limit_ranges");
                    let error = crate::telemetry::chain(&error);
                    tracing::warn!(error, "the watch of LimitRanges failed and is retried; sidecars may not fit them");
                    self.answer();
                }
            }
        }
    }

    fn answer(&self) {
        self.answered.send_if_modified(|answered| !std::mem::replace(answered, true));
    }

    /// Whether the API server gave the LimitRanges, or would not. Before that a pod could be refused for a sidecar that the next one
    /// would not be refused for.
    pub fn answered(&self) -> bool {
        *self.answered.borrow()
    }

    /// What they ask of a container in this namespace.
    pub fn of(&self, namespace: &str) -> Bounds {
        let ranges = self.store.state_filter(|range| range.metadata.namespace.as_deref() == Some(namespace));
        Bounds::of(ranges.iter().map(|range| &**range))
    }

    /// A cache that holds exactly these.
    #[cfg(test)]
    pub fn fixed(ranges: impl Iterator<Item = LimitRange>) -> Self {
        let (store, mut writer) = reflector::store();
        writer.apply_watcher_event(&watcher::Event::Init);
        ranges.for_each(|range| writer.apply_watcher_event(&watcher::Event::InitApply(range)));
        writer.apply_watcher_event(&watcher::Event::InitDone);
        Self { store, answered: watch::Sender::new(true) }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;
    use crate::api::activity::Activity;

    fn range(namespace: &str) -> LimitRange {
        serde_json::from_value(serde_json::json!({
            "metadata": {"namespace": namespace, "name": "bounds"},
            "spec": {"limits": [{"type": "Container", "min": {"memory": "64Mi"}}]},
        }))
        .expect("a LimitRange")
    }

    #[tokio::test]
    async fn a_refused_watch_is_an_answer_without_bounds() {
        let (store, writer) = reflector::store();
        let ranges = LimitRanges { store, answered: watch::Sender::new(false) };
        let metrics = Metrics::new(Activity::default());
        assert!(!ranges.answered());
        ranges.follow(stream::iter([Err(watcher::Error::NoResourceVersion)]), writer, &metrics).await;
        assert!(ranges.answered());
        assert_eq!(ranges.of("shop"), Bounds::default());
        let text = metrics.render(jiff::Timestamp::UNIX_EPOCH).expect("text");
        assert!(text.contains(r#"weir_failures_total{result="watch_limit_ranges"} 1"#), "{text}");
    }

    #[tokio::test]
    async fn bounds_come_and_go_by_namespace() {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        let after = async |events: Vec<watcher::Event<LimitRange>>| {
            let (store, writer) = reflector::store();
            let ranges = LimitRanges { store, answered: watch::Sender::new(false) };
            let metrics = Metrics::new(Activity::default());
            ranges.follow(stream::iter(events.into_iter().map(Ok)), writer, &metrics).await;
            [ranges.of("shop"), ranges.of("other")].map(|bounds| bounds != Bounds::default())
        };
        assert_eq!(after(vec![Init, InitApply(range("shop")), InitDone]).await, [true, false]);
        assert_eq!(after(vec![Init, InitDone, Apply(range("shop")), Apply(range("other"))]).await, [true, true]);
        assert_eq!(after(vec![Init, InitApply(range("shop")), InitDone, Delete(range("shop"))]).await, [false, false]);
    }
}
