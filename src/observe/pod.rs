//! A pod, as far as the control plane looks at it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod as ApiPod;

use crate::names;
use crate::policy::inject::instance_of;
use crate::policy::settings::Injected;

/// What is kept of a pod.
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of a pod's status, not a state of ours")]
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Identity: a name may be taken again.
    pub uid: String,
    /// All labels: selectors may name any of them.
    pub labels: BTreeMap<String, String>,
    /// Creation, by the API server's clock.
    pub created: Option<Timestamp>,
    /// Its containers run.
    pub running: bool,
    /// It ended for good, or is about to.
    pub ending: bool,
    /// It ended for good: what it held is no more.
    pub ended: bool,
    /// It shares its node's network, and so its address with others.
    pub host_network: bool,
    /// Its own address.
    pub address: Option<IpAddr>,
    /// What was injected, by pool.
    pub injected: BTreeMap<String, Injected>,
    /// Why it was left alone (`Reason: message`), by pool.
    pub skipped: BTreeMap<String, String>,
    /// Our containers, and whether each has started.
    pub sidecars: BTreeMap<String, bool>,
}

impl Pod {
    /// Reads what is needed. Total: whatever a pod says about us that can't be read counts as not said.
    pub fn new(pod: &ApiPod) -> Self {
        let meta = &pod.metadata;
        let (spec, status) = (pod.spec.as_ref(), pod.status.as_ref());
        let phase = status.and_then(|status| status.phase.as_deref());
        let containers = || spec.and_then(|spec| spec.init_containers.as_ref()).into_iter().flatten();
        let annotations = meta.annotations.iter().flatten();
        let (injected_prefix, skipped_prefix) = (names::injected_annotation(""), names::skipped_annotation(""));
        let mut injected = BTreeMap::new();
        let mut skipped = BTreeMap::new();
        for (name, value) in annotations {
            if let Some(pool) = name.strip_prefix(&injected_prefix) {
                // The note alone proves nothing where a container belongs to it: anyone may write an annotation.
                if let Some(note) = instance_of(value, containers().map(|container| container.name.as_str()), pool) {
                    injected.insert(pool.to_owned(), note);
                }
            } else if let Some(pool) = name.strip_prefix(&skipped_prefix) {
                skipped.insert(pool.to_owned(), value.clone());
            }
        }
        let started = |container: &str| {
            status
                .and_then(|status| status.init_container_statuses.as_ref())
                .into_iter()
                .flatten()
                .any(|status| status.name == container && status.started == Some(true))
        };
        let ended = matches!(phase, Some("Succeeded" | "Failed"));
        let prefix = names::container("");
        let sidecars = containers()
            .filter(|container| container.name.starts_with(&prefix))
            .map(|container| (container.name.clone(), started(&container.name)))
            .collect();
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            labels: meta.labels.clone().unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            running: phase == Some("Running"),
            ending: meta.deletion_timestamp.is_some() || ended,
            ended,
            host_network: spec.and_then(|spec| spec.host_network).unwrap_or(false),
            address: status.and_then(|status| status.pod_ip.as_ref()).and_then(|ip| ip.parse().ok()),
            injected,
            skipped,
            sidecars,
        }
    }

    /// The pools that this pod speaks of.
    pub fn pools(&self) -> impl Iterator<Item = &String> {
        self.injected.keys().chain(self.skipped.keys())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_injection_left() {
        let pod = serde_json::from_value(json!({
            "metadata": {
                "name": "orders-1", "namespace": "shop", "uid": "u1", "labels": {"app": "orders"},
                "annotations": {
                    "weir.dev/injected.orders": r#"{"generation":3,"listen":16432,"control":19187,"max":20,"later":true}"#,
                    "weir.dev/injected.broken": "{",
                    "weir.dev/injected.forged": r#"{"generation":3,"listen":16432,"control":19187,"max":20}"#,
                    "weir.dev/skipped.audit": "UnsupportedSource: envFrom is left alone",
                    "other/injected.x": "{}",
                },
            },
            "spec": {"containers": [], "initContainers": [{"name": "weir-orders"}, {"name": "migrate"}]},
            "status": {
                "phase": "Running", "podIP": "10.244.0.7",
                "initContainerStatuses": [{
                    "name": "weir-orders", "started": true, "ready": true, "restartCount": 0, "image": "", "imageID": "",
                }],
            },
        }));
        let pod = Pod::new(&pod.expect("a pod"));
        assert_eq!(pod.injected.keys().collect::<Vec<_>>(), ["orders"]);
        assert_eq!(pod.injected["orders"].generation, 3);
        assert_eq!(pod.skipped["audit"], "UnsupportedSource: envFrom is left alone");
        assert_eq!(pod.sidecars, BTreeMap::from([("weir-orders".to_owned(), true)]));
        assert_eq!(pod.address, Some("10.244.0.7".parse().expect("an address")));
        assert!(pod.running && !pod.ending);
    }

    #[test]
    fn an_empty_pod_says_nothing() {
        let pod = Pod::new(&ApiPod::default());
        assert!(!pod.running && !pod.ending && pod.pools().next().is_none());
    }
}
