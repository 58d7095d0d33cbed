//! Resources of the sidecar, so that the pod keeps the quality-of-service class that its owner chose for it, and so that the
//! LimitRanges of its namespace take our container where they take the rest.

use serde_json::{Map, Value, json};

use super::bounds::{Bounds, Resource};
use super::pod::{Container, Pod};
use super::quantity::Quantity;

/// The two resources that decide the class.
const COUNTED: [Resource; 2] = [Resource::Cpu, Resource::Memory];

/// Where LimitRanges ask every container for storage: the kubelet keeps 50 MiB of a container's log (5 files of 10 MiB).
const STORAGE: &str = "128Mi";

/// Amounts of processor and memory, as Kubernetes quantities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amounts {
    /// As in `10m`.
    pub cpu: String,
    /// As in `16Mi`.
    pub memory: String,
}

/// What the sidecar asks for, where LimitRanges leave it the choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// In a Burstable pod.
    pub requests: Amounts,
    /// In a Guaranteed pod, where they are the requests too, and in a pod that limits every other container.
    pub limits: Amounts,
}

impl Default for Resources {
    /// Idle the sidecar holds some 3 MiB; busy it grows with its clients' buffers, and a processor limit would be waiting time.
    fn default() -> Self {
        Self {
            requests: Amounts { cpu: "10m".into(), memory: "16Mi".into() },
            limits: Amounts { cpu: "250m".into(), memory: "128Mi".into() },
        }
    }
}

impl Amounts {
    /// Zero for what is no quantity; the command line takes none.
    fn of(&self, resource: Resource) -> Quantity {
        let text = match resource {
            Resource::Cpu => self.cpu.as_str(),
            Resource::Memory => self.memory.as_str(),
            Resource::EphemeralStorage => STORAGE,
        };
        Quantity::parse(text).unwrap_or_else(Quantity::zero)
    }
}

/// What the owner of a pod chose, as far as it binds our container.
#[derive(Clone, Copy)]
enum Class {
    /// Resources of the whole pod. A request of ours could pass them.
    Whole,
    /// Nobody has a request or a limit.
    BestEffort,
    /// By resource, in the order of [`COUNTED`]: whether every container has a limit.
    Burstable([bool; COUNTED.len()]),
    /// Every container has limits, and requests that equal them.
    Guaranteed,
}

impl Class {
    fn of(pod: Pod<'_>) -> Self {
        if whole(pod).is_some() {
            return Self::Whole;
        }
        let (mut any, mut guaranteed, mut limited) = (false, true, [true; COUNTED.len()]);
        for container in pod.containers() {
            for (resource, limited) in COUNTED.iter().zip(&mut limited) {
                let limit = amount(&container, "limits", *resource);
                let request = amount(&container, "requests", *resource);
                any |= limit.is_some() || request.is_some();
                *limited &= limit.is_some();
                // A request that is not written is the limit.
                guaranteed &= limit.is_some() && (request.is_none() || same(request, limit));
            }
        }
        match (any, guaranteed) {
            (false, _) => Self::BestEffort,
            (true, true) => Self::Guaranteed,
            (true, false) => Self::Burstable(limited),
        }
    }
}

/// The `resources` of our container; `None` where it must not have any: in a BestEffort pod, and in one whose resources are set for
/// the whole pod, unless LimitRanges would give it some.
pub(super) fn fitting(pod: Pod<'_>, resources: &Resources, bounds: &Bounds) -> Option<Value> {
    let class = Class::of(pod);
    let (mut requests, mut limits) = (Map::new(), Map::new());
    let mut set = |resource: Resource, request: Option<Quantity>, limit: Option<Quantity>| {
        let (request, limit) = bounds.on(resource).fit(resource, request, limit);
        for (list, amount) in [(&mut requests, request), (&mut limits, limit)] {
            if let Some(amount) = amount {
                list.insert(resource.name().to_owned(), Value::from(amount.text()));
            }
        }
    };
    for (at, resource) in COUNTED.into_iter().enumerate() {
        let range = bounds.on(resource);
        let asked = resources.requests.of(resource);
        // A limit below its request is a pod that the API server refuses, so the request wins.
        let most = asked.clone().max(resources.limits.of(resource));
        let (request, limit) = match class {
            Class::Guaranteed => (Some(most.clone()), Some(most)),
            Class::Burstable(limited) => {
                let limited = limited.get(at).copied().unwrap_or(false) || range.wants_limit();
                (Some(asked), limited.then_some(most))
            }
            // Zero is nothing, for the class, and keeps the defaults away.
            Class::BestEffort if range.has_least() => (None, None),
            Class::BestEffort => (range.gives_request().then(Quantity::zero), range.wants_limit().then(Quantity::zero)),
            Class::Whole if range.is_open() => (None, None),
            Class::Whole => {
                let request = if range.has_ratio() { asked } else { Quantity::zero() };
                let whole = whole(pod).and_then(|whole| whole.get("limits")?.get(resource.name()));
                let most = whole.and_then(Quantity::read).into_iter().fold(most, Quantity::min);
                (Some(request), range.wants_limit().then_some(most))
            }
        };
        set(resource, request, limit);
    }
    let storage = Resource::EphemeralStorage;
    if !bounds.on(storage).defaults_pass() {
        let amount = resources.limits.of(storage);
        set(storage, Some(amount.clone()), Some(amount));
    }
    match (requests.is_empty(), limits.is_empty()) {
        (true, true) => None,
        (_, true) => Some(json!({"requests": requests})),
        (_, false) => Some(json!({"requests": requests, "limits": limits})),
    }
}

/// The resources of the whole pod.
fn whole(pod: Pod<'_>) -> Option<&Value> {
    pod.spec().and_then(|spec| spec.get("resources")).filter(|whole| !absent(whole))
}

fn absent(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(|object| object.values().all(absent))
}

/// A quantity that is not zero, which the class counts as absent.
fn amount<'p>(container: &Container<'p>, kind: &str, resource: Resource) -> Option<&'p Value> {
    let amount = container.value.get("resources")?.get(kind)?.get(resource.name())?;
    (!amount.is_null() && !Quantity::read(amount).is_some_and(|amount| amount.is_zero())).then_some(amount)
}

fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    let value = |amount: Option<&Value>| amount.and_then(Quantity::read);
    one == other || value(one).is_some() && value(one) == value(other)
}

#[cfg(test)]
mod tests;
