//! LimitRanges: a pod that fits them without the sidecar runs with it, in the class that its owner chose.

use serde_json::{Value, json};

use super::cluster::{A_MINUTE, Test, eventually};
use super::workloads::CLIENT;
use super::{container, output, pool, weir};

/// What the sidecar has where nothing bounds it.
const BURSTABLE: &str = "{requests: {cpu: 10m, memory: 16Mi}}";
const GUARANTEED: &str = "{limits: {cpu: 250m, memory: 128Mi}}";

struct Case {
    name: &'static str,
    /// Of the LimitRange's item for containers.
    bounds: &'static str,
    /// Of the application's container.
    resources: &'static str,
    /// Of the whole pod.
    whole: &'static str,
    /// A container with these the API server refuses.
    refused: Option<&'static str>,
    class: &'static str,
    /// Of the sidecar.
    expected: Value,
}

const CASE: Case = Case {
    name: "",
    bounds: "",
    resources: "{}",
    whole: "{}",
    refused: None,
    class: "Burstable",
    expected: Value::Null,
};

fn pod(test: &Test, name: &str, inject: bool, resources: &str, whole: &str) -> Result<String, String> {
    test.try_apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: bounded}}, annotations: {{weir.dev/inject: "{inject}"}}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  resources: {whole}
  containers:
  - name: app
    image: {CLIENT}
    command: ["/bin/sh", "-c", "psql \"$DATABASE_URL\" -Atc 'select 1'"]
    resources: {resources}
    env: [{{name: DATABASE_URL, value: {:?}}}]
"#,
        test.url()
    ))
}

/// Creates the pod of a case, with a sidecar as expected.
fn fits(test: &Test, case: &Case) {
    let Case { name, bounds, resources, whole, .. } = case;
    test.apply(&format!("apiVersion: v1\nkind: LimitRange\nmetadata: {{name: bounds}}\nspec: {{limits: [{{type: Container, {bounds}}}]}}\n"));
    if let Some(refused) = case.refused {
        eventually("the API server keeps to the bounds", A_MINUTE, || match pod(test, "plain", false, refused, "{}") {
            Ok(_) => {
                test.kubectl(["delete", "pod", "plain", "--force", "--grace-period=0"]);
                Err(format!("{name}: it takes {refused}"))
            }
            Err(refusal) if refusal.contains("per Container is") => Ok(()),
            Err(other) => Err(other),
        });
    }
    // The API server and the operator hear of the bounds separately.
    eventually("a pod whose sidecar fits", A_MINUTE, || {
        pod(test, name, true, resources, whole)?;
        let made = test.get("pod", name);
        let found = container(&made, "weir-bounded").map_or(Value::Null, |sidecar| sidecar["resources"].clone());
        if found == case.expected {
            return Ok(());
        }
        test.kubectl(["delete", "pod", name, "--force", "--grace-period=0"]);
        Err(format!("{name}: the sidecar has {found}"))
    });
    assert_eq!(test.get("pod", name)["status"]["qosClass"], case.class, "{name}");
}

#[test]
fn a_pod_that_fits_a_limit_range_runs_with_a_sidecar_that_fits_it_too() {
    let test = weir().test("limitrange");
    pool(&test, "bounded", "");
    let both = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory});
    for case in [
        Case {
            name: "min",
            bounds: "min: {cpu: 20m, memory: 64Mi}",
            resources: "{requests: {memory: 64Mi}}",
            refused: Some(BURSTABLE),
            expected: json!({"requests": both("20m", "64Mi")}),
            ..CASE
        },
        Case {
            name: "min-guaranteed",
            bounds: "min: {memory: 256Mi}",
            resources: "{limits: {cpu: 200m, memory: 256Mi}}",
            refused: Some(GUARANTEED),
            class: "Guaranteed",
            expected: json!({"requests": both("250m", "256Mi"), "limits": both("250m", "256Mi")}),
            ..CASE
        },
        Case {
            name: "max",
            bounds: "max: {cpu: 200m, memory: 64Mi}",
            resources: "{requests: {cpu: 100m, memory: 32Mi}}",
            refused: Some(GUARANTEED),
            expected: json!({"requests": both("10m", "16Mi"), "limits": both("200m", "64Mi")}),
            ..CASE
        },
        Case {
            name: "max-guaranteed",
            bounds: "max: {cpu: 200m, memory: 64Mi}",
            resources: "{limits: {cpu: 200m, memory: 64Mi}}",
            refused: Some(GUARANTEED),
            class: "Guaranteed",
            expected: json!({"requests": both("200m", "64Mi"), "limits": both("200m", "64Mi")}),
            ..CASE
        },
        Case {
            name: "ratio",
            bounds: "maxLimitRequestRatio: {cpu: 4, memory: 3}",
            resources: "{requests: {cpu: 50m, memory: 32Mi}, limits: {cpu: 200m, memory: 64Mi}}",
            refused: Some(BURSTABLE),
            expected: json!({"requests": both("63m", "44739243"), "limits": both("250m", "128Mi")}),
            ..CASE
        },
        Case {
            name: "ratio-guaranteed",
            bounds: "maxLimitRequestRatio: {cpu: 1, memory: 1.5}",
            resources: "{limits: {cpu: 200m, memory: 64Mi}}",
            refused: Some(BURSTABLE),
            class: "Guaranteed",
            expected: json!({"requests": both("250m", "128Mi"), "limits": both("250m", "128Mi")}),
            ..CASE
        },
        Case {
            name: "defaults",
            bounds: "default: {cpu: 100m, memory: 64Mi}",
            class: "Guaranteed",
            expected: json!({"requests": both("250m", "128Mi"), "limits": both("250m", "128Mi")}),
            ..CASE
        },
        // The default for the sidecar as well would be more than the pod has.
        Case {
            name: "whole-pod",
            bounds: "defaultRequest: {memory: 200Mi}",
            whole: "{requests: {cpu: 200m, memory: 256Mi}, limits: {cpu: 200m, memory: 256Mi}}",
            class: "Guaranteed",
            expected: json!({"requests": {"memory": "0"}}),
            ..CASE
        },
    ] {
        fits(&test, &case);
        assert_eq!(output(&test, case.name), "1\n", "{}", case.name);
    }
    // The node offers no storage, so this pod never starts.
    let storage = |amount: &str| json!({"ephemeral-storage": amount});
    let case = Case {
        name: "storage",
        bounds: "maxLimitRequestRatio: {ephemeral-storage: 2}",
        resources: "{requests: {ephemeral-storage: 1Gi}, limits: {ephemeral-storage: 2Gi}}",
        refused: Some(BURSTABLE),
        class: "BestEffort",
        expected: json!({"requests": storage("128Mi"), "limits": storage("128Mi")}),
        ..CASE
    };
    fits(&test, &case);
}
