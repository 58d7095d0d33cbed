//! Resources of the sidecar, so that the pod keeps the quality-of-service class that its owner chose for it.

use serde_json::{Map, Value, json};

use super::pod::{Container, Pod};

/// The two resources that decide the class.
const COUNTED: [&str; 2] = ["cpu", "memory"];

/// Amounts of processor and memory, as Kubernetes quantities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amounts {
    /// As in `10m`.
    pub cpu: String,
    /// As in `16Mi`.
    pub memory: String,
}

/// What the sidecar asks for.
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

/// Whether a text is an amount that Kubernetes takes. A wrong one in our container would have every pod refused.
pub fn is_quantity(text: &str) -> bool {
    quantity(&Value::from(text)).is_some()
}

/// The `resources` of our container; `None` where it must not have any: in a BestEffort pod, and in one whose resources are set for
/// the whole pod, since a request of ours could pass them.
pub(super) fn fitting(pod: Pod<'_>, resources: &Resources) -> Option<Value> {
    if pod.spec().and_then(|spec| spec.get("resources")).is_some_and(|whole| !absent(whole)) {
        return None;
    }
    let mut any = false;
    let mut guaranteed = true;
    let mut limited = [true; COUNTED.len()];
    for container in pod.containers() {
        for (resource, limited) in COUNTED.iter().zip(&mut limited) {
            let limit = amount(&container, "limits", resource);
            let request = amount(&container, "requests", resource);
            any |= limit.is_some() || request.is_some();
            *limited &= limit.is_some();
            // A request that is not written is the limit.
            guaranteed &= limit.is_some() && (request.is_none() || same(request, limit));
        }
    }
    if !any {
        return None;
    }
    let (asked, most) = (&resources.requests, &resources.limits);
    let most = [larger(&asked.cpu, &most.cpu), larger(&asked.memory, &most.memory)];
    if guaranteed {
        let limits = json!({"cpu": most[0], "memory": most[1]});
        return Some(json!({"requests": limits, "limits": limits}));
    }
    let requests = json!({"cpu": resources.requests.cpu, "memory": resources.requests.memory});
    let mut limits = Map::new();
    for ((resource, limited), amount) in COUNTED.iter().zip(limited).zip(most) {
        if limited {
            limits.insert((*resource).to_owned(), Value::from(amount));
        }
    }
    Some(if limits.is_empty() {
        json!({"requests": requests})
    } else {
        json!({"requests": requests, "limits": limits})
    })
}

/// A limit below its request is a pod that the API server refuses, so the request wins.
fn larger<'a>(request: &'a str, limit: &'a str) -> &'a str {
    if quantity(&Value::from(request)) > quantity(&Value::from(limit)) { request } else { limit }
}

fn absent(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(|object| object.values().all(absent))
}

/// A quantity that is not zero, which the class counts as absent.
fn amount<'p>(container: &Container<'p>, kind: &str, resource: &str) -> Option<&'p Value> {
    let amount = container.value.get("resources")?.get(kind)?.get(resource)?;
    (!amount.is_null() && quantity(amount) != Some(0)).then_some(amount)
}

fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    let value = |amount: Option<&Value>| amount.and_then(quantity);
    one == other || value(one).is_some() && value(one) == value(other)
}

/// A quantity in units of 10^-9 (apimachinery, resource.Quantity). `None` for what this does not read: then only equal texts are equal.
fn quantity(amount: &Value) -> Option<u128> {
    let text = match amount {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let end = text.bytes().position(|byte| !(byte.is_ascii_digit() || byte == b'.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    if number.is_empty() {
        return None;
    }
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let nano: u128 = if part.len() > 9 { return None } else { format!("{whole}{part:0<9}").parse().ok()? };
    let power = |base: u128, exponent: u32| nano.checked_mul(base.checked_pow(exponent)?);
    match suffix {
        "" => Some(nano),
        "n" => Some(nano / 1_000_000_000),
        "u" => Some(nano / 1_000_000),
        "m" => Some(nano / 1_000),
        "k" => power(1_000, 1),
        "M" => power(1_000, 2),
        "G" => power(1_000, 3),
        "T" => power(1_000, 4),
        "P" => power(1_000, 5),
        "E" => power(1_000, 6),
        "Ki" => power(1_024, 1),
        "Mi" => power(1_024, 2),
        "Gi" => power(1_024, 3),
        "Ti" => power(1_024, 4),
        "Pi" => power(1_024, 5),
        "Ei" => power(1_024, 6),
        _ => power(10, suffix.strip_prefix(['e', 'E'])?.parse().ok().filter(|exponent| *exponent <= 18)?),
    }
}

#[cfg(test)]
mod tests;
