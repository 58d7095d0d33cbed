//! Reading a pod's raw JSON. What has an unexpected shape reads as absent.

use serde_json::Value;

use crate::names;

/// The two lists of a pod that hold containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Init,
    Main,
}

impl List {
    /// The field of the pod's spec.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Init => "initContainers",
            Self::Main => "containers",
        }
    }
}

/// A pod.
#[derive(Clone, Copy)]
pub(super) struct Pod<'p>(pub(super) &'p Value);

/// A container of a pod, and where it is.
#[derive(Clone, Copy)]
pub(super) struct Container<'p> {
    pub(super) value: &'p Value,
    pub(super) list: List,
    pub(super) index: usize,
}

impl<'p> Pod<'p> {
    pub(super) fn spec(self) -> Option<&'p Value> {
        self.0.get("spec")
    }

    pub(super) fn annotation(self, key: &str) -> Option<&'p str> {
        self.0.get("metadata")?.get("annotations")?.get(key)?.as_str()
    }

    pub(super) fn list(self, list: List) -> impl Iterator<Item = Container<'p>> + use<'p> {
        let values = self.spec().and_then(|spec| spec.get(list.field())).and_then(Value::as_array);
        values.into_iter().flatten().enumerate().map(move |(index, value)| Container { value, list, index })
    }

    /// Init containers first, as they run first.
    pub(super) fn containers(self) -> impl Iterator<Item = Container<'p>> + use<'p> {
        self.list(List::Init).chain(self.list(List::Main))
    }

    pub(super) fn volumes(self) -> impl Iterator<Item = &'p str> + use<'p> {
        let volumes = self.spec().and_then(|spec| spec.get("volumes")).and_then(Value::as_array);
        volumes.into_iter().flatten().filter_map(|volume| volume.get("name")?.as_str())
    }

    /// The name of another pool that is in the pod: its note, and its container where it has one.
    pub(super) fn other_pool(self, pool: &str) -> Option<&'p str> {
        let annotations = self.0.get("metadata")?.get("annotations")?.as_object()?;
        let prefix = names::injected_annotation("");
        let others = annotations.keys().filter_map(|key| key.strip_prefix(&prefix)).filter(|name| *name != pool);
        others.filter(|other| super::instance(self.0, other).is_some()).min()
    }
}

impl<'p> Container<'p> {
    pub(super) fn name(&self) -> &'p str {
        self.value.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Entries of `env`, with their positions.
    pub(super) fn env(&self) -> impl Iterator<Item = (usize, &'p Value)> + use<'p> {
        self.value.get("env").and_then(Value::as_array).into_iter().flatten().enumerate()
    }

    /// Entries of `env` with this name, with their positions.
    pub(super) fn variable(&self, name: &str) -> impl Iterator<Item = (usize, &'p Value)> {
        self.env().filter(move |(_, entry)| entry.get("name").and_then(Value::as_str) == Some(name))
    }

    /// The literal text of a variable; the last entry counts, as in the kubelet.
    pub(super) fn literal(&self, name: &str) -> Option<&'p str> {
        self.variable(name).last().and_then(|(_, entry)| entry.get("value")).and_then(Value::as_str)
    }

    /// Whether `envFrom` has a source whose prefix leaves room for this variable.
    pub(super) fn may_take_from_env_from(&self, name: &str) -> bool {
        let sources = self.value.get("envFrom").and_then(Value::as_array).into_iter().flatten();
        let prefix = |source: &'p Value| source.get("prefix").and_then(Value::as_str).unwrap_or_default();
        sources.map(prefix).any(|prefix| name.starts_with(prefix))
    }
}
