//! The operator on a real cluster: entries in force, pods found, instances probed, and what happens while parts of it fail.

#![allow(clippy::panic, reason = "a test fails by a panic")]

#[path = "../cluster/cluster.rs"]
mod cluster;

#[path = "operator/alone.rs"]
mod alone;
#[path = "support/pools.rs"]
mod pools;
#[path = "operator/probes.rs"]
mod probes;
#[path = "support/rounds.rs"]
mod rounds;

use std::sync::Once;
use std::time::Duration;

use cluster::{A_MINUTE, Cluster, Test, eventually};
use pools::{awaits, pool};
use rounds::assert_quiet;
use serde_json::Value;

/// A program that runs for ever in a pod; any image will do.
const IMAGE: &str = "weir.local/postgres-client:1";

/// The cluster of the tests that do not harm the operator.
fn weir() -> &'static Cluster {
    static INSTALLED: Once = Once::new();
    let cluster = cluster::shared();
    INSTALLED.call_once(|| {
        cluster.install_weir(&["operator.statusInterval=1s"]);
        cluster.load_postgres_client();
        cluster.load_psycopg();
    });
    cluster
}

/// A pod that waits; it is created, whatever becomes of it.
fn pod(test: &Test, name: &str, app: &str) -> Result<String, String> {
    test.try_apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {app}}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {{name: app, image: {IMAGE}, command: [sleep, "1000"], env: [{{name: DATABASE_URL, value: "postgres://u:p@db/shop"}}]}}
"#
    ))
}

/// Waits for an event whose note starts with these words; returns the note.
fn awaits_event(test: &Test, kind: &str, name: &str, reason: &str, words: &str) -> String {
    eventually(&format!("event {reason} of {kind} {name}"), A_MINUTE, || {
        let events = test.list("events", "");
        let about = |event: &&Value| event["involvedObject"]["kind"] == kind && event["involvedObject"]["name"] == name;
        let notes = events.iter().filter(about).filter(|event| event["reason"] == reason);
        let notes: Vec<_> = notes.filter_map(|event| event["message"].as_str()).collect();
        let found = notes.iter().find(|note| note.starts_with(words)).map(|note| (*note).to_owned());
        found.ok_or_else(|| format!("there are {notes:?}"))
    })
}

/// Every entry of every configuration.
fn entries(cluster: &Cluster) -> Vec<Value> {
    let list = cluster.kubectl(["get", "mutatingwebhookconfigurations", "--output=json"]);
    let list: Value = serde_json::from_str(&list).expect("kubectl writes JSON");
    let lists = list["items"].as_array().into_iter().flatten().map(|item| item["webhooks"].as_array());
    lists.flatten().flatten().cloned().collect()
}

fn calls<'a>(entries: &'a [Value], path: &str) -> Vec<&'a Value> {
    entries.iter().filter(|entry| entry["clientConfig"]["service"]["path"] == path).collect()
}

#[test]
fn new_pods_of_a_ready_pool_are_injected_until_it_is_deleted() {
    let test = weir().test("ready");
    pool(&test, "orders", "");
    pod(&test, "first", "orders").expect("the pod is taken");
    pod(&test, "stranger", "other").expect("the pod is taken");
    let annotation = |name: &str| test.get("pod", name)["metadata"]["annotations"]["weir.dev/injected.orders"].clone();
    assert!(annotation("first").is_string() && annotation("stranger").is_null());
    assert_eq!(test.get("pod", "first")["spec"]["initContainers"][0]["name"], "weir-orders");
    awaits(&test, "orders", "Injected", "True", "AllInjected", A_MINUTE);
    assert_eq!(test.get("connectionpool", "orders")["status"]["pods"], "1/1");
    awaits_event(&test, "ConnectionPool", "orders", "Injected", "new pods carry the pool");

    let path = format!("/inject/{}/orders", test.namespace);
    assert_eq!(calls(&entries(test.cluster), &path).len(), 1);
    let before = test.get("pod", "first")["spec"].clone();
    test.kubectl(["delete", "connectionpool", "orders"]);
    eventually("the entry goes", A_MINUTE, || match calls(&entries(test.cluster), &path).len() {
        0 => Ok(()),
        count => Err(format!("{count} are left")),
    });
    // API servers learn of it a moment later; a failing entry is ignored meanwhile.
    pod(&test, "second", "orders").expect("the pod is taken");
    assert!(annotation("second").is_null());
    assert_eq!(test.get("pod", "first")["spec"], before, "a running pod stays as it is");
}

#[test]
fn pods_that_were_there_first_are_counted_and_three_are_named() {
    let test = weir().test("missed");
    for name in ["a", "b", "c", "d"] {
        pod(&test, name, "orders").expect("the pod is taken");
    }
    pool(&test, "orders", "");
    let message = awaits(&test, "orders", "Injected", "False", "PodsMissed", Duration::from_secs(10));
    assert!(message.starts_with("4 pods") && message.contains("a, b, c"), "{message}");
    awaits_event(&test, "ConnectionPool", "orders", "Missed", "pods that match run without the pool");
    test.kubectl(["delete", "pod", "a", "b", "c", "d", "--wait=false"]);
    awaits(&test, "orders", "Injected", "True", "NoMatchingPods", A_MINUTE);
}

#[test]
fn a_skipped_pod_says_why_in_three_places() {
    let test = weir().test("skipped");
    pool(&test, "orders", "");
    test.apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: unwilling, labels: {{app: orders}}, annotations: {{weir.dev/inject: "false"}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{{name: app, image: {IMAGE}, command: [sleep, "1000"]}}]
"#
    ));
    let said = test.get("pod", "unwilling")["metadata"]["annotations"]["weir.dev/skipped.orders"].clone();
    let said = said.as_str().expect("the pod says why").to_owned();
    assert!(said.starts_with("OptedOut: "), "{said}");
    assert_eq!(awaits_event(&test, "Pod", "unwilling", "Skipped", "OptedOut: "), said);
    let message = awaits(&test, "orders", "Injected", "False", "PodsSkipped", A_MINUTE);
    assert!(message.contains("unwilling"), "{message}");
}

#[test]
fn a_pool_beside_the_operator_has_no_effect_and_says_so() {
    let test = weir().test("excluded");
    let own = r"
apiVersion: weir.dev/v1alpha1
kind: ConnectionPool
metadata: {name: own, namespace: weir-system}
spec: {profile: test, selector: {matchLabels: {app.kubernetes.io/name: weir}}}
";
    test.cluster.apply(own);
    let ready = ["--namespace=weir-system", "wait", "connectionpool/own", "--timeout=60s"];
    let reason = "--for=jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}=NamespaceExcluded";
    test.cluster.kubectl([ready[0], ready[1], reason, ready[2], ready[3]]);
    assert_eq!(calls(&entries(test.cluster), "/inject/weir-system/own"), Vec::<&Value>::new());
    test.cluster.kubectl(["--namespace=weir-system", "delete", "connectionpool", "own"]);
}

#[test]
fn entries_of_others_stay_and_ours_come_back() {
    let test = weir().test("foreign");
    pool(&test, "orders", "");
    let path = format!("/inject/{}/orders", test.namespace);
    let all = entries(test.cluster);
    let ours = calls(&all, &path)[0].clone();
    let name = (0..4).map(|number| format!("weir-{number}")).find(|name| {
        test.cluster.kubectl(["get", "mutatingwebhookconfiguration", name, "--output=json"]).contains(&path)
    });
    let name = name.expect("one configuration has the entry");
    // Somebody puts an entry of theirs in the place of ours.
    let foreign = r#"[{"name":"inject.example.com","admissionReviewVersions":["v1"],"sideEffects":"None","failurePolicy":"Ignore",
        "clientConfig":{"url":"https://127.0.0.1:1/"},"objectSelector":{"matchLabels":{"nobody":"has-this"}},
        "rules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["pods"]}]}]"#;
    let change = format!(r#"{{"webhooks":{foreign}}}"#);
    test.cluster.kubectl(["patch", "mutatingwebhookconfiguration", &name, "--type=merge", "--patch", &change]);
    eventually("our entry is back", A_MINUTE, || match &calls(&entries(test.cluster), &path)[..] {
        [entry] if **entry == ours => Ok(()),
        other => Err(format!("found {other:?}")),
    });
    let theirs = entries(test.cluster).into_iter().filter(|entry| entry["name"] == "inject.example.com").count();
    assert_eq!(theirs, 1);
}
