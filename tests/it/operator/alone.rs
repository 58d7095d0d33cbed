//! What harms the operator, on a cluster of its own, one test at a time.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::*;
use cluster::Options;

/// As in the docs.
const REFUSAL: &str = "minimum memory usage per Container is 64Mi, but request is 16Mi";
const OPERATOR: &str = "--namespace=weir-system";

/// The cluster, and the right to harm it. Whoever had it before has left the operator running.
fn alone() -> (MutexGuard<'static, ()>, &'static Cluster) {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = CLUSTER.get_or_init(|| {
        // How long the API server waits, when it is stopped, for watchers that do not listen.
        let apiserver_flags = vec!["--request-timeout=15s".to_owned()];
        let cluster = Cluster::start(&Options { apiserver_flags, ..Options::default() });
        cluster.kubectl(["create", "namespace", "weir-system"]);
        cluster.kubectl(["label", "namespace", "weir-system", "pod-security.kubernetes.io/enforce=restricted"]);
        cluster.install_weir(&["operator.statusInterval=1s"]);
        cluster.load_postgres_client();
        cluster
    });
    (turn, cluster)
}

fn scale(cluster: &Cluster, replicas: u32) {
    cluster.kubectl([OPERATOR, "scale", "deployment/weir", &format!("--replicas={replicas}")]);
    cluster.kubectl([OPERATOR, "rollout", "status", "deployment/weir", "--timeout=60s"]);
    let gone = ["wait", "--for=delete", "pod", "--selector=app.kubernetes.io/name=weir", "--timeout=60s"];
    if replicas == 0 {
        cluster.kubectl([OPERATOR, gone[0], gone[1], gone[2], gone[3], gone[4]]);
    }
}

fn restart(cluster: &Cluster) {
    scale(cluster, 0);
    scale(cluster, 1);
}

#[test]
fn pods_pass_or_are_refused_while_the_webhook_is_down_and_are_found_later() {
    let (_turn, cluster) = alone();
    let test = cluster.test("down");
    pool(&test, "lenient", "");
    pool(&test, "strict", "  failurePolicy: Fail");
    scale(cluster, 0);
    pod(&test, "passes", "lenient").expect("the pod is taken");
    let refused = pod(&test, "waits", "strict").expect_err("the pool says Fail");
    assert!(refused.contains("failed calling webhook"), "{refused}");
    scale(cluster, 1);
    let message = awaits(&test, "lenient", "Injected", "False", "PodsMissed", A_MINUTE);
    assert!(message.contains("passes"), "{message}");
    pod(&test, "waits", "strict").expect("the webhook is back");
    awaits(&test, "strict", "Injected", "True", "AllInjected", A_MINUTE);
}

#[test]
fn a_restart_writes_nothing() {
    let (_turn, cluster) = alone();
    let test = cluster.test("restart");
    pool(&test, "orders", "");
    pod(&test, "first", "orders").expect("the pod is taken");
    awaits(&test, "orders", "Injected", "True", "AllInjected", A_MINUTE);
    // The sidecar of this pod has no database: its first report is part of the calm that is waited for.
    let version = || test.get("connectionpool", "orders")["metadata"]["resourceVersion"].clone();
    test.kubectl(["delete", "pod", "first", "--wait=true"]);
    awaits(&test, "orders", "Injected", "True", "NoMatchingPods", A_MINUTE);
    let before = version();
    let path = format!("/inject/{}/orders", test.namespace);
    let all = entries(cluster);
    restart(cluster);
    // A later pool is served after everything that was due at the start.
    pool(&test, "later", "");
    assert_eq!(version(), before);
    assert_eq!(calls(&entries(cluster), &path), calls(&all, &path));
}

/// Replaces the operator's cluster-wide rules, all of them or those that are not about `resource`.
fn set_rules<'r>(cluster: &Cluster, rules: &'r Value, without: &str) -> Vec<&'r Value> {
    let all = rules.as_array().expect("rules");
    let kept: Vec<_> = all.iter().filter(|rule| rule["resources"] != serde_json::json!([without])).collect();
    let patch = serde_json::json!([{"op": "replace", "path": "/rules", "value": kept}]).to_string();
    cluster.kubectl(["patch", "clusterrole", "weir", "--type=json", "--patch", &patch]);
    kept
}

/// The operator's cluster-wide rules.
fn rules(cluster: &Cluster) -> Value {
    let role = cluster.kubectl(["get", "clusterrole", "weir", "--output=json"]);
    serde_json::from_str::<Value>(&role).expect("JSON")["rules"].take()
}

#[test]
fn pools_are_served_while_pods_may_not_be_watched() {
    let (_turn, cluster) = alone();
    let test = cluster.test("forbidden");
    let rules = rules(cluster);
    let without = set_rules(cluster, &rules, "pods");
    assert_eq!(without.len() + 1, rules.as_array().map_or(0, Vec::len));
    restart(cluster);
    pool(&test, "orders", "");
    pod(&test, "first", "orders").expect("the pod is taken");
    assert!(test.get("pod", "first")["metadata"]["annotations"]["weir.dev/injected.orders"].is_string());
    awaits(&test, "orders", "Injected", "Unknown", "PodsUnknown", A_MINUTE);
    set_rules(cluster, &rules, "");
    awaits(&test, "orders", "Injected", "True", "AllInjected", A_MINUTE);
}

#[test]
fn pods_are_injected_as_without_limit_ranges_while_these_may_not_be_watched() {
    let (_turn, cluster) = alone();
    let test = cluster.test("unbounded");
    let rules = rules(cluster);
    let without = set_rules(cluster, &rules, "limitranges");
    assert_eq!(without.len() + 1, rules.as_array().map_or(0, Vec::len));
    restart(cluster);
    pool(&test, "orders", "");
    test.apply("{apiVersion: v1, kind: LimitRange, metadata: {name: bounds}, spec: {limits: [{type: Container, min: {memory: 64Mi}}]}}");
    let sees = |expected: Option<&str>| {
        eventually("the webhook's answer", A_MINUTE, || match (pod(&test, "first", "orders"), expected) {
            // The API server has read the bounds as well.
            (Err(refused), None) if refused.contains(REFUSAL) => Ok(()),
            (Err(refused), _) => Err(refused),
            (Ok(_), _) => {
                let resources = test.get("pod", "first")["spec"]["initContainers"][0]["resources"].take();
                if expected.is_some() && resources["requests"]["memory"].as_str() == expected {
                    return Ok(());
                }
                test.kubectl(["delete", "pod", "first", "--force", "--grace-period=0"]);
                Err(resources.to_string())
            }
        });
    };
    sees(None);
    assert!(include_str!("../../../docs/injection.md").contains(REFUSAL));
    set_rules(cluster, &rules, "");
    sees(Some("64Mi"));
}

#[test]
fn a_pool_that_cannot_be_read_stops_nobody() {
    let (_turn, cluster) = alone();
    let test = cluster.test("undecodable");
    let crd = cluster.kubectl(["get", "crd", "connectionpools.weir.dev", "--output=json"]);
    let crd: Value = serde_json::from_str(&crd).expect("kubectl writes JSON");
    let set = |schema: &Value| {
        let patch =
            serde_json::json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema}]);
        cluster.kubectl(["patch", "crd", "connectionpools.weir.dev", "--type=json", "--patch", &patch.to_string()]);
    };
    // A newer version of Weir might let a profile be a number.
    set(&serde_json::json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
    let odd = "{apiVersion: weir.dev/v1alpha1, kind: ConnectionPool, metadata: {name: odd}, spec: {profile: 7}}";
    eventually("the looser schema is in force", A_MINUTE, || test.try_apply(odd));
    let message = awaits(&test, "odd", "Accepted", "False", "Invalid", A_MINUTE);
    assert!(message.contains("profile"), "{message}");
    pool(&test, "orders", "");
    restart(cluster);
    pool(&test, "later", "");
    pod(&test, "first", "orders").expect("the pod is taken");
    awaits(&test, "orders", "Injected", "True", "AllInjected", A_MINUTE);
    test.kubectl(["delete", "connectionpool", "odd"]);
    set(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
}

#[test]
fn an_upgrade_by_the_chart_keeps_keys_and_entries() {
    // Other tests change by hand what helm owns, and helm then refuses to undo it.
    let (_turn, _) = alone();
    let cluster = &Cluster::start(&Options::default());
    cluster.install_weir(&["operator.statusInterval=1s"]);
    cluster.load_postgres_client();
    let test = cluster.test("upgrade");
    pool(&test, "orders", "");
    let path = format!("/inject/{}/orders", test.namespace);
    let secret = |name: &str| cluster.kubectl([OPERATOR, "get", "secret", name, "--output=jsonpath={.data}"]);
    let before = (secret("weir-webhook-certificate"), secret("weir-signing-keys"), entries(cluster));
    assert!(before.0.contains("document.json") && before.1.contains("document.json"));
    cluster.install_weir(&[
        "operator.statusInterval=1s",
        "operator.replicas=2",
        "operator.podDisruptionBudget.enabled=true",
        "networkPolicy.enabled=true",
    ]);
    assert_eq!((secret("weir-webhook-certificate"), secret("weir-signing-keys")), (before.0, before.1));
    assert_eq!(calls(&entries(cluster), &path), calls(&before.2, &path));
    pool(&test, "later", "");
    pod(&test, "first", "later").expect("the pod is taken");
    awaits(&test, "later", "Injected", "True", "AllInjected", A_MINUTE);
    // Both replicas wrote, and neither undid what the other did.
    assert_eq!(calls(&entries(cluster), &format!("/inject/{}/later", test.namespace)).len(), 1);
}

/// Pods and pools go while the operator is frozen and the API server forgets what it could have told.
#[test]
fn what_was_deleted_during_a_disconnect_is_noticed() {
    let (_turn, cluster) = alone();
    let test = cluster.test("missed-deletion");
    pool(&test, "orders", "");
    pool(&test, "gone", "");
    pod(&test, "first", "orders").expect("the pod is taken");
    awaits(&test, "orders", "Injected", "True", "AllInjected", A_MINUTE);
    let gone = format!("/inject/{}/gone", test.namespace);
    assert_eq!(calls(&entries(cluster), &gone).len(), 1);

    // The kubelet shall be as patient as the test.
    let patient =
        r#"[{"op":"replace","path":"/spec/template/spec/containers/0/livenessProbe/failureThreshold","value":60}]"#;
    cluster.kubectl([OPERATOR, "patch", "deployment", "weir", "--type=json", "--patch", patient]);
    restart(cluster);
    let operator = cluster.on_node(&["pgrep", "--full", "^/weir operator"]).trim().to_owned();
    cluster.on_node(&["kill", "-STOP", &operator]);
    test.kubectl(["delete", "pod", "first", "--force", "--wait=true"]);
    test.kubectl(["delete", "connectionpool", "gone"]);
    cluster.stop("kube-apiserver");
    cluster.restart("kube-apiserver");
    cluster.on_node(&["kill", "-CONT", &operator]);

    awaits(&test, "orders", "Injected", "True", "NoMatchingPods", A_MINUTE);
    eventually("the entry goes", A_MINUTE, || match calls(&entries(cluster), &gone).len() {
        0 => Ok(()),
        count => Err(format!("{count} are left")),
    });
}

#[test]
fn lost_certificates_are_made_anew_and_used_without_a_restart() {
    let (_turn, cluster) = alone();
    let test = cluster.test("certificates");
    pool(&test, "orders", "");
    let pods = || {
        cluster.kubectl([
            OPERATOR,
            "get",
            "pods",
            "--output=jsonpath={.items[*].metadata.uid} {.items[*].status.containerStatuses[*].restartCount}",
        ])
    };
    let path = format!("/inject/{}/orders", test.namespace);
    let bundle = || calls(&entries(cluster), &path)[0]["clientConfig"]["caBundle"].clone();
    let (running, before) = (pods(), bundle());
    let remove = r#"[{"op":"remove","path":"/data/document.json"}]"#;
    cluster.kubectl([OPERATOR, "patch", "secret", "weir-webhook-certificate", "--type=json", "--patch", remove]);
    eventually("another authority is in the entries", A_MINUTE, || {
        if bundle() == before { Err("not yet".to_owned()) } else { Ok(()) }
    });
    // In force on the API server, as the canary says.
    pool(&test, "later", "");
    pod(&test, "first", "later").expect("the pod is taken");
    awaits(&test, "later", "Injected", "True", "AllInjected", A_MINUTE);
    assert_eq!(pods(), running, "nothing was restarted");
}

/// What the operator did, and what it may do, are the same.
#[test]
fn the_role_holds_what_is_used_and_nothing_else() {
    let (_turn, cluster) = alone();
    let test = cluster.test("role");
    pool(&test, "orders", "");
    pod(&test, "first", "orders").expect("the pod is taken");
    awaits_event(&test, "ConnectionPool", "orders", "Injected", "");
    pod(&test, "second", "orders").expect("the pod is taken");
    // A second event of the same kind is a patch of the first.
    let audit = || std::fs::read_to_string(cluster.place("/auditLog")).expect("the API server writes it");
    let used = || -> std::collections::BTreeSet<String> {
        let lines = audit();
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| {
                line["user"]["username"] == "system:serviceaccount:weir-system:weir"
                    && line["responseStatus"]["code"] != 403
            })
            .filter_map(|line| {
                let of = &line["objectRef"];
                let subresource = of["subresource"].as_str().map(|name| format!("/{name}")).unwrap_or_default();
                Some(format!("{} {}{subresource}", line["verb"].as_str()?, of["resource"].as_str()?))
            })
            .collect()
    };
    let granted = |kind: &str| -> Vec<String> {
        let role: Value =
            serde_json::from_str(&cluster.kubectl([OPERATOR, "get", kind, "weir", "--output=json"])).expect("JSON");
        let words = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let rules = role["rules"].as_array().cloned().unwrap_or_default();
        rules
            .iter()
            .flat_map(|rule| {
                let (verbs, resources) = (words(&rule["verbs"]), words(&rule["resources"]));
                verbs.into_iter().flat_map(move |verb| {
                    resources.clone().into_iter().map(move |resource| format!("{verb} {resource}"))
                })
            })
            .collect()
    };
    let granted: std::collections::BTreeSet<String> =
        granted("clusterrole").into_iter().chain(granted("role")).collect();
    assert!(granted.iter().all(|right| !right.contains('*')), "{granted:?}");
    // Reading one pool is for those that can't be read in full, which another test has or will have.
    let rare = std::collections::BTreeSet::from(["get connectionpools".to_owned()]);
    eventually("every right is used", A_MINUTE, || {
        let used = used();
        let (unused, illegal): (Vec<_>, Vec<_>) = (
            granted.difference(&used).filter(|right| !rare.contains(*right)).collect(),
            used.difference(&granted).collect(),
        );
        assert!(illegal.is_empty(), "{illegal:?}");
        if unused.is_empty() { Ok(()) } else { Err(format!("unused: {unused:?}")) }
    });
}
