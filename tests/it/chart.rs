//! The chart as its users meet it: values that are checked, roles that are narrow, upgrades that keep what the operator wrote,
//! and an uninstall that keeps the pools.

#![allow(clippy::panic, reason = "a test fails by a panic")]

#[path = "../cluster/cluster.rs"]
mod cluster;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cluster::{A_MINUTE, Cluster, eventually};
use serde_json::Value;

/// One release at a time: its cluster-wide objects have fixed names.
static RELEASE: Mutex<()> = Mutex::new(());

const POOL: &str = "apiVersion: weir.dev/v1alpha1\nkind: ConnectionPool\nmetadata: {name: kept}\nspec:\n  profile: test\n  selector: {matchLabels: {app: kept}}\n";

fn chart() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/weir").display().to_string()
}

/// What `helm template` gives, as objects.
fn rendered(cluster: &Cluster, values: &[&str]) -> Vec<Value> {
    let chart = chart();
    let mut arguments = vec!["template", "weir", &chart, "--namespace=weir-system"];
    arguments.extend(values);
    let text = cluster.helm(arguments);
    text.split("\n---").filter_map(|part| serde_saphyr::from_str::<Value>(part).ok()).filter(Value::is_object).collect()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn roles_name_what_they_may_do_and_no_more() {
    let objects = rendered(cluster::shared(), &[]);
    let roles: Vec<_> = objects.iter().filter(|o| matches!(o["kind"].as_str(), Some("Role" | "ClusterRole"))).collect();
    assert!(!roles.is_empty());
    for role in roles {
        for rule in role["rules"].as_array().expect("a role has rules") {
            let (groups, resources, verbs) =
                (strings(&rule["apiGroups"]), strings(&rule["resources"]), strings(&rule["verbs"]));
            for word in groups.iter().chain(&resources).chain(&verbs) {
                assert!(!word.contains('*'), "{rule}");
            }
            let writes = verbs.iter().any(|verb| !matches!(*verb, "get" | "list" | "watch"));
            if resources.contains(&"secrets") {
                assert_eq!(role["kind"], "Role", "Secrets of users are none of ours: {role}");
                assert!(!strings(&rule["resourceNames"]).is_empty(), "{rule}");
            }
            if resources.contains(&"mutatingwebhookconfigurations") && writes {
                assert!(!strings(&rule["resourceNames"]).is_empty(), "{rule}");
            }
            if resources.contains(&"pods") && writes {
                assert_eq!(
                    (role["kind"].as_str(), &verbs[..]),
                    (Some("Role"), &["create"][..]),
                    "only the dry-run canary: {rule}"
                );
            }
            for workload in
                ["deployments", "statefulsets", "daemonsets", "jobs", "replicasets", "pods/exec", "nodes/proxy"]
            {
                assert!(!(resources.contains(&workload) && writes), "{rule}");
            }
        }
    }
}

#[test]
fn a_value_that_does_not_exist_is_refused() {
    let chart = chart();
    let error = std::panic::catch_unwind(|| {
        cluster::shared().helm(["template", "weir", &chart, "--set=operator.statusIntervall=5s"])
    });
    let error = error.expect_err("the schema knows every value");
    let text = error.downcast_ref::<String>().expect("it is text");
    assert!(text.contains("statusIntervall"), "{text}");
}

#[test]
fn the_chart_passes_helms_own_lint() {
    let chart = chart();
    let said = cluster::shared().helm(["lint", "--strict", &chart]);
    assert!(said.contains("0 chart(s) failed"), "{said}");
}

#[test]
fn an_upgrade_keeps_the_authority_and_an_uninstall_keeps_the_pools() {
    let _one = RELEASE.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = cluster::shared();
    cluster.install_weir(&[]);
    let test = cluster.test("chart");
    test.apply(POOL);
    test.kubectl(["wait", "--for=condition=Ready", "connectionpool/kept", "--timeout=60s"]);
    let secret = |name: &str| {
        let data = cluster.kubectl(["--namespace=weir-system", "get", "secret", name, "--output=jsonpath={.data}"]);
        assert!(data.len() > 100, "{name} is filled");
        data
    };
    let before = (secret("weir-webhook-certificate"), secret("weir-signing-keys"));
    let entries =
        || cluster.kubectl(["get", "mutatingwebhookconfigurations", "--output=jsonpath={.items[*].webhooks[*].name}"]);
    let written = entries();
    assert!(written.contains("kept"), "{written}");

    cluster.install_weir(&["operator.statusInterval=7s"]);
    assert_eq!((secret("weir-webhook-certificate"), secret("weir-signing-keys")), before);
    assert_eq!(entries(), written, "the operator's entries are not the chart's to change");

    cluster.helm(["uninstall", "weir", "--namespace=weir-system", "--wait"]);
    assert_eq!(test.get("connectionpool", "kept")["metadata"]["name"], "kept");
    // Nothing is left that would call a webhook which is no more.
    eventually("the configurations go", A_MINUTE, || match entries().as_str() {
        "" => Ok(()),
        left => Err(left.to_owned()),
    });

    cluster.install_weir(&[]);
    test.kubectl(["wait", "--for=condition=Ready", "connectionpool/kept", "--timeout=60s"]);
}
