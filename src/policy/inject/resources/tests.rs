#![expect(clippy::needless_pass_by_value, reason = "json! makes values")]

use serde_json::{Value, json};

use super::*;

fn pod(containers: Value, whole: Value) -> Value {
    json!({"spec": {"containers": containers, "resources": whole}})
}

fn of(containers: Value) -> Option<Value> {
    fitting(Pod(&pod(containers, Value::Null)), &Resources::default())
}

#[test]
fn a_pod_keeps_its_class() {
    let limits = json!({"cpu": "250m", "memory": "128Mi"});
    let requests = json!({"cpu": "10m", "memory": "16Mi"});
    let best_effort =
        json!([{}, {"resources": {}}, {"resources": {"requests": {"cpu": "0", "ephemeral-storage": "1Gi"}}}]);
    assert_eq!(of(best_effort), None);

    let guaranteed = json!([
        {"resources": {"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}},
        {"resources": {"limits": {"cpu": "0.5", "memory": "1e9"}}},
    ]);
    assert_eq!(of(guaranteed), Some(json!({"requests": limits, "limits": limits})));

    let burstable = json!([{"resources": {"requests": {"cpu": "1"}}}, {}]);
    assert_eq!(of(burstable), Some(json!({"requests": requests})));
}

#[test]
fn a_pod_that_limits_everybody_limits_the_sidecar() {
    let memory = json!([{"resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}}]);
    let expected = json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "128Mi"}});
    assert_eq!(of(memory), Some(expected));
}

#[test]
fn a_raised_request_raises_its_limit() {
    let amounts = |cpu: &str, memory: &str| Amounts { cpu: cpu.to_owned(), memory: memory.to_owned() };
    let resources = Resources { requests: amounts("100m", "1Gi"), limits: amounts("0.25", "128Mi") };
    let of = |containers| fitting(Pod(&pod(containers, Value::Null)), &resources);
    let limited = json!([{"resources": {"limits": {"memory": "2Gi"}, "requests": {"cpu": "1"}}}]);
    assert_eq!(of(limited), Some(json!({"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}})));
    let guaranteed = json!([{"resources": {"limits": {"cpu": "1", "memory": "2Gi"}}}]);
    let both = json!({"cpu": "0.25", "memory": "1Gi"});
    assert_eq!(of(guaranteed), Some(json!({"requests": both, "limits": both})));
}

#[test]
fn resources_of_the_whole_pod_leave_the_sidecar_without_any() {
    let containers = json!([{"resources": {"requests": {"cpu": "1"}}}]);
    let whole = json!({"requests": {"cpu": "2", "memory": "1Gi"}});
    assert_eq!(fitting(Pod(&pod(containers.clone(), whole)), &Resources::default()), None);
    assert!(fitting(Pod(&pod(containers, json!({"requests": {}}))), &Resources::default()).is_some());
}

#[test]
fn quantities_are_compared_by_value() {
    for (one, other) in [
        (json!("1"), json!("1000m")),
        (json!(1), json!("1.0")),
        (json!("1Gi"), json!("1024Mi")),
        (json!("1G"), json!("1e9")),
        (json!("0.1"), json!("100m")),
        (json!("1500u"), json!("1.5m")),
    ] {
        assert!(quantity(&one).is_some());
        assert_eq!(quantity(&one), quantity(&other), "{one} {other}");
    }
    for bad in [json!(""), json!("m"), json!("1x"), json!("1e99"), json!("-1"), json!("1.0000000001"), json!(true)] {
        assert_eq!(quantity(&bad), None, "{bad}");
    }
    assert_ne!(quantity(&json!("1G")), quantity(&json!("1Gi")));
}
