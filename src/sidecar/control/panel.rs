//! What the endpoints show, put together from the loop's figures at the moment of asking.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use super::heartbeat::Heartbeat;
use crate::policy::health::{Counts, Database, Report};
use crate::policy::limits::Limits;
use crate::policy::settings::Settings;
use crate::sidecar::boot::{Boot, Hello};
use crate::sidecar::figures::{Commander, Figures};
use crate::sidecar::metrics::Metrics;

/// See the module.
pub struct Panel {
    boot: Boot,
    epoch: u64,
    generation: i64,
    limits: Limits,
    figures: Arc<Figures>,
    metrics: Metrics,
    heartbeat: Heartbeat,
    draining: AtomicBool,
}

impl Panel {
    /// The panel of this boot, whose loop publishes `figures` and listens to `commander`. `epoch` is the journal's.
    pub fn new(boot: Boot, epoch: u64, settings: &Settings, figures: Arc<Figures>, commander: Commander) -> Self {
        Self {
            epoch,
            generation: settings.generation,
            limits: settings.limits,
            metrics: Metrics::new(Arc::clone(&figures), &boot),
            heartbeat: Heartbeat::new(Arc::clone(&figures), commander),
            figures,
            boot,
            draining: AtomicBool::new(false),
        }
    }

    /// The answer of `/health/pool` now.
    pub(super) fn report(&self) -> Report {
        let figures = &*self.figures;
        // 0 only until the loop has taken its limits over.
        let max = match figures.max.load(Ordering::Relaxed) {
            0 => self.limits.max,
            max => max,
        };
        let limits = Limits { max, min: self.limits.min.min(max), ..self.limits };
        let counts = Counts {
            active: figures.active.load(Ordering::Relaxed),
            idle: figures.idle.load(Ordering::Relaxed),
            waiting: figures.waiting.load(Ordering::Relaxed),
            granted: max,
        };
        let database = figures.reachable().map(|reachable| Database { reachable, sqlstate: figures.last_failure() });
        Report {
            pod: Some(self.boot.pod_uid.clone()),
            boot: Some(self.boot.id.to_string()),
            generation: Some(self.generation),
            database,
            ..Report::new(counts, &limits, Timestamp::now())
        }
    }

    /// The answer of `/hello`.
    pub(super) fn hello(&self) -> Hello {
        self.boot.hello(self.epoch)
    }

    /// The answer of `/metrics`, once the loop has published what it does not publish at each change.
    pub(super) async fn metrics(&self) -> Result<String, fmt::Error> {
        self.heartbeat.publishes().await;
        self.metrics.text()
    }

    /// Whether the loop turns.
    pub(super) async fn alive(&self) -> bool {
        self.heartbeat.beats().await
    }

    /// Ends once the loop has stopped for `bound`.
    pub(super) async fn stopped(&self, bound: Duration) {
        self.heartbeat.stops(bound).await;
    }

    /// Whether the listener takes clients.
    pub(super) fn ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// From now on not ready. False if that was so already.
    pub(super) fn drain(&self) -> bool {
        !self.draining.swap(true, Ordering::Relaxed)
    }
}
