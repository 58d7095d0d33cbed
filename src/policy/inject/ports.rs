//! Two ports that nobody in the pod has declared. The containers of a pod share one network.

use std::collections::BTreeSet;

use serde_json::Value;

use super::pod::Pod;
use super::reason::{Skip, SkipReason};
use crate::names::{CONTROL_PORT, LISTEN_PORT};

/// Probes often name a port that the container does not declare.
const PROBES: [&str; 3] = ["startupProbe", "livenessProbe", "readinessProbe"];
const TARGETS: [&str; 3] = ["httpGet", "tcpSocket", "grpc"];

/// Ports of the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) listen: u16,
    pub(super) control: u16,
}

/// Chooses the ports. `known` are further ones that the pod uses without declaring them: those of a URL that names loopback.
pub(super) fn choose(pod: Pod<'_>, known: impl IntoIterator<Item = u16>) -> Result<Ports, Skip> {
    let mut taken: BTreeSet<u16> = known.into_iter().collect();
    for container in pod.containers() {
        let declared = container.value.get("ports").and_then(Value::as_array).into_iter().flatten();
        taken.extend(declared.filter_map(|port| number(port.get("containerPort")?)));
        let probes = PROBES.iter().filter_map(|probe| container.value.get(probe));
        let targets = probes.flat_map(|probe| TARGETS.iter().filter_map(|target| probe.get(target)));
        taken.extend(targets.filter_map(|target| number(target.get("port")?)));
    }
    let free = |from: u16, taken: &BTreeSet<u16>| {
        (from..=u16::MAX)
            .find(|port| !taken.contains(port))
            .ok_or_else(|| SkipReason::NoFreePort.because(format!("the containers declare every port from {from} on")))
    };
    let listen = free(LISTEN_PORT, &taken)?;
    taken.insert(listen);
    let control = free(CONTROL_PORT, &taken)?;
    Ok(Ports { listen, control })
}

fn number(port: &Value) -> Option<u16> {
    u16::try_from(port.as_u64()?).ok()
}
