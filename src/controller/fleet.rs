//! A pool's pods, counted. Pure: the pods of the namespace in, figures and the news of single pods out.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::observe::pod::Pod;
use crate::policy::status::Fleet;
use crate::policy::validate::ValidatedPool;
use crate::prober::targets::selects;

/// Pods that are named at most, wherever pods are named.
pub const NAMED: usize = 3;

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
