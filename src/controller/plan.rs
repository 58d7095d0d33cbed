//! What a reconcile will do, decided from what was seen. Pure but for [`Seen::of`], which reads the caches.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Context, fleet};
use crate::crd::{ConnectionPool, ConnectionPoolStatus};
use crate::events::News;
use crate::metrics::PoolFigures;
use crate::observe::pod::Pod;
use crate::policy::entries::PoolKey;
use crate::policy::status::{self, EntryState, Fleet, Instance, Observation};
use crate::policy::validate::{ValidatedPool, Violation};

/// Everything that a decision about a pool rests on, at one moment.
pub struct Seen {
    /// Which pool.
    pub key: PoolKey,
    /// Of this generation.
    pub generation: i64,
    /// What its status says.
    pub status: Option<ConnectionPoolStatus>,
    /// When that was written from here.
    pub written: Option<Timestamp>,
    /// Whether the cluster's pods were ever listed.
    pub pods_seen: bool,
    /// The pods of its namespace.
    pub pods: Vec<Arc<Pod>>,
    /// What its instances said.
    pub instances: Vec<Instance>,
    /// When this process began to look.
    pub started: Timestamp,
    /// Whether its entry is in force; `None` where that will be known in a moment.
    pub entry: Option<EntryState>,
}

/// What is to be done.
pub struct Plan {
    /// What the status should be.
    pub status: ConnectionPoolStatus,
    /// Whether to write it now.
    pub write: bool,
    /// Exact figures.
    pub figures: PoolFigures,
    /// What is worth an event.
    pub news: News,
    /// When to look again at the latest.
    pub again: Duration,
}

impl Seen {
    /// Looks at the caches.
    pub fn of(pool: &ConnectionPool, context: &Context) -> Self {
        let key = super::pool_key(pool);
        let generation = pool.metadata.generation.unwrap_or_default();
        let entry = context.entries.state(&key, pool.metadata.uid.as_deref(), generation);
        Self {
            generation,
            status: pool.status.clone(),
            written: context.writes.last(&key),
            started: context.started,
            pods_seen: context.pods.synced(),
            pods: context.pods.of(&key.namespace),
            instances: context.reports.of(&key),
            entry: entry.or_else(|| (!context.entries.settled()).then_some(EntryState::Pending)),
            key,
        }
    }
}

/// Decides.
pub fn plan(
    validated: &Result<ValidatedPool, Vec<Violation>>,
    seen: &Seen,
    now: Timestamp,
    interval: Duration,
) -> Plan {
    let validation = validated.as_ref().map_err(Vec::as_slice);
    let matching = validation.map(|pool| fleet::matching(pool, &seen.pods)).unwrap_or_default();
    let counted = validation.map(|pool| fleet::count(pool, &matching)).unwrap_or_default();
    let fleet = Fleet { unseen: !seen.pods_seen, ..counted };
    let figures = figures(&fleet, &seen.instances);
    let observation = Observation {
        generation: seen.generation,
        validation,
        entry: seen.entry.as_ref().unwrap_or(&EntryState::Pending),
        fleet: &fleet,
        instances: &seen.instances,
    };
    let old = seen.status.as_ref();
    let status = status::status(old, &observation, now);
    let due = status::due(old, &status, seen.written, now, interval);
    // A changed spec mostly leaves its entry as it was: a moment's patience keeps Ready from flickering.
    let known = validation.is_err() || seen.entry.is_some();
    let write = known && due.is_some_and(|due| due <= now);
    let wait = due.filter(|due| known && *due > now).map(|due| due.duration_since(now).unsigned_abs());
    Plan {
        news: News::of(validation.ok(), old, write.then_some(&status), &matching, seen.started, now),
        status,
        write,
        figures,
        again: wait.unwrap_or(crate::observe::RESYNC).clamp(Duration::from_millis(100), crate::observe::RESYNC),
    }
}

fn figures(fleet: &Fleet, instances: &[Instance]) -> PoolFigures {
    let mut figures = PoolFigures { matched: fleet.matched, injected: fleet.injected, ..PoolFigures::default() };
    let mut granted = 0_u32;
    for report in instances.iter().filter_map(|instance| instance.report.as_ref().ok()) {
        // Reports come from pods, which may say anything.
        figures.active = figures.active.saturating_add(report.metrics.active_connections);
        figures.idle = figures.idle.saturating_add(report.metrics.idle_connections);
        figures.waiting = figures.waiting.saturating_add(report.metrics.waiting_requests);
        figures.answering += 1;
        granted = granted.saturating_add(report.granted.unwrap_or(report.config.max));
    }
    let busy = f64::from(figures.active) + f64::from(figures.waiting);
    figures.utilization = if granted == 0 { 0.0 } else { busy / f64::from(granted) };
    figures
}
