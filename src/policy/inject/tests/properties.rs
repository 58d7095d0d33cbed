//! Generated pods: other injectors' containers, fields of newer versions, odd lists of variables.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::policy::url::expansion::kubelet;

/// A field that this build has never heard of.
fn unknown() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({"future": [1, {"a~b/c": null}], "🦀": "x"})),
        Just(json!([true, 1.5, "y"])),
        "[a-z]{0,5}".prop_map(Value::from),
    ]
}

fn entry() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["A", "B", "PGAPPNAME", "DATABASE_POOL_MIN", "DATABASE_POOL_MAX"]);
    prop_oneof![
        4 => (name, 1..100_u32).prop_map(|(name, value)| json!({"name": name, "value": value.to_string()})),
        1 => Just(json!({"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}})),
        1 => Just(json!({"name": "EMPTY"})),
        1 => unknown().prop_map(|value| json!({"name": "NEW", "valueFrom": {"newRef": value}})),
        1 => Just(json!({"name": "COPY", "value": "$(A)-$$(B)"})),
    ]
}

/// The database variable of every container of one pod, below what it refers to.
fn variable() -> impl Strategy<Value = Vec<Value>> {
    prop_oneof![plain_variable().prop_map(|variable| vec![variable]), references()]
}

/// As charts write it. The other entries of a container may give A and B another value above or below.
fn references() -> impl Strategy<Value = Vec<Value>> {
    let text = prop_oneof![
        4 => Just("postgres://u$(A):$(PW)@$(HOST):5433/app?schema=x&sslmode=require"),
        4 => Just("postgresql://$(A)_$(B):x$(PW)y@db:$(PORT)/$(B)$$?application_name=$(NODE)"),
        1 => Just("postgresql://u@$(HOST):1,b:$(PORT)/a?sslmode=$(A)"),
        1 => Just("postgresql://u:$(PW)@$(NOBODY)/a"),
        1 => Just("$(PW)"),
    ];
    let host = prop_oneof![4 => Just("db-$(A).$(B)"), 1 => Just("$(COPY)")];
    let password = prop_oneof![
        4 => Just(json!({"name": "PW", "value": "s3cret"})),
        4 => Just(json!({"name": "PW", "valueFrom": {"secretKeyRef": {"name": "db", "key": "pw"}}})),
        1 => Just(json!({"name": "PW", "valueFrom": {"secretKeyRef": {"name": "db", "key": "pw", "optional": true}}})),
    ];
    (text, host, password, prop::bool::weighted(0.9)).prop_map(|(text, host, password, whole)| {
        let entries = [
            json!({"name": "A", "value": "a$$-"}),
            json!({"name": "B", "value": "$(A)b"}),
            json!({"name": "PORT", "valueFrom": {"configMapKeyRef": {"name": "db", "key": "port"}}}),
            json!({"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}),
            json!({"name": "HOST", "value": host}),
            password,
            json!({"name": "DATABASE_URL", "value": text}),
        ];
        entries.into_iter().skip(usize::from(!whole)).collect()
    })
}

fn plain_variable() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({"name": "DATABASE_URL", "value": "postgres://u:s3cret@db:5433/app?schema=x&sslmode=require"})),
        Just(json!({"name": "DATABASE_URL", "value": "postgresql://u@a:1,b:2/$$app"})),
        Just(json!({"name": "DATABASE_URL", "value": "postgresql://u@db#fragment"})),
        Just(secret("db", "url")),
        Just(json!({"name": "DATABASE_URL", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}, "future": 1})),
        Just(
            json!({"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": true}}})
        ),
    ]
}

fn container(prefix: &'static str, variable: Vec<Value>) -> impl Strategy<Value = Value> {
    let env = prop::option::of((
        prop::collection::vec(entry(), 0..4),
        any::<prop::sample::Index>(),
        prop::bool::weighted(0.6),
    ));
    let ports =
        prop::option::of(prop::collection::vec(prop::sample::select(vec![16432, 16433, 19187, 19188, 8080]), 0..3));
    let resources = prop::option::of(prop::sample::select(vec![
        json!({}),
        json!({"requests": {"cpu": "1"}}),
        json!({"limits": {"cpu": "1", "memory": "1Gi"}}),
    ]));
    ("[a-e]", env, ports, resources, unknown(), prop::bool::weighted(0.2)).prop_map(
        move |(name, env, ports, resources, unknown, env_from)| {
            let mut container = json!({"name": format!("{prefix}-{name}"), "image": "i", "futureField": unknown});
            if let Some((mut entries, index, has)) = env {
                if has {
                    let at = index.index(entries.len() + 1);
                    entries.splice(at..at, variable.clone());
                }
                container["env"] = Value::Array(entries);
            }
            if let Some(ports) = ports {
                container["ports"] = ports.into_iter().map(|port| json!({"containerPort": port})).collect();
            }
            if let Some(resources) = resources {
                container["resources"] = resources;
            }
            if env_from {
                container["envFrom"] = json!([{"configMapRef": {"name": "all"}}]);
            }
            container
        },
    )
}

/// Another injector's native sidecar.
fn mesh() -> Value {
    json!({
        "name": "istio-proxy",
        "restartPolicy": "Always",
        "startupProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}},
        "ports": [{"containerPort": 15090, "name": "http-envoy-prom"}],
        "restartPolicyRules": [{"action": "Restart"}],
        "volumeMounts": [{"name": "istio-token", "mountPath": "/var/run/secrets/tokens"}],
    })
}

fn distinct(containers: Vec<Value>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    containers.into_iter().filter(|container| seen.insert(container["name"].to_string())).collect()
}

fn any_pod() -> impl Strategy<Value = Value> {
    let containers = variable().prop_flat_map(|variable| {
        (
            prop::collection::vec(container("main", variable.clone()), 1..4),
            prop::option::of(prop::collection::vec(container("init", variable), 0..3)),
        )
    });
    (containers, any::<bool>(), prop::option::of(unknown()), any::<bool>(), unknown()).prop_map(
        |((main, init), meshed, annotation, labelled, future)| {
            let mut pod = json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": distinct(main)}, "future": future});
            if let Some(init) = init {
                pod["spec"]["initContainers"] = Value::Array(distinct(init));
            }
            if meshed {
                let inits = pod["spec"]["initContainers"].as_array_mut().map(std::mem::take).unwrap_or_default();
                pod["spec"]["initContainers"] = std::iter::once(mesh()).chain(inits).collect();
                pod["spec"]["volumes"] =
                    json!([{"name": "istio-token", "projected": {"sources": []}}]);
            }
            if let Some(annotation) = annotation {
                pod["metadata"]["annotations"] = json!({"sidecar.istio.io/status": annotation.to_string()});
            }
            if labelled {
                pod["metadata"]["labels"] = json!({"app": "orders"});
                pod["spec"]["schedulingGates"] = json!([{"name": "future"}]);
            }
            pod
        },
    )
}

fn any_pool() -> impl Strategy<Value = ValidatedPool> {
    (prop::sample::select(dialect::ids().collect::<Vec<_>>()), prop::bool::weighted(0.75))
        .prop_map(|(client, pooler)| if pooler { pool_for(client) } else { pool_without_sidecar(client) })
}

fn names<'v>(list: &'v Value, key: &str) -> Vec<&'v str> {
    list.as_array().into_iter().flatten().filter_map(|item| item[key].as_str()).collect()
}

/// A container without what we may change in it.
fn foreign(container: &Value) -> Value {
    let mut container = container.clone();
    let ours = [
        "DATABASE_URL",
        "DATABASE_POOL_MIN",
        "DATABASE_POOL_MAX",
        "DATABASE_POOL_IDLE_TIMEOUT",
        "DATABASE_POOL_CONNECTION_TIMEOUT",
    ];
    if let Some(entries) = container.get_mut("env").and_then(Value::as_array_mut) {
        entries.retain(|entry| !ours.contains(&entry["name"].as_str().unwrap_or_default()));
    }
    if container["env"] == json!([]) {
        container.as_object_mut().expect("a container").shift_remove("env");
    }
    container
}

/// The variables of a container as its process sees them; what is in Secrets and the like is made up of where it is.
fn running(container: &Value) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for entry in container["env"].as_array().into_iter().flatten() {
        let value = match &entry["value"] {
            Value::String(text) => kubelet(text, |name| known.get(name).cloned()),
            _ => entry["valueFrom"].to_string().replace(|c: char| !c.is_alphanumeric(), "-"),
        };
        known.insert(entry["name"].as_str().expect("a name").to_owned(), value);
    }
    known
}

/// No application's URL holds the password, nor refers to it.
fn check_no_password(pod: &Value) -> Result<(), TestCaseError> {
    for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
        let variables = variables(container);
        let url = variables.iter().find(|variable| variable.starts_with("DATABASE_URL="));
        prop_assert!(url.is_none_or(|url| !url.contains("s3cret") && !url.contains("$(PW)")), "{:?}", url);
    }
    Ok(())
}

/// Our container runs with the URL that the application's containers had.
fn check_url(before: &Value, after: &Value) -> Result<(), TestCaseError> {
    let ours = running(&after["spec"]["initContainers"][0]);
    let Some(url) = ours.get("WEIR_DATABASE_URL") else { return Ok(()) };
    let had = before["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|container| running(container).remove("DATABASE_URL"));
    for had in had {
        prop_assert_eq!(url, &had);
    }
    Ok(())
}

/// What the API server would refuse.
fn check_valid(pod: &Value) -> Result<(), TestCaseError> {
    let volumes = names(&pod["spec"]["volumes"], "name");
    prop_assert_eq!(volumes.iter().collect::<BTreeSet<_>>().len(), volumes.len(), "a volume twice");
    let mut containers = names(&pod["spec"]["initContainers"], "name");
    containers.extend(names(&pod["spec"]["containers"], "name"));
    prop_assert_eq!(containers.iter().collect::<BTreeSet<_>>().len(), containers.len(), "a container twice");
    let lists = [&pod["spec"]["initContainers"], &pod["spec"]["containers"]];
    for container in lists.into_iter().filter_map(Value::as_array).flatten() {
        for mount in names(&container["volumeMounts"], "name") {
            prop_assert!(volumes.contains(&mount), "{} is not there", mount);
        }
        for entry in container["env"].as_array().into_iter().flatten() {
            prop_assert!(entry.get("value").is_none() || entry.get("valueFrom").is_none(), "two sources");
        }
    }
    Ok(())
}

fn check_ports(pod: &Value) -> Result<(), TestCaseError> {
    let ours = &pod["spec"]["initContainers"][0];
    let note = note(pod);
    let mut taken: Vec<u64> = vec![note.listen.map_or(0, u64::from), u64::from(note.control)];
    let lists = [&pod["spec"]["initContainers"], &pod["spec"]["containers"]];
    for container in lists.into_iter().filter_map(Value::as_array).flatten().filter(|container| *container != ours) {
        let ports = container["ports"].as_array().into_iter().flatten();
        let ports: BTreeSet<_> = ports.filter_map(|port| port["containerPort"].as_u64()).collect();
        prop_assert!(!ports.contains(&taken[0]) && !ports.contains(&taken[1]), "a port twice");
    }
    taken.dedup();
    prop_assert_eq!(taken.len(), 2);
    Ok(())
}

proptest! {
    #[test]
    fn a_patch_applies_once_and_touches_only_what_is_ours(pod in any_pod(), pool in any_pool()) {
        let outcome = inject(&pod, &pool, &sidecar());
        let patch = match &outcome {
            Outcome::Injected(patch) | Outcome::Skipped { patch, .. } => patch,
            Outcome::Unchanged => return Err(TestCaseError::fail("a fresh pod has nothing yet")),
        };
        let after = apply(&pod, patch);
        match (&outcome, inject(&after, &pool, &sidecar())) {
            (Outcome::Injected(_), again) => prop_assert_eq!(again, Outcome::Unchanged),
            (_, Outcome::Skipped { patch, .. }) => prop_assert!(patch.0.is_empty()),
            (_, again) => return Err(TestCaseError::fail(format!("{again:?}"))),
        }
        prop_assert_eq!(&after["future"], &pod["future"]);
        prop_assert_eq!(&after["spec"]["schedulingGates"], &pod["spec"]["schedulingGates"]);
        prop_assert_eq!(
            after.pointer("/metadata/annotations/sidecar.istio.io~1status"),
            pod.pointer("/metadata/annotations/sidecar.istio.io~1status")
        );
        if matches!(outcome, Outcome::Skipped { .. }) {
            prop_assert_eq!(&after["spec"], &pod["spec"]);
            return Ok(());
        }
        check_valid(&after)?;
        let with_sidecar = pool.mode == Mode::Pooler;
        let added = usize::from(with_sidecar);
        let list = |pod: &Value, list: &str| pod["spec"][list].as_array().cloned().unwrap_or_default();
        for (name, skip) in [("containers", 0), ("initContainers", added)] {
            let (before, after) = (list(&pod, name), list(&after, name));
            prop_assert_eq!(before.len() + skip, after.len());
            for (before, after) in before.iter().zip(&after[skip..]) {
                prop_assert_eq!(foreign(before).to_string(), foreign(after).to_string(), "byte for byte");
            }
        }
        let volumes = list(&pod, "volumes");
        prop_assert_eq!(&volumes, &list(&after, "volumes")[..volumes.len()]);
        if with_sidecar {
            check_ports(&after)?;
            check_url(&pod, &after)?;
            check_no_password(&after)?;
        }
    }

    #[test]
    fn containers_of_a_later_webhook_join(pod in any_pod(), client in prop::sample::select(vec!["none", "prisma"])) {
        let pool = pool_for(client);
        if let Outcome::Injected(patch) = inject(&pod, &pool, &sidecar()) {
            let mut later = apply(&pod, &patch);
            later["spec"]["initContainers"].as_array_mut().expect("ours is there").insert(0, mesh());
            let original = pod["spec"]["containers"].as_array().expect("a list").clone();
            let copies = original.into_iter().map(|mut container| {
                container["name"] = json!(format!("late-{}", container["name"].as_str().expect("a name")));
                container
            });
            later["spec"]["containers"].as_array_mut().expect("a list").extend(copies);
            let after = match inject(&later, &pool, &sidecar()) {
                Outcome::Injected(patch) => apply(&later, &patch),
                Outcome::Unchanged => later.clone(),
                Outcome::Skipped { message, .. } => return Err(TestCaseError::fail(message)),
            };
            prop_assert_eq!(inject(&after, &pool, &sidecar()), Outcome::Unchanged);
            check_no_password(&after)?;
            prop_assert_eq!(&after["spec"]["initContainers"][0], &mesh());
        }
    }

    #[test]
    fn any_json_is_survived(pod in arbitrary_json()) {
        let _ = inject(&pod, &pool(), &sidecar());
        let _ = inject(&json!({"metadata": pod, "spec": {"containers": pod}}), &pool(), &sidecar());
        let _ = instance(&pod, "orders");
    }
}

fn arbitrary_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from)
    ];
    let key = prop::sample::select(vec![
        "metadata",
        "annotations",
        "spec",
        "containers",
        "initContainers",
        "env",
        "name",
        "volumes",
    ]);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..4).prop_map(|pairs| Value::Object(
                pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}
