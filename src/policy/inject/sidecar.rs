//! Our container and its volumes, and reading them back.

use serde_json::{Value, json};

use super::Sidecar;
use super::literal::Literal;
use super::pod::Pod;
use super::ports::Ports;
use super::source::{Kind, Source};
use crate::names;
use crate::policy::settings::Settings;
use crate::policy::url::expansion::{escape, unescape};

/// A native sidecar, but for its resources: an init container that keeps running, starts before the rest and ends after it (KEP-753).
///
/// No startup probe: it would hold every start back by its period; the hook waits for the listener instead. No liveness probe: a
/// service mesh that demands mutual TLS refuses the kubelet's requests, and the restart would drop every client. No readiness probe:
/// it would count for the whole pod.
pub(super) fn container(
    pod: Pod<'_>,
    pool: &str,
    sidecar: &Sidecar,
    settings: &Settings,
    from: &Source<'_>,
    ports: Ports,
) -> Value {
    let mut environment = vec![
        json!({"name": names::ENV_SETTINGS, "value": escape(&json!(settings).to_string())}),
        json!({"name": names::ENV_LISTEN, "value": format!("127.0.0.1:{}", ports.listen)}),
        json!({"name": names::ENV_CONTROL, "value": format!("[::]:{}", ports.control)}),
        json!({"name": names::ENV_STATE, "value": names::STATE_PATH}),
        json!({"name": names::ENV_POD_UID, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}}),
        json!({"name": names::ENV_PUBLIC_KEYS, "value": escape(&sidecar.public_keys.join(","))}),
        json!({"name": names::ENV_LOG, "value": escape(&sidecar.log)}),
    ];
    let mut mounts = vec![
        json!({"name": names::state_volume(pool), "mountPath": names::STATE_PATH}),
        // The ServiceAccount admission plugin leaves a container alone that mounts something here.
        json!({"name": names::token_volume(pool), "mountPath": names::TOKEN_PATH, "readOnly": true}),
    ];
    match from {
        // As written, below what it refers to: the kubelet expands it for us as it would have for the application.
        Source::Literal(literal) => {
            environment.extend(literal.entries().cloned());
            environment.push(json!({"name": names::ENV_URL, "value": literal.text()}));
        }
        Source::Key { .. } => {
            let file = format!("{}/{}", names::URL_PATH, names::URL_FILE);
            environment.push(json!({"name": names::ENV_URL_FILE, "value": file}));
            mounts.push(json!({"name": names::url_volume(pool), "mountPath": names::URL_PATH, "readOnly": true}));
        }
    }
    json!({
        "name": names::container(pool),
        "image": sidecar.image,
        "imagePullPolicy": sidecar.pull_policy,
        "command": [names::PROGRAM, "run"],
        "restartPolicy": "Always",
        "env": environment,
        "ports": [{"name": names::CONTROL_PORT_NAME, "containerPort": ports.control, "protocol": "TCP"}],
        "lifecycle": {"postStart": {"exec": {"command": [names::PROGRAM, "wait"]}}},
        "securityContext": security(pod),
        "volumeMounts": mounts,
    })
}

/// Pod Security "restricted" by itself, whatever the pod says.
fn security(pod: Pod<'_>) -> Value {
    let mut security = json!({
        "runAsNonRoot": true,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    let user = pod.spec().and_then(|spec| spec.get("securityContext")?.get("runAsUser")?.as_i64());
    if user == Some(0) {
        security["runAsUser"] = Value::from(names::USER);
    }
    security
}

/// The volumes of our container.
pub(super) fn volumes(pool: &str, from: &Source<'_>) -> Vec<Value> {
    let mut volumes = vec![
        json!({"name": names::state_volume(pool), "emptyDir": {}}),
        json!({"name": names::token_volume(pool), "emptyDir": {}}),
    ];
    if let Source::Key { kind, name, key } = from {
        let items = json!([{"key": key, "path": names::URL_FILE}]);
        let volume = names::url_volume(pool);
        volumes.push(match kind {
            Kind::Secret => json!({"name": volume, "secret": {"secretName": name, "items": items}}),
            Kind::ConfigMap => json!({"name": volume, "configMap": {"name": name, "items": items}}),
        });
    }
    volumes
}

/// What an earlier call gave our container.
pub(super) struct Present<'p> {
    pub(super) settings: Settings,
    pub(super) source: Source<'p>,
    /// Its place among the init containers.
    pub(super) index: usize,
}

/// Reads our container back; `None` where the container of our name is not one of ours.
pub(super) fn present<'p>(pod: Pod<'p>, pool: &str) -> Option<Present<'p>> {
    let name = names::container(pool);
    let container = pod.list(super::pod::List::Init).find(|container| container.name() == name)?;
    let settings = serde_json::from_str(&unescape(container.literal(names::ENV_SETTINGS)?)).ok()?;
    let source = match container.variable(names::ENV_URL).last() {
        Some((at, value)) => Source::Literal(Literal::new(container, at, value, names::ENV_URL).ok()?),
        None => url_volume(pod, pool)?,
    };
    Some(Present { settings, source, index: container.index })
}

fn url_volume<'p>(pod: Pod<'p>, pool: &str) -> Option<Source<'p>> {
    let name = names::url_volume(pool);
    let mut volumes = pod.spec()?.get("volumes")?.as_array()?.iter();
    let volume = volumes.find(|volume| volume.get("name").and_then(Value::as_str) == Some(name.as_str()))?;
    let (kind, object, field) = match (volume.get("secret"), volume.get("configMap")) {
        (Some(secret), _) => (Kind::Secret, secret, "secretName"),
        (None, Some(map)) => (Kind::ConfigMap, map, "name"),
        (None, None) => return None,
    };
    let key = object.get("items")?.get(0)?.get("key")?.as_str()?;
    Some(Source::Key { kind, name: object.get(field)?.as_str()?, key })
}
