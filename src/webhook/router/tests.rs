use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::api::activity::Activity;
use crate::policy::inject::Resources;

fn pool(name: &str, min: i32) -> Value {
    json!({
        "apiVersion": "weir.dev/v1alpha1", "kind": "ConnectionPool",
        "metadata": {"namespace": "shop", "name": name, "generation": 1, "uid": "p1"},
        "spec": {"profile": "production", "selector": {"matchLabels": {"app": "orders"}}, "limits": {"min": min},
            "sidecar": {"poolMode": "session"}},
    })
}

fn webhook() -> Arc<Webhook> {
    let pools = [
        pool("orders", 5),
        pool("broken", 50),
        json!({
            "apiVersion": "weir.dev/v1alpha1", "kind": "ConnectionPool",
            "metadata": {"namespace": "shop", "name": "undecodable"}, "spec": {"profile": 7},
        }),
    ];
    let pools = pools.into_iter().map(|pool| serde_json::from_value(pool).expect("guarded"));
    let sidecar = Sidecar {
        image: "weir/sidecar:test".to_owned(),
        pull_policy: "IfNotPresent".to_owned(),
        public_keys: vec!["key".to_owned()],
        log: "info".to_owned(),
        resources: Resources::default(),
    };
    let limit_ranges = ["shop", "other"].map(|namespace| {
        let least = if namespace == "shop" { "48Mi" } else { "4Gi" };
        let limits = json!([{"type": "Container", "min": {"memory": least}}]);
        serde_json::from_value(
            json!({"metadata": {"namespace": namespace, "name": "bounds"}, "spec": {"limits": limits}}),
        )
        .expect("a LimitRange")
    });
    Arc::new(Webhook {
        pools: Pools::fixed(pools),
        limit_ranges: LimitRanges::fixed(limit_ranges.into_iter()),
        sidecar,
        metrics: Arc::new(Metrics::new(Activity::default())),
        room: Room::default(),
    })
}

fn pod(annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "orders-", "labels": {"app": "orders"}, "annotations": annotations},
        "spec": {"containers": [{
            "name": "app", "image": "app", "env": [{"name": "DATABASE_URL", "value": "postgres://u:hidden@db:5432/shop"}],
        }]},
    })
}

fn review(pod: &Value, dry_run: bool) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "5c9a", "namespace": "shop", "operation": "CREATE", "dryRun": dry_run,
            "kind": {"group": "", "version": "v1", "kind": "Pod"}, "object": pod,
        },
    })
    .to_string()
}

async fn post(webhook: &Arc<Webhook>, path: &str, body: impl Into<Body>) -> (StatusCode, String) {
    let request = Request::post(path).body(body.into()).expect("a request");
    let response = router(Arc::clone(webhook)).oneshot(request).await.expect("infallible");
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("in memory");
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

/// The `response` of an answer, and the pod after its patch.
fn allowed(pod: &Value, (status, body): (StatusCode, String)) -> (Value, Value) {
    assert_eq!(status, StatusCode::OK, "{body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    let response = answer["response"].clone();
    assert_eq!((&response["uid"], &response["allowed"]), (&json!("5c9a"), &json!(true)));
    let mut patched = pod.clone();
    if let Some(patch) = response["patch"].as_str() {
        let patch: json_patch::Patch =
            serde_json::from_slice(&STANDARD.decode(patch).expect("base64")).expect("a patch");
        json_patch::patch(&mut patched, &patch).expect("applies");
    }
    (response, patched)
}

#[tokio::test]
async fn injects_a_pod_and_leaves_it_alone_the_second_time() {
    let webhook = webhook();
    let pod = pod(&json!({}));
    let (_, injected) = allowed(&pod, post(&webhook, "/inject/shop/orders", review(&pod, false)).await);
    assert_eq!(injected["spec"]["initContainers"][0]["name"], "weir-orders");
    assert!(injected["metadata"]["annotations"]["weir.dev/injected.orders"].is_string());
    let (dry, dry_injected) = allowed(&pod, post(&webhook, "/inject/shop/orders", review(&pod, true)).await);
    assert_eq!(dry_injected, injected, "a dry run shows what would happen");
    assert_eq!(dry["warnings"], Value::Null);
    let (again, _) = allowed(&injected, post(&webhook, "/inject/shop/orders", review(&injected, false)).await);
    assert_eq!(again["patch"], Value::Null);
    let metrics = webhook.metrics.render(jiff::Timestamp::UNIX_EPOCH).expect("text");
    assert!(metrics.contains(r#"weir_webhook_reviews_total{outcome="injected",reason=""} 2"#), "{metrics}");
    assert!(metrics.contains(r#"weir_webhook_reviews_total{outcome="unchanged",reason=""} 1"#), "{metrics}");
    assert!(!metrics.contains("hidden"));
}

#[tokio::test]
async fn the_sidecar_stays_within_the_limit_ranges_of_the_pods_namespace() {
    let mut pod = pod(&json!({}));
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"memory": "1Gi"}});
    let (_, injected) = allowed(&pod, post(&webhook(), "/inject/shop/orders", review(&pod, false)).await);
    assert_eq!(injected["spec"]["initContainers"][0]["resources"]["requests"], json!({"cpu": "10m", "memory": "48Mi"}));
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_a_former_selector_passes_untouched() {
    let (webhook, started) = (webhook(), Instant::now());
    let mut pod = pod(&json!({}));
    pod["metadata"]["labels"] = json!({"app": "others"});
    let (response, _) = allowed(&pod, post(&webhook, "/inject/shop/orders", review(&pod, false)).await);
    assert_eq!((&response["patch"], &response["warnings"]), (&Value::Null, &Value::Null));
    assert_eq!(started.elapsed(), PATIENCE, "the pool may be about to select it");
}

#[tokio::test]
async fn a_skipped_pod_passes_with_a_reason() {
    let webhook = webhook();
    let pod = pod(&json!({"weir.dev/inject": "false"}));
    let (response, patched) = allowed(&pod, post(&webhook, "/inject/shop/orders", review(&pod, false)).await);
    let said = patched["metadata"]["annotations"]["weir.dev/skipped.orders"].as_str().expect("says why");
    assert!(said.starts_with("OptedOut: "), "{said}");
    let warning = response["warnings"][0].as_str().expect("says why");
    assert!(warning.contains("\"orders\"") && warning.contains(said), "{warning}");
    assert!(patched["spec"]["initContainers"].is_null());
}

#[tokio::test]
async fn garbage_is_refused_without_harm() {
    let webhook = webhook();
    let wrong_kind = review(&pod(&json!({})), false).replace(r#""Pod"},"object""#, r#""Deployment"},"object""#);
    for (body, status) in [
        (String::new(), StatusCode::BAD_REQUEST),
        ("garbage".to_owned(), StatusCode::BAD_REQUEST),
        ("{}".to_owned(), StatusCode::BAD_REQUEST),
        (wrong_kind, StatusCode::BAD_REQUEST),
        (review(&json!(null), false), StatusCode::BAD_REQUEST),
        ("[".repeat(BODY_MAX), StatusCode::BAD_REQUEST),
        (" ".repeat(BODY_MAX + 1), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let shown = body.chars().take(40).collect::<String>();
        let (found, text) = post(&webhook, "/inject/shop/orders", body).await;
        assert_eq!(found, status, "{shown}");
        assert!(!text.contains("hidden"));
    }
    // Shapes that no pod has, but a body may.
    let labels = json!({"labels": {"app": "orders"}});
    for pod in [
        json!({"metadata": labels}),
        json!({"metadata": labels, "spec": 1}),
        json!({"metadata": labels, "spec": {"containers": [null, 3, {"env": "x"}]}}),
        json!({"metadata": {"labels": {"app": "orders"}, "annotations": []}, "spec": []}),
        json!({"metadata": []}),
    ] {
        let (status, body) = post(&webhook, "/inject/shop/orders", review(&pod, false)).await;
        assert!(status == StatusCode::OK || status == StatusCode::INTERNAL_SERVER_ERROR, "{status} {body}");
    }
    assert_eq!(
        post(&webhook, "/inject/other/orders", review(&pod(&json!({})), false)).await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(post(&webhook, "/elsewhere", "").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_pool_is_waited_for_and_then_left_to_the_failure_policy() {
    let started = Instant::now();
    let webhook = webhook();
    let body = review(&pod(&json!({})), false);
    assert_eq!(post(&webhook, "/inject/shop/unknown", body.clone()).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(started.elapsed().as_secs(), PATIENCE.as_secs());
    for name in ["broken", "undecodable"] {
        let (status, _) = post(&webhook, &format!("/inject/shop/{name}"), body.clone()).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let endless = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let started = Instant::now();
    assert_eq!(post(&webhook(), "/inject/shop/orders", endless).await.0, StatusCode::REQUEST_TIMEOUT);
    assert!(started.elapsed() < Duration::from_secs(3), "before the API server gives up");
}

#[tokio::test]
async fn the_canary_brings_the_revision_back() {
    let webhook = webhook();
    for annotations in [json!({}), Value::Null] {
        let pod = pod(&annotations);
        let (_, patched) = allowed(&pod, post(&webhook, "/canary/0a1b", review(&pod, true)).await);
        assert_eq!(patched["metadata"]["annotations"]["weir.dev/canary-revision"], "0a1b");
    }
    assert_eq!(post(&webhook, "/canary/0a1b", "").await.0, StatusCode::BAD_REQUEST);
}
