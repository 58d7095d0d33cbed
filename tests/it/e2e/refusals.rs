//! Bad input of every kind: a clear reason where the user looks, nothing crashed, other pools unaffected.

use super::cluster::{A_MINUTE, Test, eventually};
use super::workloads::{CLIENT, from_secret, literal, pod};
use super::{awaits, output, pool, weir};

/// What the API server says to a pool with this spec.
fn refused(test: &Test, name: &str, spec: &str) -> String {
    let yaml = format!(
        "apiVersion: weir.dev/v1alpha1\nkind: ConnectionPool\nmetadata: {{name: {name}}}\nspec:\n  profile: test\n  selector: {{matchLabels: {{app: x}}}}\n{spec}\n"
    );
    test.try_apply(&yaml).expect_err("it is refused")
}

/// Applies a pod, and returns what its skip annotation says.
fn skipped(test: &Test, pool: &str, name: &str, env: &str) -> String {
    test.apply(&pod(name, pool, CLIENT, &["/bin/sh", "-c", "true"], env));
    let pod = test.get("pod", name);
    assert_eq!(pod["spec"]["initContainers"], serde_json::Value::Null, "it is left alone");
    let annotation = pod["metadata"]["annotations"][format!("weir.dev/skipped.{pool}")].as_str().map(str::to_owned);
    annotation.unwrap_or_else(|| panic!("no reason on {}", pod["metadata"]))
}

#[test]
fn a_bad_pool_is_refused_with_field_value_and_remedy() {
    let test = weir().test("refused");
    for (name, spec, expected) in [
        ("bad", "  client: oracle", &["spec.client", "prisma", "node-postgres", "libpq"][..]),
        ("bad", "  limits: {min: 6}", &["spec.limits.min"]),
        ("bad", "  limits: {max: 0}", &["spec.limits.max"]),
        ("bad", "  limits: {idleTimeout: 500ms}", &["spec.limits.idleTimeout"]),
        ("bad", "  limits: {connectionTimeout: soon}", &["spec.limits.connectionTimeout"]),
        ("bad", "  sidecar: {mode: None}", &["spec.probe"]),
        ("a-name-of-more-than-fifty-characters-which-is-too-long", "", &["50"]),
    ] {
        let error = refused(&test, name, spec);
        for word in expected {
            assert!(error.contains(word), "{spec}: {word:?} is missing in {error}");
        }
    }
}

#[test]
fn a_pod_that_cannot_be_rewritten_says_why() {
    let test = weir().test("skipped");
    pool(&test, "skip", "");
    for (name, env, reason) in [
        ("malformed", literal("postgresql://user:p%zz@db/x"), "UrlNotRewritable"),
        ("keyword", literal("host=db dbname=x user=u password=canary"), "UrlNotRewritable"),
        ("absent", "    - {name: OTHER, value: x}".to_owned(), "NoVariable"),
        (
            "optional",
            "    - {name: DATABASE_URL, valueFrom: {secretKeyRef: {name: db, key: url, optional: true}}}".to_owned(),
            "OptionalReference",
        ),
    ] {
        let why = skipped(&test, "skip", name, &env);
        assert!(why.starts_with(reason), "{name}: {why}");
        assert!(!why.contains("canary") && !why.contains("p%zz"), "{why}");
    }
    let message = awaits(&test, "skip", "Injected", "False", "PodsSkipped");
    assert!(message.contains("skip"), "{message}");
    eventually("an event on a skipped pod", A_MINUTE, || {
        let events = test.kubectl([
            "get",
            "events",
            "--field-selector=involvedObject.kind=Pod",
            "--output=jsonpath={.items[*].reason}",
        ]);
        if events.contains("Skipped") { Ok(()) } else { Err(events) }
    });
}

#[test]
fn two_pools_on_one_pod_are_a_conflict_and_the_first_works() {
    let test = weir().test("conflict");
    pool(&test, "one", "");
    test.apply(
        "apiVersion: weir.dev/v1alpha1\nkind: ConnectionPool\nmetadata: {name: two}\nspec:\n  profile: test\n  selector: {matchLabels: {app: one}}\n",
    );
    test.kubectl(["wait", "--for=condition=Ready", "connectionpool/two", "--timeout=60s"]);
    test.apply(&pod(
        "both",
        "one",
        CLIENT,
        &["/bin/sh", "-c", "psql \"$DATABASE_URL\" -Atc 'select 1'"],
        &literal(&test.url()),
    ));
    assert_eq!(output(&test, "both"), "1\n");
    let pod = test.get("pod", "both");
    let ours = pod["spec"]["initContainers"].as_array().expect("a list").len();
    assert_eq!(ours, 1, "{}", pod["spec"]["initContainers"]);
    assert!(pod["metadata"]["annotations"].to_string().contains("Conflict"), "{}", pod["metadata"]["annotations"]);
}

#[test]
fn a_selector_that_matches_nothing_is_said_and_harms_nothing() {
    let test = weir().test("nothing");
    pool(&test, "empty", "");
    awaits(&test, "empty", "Injected", "True", "NoMatchingPods");
    awaits(&test, "empty", "Ready", "True", "InForce");
}

#[test]
fn a_missing_secret_key_stops_the_pod_with_the_kubelets_reason() {
    let test = weir().test("nokey");
    pool(&test, "nokey", "");
    test.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {other: x}\n");
    test.apply(&pod("waits", "nokey", CLIENT, &["/bin/sh", "-c", "true"], &from_secret("db")));
    eventually("an event names the key", A_MINUTE, || {
        let events = test.kubectl([
            "get",
            "events",
            "--field-selector=involvedObject.name=waits",
            "--output=jsonpath={.items[*].message}",
        ]);
        if events.contains("url") { Ok(()) } else { Err(events) }
    });
    // As it would have without Weir, the pod starts once the key is there.
    super::workloads::secret(&test, "db", &test.url());
    eventually("the pod ends", A_MINUTE * 3, || match test.get("pod", "waits")["status"]["phase"].as_str() {
        Some("Succeeded") => Ok(()),
        phase => Err(format!("{phase:?}")),
    });
}

#[test]
fn an_unreachable_database_gives_a_clear_error_and_a_condition() {
    let test = weir().test("unreachable");
    pool(&test, "lost", "  limits: {connectionTimeout: 2s}\n  probe: {interval: 2s, timeout: 1s}");
    let script = "psql \"$DATABASE_URL\" -c 'select 1' 2>&1; sleep 1000";
    let url = test.url().replace(test.cluster.place("/postgresql/host"), "nowhere.invalid");
    test.apply(&pod("lost", "lost", CLIENT, &["/bin/sh", "-c", script], &literal(&url)));
    let message = awaits(&test, "lost", "DatabaseReachable", "False", "ConnectionFailed");
    assert!(!message.contains(&test.password), "{message}");
    let log = eventually("psql gives up", A_MINUTE, || {
        let log = test.try_kubectl(["logs", "lost", "--container=app"])?;
        if log.contains("FATAL") { Ok(log) } else { Err(log) }
    });
    assert!(log.contains("could not look") && !log.contains(&test.password), "{log}");
    awaits(&test, "lost", "Ready", "True", "InForce");
}

#[test]
fn a_pod_starts_while_the_webhook_is_down_and_is_counted_afterwards() {
    // A cluster of its own: taking the operator away would disturb the others.
    let cluster = super::cluster::Cluster::start(&super::cluster::Options::default());
    cluster.install_weir(&["operator.statusInterval=5s"]);
    cluster.load_postgres_client();
    let test = cluster.test("down");
    pool(&test, "down", "");
    pool(&test, "fail", "  failurePolicy: Fail");
    cluster.kubectl(["--namespace=weir-system", "scale", "deployment/weir", "--replicas=0"]);
    cluster.kubectl([
        "--namespace=weir-system",
        "wait",
        "--for=delete",
        "pod",
        "--selector=app.kubernetes.io/name=weir",
        "--timeout=60s",
    ]);
    test.apply(&pod("plain", "down", CLIENT, &["/bin/sh", "-c", "echo started; sleep 1000"], &literal(&test.url())));
    test.kubectl(["wait", "--for=condition=Ready", "pod/plain", "--timeout=60s"]);
    let error = test.try_apply(&pod("waits", "fail", CLIENT, &["/bin/sh", "-c", "true"], &literal(&test.url())));
    assert!(error.expect_err("failurePolicy Fail refuses it").contains("failed calling webhook"));
    cluster.kubectl(["--namespace=weir-system", "scale", "deployment/weir", "--replicas=1"]);
    let message = awaits(&test, "down", "Injected", "False", "PodsMissed");
    assert!(message.contains("plain"), "{message}");
}
