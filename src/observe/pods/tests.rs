use std::sync::Mutex;

use futures::stream;
use kube::runtime::watcher::Event;
use serde_json::json;

use super::*;
use crate::api::activity::Activity;

fn pod(name: &str, uid: &str) -> DeserializeGuard<ApiPod> {
    let pod = json!({"metadata": {"name": name, "namespace": "shop", "uid": uid}, "spec": {"containers": []}});
    serde_json::from_value(pod).expect("a pod")
}

/// Runs the events through a cache; returns the names and identities seen to come (`+`) and go (`-`).
async fn changes(pods: &Pods, events: Vec<Event<DeserializeGuard<ApiPod>>>) -> Vec<String> {
    let seen = Mutex::new(Vec::new());
    let changed = |(old, new): Change<'_>| {
        let mut seen = seen.lock().expect("not poisoned");
        seen.extend(old.map(|pod| format!("-{}:{}", pod.name, pod.uid)));
        seen.extend(new.map(|pod| format!("+{}:{}", pod.name, pod.uid)));
    };
    pods.follow(stream::iter(events.into_iter().map(Ok)), &Metrics::new(Activity::default()), changed).await;
    seen.into_inner().expect("not poisoned")
}

fn known(pods: &Pods) -> Vec<String> {
    pods.of("shop").iter().map(|pod| format!("{}:{}", pod.name, pod.uid)).collect()
}

#[tokio::test]
async fn a_relist_finds_what_was_missed() {
    let pods = Pods::default();
    let first = vec![Event::Init, Event::InitApply(pod("a", "1")), Event::InitApply(pod("b", "2")), Event::InitDone];
    assert_eq!(changes(&pods, first).await, ["+a:1", "+b:2"]);

    // b was deleted, a made anew and c created while the watch was away.
    let second = vec![Event::Init, Event::InitApply(pod("a", "3")), Event::InitApply(pod("c", "4")), Event::InitDone];
    let mut seen = changes(&pods, second).await;
    seen.sort();
    assert_eq!(seen, ["+a:3", "+c:4", "-a:1", "-b:2"]);
    assert_eq!(known(&pods), ["a:3", "c:4"]);
}

#[tokio::test]
async fn nothing_is_synced_before_the_list_is_complete() {
    let pods = Pods::default();
    changes(&pods, vec![Event::Init, Event::InitApply(pod("a", "1"))]).await;
    assert!(!pods.synced() && known(&pods).is_empty());
    changes(&pods, vec![Event::Init, Event::InitDone]).await;
    assert!(pods.synced());
}

#[tokio::test]
async fn repeated_events_change_nothing() {
    let pods = Pods::default();
    let events = vec![
        Event::Apply(pod("a", "1")),
        Event::Apply(pod("a", "1")),
        Event::Delete(pod("a", "1")),
        Event::Delete(pod("a", "1")),
    ];
    assert_eq!(changes(&pods, events).await, ["+a:1", "-a:1"]);
}

#[tokio::test]
async fn a_pod_that_cannot_be_read_counts_by_its_metadata() {
    let pods = Pods::default();
    let odd = json!({"metadata": {"name": "odd", "namespace": "shop", "uid": "9"}, "spec": {"containers": "none"}});
    let odd = serde_json::from_value(odd).expect("guarded");
    assert_eq!(changes(&pods, vec![Event::Apply(odd), Event::Apply(pod("a", "1"))]).await, ["+odd:9", "+a:1"]);
}
