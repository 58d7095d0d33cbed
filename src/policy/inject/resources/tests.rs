#![expect(clippy::needless_pass_by_value, reason = "json! makes values")]

use serde_json::{Value, json};

use super::*;

fn pod(containers: Value, whole: Value) -> Value {
    json!({"spec": {"containers": containers, "resources": whole}})
}

fn of(containers: Value) -> Option<Value> {
    fitting(Pod(&pod(containers, Value::Null)), &Resources::default(), &Bounds::default())
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
    let of = |containers| fitting(Pod(&pod(containers, Value::Null)), &resources, &Bounds::default());
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
    assert_eq!(fitting(Pod(&pod(containers.clone(), whole)), &Resources::default(), &Bounds::default()), None);
    assert!(
        fitting(Pod(&pod(containers, json!({"requests": {}}))), &Resources::default(), &Bounds::default()).is_some()
    );
}

/// A namespace with one LimitRange for each of these items.
fn bounds(items: &[Value]) -> Bounds {
    let range = |item: &Value| {
        serde_json::from_value(json!({"metadata": {"name": "bounds"}, "spec": {"limits": [item]}}))
            .expect("a LimitRange")
    };
    let ranges: Vec<k8s_openapi::api::core::v1::LimitRange> = items.iter().map(range).collect();
    Bounds::of(&ranges)
}

fn container(item: Value) -> Value {
    let mut item = item;
    item["type"] = json!("Container");
    item
}

fn requests_and_limits(cpu: [&str; 2], memory: [&str; 2]) -> Value {
    json!({"requests": {"cpu": cpu[0], "memory": memory[0]}, "limits": {"cpu": cpu[1], "memory": memory[1]}})
}

#[test]
fn a_limit_range_moves_amounts_no_further_than_it_has_to() {
    let burstable = json!([{"resources": {"requests": {"cpu": "1"}}}]);
    let guaranteed = json!([{"resources": {"limits": {"cpu": "200m", "memory": "64Mi"}}}]);
    let of = |containers: &Value, items: &[Value]| {
        fitting(Pod(&pod(containers.clone(), Value::Null)), &Resources::default(), &bounds(items)).expect("resources")
    };
    // What is within the bounds stays.
    let wide = container(json!({"min": {"cpu": "1m", "memory": "1Mi"}}));
    assert_eq!(of(&burstable, &[wide]), json!({"requests": {"cpu": "10m", "memory": "16Mi"}}));
    // min
    let least = container(json!({"min": {"cpu": "0.02", "memory": "64Mi"}}));
    assert_eq!(of(&burstable, std::slice::from_ref(&least)), json!({"requests": {"cpu": "0.02", "memory": "64Mi"}}));
    let least_and_more = [least, container(json!({"min": {"cpu": "10m", "memory": "256Mi"}}))];
    assert_eq!(of(&guaranteed, &least_and_more), requests_and_limits(["250m", "250m"], ["256Mi", "256Mi"]));
    // max, and the limit that it demands
    let most = container(json!({"max": {"cpu": "200m", "memory": "8Mi"}}));
    assert_eq!(of(&burstable, std::slice::from_ref(&most)), requests_and_limits(["10m", "200m"], ["8Mi", "8Mi"]));
    assert_eq!(of(&guaranteed, &[most]), requests_and_limits(["200m", "200m"], ["8Mi", "8Mi"]));
    // maxLimitRequestRatio
    let ratio = |cpu: &str, memory: &str| container(json!({"maxLimitRequestRatio": {"cpu": cpu, "memory": memory}}));
    assert_eq!(of(&burstable, &[ratio("25", "8")]), requests_and_limits(["10m", "250m"], ["16Mi", "128Mi"]));
    assert_eq!(of(&burstable, &[ratio("4", "2")]), requests_and_limits(["63m", "250m"], ["64Mi", "128Mi"]));
    assert_eq!(of(&burstable, &[ratio("1", "3")]), requests_and_limits(["250m", "250m"], ["44739243", "128Mi"]));
    assert_eq!(of(&guaranteed, &[ratio("1", "1")]), requests_and_limits(["250m", "250m"], ["128Mi", "128Mi"]));
    // Other types bound other things.
    let others =
        ["Pod", "PersistentVolumeClaim"].map(|kind| json!({"type": kind, "min": {"cpu": "4", "memory": "8Gi"}}));
    assert_eq!(of(&burstable, &others), json!({"requests": {"cpu": "10m", "memory": "16Mi"}}));
}

#[test]
fn bounds_that_nothing_meets_stop_nothing() {
    let against = [container(json!({"min": {"memory": "1Gi"}})), container(json!({"max": {"memory": "1Mi"}}))];
    let burstable = json!([{"resources": {"requests": {"cpu": "1"}}}]);
    let fitted = fitting(Pod(&pod(burstable, Value::Null)), &Resources::default(), &bounds(&against));
    assert_eq!(fitted.expect("resources")["requests"]["memory"], "1Mi");
    let unreadable =
        container(json!({"min": {"memory": "much"}, "max": {"cpu": "-1"}, "maxLimitRequestRatio": {"cpu": ""}}));
    assert_eq!(bounds(&[unreadable]), Bounds::default());
    let nothing = container(json!({"maxLimitRequestRatio": {"memory": "0"}, "max": {"memory": "0"}}));
    let guaranteed = json!([{"resources": {"limits": {"cpu": "1", "memory": "2Gi"}}}]);
    assert!(fitting(Pod(&pod(guaranteed, Value::Null)), &Resources::default(), &bounds(&[nothing])).is_some());
}

#[test]
fn defaults_of_a_limit_range_do_not_lift_a_best_effort_pod() {
    let zero = json!([{"resources": {"requests": {"cpu": "0", "memory": "0"}, "limits": {"cpu": "0", "memory": "0"}}}]);
    let of =
        |item: Value| fitting(Pod(&pod(zero.clone(), Value::Null)), &Resources::default(), &bounds(&[container(item)]));
    assert_eq!(of(json!({"max": {"cpu": "1"}})), Some(json!({"requests": {"cpu": "0"}, "limits": {"cpu": "0"}})));
    assert_eq!(of(json!({"defaultRequest": {"memory": "1Mi"}})), Some(json!({"requests": {"memory": "0"}})));
    assert_eq!(
        of(json!({"min": {"memory": "1Mi"}})),
        None,
        "the API server refuses the pod, or gives ours what it gave the rest"
    );
}

#[test]
fn storage_is_asked_for_only_where_defaults_would_be_refused() {
    let of = |items: &[Value]| fitting(Pod(&pod(json!([{}]), Value::Null)), &Resources::default(), &bounds(items));
    let both = |amount: &str| {
        Some(json!({"requests": {"ephemeral-storage": amount}, "limits": {"ephemeral-storage": amount}}))
    };
    let most = container(json!({"max": {"ephemeral-storage": "1Gi"}}));
    assert_eq!(of(std::slice::from_ref(&most)), None);
    assert_eq!(of(&[container(json!({"maxLimitRequestRatio": {"ephemeral-storage": "2"}}))]), both("128Mi"));
    assert_eq!(of(&[most, container(json!({"min": {"ephemeral-storage": "500Mi"}}))]), both("500Mi"));
}

#[test]
fn resources_of_the_whole_pod_are_spent_on_the_sidecar_only_as_a_limit_range_demands() {
    let containers = json!([{"resources": {"requests": {"cpu": "1"}}}]);
    let whole = json!({"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "64Mi"}});
    let of = |item: Value| {
        fitting(Pod(&pod(containers.clone(), whole.clone())), &Resources::default(), &bounds(&[container(item)]))
    };
    assert_eq!(of(json!({"defaultRequest": {"cpu": "1"}})), Some(json!({"requests": {"cpu": "0"}})));
    assert_eq!(of(json!({"min": {"cpu": "50m"}})), Some(json!({"requests": {"cpu": "50m"}})));
    let most = of(json!({"max": {"memory": "1Gi"}}));
    assert_eq!(most, Some(json!({"requests": {"memory": "0"}, "limits": {"memory": "64Mi"}})));
    let ratio = of(json!({"maxLimitRequestRatio": {"cpu": "25"}}));
    assert_eq!(ratio, Some(json!({"requests": {"cpu": "10m"}, "limits": {"cpu": "250m"}})));
}
