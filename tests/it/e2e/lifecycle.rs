//! From a pool's first day to its last: owners of every kind, rotation, saturation, pods that were there before, deletion.

use super::cluster::{A_MINUTE, eventually};
use super::rounds::assert_quiet;
use super::workloads::{CLIENT, HEALTH_APP, PYTHON, from_secret, literal, pod, secret, session};
use super::{awaits, condition, container, output, pool, weir};

/// A Deployment whose pods keep one session with a query in it.
fn deployment(name: &str, replicas: u32, env: &str, script: &str) -> String {
    let env = env.replace("    - ", "        - ");
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: app
        image: {CLIENT}
        command: ["/bin/sh", "-c", {script:?}]
        env:
{env}
"#
    )
}

#[test]
fn a_job_completes_and_its_init_container_reaches_the_database() {
    let test = weir().test("job");
    pool(&test, "report", "  client: prisma");
    let url = test.url();
    test.apply(&format!(
        r#"
apiVersion: batch/v1
kind: Job
metadata: {{name: report}}
spec:
  backoffLimit: 0
  template:
    metadata: {{labels: {{app: report}}}}
    spec:
      restartPolicy: Never
      initContainers:
      - name: migrate
        image: {CLIENT}
        command: ["/bin/sh", "-c", "psql \"$DATABASE_URL\" -c 'create table migrated as select 42 as n'"]
        env: [{{name: DATABASE_URL, value: {url:?}}}]
      containers:
      - name: app
        image: {CLIENT}
        command: ["/bin/sh", "-c", "echo $DATABASE_URL; psql -h 127.0.0.1 -p 16432 -U {0} {0} -Atc 'select n from migrated'"]
        env: [{{name: DATABASE_URL, value: {url:?}}}]
"#,
        test.database
    ));
    test.kubectl(["wait", "--for=condition=Complete", "job/report", "--timeout=90s"]);
    let log = test.kubectl(["logs", "job/report", "--container=app"]);
    let (url, rest) = log.split_once('\n').expect("two lines");
    // psql in the init container would have refused the parameter that prisma reads.
    assert!(url.contains("connection_limit=5"), "{url}");
    assert_eq!(rest, "42\n");
}

#[test]
fn pods_start_in_a_namespace_that_enforces_the_restricted_standard() {
    let test = weir().test("restricted");
    test.cluster.kubectl(["label", "namespace", &test.namespace, "pod-security.kubernetes.io/enforce=restricted"]);
    pool(&test, "strict", "");
    test.apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: strict, labels: {{app: strict}}}}
spec:
  restartPolicy: Never
  securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
  - name: app
    image: {CLIENT}
    command: ["/bin/sh", "-c", "psql \"$DATABASE_URL\" -Atc 'select 1'"]
    securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
    env:
{}
"#,
        literal(&test.url())
    ));
    assert_eq!(output(&test, "strict"), "1\n");
    assert!(container(&test.get("pod", "strict"), "weir-strict").is_some());
}

#[test]
fn a_rotated_secret_is_used_for_new_connections_without_a_restart() {
    let test = weir().test("rotation");
    pool(&test, "rotate", "  limits: {min: 1, max: 2, idleTimeout: 1s}");
    secret(&test, "db", &test.url());
    let script = "while :; do psql \"$DATABASE_URL\" -Atc 'select 1' || echo failed; sleep 0.2; done";
    test.apply(&pod("app", "rotate", CLIENT, &["/bin/sh", "-c", script], &from_secret("db")));
    eventually("the first answer", A_MINUTE, || {
        test.try_kubectl(["logs", "app", "--container=app"])?
            .contains('1')
            .then_some(())
            .ok_or_else(|| "nothing yet".to_owned())
    });
    let role = &test.database;
    test.cluster.sql("postgres", &format!("alter role {role} password 'second-{}'", test.password));
    secret(&test, "db", &test.url().replace(&format!(":{}@", test.password), &format!(":second-{}@", test.password)));
    // The old server connections are ended, so that only a new login can answer. The kubelet brings the file within its sync period.
    let renewed = || {
        test.cluster.sql(
            "postgres",
            &format!("select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'"),
        );
        let line = test.kubectl(["logs", "app", "--container=app", "--tail=1"]);
        if line == "1\n" { Ok(()) } else { Err(line) }
    };
    eventually("an answer by the new password", A_MINUTE * 3, renewed);
    let status = test.get("pod", "app")["status"]["initContainerStatuses"][0].clone();
    assert_eq!(status["restartCount"], 0, "{status}");
}

#[test]
fn saturation_shows_in_the_status_and_goes_again() {
    let test = weir().test("saturation");
    pool(&test, "busy", "  limits: {min: 1, max: 2}\n  probe: {interval: 2s, timeout: 1s}");
    let script = format!("while [ -f /proc/self/stat ]; do {} & {}; wait; done", session(300), session(300));
    test.apply(&deployment("busy", 1, &literal(&test.url()), &script));
    let message = awaits(&test, "busy", "Saturated", "True", "Critical");
    assert!(message.contains("100"), "{message}");
    awaits(&test, "busy", "Reachable", "True", "AllAnswer");
    awaits(&test, "busy", "Ready", "True", "InForce");
    let table = test.kubectl(["get", "connectionpools"]);
    let row: Vec<_> = table.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(row[..5], ["busy", "True", "test", "1/1", "2"], "{table}");
    assert_eq!(row[5], "100%", "{table}");
    let events = test.kubectl([
        "get",
        "events",
        "--field-selector=involvedObject.kind=ConnectionPool",
        "--output=jsonpath={.items[*].reason}",
    ]);
    assert!(events.contains("Saturated"), "{events}");

    test.apply(&deployment("busy", 1, &literal(&test.url()), "sleep 1000"));
    awaits(&test, "busy", "Saturated", "False", "Normal");
}

#[test]
fn nothing_is_written_while_nothing_changes() {
    let test = weir().test("quiet");
    pool(&test, "quiet", "  probe: {interval: 2s, timeout: 1s}");
    test.apply(&deployment("quiet", 2, &literal(&test.url()), "sleep 1000"));
    test.kubectl(["wait", "--for=condition=Available", "deployment/quiet", "--timeout=60s"]);
    awaits(&test, "quiet", "Reachable", "True", "AllAnswer");
    awaits(&test, "quiet", "DatabaseReachable", "True", "AllConnected");
    // Longer than the operator may put a write off, five seconds here.
    assert_quiet(&test, "quiet", 2, 4);
}

#[test]
fn pods_that_were_there_before_are_counted_and_named() {
    let test = weir().test("before");
    test.apply(&pod("early", "late", CLIENT, &["/bin/sleep", "1000"], &literal(&test.url())));
    pool(&test, "late", "");
    let message = awaits(&test, "late", "Injected", "False", "PodsMissed");
    assert!(message.contains("early"), "{message}");
    test.kubectl(["delete", "pod", "early", "--wait=true", "--grace-period=0", "--force"]);
    awaits(&test, "late", "Injected", "True", "NoMatchingPods");
}

#[test]
fn running_pods_keep_working_when_their_pool_is_deleted() {
    let test = weir().test("deleted");
    pool(&test, "gone", "");
    let script = "while :; do psql \"$DATABASE_URL\" -Atc 'select 1' || exit 1; sleep 0.2; done";
    test.apply(&pod("kept", "gone", CLIENT, &["/bin/sh", "-c", script], &literal(&test.url())));
    test.kubectl(["wait", "--for=condition=Ready", "pod/kept", "--timeout=60s"]);
    test.kubectl(["delete", "connectionpool", "gone"]);
    eventually("the webhook's entry goes", A_MINUTE, || {
        let entries = test.cluster.kubectl(["get", "mutatingwebhookconfigurations", "--output=yaml"]);
        if entries.contains(&test.namespace) { Err("it is there".to_owned()) } else { Ok(()) }
    });
    test.apply(&pod("plain", "gone", CLIENT, &["/bin/sh", "-c", "echo $DATABASE_URL"], &literal(&test.url())));
    assert_eq!(output(&test, "plain").trim(), test.url());
    assert_eq!(test.get("pod", "plain")["spec"]["initContainers"], serde_json::Value::Null);
    assert_eq!(test.get("pod", "kept")["status"]["phase"], "Running");
    let before = test.logs("kept", "app").lines().count();
    eventually("it goes on answering", A_MINUTE, || {
        if test.logs("kept", "app").lines().count() > before + 3 { Ok(()) } else { Err("no new line".to_owned()) }
    });
}

#[test]
fn an_application_that_pools_by_itself_is_probed_directly() {
    let test = weir().test("none");
    pool(
        &test,
        "self",
        "  sidecar: {mode: None}\n  client: prisma\n  limits: {max: 10}\n  probe: {port: 8080, interval: 2s, timeout: 1s}",
    );
    let env = format!("{}\n    - {{name: USED, value: \"9\"}}", literal(&test.url()));
    test.apply(&pod("self", "self", PYTHON, &["/usr/bin/python3", "-c", HEALTH_APP], &env));
    test.kubectl(["wait", "--for=condition=Ready", "pod/self", "--timeout=60s"]);
    awaits(&test, "self", "Reachable", "True", "AllAnswer");
    awaits(&test, "self", "Saturated", "True", "Critical");
    let log = test.logs("self", "app");
    assert!(log.contains(test.cluster.place("/postgresql/host")) && log.contains("connection_limit=10"), "{log}");
    assert_eq!(test.get("pod", "self")["spec"]["initContainers"], serde_json::Value::Null);
    assert!(condition(&test, "self", "Injected").is_ok_and(|c| c.0 == "True"));
}

#[test]
fn a_changed_limit_reaches_new_pods_and_the_status_counts_the_others() {
    let test = weir().test("generations");
    pool(&test, "grow", "  limits: {max: 3}");
    test.apply(&deployment("grow", 1, &literal(&test.url()), "sleep 1000"));
    awaits(&test, "grow", "Injected", "True", "AllInjected");
    let old = test.list("pod", "app=grow")[0]["metadata"]["name"].as_str().expect("it has one").to_owned();
    test.kubectl(["patch", "connectionpool", "grow", "--type=merge", "--patch={\"spec\":{\"limits\":{\"max\":4}}}"]);
    let message = awaits(&test, "grow", "Injected", "True", "OlderSettings");
    assert!(message.contains("1 pod") && message.contains("generation 1"), "{message}");
    let settings = |pod: &serde_json::Value| {
        let env = container(pod, "weir-grow").expect("it is injected")["env"].as_array().expect("a list").clone();
        let text = env.iter().find(|e| e["name"] == "WEIR_SETTINGS").expect("it is there")["value"].clone();
        serde_json::from_str::<serde_json::Value>(text.as_str().expect("text")).expect("JSON")
    };
    assert_eq!(settings(&test.get("pod", &old))["limits"]["max"], 3, "a running pod is left alone");
    test.kubectl(["delete", "pod", &old]);
    awaits(&test, "grow", "Injected", "True", "AllInjected");
    let new = test.list("pod", "app=grow").into_iter().find(|pod| pod["metadata"]["name"] != *old).expect("a new pod");
    assert_eq!((settings(&new)["limits"]["max"].clone(), settings(&new)["generation"].clone()), (4.into(), 2.into()));
}
