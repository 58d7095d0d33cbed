//! What the control plane tells Prometheus. Every label is bounded: by our own words, or by the pools that exist.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::api::activity::Activity;
use crate::policy::entries::PoolKey;

type GaugeF64 = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabel {
    resource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    namespace: String,
    pool: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProbeLabels {
    namespace: String,
    pool: String,
    result: &'static str,
}

impl ProbeLabels {
    fn of(key: &PoolKey, result: &'static str) -> Self {
        Self { namespace: key.namespace.clone(), pool: key.name.clone(), result }
    }
}

impl From<&PoolKey> for PoolLabels {
    fn from(key: &PoolKey) -> Self {
        Self { namespace: key.namespace.clone(), pool: key.name.clone() }
    }
}

/// Every result of a probe that [`Metrics::probed`] counts.
pub const PROBE_RESULTS: [&str; 7] = ["ok", "timeout", "refused", "status", "too_large", "malformed", "other_pod"];

/// A pool's exact figures; what status shows is rounded and delayed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolFigures {
    /// Server connections attached to a client, over all instances.
    pub active: u32,
    /// Server connections that nobody uses.
    pub idle: u32,
    /// Clients that wait.
    pub waiting: u32,
    /// busyPercent over all instances, as a ratio: 0.42 is 42 %.
    pub utilization: f64,
    /// Instances that answer.
    pub answering: u32,
    /// Pods that match.
    pub matched: u32,
    /// Pods that carry what they should.
    pub injected: u32,
}

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    activity: Activity,
    watch_age: Family<ResourceLabel, GaugeF64>,
    reconciles: Family<ResultLabel, Counter>,
    reconcile_seconds: Histogram,
    failures: Family<ResultLabel, Counter>,
    reviews: Family<Outcome, Counter>,
    review_seconds: Histogram,
    probes: Family<ProbeLabels, Counter>,
    probe_seconds: Histogram,
    status_writes: Counter,
    undecodable: Counter,
    certificate: GaugeF64,
    certificate_until: std::sync::Mutex<Option<Timestamp>>,
    pool_active: Family<PoolLabels, Gauge>,
    pool_idle: Family<PoolLabels, Gauge>,
    pool_waiting: Family<PoolLabels, Gauge>,
    pool_utilization: Family<PoolLabels, GaugeF64>,
    pool_answering: Family<PoolLabels, Gauge>,
    pool_matched: Family<PoolLabels, Gauge>,
    pool_injected: Family<PoolLabels, Gauge>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// From 1 ms to 4 s.
fn seconds() -> Histogram {
    Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0])
}

impl Metrics {
    /// Registers everything. `activity`: see [`Activity`].
    pub fn new(activity: Activity) -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("weir"),
            activity,
            watch_age: Family::default(),
            reconciles: Family::default(),
            reconcile_seconds: seconds(),
            failures: Family::default(),
            reviews: Family::default(),
            review_seconds: seconds(),
            probes: Family::default(),
            probe_seconds: seconds(),
            status_writes: Counter::default(),
            undecodable: Counter::default(),
            certificate: Gauge::default(),
            certificate_until: std::sync::Mutex::default(),
            pool_active: Family::default(),
            pool_idle: Family::default(),
            pool_waiting: Family::default(),
            pool_utilization: Family::default(),
            pool_answering: Family::default(),
            pool_matched: Family::default(),
            pool_injected: Family::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "watch_age_seconds",
            "Time since a watch last showed life; an idle one shows it about once a minute",
            self.watch_age.clone(),
        );
        registry.register("reconciles", "Reconciles of a pool, by result", self.reconciles.clone());
        registry.register("reconcile_seconds", "Duration of a reconcile", self.reconcile_seconds.clone());
        registry.register("failures", "Failed steps outside of a reconcile, by step", self.failures.clone());
        registry.register("webhook_reviews", "Reviewed pods, by outcome and reason", self.reviews.clone());
        registry.register("webhook_review_seconds", "Duration of a review", self.review_seconds.clone());
        registry.register("probes", "Probes of instances, by pool and result", self.probes.clone());
        registry.register("probe_seconds", "Duration of a probe", self.probe_seconds.clone());
        registry.register("status_writes", "Writes of a pool's status", self.status_writes.clone());
        registry.register(
            "undecodable_pools",
            "Looks at a pool that this version can't read",
            self.undecodable.clone(),
        );
        registry.register(
            "webhook_certificate_expires_seconds",
            "Time until the webhook's certificate expires",
            self.certificate.clone(),
        );
        let pool = registry.sub_registry_with_prefix("pool");
        pool.register("active_connections", "Server connections attached to a client", self.pool_active.clone());
        pool.register("idle_connections", "Server connections that nobody uses", self.pool_idle.clone());
        pool.register("waiting_clients", "Clients that wait for a server connection", self.pool_waiting.clone());
        pool.register(
            "utilization_ratio",
            "(active + waiting) / granted over all instances; above 1 while clients wait",
            self.pool_utilization.clone(),
        );
        pool.register("answering_instances", "Instances whose last probe succeeded", self.pool_answering.clone());
        pool.register("matched_pods", "Pods that the selector matches", self.pool_matched.clone());
        pool.register("injected_pods", "Matched pods that carry what they should", self.pool_injected.clone());
        self
    }

    /// One reconcile of a pool ended. `took`: where it went well, since a failed one says more about the API server.
    pub fn reconciled(&self, result: &'static str, took: Option<Duration>) {
        self.reconciles.get_or_create(&ResultLabel { result }).inc();
        if let Some(took) = took {
            self.reconcile_seconds.observe(took.as_secs_f64());
        }
    }

    /// A step that is retried failed.
    pub fn failed(&self, step: &'static str) {
        self.failures.get_or_create(&ResultLabel { result: step }).inc();
    }

    /// One review was answered. `reason`: one of our own words, empty where there is none.
    pub fn reviewed(&self, outcome: &'static str, reason: &str, took: Duration) {
        self.reviews.get_or_create(&Outcome { outcome, reason: reason.to_owned() }).inc();
        self.review_seconds.observe(took.as_secs_f64());
    }

    /// One probe of a pool's instance ended, with one of [`PROBE_RESULTS`]. Counted by pool only between the pool's first reconcile
    /// and its end, so that a probe that outlives the pool leaves no series behind.
    pub fn probed(&self, key: &PoolKey, result: &'static str, took: Duration) {
        if let Some(count) = self.probes.get(&ProbeLabels::of(key, result)) {
            count.inc();
        }
        self.probe_seconds.observe(took.as_secs_f64());
    }

    /// A status was written.
    pub fn status_written(&self) {
        self.status_writes.inc();
    }

    /// A pool could not be read.
    pub fn undecodable(&self) {
        self.undecodable.inc();
    }

    /// The webhook's certificate in use is good until then.
    pub fn certificate_expires(&self, until: Timestamp) {
        *self.certificate_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(until);
    }

    /// A pool's figures as of now.
    pub fn pool(&self, key: &PoolKey, figures: &PoolFigures) {
        let labels = PoolLabels::from(key);
        self.pool_active.get_or_create(&labels).set(figures.active.into());
        self.pool_idle.get_or_create(&labels).set(figures.idle.into());
        self.pool_waiting.get_or_create(&labels).set(figures.waiting.into());
        self.pool_utilization.get_or_create(&labels).set(figures.utilization);
        self.pool_answering.get_or_create(&labels).set(figures.answering.into());
        self.pool_matched.get_or_create(&labels).set(figures.matched.into());
        self.pool_injected.get_or_create(&labels).set(figures.injected.into());
        for result in PROBE_RESULTS {
            drop(self.probes.get_or_create(&ProbeLabels::of(key, result)));
        }
    }

    /// The pool is gone, and its series with it.
    pub fn forget(&self, key: &PoolKey) {
        let labels = PoolLabels::from(key);
        for family in [
            &self.pool_active,
            &self.pool_idle,
            &self.pool_waiting,
            &self.pool_answering,
            &self.pool_matched,
            &self.pool_injected,
        ] {
            family.remove(&labels);
        }
        self.pool_utilization.remove(&labels);
        for result in PROBE_RESULTS {
            self.probes.remove(&ProbeLabels::of(key, result));
        }
    }

    /// In Prometheus' text format (OpenMetrics 1.0). `now` is for what is counted from a time.
    pub fn render(&self, now: Timestamp) -> Result<String, fmt::Error> {
        for (resource, age) in self.activity.ages() {
            self.watch_age.get_or_create(&ResourceLabel { resource }).set(age.as_secs_f64());
        }
        if let Some(until) = *self.certificate_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
            self.certificate.set(until.duration_since(now).as_secs_f64());
        }
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_takes_its_series_with_it() {
        let metrics = Metrics::new(Activity::default());
        let (key, now) = (PoolKey::new("shop", "orders"), Timestamp::UNIX_EPOCH);
        metrics.probed(&key, "ok", Duration::ZERO);
        metrics.pool(&key, &PoolFigures { active: 3, waiting: 2, utilization: 0.25, ..PoolFigures::default() });
        metrics.probed(&key, "ok", Duration::ZERO);
        metrics.probed(&key, "ok", Duration::ZERO);
        let text = metrics.render(now).expect("writes to a String");
        for line in [
            r#"weir_pool_active_connections{namespace="shop",pool="orders"} 3"#,
            r#"weir_pool_waiting_clients{namespace="shop",pool="orders"} 2"#,
            r#"weir_pool_utilization_ratio{namespace="shop",pool="orders"} 0.25"#,
            r#"weir_probes_total{namespace="shop",pool="orders",result="ok"} 2"#,
            r#"weir_probes_total{namespace="shop",pool="orders",result="timeout"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        metrics.forget(&key);
        metrics.probed(&key, "timeout", Duration::ZERO);
        assert!(!metrics.render(now).expect("writes to a String").contains("orders"));
    }

    #[test]
    fn the_certificate_is_counted_down() {
        let metrics = Metrics::new(Activity::default());
        metrics.certificate_expires("2026-01-02T00:00:00Z".parse().expect("a time"));
        let text = metrics.render("2026-01-01T23:00:00Z".parse().expect("a time")).expect("writes to a String");
        assert!(text.contains("weir_webhook_certificate_expires_seconds 3600.0"), "{text}");
    }
}
