//! What each instance last said, kept for the pod UID that said it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};

use tokio::sync::watch;

use super::targets::Instance;
use crate::policy::entries::PoolKey;
use crate::policy::health::Report;
use crate::policy::status::{self, ProbeFailure};

/// The last answers.
#[derive(Debug)]
pub struct Reports {
    said: RwLock<BTreeMap<Instance, Said>>,
    complete: watch::Sender<bool>,
}

impl Default for Reports {
    fn default() -> Self {
        Self { said: RwLock::default(), complete: watch::Sender::new(false) }
    }
}

#[derive(Debug)]
struct Said {
    pod: String,
    report: Result<Report, ProbeFailure>,
}

impl Reports {
    /// Everyone was asked once.
    pub fn completed(&self) {
        self.complete.send_if_modified(|complete| !std::mem::replace(complete, true));
    }

    /// Resolves once everyone was asked: before that, silence only means that the process is young.
    pub async fn wait_complete(&self) {
        // The sender lives in self.
        let _ = self.complete.subscribe().wait_for(|complete| *complete).await;
    }

    /// Keeps an answer; false where nothing but the time changed.
    pub fn record(&self, instance: &Instance, pod: &str, report: Result<Report, ProbeFailure>) -> bool {
        let mut reports = self.said.write().unwrap_or_else(PoisonError::into_inner);
        let said = Said { pod: pod.to_owned(), report };
        let changed = reports.get(instance).is_none_or(|old| !same(&old.report, &said.report));
        reports.insert(instance.clone(), said);
        changed
    }

    /// Forgets an instance; false where it was not known.
    pub fn forget(&self, instance: &Instance) -> bool {
        self.said.write().unwrap_or_else(PoisonError::into_inner).remove(instance).is_some()
    }

    /// Forgets everyone else; returns the pools that lost someone, whose status rests on it.
    pub fn keep<'a>(&self, instances: impl Iterator<Item = &'a Instance>) -> BTreeSet<PoolKey> {
        let instances: BTreeSet<_> = instances.collect();
        let mut lost = BTreeSet::new();
        self.said.write().unwrap_or_else(PoisonError::into_inner).retain(|instance, _| {
            let kept = instances.contains(instance);
            if !kept {
                lost.insert(instance.pool.clone());
            }
            kept
        });
        lost
    }

    /// What the instances of a pool said. One that was not asked yet is not among them.
    pub fn of(&self, pool: &PoolKey) -> Vec<status::Instance> {
        let first = Instance { pool: pool.clone(), uid: String::new() };
        let reports = self.said.read().unwrap_or_else(PoisonError::into_inner);
        reports
            .range(first..)
            .take_while(|(instance, _)| instance.pool == *pool)
            .map(|(instance, said)| status::Instance {
                pod: said.pod.clone(),
                uid: instance.uid.clone(),
                report: said.report.clone(),
            })
            .collect()
    }
}

fn same(old: &Result<Report, ProbeFailure>, new: &Result<Report, ProbeFailure>) -> bool {
    match (old, new) {
        (Ok(old), Ok(new)) => {
            Report { timestamp: String::new(), ..old.clone() } == Report { timestamp: String::new(), ..new.clone() }
        }
        (Err(old), Err(new)) => old == new,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_belong_to_the_pod_that_gave_them() {
        let reports = Reports::default();
        let instance = |pool: &str, uid: &str| Instance { pool: PoolKey::new("shop", pool), uid: uid.to_owned() };
        let (a, b, other) = (instance("orders", "u1"), instance("orders", "u2"), instance("orders2", "u1"));
        assert!(reports.record(&a, "orders-1", Err(ProbeFailure::Refused)));
        assert!(!reports.record(&a, "orders-1", Err(ProbeFailure::Refused)), "nothing new");
        assert!(reports.record(&a, "orders-1", Err(ProbeFailure::Timeout)));
        reports.record(&b, "orders-2", Err(ProbeFailure::Refused));
        reports.record(&other, "orders-1", Err(ProbeFailure::Refused));
        let uids = |pool| reports.of(&PoolKey::new("shop", pool)).into_iter().map(|said| said.uid).collect::<Vec<_>>();
        assert_eq!((uids("orders"), uids("orders2")), (vec!["u1".to_owned(), "u2".to_owned()], vec!["u1".to_owned()]));
        assert!(reports.forget(&other) && !reports.forget(&other));
        assert_eq!(reports.keep([&b].into_iter()), [PoolKey::new("shop", "orders")].into());
        assert_eq!((uids("orders"), uids("orders2")), (vec!["u2".to_owned()], Vec::new()));
    }
}
