//! A pool's pods, counted. Pure: the pods of the namespace in, figures and the news of single pods out.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::observe::pod::Pod;
use crate::policy::status::Fleet;
use crate::policy::status::conditions::NAMED;
use crate::policy::validate::ValidatedPool;
use crate::prober::targets::selects;

/// What one matching pod is to the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It carries what it should; of this generation.
    Injected(i64),
    /// It was looked at and left alone: `Reason: message`.
    Skipped(&'a str),
    /// The webhook never saw it.
    Missed,
}

/// A pod's standing.
pub fn standing<'a>(pool: &ValidatedPool, pod: &'a Pod) -> Standing<'a> {
    if let Some(note) = pod.injected.get(&pool.name) {
        return Standing::Injected(note.generation);
    }
    pod.skipped.get(&pool.name).map_or(Standing::Missed, |why| Standing::Skipped(why))
}

/// The pods that count: matched by the selector, and here to stay.
pub fn matching(pool: &ValidatedPool, pods: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
    pods.iter().filter(|pod| !pod.ending && selects(&pool.selector, pod)).cloned().collect()
}

/// Counts the pods of [`matching`].
pub fn count(pool: &ValidatedPool, matching: &[Arc<Pod>]) -> Fleet {
    let mut fleet = Fleet { matched: u32::try_from(matching.len()).unwrap_or(u32::MAX), ..Fleet::default() };
    let mut stale: BTreeMap<i64, u32> = BTreeMap::new();
    for pod in matching {
        match standing(pool, pod) {
            Standing::Injected(generation) => {
                fleet.injected += 1;
                if generation < pool.generation {
                    *stale.entry(generation).or_default() += 1;
                }
            }
            Standing::Skipped(why) => {
                fleet.skipped_count += 1;
                if fleet.skipped.len() < NAMED {
                    let reason = why.split_once(':').map_or(why, |(reason, _)| reason);
                    fleet.skipped.push((pod.name.clone(), reason.to_owned()));
                }
            }
            Standing::Missed => {
                fleet.missed_count += 1;
                if fleet.missed.len() < NAMED {
                    fleet.missed.push(pod.name.clone());
                }
            }
        }
    }
    fleet.stale = stale.into_iter().collect();
    fleet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::validate::validate;
    use serde_json::{Value, json};

    fn pool() -> ValidatedPool {
        let pool = json!({
            "apiVersion": "weir.dev/v1alpha1", "kind": "ConnectionPool",
            "metadata": {"namespace": "shop", "name": "orders", "generation": 5},
            "spec": {"profile": "test", "selector": {"matchLabels": {"app": "orders"}}},
        });
        validate(&serde_json::from_value(pool).expect("a pool")).unwrap_or_else(|violations| panic!("{violations:?}"))
    }

    fn pod(name: &str, app: &str, phase: &str, annotations: &Value) -> Arc<Pod> {
        let pod = json!({
            "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": app}, "annotations": annotations},
            "spec": {"containers": [], "initContainers": [{"name": "weir-orders"}]},
            "status": {"phase": phase},
        });
        Arc::new(Pod::new(&serde_json::from_value(pod).expect("a pod")))
    }

    fn injected(generation: i64) -> Value {
        json!({"weir.dev/injected.orders": json!({"generation": generation, "listen": 16432, "control": 19187, "max": 5}).to_string()})
    }

    #[test]
    fn every_matching_pod_counts_once() {
        let pods = [
            pod("a", "orders", "Running", &injected(5)),
            pod("b", "orders", "Pending", &injected(4)),
            pod("c", "orders", "Running", &injected(4)),
            pod("d", "orders", "Running", &json!({"weir.dev/skipped.orders": "OptedOut: as it wished"})),
            pod("e", "orders", "Running", &json!({})),
            pod("f", "orders", "Running", &json!({"weir.dev/injected.other": "{}"})),
            pod("done", "orders", "Succeeded", &json!({})),
            pod("other", "audit", "Running", &json!({})),
        ];
        let pool = pool();
        let fleet = count(&pool, &matching(&pool, &pods));
        assert_eq!(
            fleet,
            Fleet {
                unseen: false,
                matched: 6,
                injected: 3,
                missed: vec!["e".to_owned(), "f".to_owned()],
                missed_count: 2,
                skipped: vec![("d".to_owned(), "OptedOut".to_owned())],
                skipped_count: 1,
                stale: vec![(4, 2)],
            }
        );
    }

    #[test]
    fn names_do_not_grow_with_the_fleet() {
        let pods: Vec<_> =
            (0..500).map(|number| pod(&format!("p{number:03}"), "orders", "Running", &json!({}))).collect();
        let fleet = count(&pool(), &pods);
        assert_eq!(
            (fleet.missed_count, fleet.missed),
            (500, vec!["p000".to_owned(), "p001".to_owned(), "p002".to_owned()])
        );
    }
}
