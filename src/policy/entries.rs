//! Which webhook entries should exist, and in which configuration object each of them lives.
//!
//! One entry per pool, so that a pod that no pool selects never causes a call. The entries are spread over a fixed number of
//! `MutatingWebhookConfiguration`s, since one object holds a bounded number of them; a pool's place depends on its own name only.
//! Each object also has a canary entry whose path names the object's revision: whoever gets that revision back from a dry-run pod
//! knows that these entries are in force. Entries that are not ours are kept as they are.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::validate::ValidatedPool;
use crate::crd::FailurePolicy;
use crate::names;

/// Most pool entries in one object. 600 with the longest names and two authorities in the bundle are 1.6 MB of JSON, and an API server
/// with etcd's default limit (1.5 MiB, of the smaller stored form) was seen to take them.
pub const ENTRIES_MAX: usize = 600;
/// How long the API server waits for an answer, in seconds.
const TIMEOUT_SECONDS: u32 = 3;
/// Where no pool may act: pods there must start without us, whatever a pool says.
const EXCLUDED: &[&str] = &["kube-system"];
/// Name of the canary's entry, the same in every object.
const CANARY: &str = "canary.weir.dev";

/// Namespace and name of a pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl PoolKey {
    /// Namespace first, as it is written.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for PoolKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// How the API server reaches the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Service in the operator's namespace, port 443.
    Service(String),
    /// `https://host:port`, for an operator outside of the cluster.
    Url(String),
}

/// What every entry has in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The operator's own namespace: only canaries are selected there.
    pub namespace: String,
    /// See [`Endpoint`].
    pub endpoint: Endpoint,
    /// Every certificate authority in force, as PEM, base64-encoded.
    pub ca_bundle: String,
    /// Names of the configuration objects, in order.
    pub configurations: Vec<String>,
}

/// A pool that wants an entry.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// See [`ValidatedPool`].
    pub pool: &'a ValidatedPool,
    /// Seconds since the epoch at which the pool was created: where an object is full, the oldest stay.
    pub created: i64,
}

/// The entries of one configuration object.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// Name of the object.
    pub name: String,
    /// Changes whenever an entry does.
    pub revision: String,
    /// The canary first, then the pools by name.
    pub entries: Vec<Value>,
}

/// Where a pool's entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a configuration.
    In {
        /// Its index.
        configuration: usize,
        /// Changes with what the entry does, and not with the certificates in it: an entry with the former bundle is still in
        /// force while authorities overlap.
        meaning: String,
    },
    /// Pools do not act in this namespace.
    Excluded,
    /// The configuration of this name is full.
    Full(String),
}

/// All entries that should exist.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In the order of [`Installation::configurations`].
    pub configurations: Vec<Configuration>,
    /// Every candidate's place.
    pub places: BTreeMap<PoolKey, Place>,
}

/// Decides on every entry. Neither the order of the candidates nor what exists already changes the outcome.
pub fn plan(installation: &Installation, candidates: &[Candidate<'_>]) -> Plan {
    let mut ordered: Vec<_> = candidates
        .iter()
        .map(|candidate| {
            (candidate.created, PoolKey::new(&*candidate.pool.namespace, &*candidate.pool.name), candidate)
        })
        .collect();
    ordered.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));

    let names = &installation.configurations;
    let mut members: Vec<BTreeMap<PoolKey, Value>> = vec![BTreeMap::new(); names.len()];
    let mut places = BTreeMap::new();
    for (_, key, candidate) in ordered {
        let place = if excluded(installation, &key.namespace) {
            Place::Excluded
        } else {
            let index = shard(&key, names.len());
            match members.get_mut(index) {
                Some(entries) if entries.len() < ENTRIES_MAX => {
                    entries.insert(key.clone(), entry(installation, candidate.pool));
                    Place::In { configuration: index, meaning: meaning(installation, candidate.pool) }
                }
                _ => Place::Full(names.get(index).cloned().unwrap_or_default()),
            }
        };
        places.insert(key, place);
    }
    let configurations =
        names.iter().zip(members).map(|(name, entries)| configuration(installation, name, entries)).collect();
    Plan { configurations, places }
}

/// The list that the object should hold, or `None` where it does already. Entries of others stay in front, as they are.
pub fn merge(existing: &[Value], desired: &Configuration) -> Option<Vec<Value>> {
    let foreign = existing.iter().filter(|entry| !ours(entry));
    let merged: Vec<Value> = foreign.chain(&desired.entries).cloned().collect();
    (merged != existing).then_some(merged)
}

/// Whether pools are without effect in `namespace`.
pub fn excluded(installation: &Installation, namespace: &str) -> bool {
    namespace == installation.namespace || EXCLUDED.contains(&namespace)
}

fn ours(entry: &Value) -> bool {
    let suffix = format!(".{}", names::GROUP);
    entry.get("name").and_then(Value::as_str).is_some_and(|name| name.ends_with(&suffix))
}

fn configuration(installation: &Installation, name: &str, pools: BTreeMap<PoolKey, Value>) -> Configuration {
    let pools: Vec<Value> = pools.into_values().collect();
    // The canary's path holds the revision, so the revision is that of everything else.
    let unrevised = canary(installation, name, "");
    let revision = hex(&json!([unrevised, pools]).to_string(), 8);
    let mut entries = vec![canary(installation, name, &revision)];
    entries.extend(pools);
    Configuration { name: name.to_owned(), revision, entries }
}

/// It fails where a pool's entry would pass silently: nobody but us sends such pods, and the refusal says what is wrong.
fn canary(installation: &Installation, configuration: &str, revision: &str) -> Value {
    webhook(
        installation,
        CANARY,
        &format!("/canary/{revision}"),
        &installation.namespace,
        &json!({"matchLabels": {names::CANARY_LABEL: configuration}}),
        FailurePolicy::Fail,
    )
}

fn entry(installation: &Installation, pool: &ValidatedPool) -> Value {
    let key = PoolKey::new(&*pool.namespace, &*pool.name);
    webhook(
        installation,
        &format!("{}.{}.{}", hex(&key.to_string(), 5), pool.name, names::GROUP),
        &format!("/inject/{key}"),
        &pool.namespace,
        &selector(&pool.selector),
        pool.failure_policy,
    )
}

fn meaning(installation: &Installation, pool: &ValidatedPool) -> String {
    let uncertified = Installation { ca_bundle: String::new(), ..installation.clone() };
    hex(&entry(&uncertified, pool).to_string(), 8)
}

/// Every field is set, also where the default would do: what the API server sends back then compares equal.
fn webhook(
    installation: &Installation,
    name: &str,
    path: &str,
    namespace: &str,
    object_selector: &Value,
    failure_policy: FailurePolicy,
) -> Value {
    let bundle = &installation.ca_bundle;
    let client = match &installation.endpoint {
        Endpoint::Service(service) => json!({
            "caBundle": bundle,
            "service": {"name": service, "namespace": installation.namespace, "path": path, "port": 443},
        }),
        Endpoint::Url(url) => json!({"caBundle": bundle, "url": format!("{url}{path}")}),
    };
    json!({
        "name": name,
        "admissionReviewVersions": ["v1"],
        "clientConfig": client,
        "failurePolicy": match failure_policy {
            FailurePolicy::Ignore => "Ignore",
            FailurePolicy::Fail => "Fail",
        },
        "matchPolicy": "Equivalent",
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "objectSelector": object_selector,
        "reinvocationPolicy": "IfNeeded",
        "rules": [{
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE"],
            "resources": ["pods"],
            "scope": "Namespaced",
        }],
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_SECONDS,
    })
}

/// The selector as the API server stores it: without empty lists and maps, which would otherwise differ for ever.
fn selector(selector: &LabelSelector) -> Value {
    let mut object = Map::new();
    if let Some(expressions) = selector.match_expressions.as_ref().filter(|expressions| !expressions.is_empty()) {
        let expressions = expressions.iter().map(|expression| {
            let mut object = Map::new();
            object.insert("key".to_owned(), json!(expression.key));
            object.insert("operator".to_owned(), json!(expression.operator));
            if let Some(values) = expression.values.as_ref().filter(|values| !values.is_empty()) {
                object.insert("values".to_owned(), json!(values));
            }
            Value::Object(object)
        });
        object.insert("matchExpressions".to_owned(), expressions.collect());
    }
    if let Some(labels) = selector.match_labels.as_ref().filter(|labels| !labels.is_empty()) {
        object.insert("matchLabels".to_owned(), json!(labels));
    }
    Value::Object(object)
}

/// A pool's configuration: by its own name only, so that no other pool's coming or going moves it.
fn shard(key: &PoolKey, count: usize) -> usize {
    let first = digest(&SHA256, key.to_string().as_bytes())
        .as_ref()
        .iter()
        .take(4)
        .fold(0, |all, byte| all << 8 | usize::from(*byte));
    first.checked_rem(count).unwrap_or(0)
}

fn hex(text: &str, bytes: usize) -> String {
    use std::fmt::Write as _;
    digest(&SHA256, text.as_bytes()).as_ref().iter().take(bytes).fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes every write");
        hex
    })
}
