//! Puts the entries of [`crate::policy::entries`] into the webhook configurations, and finds out when they are in force.
//!
//! One task for all pools, since they share the objects. An object is written with the resourceVersion it was read with, and read
//! again after a conflict; what is not ours in it stays as it is. Afterwards a dry-run pod in the operator's own namespace is sent
//! until the canary's patch brings the new revision back: from then on the API server that answered uses these entries.

mod canary;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as _;
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::observe::pools::{Pools, key};
use crate::observe::touches::Touches;
use crate::policy::entries::{Candidate, Configuration, Endpoint, Installation, Place, PoolKey, plan};
use crate::policy::reasons::Reason;
use crate::policy::status::EntryState;
use crate::policy::validate::{ValidatedPool, validate};
use crate::shutdown::Stopping;
use crate::telemetry::chain;

/// How often the objects are looked at although nothing changed here: somebody may have edited them.
const RESYNC: Duration = Duration::from_secs(30);
/// After a failure.
const RETRY: Duration = Duration::from_secs(2);
/// Pools that come together are written together.
const GATHER: Duration = Duration::from_millis(100);

/// Which spec of a pool a state speaks of: the pool's UID, since a pool that is made anew begins at generation 1 again.
type Spec = (Option<String>, i64);
type States = BTreeMap<PoolKey, (Spec, EntryState)>;

/// Whether each pool's entry is in force, and for which spec of the pool.
#[derive(Debug)]
pub struct Entries {
    states: RwLock<States>,
    settled: watch::Sender<bool>,
}

impl Default for Entries {
    fn default() -> Self {
        Self { states: RwLock::default(), settled: watch::Sender::new(false) }
    }
}

impl Entries {
    /// Of this generation of the pool with this UID; `None` where it was not looked at yet.
    pub fn state(&self, pool: &PoolKey, uid: Option<&str>, generation: i64) -> Option<EntryState> {
        let states = self.states.read().unwrap_or_else(PoisonError::into_inner);
        let ((of, known), state) = states.get(pool)?;
        (of.as_deref() == uid && *known >= generation).then(|| state.clone())
    }

    /// Whether every entry was looked at once.
    pub fn settled(&self) -> bool {
        *self.settled.borrow()
    }

    /// Resolves once every entry was looked at: before that, `Pending` only means that the process is young.
    pub async fn wait_settled(&self) {
        // The sender lives in self.
        let _ = self.settled.subscribe().wait_for(|settled| *settled).await;
    }

    /// Replaces all; returns the pools for which something changed.
    fn replace(&self, states: States) -> Vec<PoolKey> {
        let mut known = self.states.write().unwrap_or_else(PoisonError::into_inner);
        let changed =
            states.iter().filter(|(pool, state)| known.get(*pool) != Some(*state)).map(|(pool, _)| pool.clone());
        let changed = changed.collect();
        *known = states;
        changed
    }
}

/// The task that keeps the entries.
pub struct Publisher {
    /// Reads and writes the configurations, and sends the canaries.
    pub client: kube::Client,
    /// The pools that want entries.
    pub pools: Pools,
    /// Where the outcome is published.
    pub entries: Arc<Entries>,
    /// Whom to tell.
    pub touches: Arc<Touches>,
    /// Counts failures.
    pub metrics: Arc<Metrics>,
    /// The operator's namespace.
    pub namespace: String,
    /// How the API server reaches the webhook.
    pub endpoint: Endpoint,
    /// Names of the configurations.
    pub configurations: Vec<String>,
    /// Image named in the canary; it never runs.
    pub image: String,
    /// All authorities in force, as soon as they are known.
    pub bundle: watch::Receiver<Option<String>>,
}

/// What was seen in force.
#[derive(Debug, Default)]
struct Confirmed {
    /// Revisions, by configuration.
    revisions: BTreeMap<String, String>,
    /// Meanings of entries, by pool. A pool stays in force while other pools of its configuration come and go.
    meanings: BTreeMap<PoolKey, String>,
}

/// How one configuration stands.
#[derive(Clone, Debug, PartialEq)]
enum Standing {
    InForce,
    Pending,
    Failed(EntryState),
}

impl Publisher {
    /// Runs until the process stops.
    pub async fn run(mut self, stopping: Stopping) {
        tokio::select! {
            () = self.publish() => {}
            () = stopping.wait() => {}
        }
    }

    async fn publish(&mut self) {
        self.pools.wait_synced().await;
        let mut version = self.pools.version();
        let mut confirmed = Confirmed::default();
        loop {
            let Some(ca_bundle) = self.bundle.borrow_and_update().clone() else {
                if self.bundle.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let installation = Installation {
                namespace: self.namespace.clone(),
                endpoint: self.endpoint.clone(),
                ca_bundle,
                configurations: self.configurations.clone(),
            };
            version.mark_unchanged();
            let specs = self.specs();
            let settled = tokio::select! {
                settled = self.round(&installation, &mut confirmed) => settled,
                // What is being confirmed is out of date.
                () = self.other_specs(&mut version, &specs) => {
                    tokio::time::sleep(GATHER).await;
                    continue;
                }
            };
            let mut bundle = self.bundle.clone();
            tokio::select! {
                () = self.other_specs(&mut version, &specs) => tokio::time::sleep(GATHER).await,
                changed = bundle.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(if settled { RESYNC } else { RETRY }) => {}
            }
        }
    }

    /// What entries depend on. Most events of pools are our own writes of their status, which are not among it.
    fn specs(&self) -> BTreeSet<(PoolKey, Option<String>, Option<i64>)> {
        let pools = self.pools.all();
        pools.iter().map(|pool| (key(pool), pool.meta().uid.clone(), pool.meta().generation)).collect()
    }

    /// Resolves once [`Publisher::specs`] are not these any more.
    async fn other_specs(
        &self,
        version: &mut watch::Receiver<u64>,
        specs: &BTreeSet<(PoolKey, Option<String>, Option<i64>)>,
    ) {
        // The sender lives in the cache that self holds.
        while version.changed().await.is_ok() && self.specs() == *specs {}
    }

    /// Writes what differs and confirms what is new. Returns whether every entry is in force.
    async fn round(&self, installation: &Installation, confirmed: &mut Confirmed) -> bool {
        let pools = self.pools.all();
        let valid: Vec<_> = pools
            .iter()
            .filter_map(|pool| pool.0.as_ref().ok())
            .filter_map(|pool| Some((&pool.metadata, validate(pool).ok()?)))
            .collect();
        let candidates: Vec<_> = valid
            .iter()
            .map(|(meta, pool)| {
                let created = meta.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
                Candidate { pool, created }
            })
            .collect();
        let plan = plan(installation, &candidates);
        let spec = |(meta, pool): &(&ObjectMeta, ValidatedPool)| {
            (PoolKey::new(&*pool.namespace, &*pool.name), (meta.uid.clone(), pool.generation))
        };
        let specs: BTreeMap<_, _> = valid.iter().map(spec).collect();

        let mut standings: Vec<Standing> = Vec::new();
        for configuration in &plan.configurations {
            let in_force = confirmed.revisions.get(&configuration.name) == Some(&configuration.revision);
            standings.push(match self.write(configuration).await {
                Err(failed) => Standing::Failed(failed),
                Ok(false) if in_force => Standing::InForce,
                Ok(_) => Standing::Pending,
            });
        }
        confirmed.meanings.retain(|pool, _| plan.places.contains_key(pool));
        self.tell(&plan.places, &specs, &standings, confirmed);
        for (index, (configuration, standing)) in plan.configurations.iter().zip(&mut standings).enumerate() {
            if *standing == Standing::Pending {
                confirmed.revisions.remove(&configuration.name);
                match canary::confirm(&self.client, &self.namespace, &self.image, configuration).await {
                    Ok(()) => {
                        confirmed.revisions.insert(configuration.name.clone(), configuration.revision.clone());
                        for (pool, place) in &plan.places {
                            if let Place::In { configuration, meaning } = place
                                && *configuration == index
                            {
                                confirmed.meanings.insert(pool.clone(), meaning.clone());
                            }
                        }
                        *standing = Standing::InForce;
                        tracing::info!(configuration.name, configuration.revision, "webhook entries are in force");
                    }
                    Err(error) => {
                        self.metrics.failed("canary");
                        tracing::warn!(
                            configuration.name,
                            error = chain(&error),
                            "webhook entries are not in force yet"
                        );
                        *standing = Standing::Failed(error.into());
                    }
                }
            }
        }
        self.tell(&plan.places, &specs, &standings, confirmed);
        self.entries.settled.send_if_modified(|settled| !std::mem::replace(settled, true));
        standings.iter().all(|standing| *standing == Standing::InForce)
    }

    /// Returns whether the object had to be changed.
    async fn write(&self, configuration: &Configuration) -> Result<bool, EntryState> {
        write::write(&self.client, configuration).await.map_err(|error| {
            self.metrics.failed("entries");
            tracing::warn!(configuration.name, error = chain(&error), "webhook entries were not written");
            error.into()
        })
    }

    fn tell(
        &self,
        places: &BTreeMap<PoolKey, Place>,
        specs: &BTreeMap<PoolKey, Spec>,
        standings: &[Standing],
        confirmed: &Confirmed,
    ) {
        let states = places
            .iter()
            .map(|(pool, place)| {
                let state = match place {
                    Place::In { meaning, .. } if confirmed.meanings.get(pool) == Some(meaning) => EntryState::InForce,
                    Place::In { configuration, .. } => match standings.get(*configuration) {
                        Some(Standing::Failed(failed)) => failed.clone(),
                        _ => EntryState::Pending,
                    },
                    Place::Excluded => excluded(&pool.namespace),
                    Place::Full(configuration) => full(configuration),
                };
                (pool.clone(), (specs.get(pool).cloned().unwrap_or_default(), state))
            })
            .collect();
        for pool in self.entries.replace(states) {
            self.touches.touch(pool);
        }
    }
}

fn excluded(namespace: &str) -> EntryState {
    EntryState::Failed {
        reason: Reason::NamespaceExcluded,
        message: format!(
            "pools have no effect in namespace {namespace:?}; move the pool and its workload to another one"
        ),
    }
}

fn full(configuration: &str) -> EntryState {
    EntryState::Failed {
        reason: Reason::ConfigurationFull,
        message: format!(
            "webhook configuration {configuration:?} holds as many pools as it can; raise webhook.configurations in the chart"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_made_anew_does_not_inherit_the_state_of_its_predecessor() {
        let (entries, pool) = (Entries::default(), PoolKey::new("shop", "orders"));
        entries.replace([(pool.clone(), ((Some("u1".to_owned()), 5), EntryState::InForce))].into());
        for (uid, generation, expected) in [
            ("u1", 5, Some(EntryState::InForce)),
            ("u1", 4, Some(EntryState::InForce)),
            ("u1", 6, None),
            ("u2", 1, None),
        ] {
            assert_eq!(entries.state(&pool, Some(uid), generation), expected, "{uid} {generation}");
        }
    }
}
