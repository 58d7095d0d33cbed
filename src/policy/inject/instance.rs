//! Whether a pod is an instance of a pool: it carries the note, and the container where the note says that there is one.

use serde_json::Value;

use super::pod::{List, Pod};
use crate::names;
use crate::policy::settings::Injected;

/// What was injected into a pod for this pool; `None` where it was not, or the container is gone.
pub fn instance(pod: &Value, pool: &str) -> Option<Injected> {
    let pod = Pod(pod);
    let containers = pod.list(List::Init).map(|container| container.name());
    instance_of(pod.annotation(&names::injected_annotation(pool))?, containers, pool)
}

/// The same from the parts that a typed pod has: the annotation, and the names of the init containers.
pub fn instance_of<'n>(
    annotation: &str,
    mut init_containers: impl Iterator<Item = &'n str>,
    pool: &str,
) -> Option<Injected> {
    let injected: Injected = serde_json::from_str(annotation).ok()?;
    let container = names::container(pool);
    (injected.listen.is_none() || init_containers.any(|name| name == container)).then_some(injected)
}
