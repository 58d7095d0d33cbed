use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use serde_json::{Value, json};

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

/// A status with this one condition; its message differs each time, as figures do.
fn status(type_: &str, reason: &str) -> ConnectionPoolStatus {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Relaxed);
    let status = match reason {
        "Elevated" | "Critical" | "AllInjected" => "True",
        "Normal" | "PodsMissed" => "False",
        _ => "Unknown",
    };
    let condition = json!({
        "type": type_, "status": status, "reason": reason, "message": format!("pod-{number} at {number}%"),
        "lastTransitionTime": "2026-01-01T00:00:00Z",
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

fn changes(type_: &str, old: Option<&str>, new: &str) -> Vec<PoolNews> {
    let (old, new) = (old.map(|old| status(type_, old)), status(type_, new));
    News::of(Some(&pool()), old.as_ref(), Some(&new), &[], start(), now()).pool
}

#[test]
fn each_change_of_the_band_is_told_once_in_its_direction() {
    for (old, new, expected) in [
        (None, "Normal", None),
        (None, "Elevated", Some(("Saturated", "Elevated"))),
        (Some("Normal"), "Elevated", Some(("Saturated", "Elevated"))),
        (Some("Normal"), "Critical", Some(("Saturated", "Critical"))),
        (Some("Elevated"), "Critical", Some(("Saturated", "Critical"))),
        (Some("Critical"), "Elevated", Some(("Recovered", "Elevated"))),
        (Some("Critical"), "Normal", Some(("Recovered", "Normal"))),
        (Some("Elevated"), "Normal", Some(("Recovered", "Normal"))),
        (Some("Critical"), "Critical", None),
        (Some("Elevated"), "Elevated", None),
        // Nobody knows.
        (Some("Critical"), "NotReported", None),
        (Some("NotReported"), "Normal", None),
        (Some("NotReported"), "Critical", Some(("Saturated", "Critical"))),
    ] {
        let told = changes("Saturated", old, new);
        let told: Vec<_> = told.iter().map(|news| (news.reason, news.action, news.warning)).collect();
        let expected: Vec<_> =
            expected.into_iter().map(|(reason, action)| (reason, action, reason == "Saturated")).collect();
        assert_eq!(told, expected, "{old:?} to {new}");
    }
}

#[test]
fn changes_of_the_pool_are_told_once() {
    let missed = changes("Injected", Some("AllInjected"), "PodsMissed");
    assert_eq!(missed.iter().map(|news| news.reason).collect::<Vec<_>>(), ["Missed"]);
    assert_eq!(changes("Injected", Some("PodsMissed"), "PodsMissed"), []);
    let (old, no_write) = (status("Saturated", "Normal"), None);
    let news = News::of(Some(&pool()), Some(&old), no_write, &[], start(), now());
    assert!(news.pool.is_empty(), "what is not written is not told");
}

#[test]
fn what_a_note_says_holds_for_its_whole_series() {
    for (type_, old, new) in [
        ("Saturated", "Normal", "Elevated"),
        ("Saturated", "Elevated", "Critical"),
        ("Saturated", "Critical", "Elevated"),
        ("Saturated", "Elevated", "Normal"),
        ("Injected", "AllInjected", "PodsMissed"),
    ] {
        // Other pods and figures; the API keeps the note of the first.
        let (first, second) = (changes(type_, Some(old), new), changes(type_, Some(old), new));
        assert_eq!(first, second);
        assert!(!first[0].note.contains("pod-") && !first[0].note.contains('%'), "{}", first[0].note);
    }
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

/// Sends to a server that takes everything, and notes method and body.
fn announcer(sent: &Arc<Mutex<Vec<(http::Method, Value)>>>) -> Announcer {
    let sent = Arc::clone(sent);
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let sent = Arc::clone(&sent);
        async move {
            let method = request.method().clone();
            let body = request.into_body().collect_bytes().await.expect("a body");
            sent.lock().expect("not poisoned").push((method, serde_json::from_slice(&body).expect("JSON")));
            Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::from(body.to_vec())))
        }
    });
    let client = kube::Client::new(service, "default");
    Announcer::new(client, None, Arc::new(Metrics::new(crate::api::activity::Activity::default())))
}

#[tokio::test]
async fn pods_injected_one_after_the_other_are_one_series_that_names_none() {
    let sent = Arc::default();
    let announcer = announcer(&sent);
    let object = json!({
        "apiVersion": "weir.dev/v1alpha1", "kind": "ConnectionPool",
        "metadata": {"namespace": "shop", "name": "orders", "uid": "u"},
        "spec": {"profile": "test", "selector": {"matchLabels": {"app": "orders"}}},
    });
    let object: ConnectionPool = serde_json::from_value(object).expect("a pool");
    let note = json!({"weir.dev/injected.orders": r#"{"generation":1,"listen":16432,"control":19187,"max":5}"#});
    let mut pods = Vec::new();
    for name in ["first", "second"] {
        pods.push(pod(name, 1, &note));
        let news = News::of(Some(&pool()), None, None, &pods, start(), now());
        announcer.announce(&object, news).await;
    }
    let sent = sent.lock().expect("not poisoned");
    let [(post, event), (patch, series)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((post, patch), (&http::Method::POST, &http::Method::PATCH));
    assert_eq!((&event["note"], &series["series"]["count"]), (&series["note"], &json!(2)));
    let said = event["note"].as_str().expect("a note");
    assert!(!said.contains("first") && !said.contains("second"), "{said}");
}

#[tokio::test]
async fn each_pod_is_told_once_per_reason_and_never_all_at_once() {
    let announcer = announcer(&Arc::default());
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
