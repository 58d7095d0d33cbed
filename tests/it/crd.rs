//! The resource on a real API server: it and `policy::validate` refuse the same pools, at the same fields, in the same words.

#[path = "crd/by_hand.rs"]
mod by_hand;
#[path = "../cluster/cluster.rs"]
mod cluster;
#[path = "crd/judge.rs"]
mod judge;
#[path = "crd/objects.rs"]
mod objects;
#[path = "crd/schema.rs"]
mod schema;

use std::collections::BTreeMap;

use cluster::{A_MINUTE, Cluster, Options, eventually};
use http::Method;
use judge::Verdict;
use kube::{Client, Config, config::Kubeconfig};
use objects::Case;
use serde_json::{Value, json};

/// A namespace with one legal pool, `existing`, for updates.
struct Ground {
    runtime: tokio::runtime::Runtime,
    client: Client,
    namespace: String,
    /// resourceVersion of that pool.
    version: String,
}

impl Ground {
    fn new(cluster: &Cluster, namespace: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).expect("the cluster wrote it");
        let client = runtime.block_on(async {
            let config = Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
                .await
                .expect("it is complete");
            Client::try_from(config).expect("its certificates are good")
        });
        let warnings = runtime.block_on(judge::apply(
            &client,
            "apiextensions.k8s.io/v1/customresourcedefinitions/connectionpools.weir.dev",
            include_str!("../../crds/connectionpools.yaml"),
        ));
        assert_eq!(warnings, [""; 0], "the definition was applied with warnings");
        cluster.kubectl(["wait", "--for=condition=Established", "crd/connectionpools.weir.dev", "--timeout=60s"]);
        cluster.apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}"));
        let existing = objects::pool(json!({"profile": "test", "selector": {"matchLabels": {"old": "yes"}}}));
        let mut existing = existing;
        existing["metadata"]["namespace"] = json!(namespace);
        cluster.apply(&existing.to_string());
        let arguments = [
            "get",
            "connectionpool",
            "existing",
            "--namespace",
            namespace,
            "--output=jsonpath={.metadata.resourceVersion}",
        ];
        Self { runtime, client, namespace: namespace.to_owned(), version: cluster.kubectl(arguments) }
    }

    fn judge(&self, method: &Method, cases: &[&Case]) -> Vec<Verdict> {
        let objects = cases.iter().map(|case| case.object.clone()).collect();
        self.runtime.block_on(judge::server(self, method, objects))
    }
}

/// Policy and binding of the warnings, as the chart has them, without the lines that only Helm understands.
fn warnings_of_the_chart() -> String {
    let template = include_str!("../../charts/weir/templates/warnings.yaml");
    let lines = template.lines().filter(|line| !line.contains("{{"));
    lines.collect::<Vec<_>>().join("\n")
}

fn definition() -> Value {
    serde_json::to_value(weir::crd::definition()).expect("a definition is JSON")
}

#[test]
fn the_api_server_and_rust_refuse_the_same_pools() {
    let ground = Ground::new(cluster::shared(), "crd-agreement");
    let mut rules = schema::rules(&definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
    let mut cases = by_hand::cases();
    assert!(cases.len() >= 60, "{} by hand", cases.len());
    cases.extend(by_hand::examples());
    cases.extend(objects::one_change_each());
    cases.extend(objects::several_changes_each(300));
    let mut differences = Vec::new();
    let (mut judged, mut accepted) = (0_u32, 0_u32);
    for method in [Method::POST, Method::PUT] {
        let cases: Vec<&Case> = cases.iter().filter(|case| method == Method::POST || !case.create_only).collect();
        let answers = ground.judge(&method, &cases);
        for (case, server) in cases.iter().zip(answers) {
            let rust = judge::rust(&case.object);
            judged += 1;
            accepted += u32::from(server.causes.is_empty());
            if let Err(difference) = compare(case, &server, &rust, &mut rules) {
                differences.push(format!(
                    "{} ({method}): {difference}\n  server: {:?}\n  rust: {:?}\n  {}",
                    case.name, server.causes, rust.causes, case.object["spec"]
                ));
            }
        }
    }
    println!("{judged} judged, {accepted} accepted, {} rules", rules.len());
    assert!(
        differences.is_empty(),
        "{} differences, the first:\n{}",
        differences.len(),
        differences[..differences.len().min(8)].join("\n")
    );
    assert!(accepted * 3 >= judged, "{accepted} of {judged} accepted");
    let seldom: Vec<_> = rules.iter().filter(|(_, count)| **count < 5).collect();
    assert!(seldom.is_empty(), "rules that were the only reason of less than 5 refusals: {seldom:#?}");
}

/// Notes the rule where it is the only reason on both sides.
fn compare(
    case: &Case,
    server: &Verdict,
    rust: &Verdict,
    rules: &mut BTreeMap<schema::Rule, u32>,
) -> Result<(), String> {
    if server.causes.is_empty() != rust.causes.is_empty() {
        return Err("one accepts, the other refuses".to_owned());
    }
    // Where it stops early, it has found less than all.
    let early = server.incomplete;
    if !server.fields().iter().all(|field| rust.fields().contains(field)) || !early && server.fields() != rust.fields()
    {
        return Err(format!("server names {:?}, Rust {:?}", server.fields(), rust.fields()));
    }
    match (&case.refused_at, server.fields().as_slice()) {
        (Some(expected), _) if expected == "?" => {}
        (None, []) => {}
        (Some(expected), fields) if fields.contains(&expected.as_str()) => {}
        (expected, _) => return Err(format!("{expected:?} was expected")),
    }
    if let ([from_server], [from_rust]) = (server.causes.as_slice(), rust.causes.as_slice()) {
        let (rule, cel) = schema::rule_of(from_server, rules);
        if cel && !from_server.message.ends_with(&from_rust.message) {
            return Err("the words differ".to_owned());
        }
        match rules.get_mut(&rule) {
            Some(count) => *count += 1,
            None if from_server.reason == "FieldValueTypeInvalid" || rule.0 == "spec" => {}
            None => return Err(format!("no rule {rule:?} in the schema")),
        }
    }
    Ok(())
}

#[test]
fn unusual_limits_are_accepted_with_a_warning() {
    let cluster = cluster::shared();
    let ground = Ground::new(cluster, "crd-warnings");
    cluster.apply(&warnings_of_the_chart());
    let pool = |limits: Value| {
        objects::pool(
            json!({"profile": "production", "selector": {"matchLabels": {"app": "orders"}}, "limits": limits}),
        )
    };
    let warnings = |method: &Method, limits: Value| {
        let verdict = ground.runtime.block_on(judge::ask(&ground, method, pool(limits)));
        assert_eq!(verdict.causes, [], "a warning refuses nothing");
        verdict.warnings
    };
    eventually("the API server evaluates the policy", A_MINUTE, || {
        let seen = warnings(&Method::POST, json!({"max": 101}));
        if seen.is_empty() { Err("no warning yet".to_owned()) } else { Ok(()) }
    });
    for (limits, expected) in [
        (json!({"max": 100}), 0),
        (json!({"max": 101}), 1),
        (json!({"min": 50, "max": 100}), 0),
        (json!({"min": 51, "max": 100}), 1),
        (json!({"min": 51, "max": 101}), 2),
        (json!({"max": 3}), 0),
    ] {
        let valid = weir::policy::validate::read::read(&pool(limits.clone())).unwrap();
        let in_status = weir::policy::validate::validate(&valid).unwrap().warnings;
        assert_eq!(in_status.len(), expected, "{limits}");
        for method in [Method::POST, Method::PUT] {
            let seen = warnings(&method, limits.clone());
            assert_eq!(seen.len(), expected, "{method} {limits}: {seen:?}");
            for words in &in_status {
                assert!(seen.iter().any(|header| header.contains(words)), "{words:?} is not among {seen:?}");
            }
        }
    }
}

#[test]
fn a_new_pool_is_not_taken_for_a_ready_one() {
    let cluster = cluster::shared();
    let ground = Ground::new(cluster, "crd-status");
    let get = |path: &str| {
        cluster.kubectl([
            "get",
            "cpool",
            "existing",
            "--namespace",
            &ground.namespace,
            &format!("--output=jsonpath={{{path}}}"),
        ])
    };
    assert_eq!(get(".status"), r#"{"observedGeneration":-1}"#, "kstatus calls an object without a status current");
    assert_eq!(get(".metadata.generation"), "1");
    assert_eq!(get(".spec.sidecar"), "", "poolMode has no default");
}

#[test]
fn kubectl_shows_what_a_status_says() {
    let cluster = cluster::shared();
    let ground = Ground::new(cluster, "crd-columns");
    let status = json!({
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "InForce", "message": "", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }],
        "observedGeneration": 1, "pods": "6/6", "used": "42", "utilization": "37%", "waiting": 3, "reason": "Normal",
        "mode": "Pooler", "client": "none", "worstInstance": "orders-x",
    });
    let patch = json!({ "status": status }).to_string();
    let namespace = ["--namespace", ground.namespace.as_str()];
    cluster.kubectl([
        "patch",
        "cpool",
        "existing",
        namespace[0],
        namespace[1],
        "--subresource=status",
        "--type=merge",
        "--patch",
        &patch,
    ]);
    let rows = |wide: &str| {
        let table = cluster.kubectl(["get", "connectionpools", namespace[0], namespace[1], wide]);
        table.lines().map(|line| line.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let narrow = rows("--output=");
    assert_eq!(narrow[0], ["NAME", "READY", "PROFILE", "PODS", "USED", "UTIL", "WAITING", "REASON", "AGE"]);
    assert_eq!(narrow[1][..8], ["existing", "True", "test", "6/6", "42", "37%", "3", "Normal"]);
    let wide = rows("--output=wide");
    assert_eq!(wide[0][9..], ["MODE", "CLIENT", "WORST"]);
    assert_eq!(wide[1][9..], ["Pooler", "none", "orders-x"]);
}

#[test]
fn the_definition_explains_itself() {
    let cluster = cluster::shared();
    let ground = Ground::new(cluster, "crd-explain");
    let text = cluster.kubectl(["explain", "connectionpool.spec.limits.idleTimeout"]);
    drop(ground);
    for part in ["idle before it is closed", "1s to 24h", "default: the", "Example: `30s`"] {
        assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn the_definition_works_on_kubernetes_1_34() {
    let cluster = Cluster::start(&Options { emulated_version: Some("1.34".to_owned()), ..Options::default() });
    let ground = Ground::new(&cluster, "crd-older");
    let cases = by_hand::cases();
    let cases: Vec<&Case> = cases.iter().collect();
    for (case, server) in cases.iter().zip(ground.judge(&Method::POST, &cases)) {
        let rust = judge::rust(&case.object);
        assert_eq!(server.causes.is_empty(), rust.causes.is_empty(), "{}: {:?}", case.name, server.causes);
    }
}
