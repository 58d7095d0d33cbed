use serde_json::json;

use super::*;
use crate::policy::validate::validate;

fn pool() -> ValidatedPool {
    let pool = json!({
        "apiVersion": "weir.dev/v1alpha1", "kind": "ConnectionPool",
        "metadata": {"namespace": "shop", "name": "orders", "generation": 1},
        "spec": {"profile": "test", "selector": {"matchLabels": {"app": "orders"}}},
    });
    validate(&serde_json::from_value(pool).expect("a pool")).unwrap_or_else(|violations| panic!("{violations:?}"))
}

fn pod(name: &str, age: i64, annotations: &serde_json::Value) -> Arc<Pod> {
    let created = Timestamp::from_second(1_000_000 - age).expect("a time");
    let pod = json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": created, "annotations": annotations},
        "spec": {"containers": [], "initContainers": [{"name": "weir-orders"}]},
    });
    Arc::new(Pod::new(&serde_json::from_value(pod).expect("a pod")))
}

fn status(type_: &str, status: &str) -> ConnectionPoolStatus {
    let condition = json!({
        "type": type_, "status": status, "reason": if type_ == "Injected" { "PodsMissed" } else { "Critical" }, "message": "words", "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    ConnectionPoolStatus {
        conditions: vec![serde_json::from_value(condition).expect("a condition")],
        ..ConnectionPoolStatus::default()
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).expect("a time")
}

fn start() -> Timestamp {
    Timestamp::from_second(999_000).expect("a time")
}

fn reasons(old: Option<&ConnectionPoolStatus>, new: &ConnectionPoolStatus) -> Vec<&'static str> {
    News::of(Some(&pool()), old, Some(new), &[], start(), now()).pool.iter().map(|news| news.reason).collect()
}

#[test]
fn changes_of_the_pool_are_told_once() {
    let (calm, saturated) = (status("Saturated", "False"), status("Saturated", "True"));
    assert_eq!(reasons(Some(&calm), &saturated), ["Saturated"]);
    assert_eq!(reasons(Some(&saturated), &saturated), Vec::<&str>::new());
    assert_eq!(reasons(Some(&saturated), &calm), ["Recovered"]);
    assert_eq!(reasons(Some(&status("Saturated", "Unknown")), &calm), Vec::<&str>::new());
    assert_eq!(reasons(Some(&saturated), &status("Saturated", "Unknown")), Vec::<&str>::new(), "nobody knows");
    assert_eq!(reasons(None, &calm), Vec::<&str>::new(), "a new pool has not recovered");
    assert_eq!(reasons(Some(&status("Injected", "True")), &status("Injected", "False")), ["Missed"]);
    assert!(
        News::of(Some(&pool()), Some(&calm), None, &[], start(), now()).pool.is_empty(),
        "what is not written is not told"
    );
}

#[test]
fn only_young_pods_are_spoken_of() {
    let note = json!({"weir.dev/injected.orders": r#"{"generation":1,"listen":16432,"control":19187,"max":5}"#});
    let skipped = json!({"weir.dev/skipped.orders": "OptedOut: as it wished"});
    let pods = [
        pod("injected", 10, &note),
        pod("skipped", 10, &skipped),
        pod("missed", 10, &json!({})),
        pod("old", 1_000, &note),
    ];
    let news = News::of(Some(&pool()), None, None, &pods, start(), now());
    let said: Vec<_> = news.pods.iter().map(|news| (news.pod.name.as_deref(), news.skipped.as_deref())).collect();
    assert_eq!(said, [(Some("injected"), None), (Some("skipped"), Some("OptedOut: as it wished"))]);
    let restarted = News::of(Some(&pool()), None, None, &pods, now(), now());
    assert!(restarted.pods.is_empty(), "the process before has told of them");
}

#[test]
fn a_crowd_is_counted_and_three_are_named() {
    let names = |count: usize| (0..count).map(|number| format!("p{number}")).collect::<Vec<_>>();
    assert_eq!(note_injected(&names(1)), "pod p0 was injected");
    assert_eq!(note_injected(&names(3)), "3 pods were injected: p0, p1, p2");
    assert_eq!(note_injected(&names(1_000)), "1000 pods were injected: p0, p1, p2 and 997 more");
}

#[tokio::test]
async fn each_pod_is_told_once_per_reason_and_never_all_at_once() {
    let service = tower::service_fn(|_: http::Request<kube::client::Body>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::empty()))
    });
    let client = kube::Client::new(service, "default");
    let announcer = Announcer::new(client, None, Arc::new(Metrics::new(crate::api::activity::Activity::default())));
    let skipped = |count: usize, why: &str| -> Vec<_> {
        let annotations = json!({"weir.dev/skipped.orders": why});
        let pods: Vec<_> = (0..count).map(|number| pod(&format!("p{number:02}"), 1, &annotations)).collect();
        News::of(Some(&pool()), None, None, &pods, start(), now()).pods
    };
    assert_eq!(announcer.fresh("shop/orders", skipped(25, "OptedOut: x")).len(), PODS_MAX);
    assert_eq!(announcer.fresh("shop/orders", skipped(25, "OptedOut: x")).len(), PODS_MAX);
    assert_eq!(announcer.fresh("shop/orders", skipped(25, "OptedOut: x")).len(), 5);
    assert!(announcer.fresh("shop/orders", skipped(25, "OptedOut: x")).is_empty());
    assert_eq!(announcer.fresh("shop/orders", skipped(1, "Conflict: y")).len(), 1, "another reason");
    assert!(announcer.said.lock().expect("not poisoned").len() <= 1, "what is not young is forgotten");
}

#[test]
fn a_note_keeps_its_remedy() {
    let long = format!("{}: rename it", "x".repeat(600));
    assert_eq!(cut(long.clone()), long);
    for (note, kept) in [("x".repeat(1_024), 1_024), ("x".repeat(1_025), 1_024), ("ä".repeat(600), 1_023)] {
        let cut = cut(note.clone());
        assert_eq!(cut.len(), kept);
        assert!(cut == note || cut.ends_with('…') && note.starts_with(cut.trim_end_matches('…')));
    }
}
