#![expect(clippy::needless_pass_by_value, reason = "json! makes values")]

mod forms;
mod golden;
mod instances;
mod limitranges;
mod properties;
mod references;
mod skips;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::{Value, json};

use super::*;
use crate::crd::FailurePolicy;
use crate::policy::dialect;
use crate::policy::limits::Profile;
use crate::policy::settings::{Injected, Placeholders, PoolMode, Settings, Thresholds, Verify};
use crate::policy::url::expansion::unescape;
use crate::policy::validate::Probe;

const URL: &str = "postgres://app:s3cret@db:5432/orders";

fn pool() -> ValidatedPool {
    ValidatedPool {
        namespace: "shop".into(),
        name: "orders".into(),
        generation: 3,
        profile: Profile::Production,
        selector: LabelSelector::default(),
        limits: Profile::Production.limits(),
        env: "DATABASE_URL".into(),
        placeholders: Placeholders { user: "weir".into(), database: "weir".into() },
        dialect: dialect::none(),
        mode: Mode::Pooler,
        pool_mode: PoolMode::Session,
        verify: Verify::Hints,
        probe: Probe {
            path: "/health/pool".into(),
            port: None,
            interval: std::time::Duration::from_secs(10),
            timeout: std::time::Duration::from_secs(1),
        },
        thresholds: Thresholds { warning: 80, critical: 90 },
        failure_policy: FailurePolicy::Ignore,
        warnings: Vec::new(),
    }
}

fn pool_for(client: &str) -> ValidatedPool {
    ValidatedPool { dialect: dialect::find(client).expect("a row"), ..pool() }
}

fn pool_without_sidecar(client: &str) -> ValidatedPool {
    let pool = pool_for(client);
    ValidatedPool { mode: Mode::None, probe: Probe { port: Some(3000), ..pool.probe.clone() }, ..pool }
}

/// In a namespace without LimitRanges.
fn inject(pod: &Value, pool: &ValidatedPool, sidecar: &Sidecar) -> Outcome {
    super::inject(pod, pool, sidecar, &Bounds::default())
}

fn sidecar() -> Sidecar {
    Sidecar {
        image: "weir-sidecar:dev".into(),
        pull_policy: "IfNotPresent".into(),
        public_keys: vec!["b2xk".into(), "bmV3".into()],
        log: "info".into(),
        resources: Resources::default(),
    }
}

/// A pod with these main containers.
fn pod(containers: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"app": "orders"}}, "spec": {"containers": containers}})
}

/// A pod with one container whose DATABASE_URL is a literal.
fn literal(url: &str) -> Value {
    pod(json!([{"name": "app", "image": "app", "env": [{"name": "DATABASE_URL", "value": url}]}]))
}

fn secret(name: &str, key: &str) -> Value {
    json!({"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": name, "key": key}}})
}

fn apply(pod: &Value, patch: &Patch) -> Value {
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, patch).expect("the patch applies");
    patched
}

/// The pod as injected, which a second call leaves as it is.
fn injected(pod: &Value, pool: &ValidatedPool) -> Value {
    let Outcome::Injected(patch) = inject(pod, pool, &sidecar()) else {
        panic!("{:?}", inject(pod, pool, &sidecar()));
    };
    let patched = apply(pod, &patch);
    assert_eq!(inject(&patched, pool, &sidecar()), Outcome::Unchanged);
    patched
}

/// The reason and message for a pod that is left alone but for the note, which a second call leaves as it is.
fn skipped(pod: &Value, pool: &ValidatedPool) -> (SkipReason, String) {
    let outcome = inject(pod, pool, &sidecar());
    let Outcome::Skipped { reason, message, patch } = &outcome else { panic!("{outcome:?}") };
    let patched = apply(pod, patch);
    let note = patched.pointer("/metadata/annotations/weir.dev~1skipped.orders").and_then(Value::as_str);
    assert_eq!(note, Some(format!("{}: {message}", reason.as_str()).as_str()));
    assert_eq!(patched["spec"], pod["spec"]);
    let again = inject(&patched, pool, &sidecar());
    assert_eq!(again, Outcome::Skipped { reason: *reason, message: message.clone(), patch: Patch::default() });
    (*reason, message.clone())
}

/// `env` of the first main container, as `name=value`.
fn environment(pod: &Value) -> Vec<String> {
    variables(&pod["spec"]["containers"][0])
}

fn variables(container: &Value) -> Vec<String> {
    let entries = container["env"].as_array().into_iter().flatten();
    entries
        .map(|entry| format!("{}={}", entry["name"].as_str().unwrap(), entry["value"].as_str().unwrap_or("?")))
        .collect()
}

fn note(pod: &Value) -> Injected {
    instance(pod, "orders").expect("an instance")
}

fn settings(pod: &Value) -> Settings {
    let variables = variables(&pod["spec"]["initContainers"][0]);
    let text = variables.iter().find_map(|variable| variable.strip_prefix("WEIR_SETTINGS=")).expect("settings");
    serde_json::from_str(&unescape(text)).expect("settings read back")
}

/// Compares the pod as injected with `golden/NAME`.
fn golden(name: &str, current: &str, pod: &Value, pool: &ValidatedPool) {
    let injected = injected(pod, pool);
    // Nothing of ours is misspelt: what Kubernetes' own types do not know would be lost on the way through them.
    let typed: k8s_openapi::api::core::v1::Pod = serde_json::from_value(injected.clone()).expect("a pod");
    assert_eq!(serde_json::to_value(typed).expect("JSON"), injected);
    let yaml = serde_saphyr::to_string(&injected).expect("JSON is YAML");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = format!("{}/src/policy/inject/golden/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, yaml).expect("the source tree is writable");
    } else {
        assert_eq!(yaml, current, "{name} differs; UPDATE_GOLDEN=1 writes it anew");
    }
}
