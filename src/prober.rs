//! Asks every instance for its health.
//!
//! One task owns the [`schedule`] and a bounded number of [`exchange`]s. What an instance said is kept for the pod UID that said
//! it, and touches the pool, whose reconcile decides what to make of it. Instances are data from the pod network: nothing of an
//! answer is believed beyond the contract, and only a pod's own address is ever called.

pub mod exchange;
pub mod reports;
pub mod schedule;
pub mod targets;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::observe::pods::Pods;
use crate::observe::pools::Pools;
use crate::observe::touches::Touches;
use crate::random;
use crate::shutdown::Stopping;
use reports::Reports;
use schedule::{Probe, Schedule};

/// Probes at a time.
const FAN_OUT: usize = 64;
/// How often the targets are gathered anew even if nothing seems to have changed.
const REFRESH: Duration = Duration::from_secs(5);

/// Changes that come together are taken together.
const GATHER: Duration = Duration::from_millis(200);

/// The prober's task.
pub struct Prober {
    /// Whom to ask.
    pub pools: Pools,
    /// Where they are.
    pub pods: Arc<Pods>,
    /// What they said.
    pub reports: Arc<Reports>,
    /// Whom to tell.
    pub touches: Arc<Touches>,
    /// Rings when the targets may have changed.
    pub changed: Arc<tokio::sync::Notify>,
    /// Where probes are counted.
    pub metrics: Arc<Metrics>,
}

impl Prober {
    /// Runs until the process stops.
    pub async fn run(self, stopping: Stopping) {
        tokio::select! {
            () = self.probe() => {}
            () = stopping.wait() => {}
        }
    }

    async fn probe(&self) {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        let mut running = FuturesUnordered::new();
        let mut refresh = Instant::now();
        loop {
            if Instant::now() >= refresh {
                let targets = targets::targets(&self.pools, &self.pods);
                for pool in self.reports.keep(targets.keys()) {
                    self.touches.touch(pool);
                }
                schedule.update(targets, start.elapsed(), random::unit);
                if self.pods.synced() && schedule.all_asked() {
                    self.reports.completed();
                }
                refresh = Instant::now() + REFRESH;
            }
            for probe in schedule.due(start.elapsed(), FAN_OUT - running.len(), random::unit) {
                running.push(self.one(probe));
            }
            // With every place taken only the end of a probe helps.
            let next = if running.len() < FAN_OUT { schedule.next() } else { None };
            let next = next.map_or(refresh, |due| (start + due).min(refresh));
            tokio::select! {
                Some(instance) = running.next() => {
                    schedule.done(&instance);
                    if self.pods.synced() && schedule.all_asked() {
                        self.reports.completed();
                    }
                }
                () = tokio::time::sleep_until(next) => {}
                // A rollout changes hundreds of pods at once.
                () = self.changed.notified() => refresh = refresh.min(Instant::now() + GATHER),
            }
        }
    }

    async fn one(&self, probe: Probe) -> targets::Instance {
        let started = Instant::now();
        let answer = exchange::exchange(&probe.target, &probe.instance.uid).await;
        self.metrics.probed(&probe.instance.pool, exchange::class(&answer), started.elapsed());
        let news = if probe.target.leaving && answer.is_err() {
            self.reports.forget(&probe.instance)
        } else {
            self.reports.record(&probe.instance, &probe.target.name, answer)
        };
        if news {
            self.touches.touch(probe.instance.pool.clone());
        }
        probe.instance
    }
}
