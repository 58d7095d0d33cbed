//! `GET /metrics`: the loop's figures as OpenMetrics text, read at each scrape.
//!
//! Label sets are bounded by this file: no host, user, database, statement or client address is ever a label.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::boot::Boot;
use super::figures::{BOUNDS_MILLIS, FAILURES, Figures, Waits};

/// Media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The registry of one sidecar.
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Reads `figures` at each scrape.
    pub fn new(figures: Arc<Figures>, boot: &Boot) -> Self {
        let mut registry = Registry::with_prefix("weir_sidecar");
        registry.register_collector(Box::new(Scrape { figures, boot: boot.id.to_string(), started: seconds(boot) }));
        Self { registry }
    }

    /// One scrape.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(4096);
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct Scrape {
    figures: Arc<Figures>,
    boot: String,
    started: f64,
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^52")]
fn seconds(boot: &Boot) -> f64 {
    boot.started.as_millisecond() as f64 / 1000.0
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let figures = &*self.figures;
        let mut out = Out(encoder);
        out.info("build", "What runs here", [("version", env!("CARGO_PKG_VERSION")), ("boot", &self.boot)])?;
        out.gauge("start_time_seconds", "When this boot started, seconds since 1970", &self.started)?;
        out.gauges(
            "connections",
            "Server connections: active is attached to a client, unconfirmed is ended here and perhaps not yet in PostgreSQL",
            "state",
            [
                ("active", read(&figures.active)),
                ("idle", read(&figures.idle)),
                ("unconfirmed", read(&figures.unconfirmed)),
            ],
        )?;
        out.gauge("charged", "Connections that this instance may be costing PostgreSQL", &read(&figures.charged))?;
        out.gauge("max", "Most connections that this instance may hold", &read(&figures.max))?;
        out.gauge("clients", "Clients that are logged in", &read(&figures.clients))?;
        out.gauge("waiting", "Clients that wait for a server connection", &read(&figures.waiting))?;
        if let Some(reachable) = figures.reachable() {
            out.gauge("database_reachable", "Whether the last login at PostgreSQL succeeded", &i64::from(reachable))?;
        }
        out.counter("clients_accepted", "Clients accepted", total(&figures.clients_accepted))?;
        out.counter("acquired", "Server connections given to a client", total(&figures.acquired))?;
        out.waits(
            "acquire_wait_seconds",
            "How long clients waited for a server connection, until they got it, gave up or were refused",
            &figures.waits,
        )?;
        out.counter("timeouts", "Clients that gave up after connectionTimeout", total(&figures.timed_out))?;
        out.counter("logins", "Logins at PostgreSQL that succeeded", total(&figures.logins))?;
        let mut failures = [("", 0); FAILURES.len()];
        for ((row, class), count) in failures.iter_mut().zip(FAILURES).zip(&figures.login_failures) {
            *row = (class, total(count));
        }
        out.counters("login_failures", "Logins at PostgreSQL that failed, by class of SQLSTATE", "class", failures)?;
        out.counter("cancels", "Cancel requests passed on", total(&figures.cancels))?;
        out.counters(
            "bytes",
            "Bytes passed on",
            "direction",
            [("to_server", total(&figures.bytes_in)), ("to_client", total(&figures.bytes_out))],
        )?;
        out.counter(
            "stray_parameters",
            "Words for a pool that clients sent as start-up parameters: the pool's client dialect is wrong",
            total(&figures.stray_parameters),
        )
    }
}

fn read(gauge: &AtomicU32) -> i64 {
    gauge.load(Ordering::Relaxed).into()
}

fn total(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

struct Out<'a>(DescriptorEncoder<'a>);

type NoLabels = [(&'static str, &'static str); 0];

impl Out<'_> {
    fn info(&mut self, name: &str, help: &str, labels: [(&str, &str); 2]) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
    }

    fn gauge(&mut self, name: &str, help: &str, value: &impl EncodeGaugeValue) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(value)
    }

    fn gauges<const N: usize>(&mut self, name: &str, help: &str, label: &str, rows: [(&str, i64); N]) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        rows.iter().try_for_each(|(value, count)| metric.encode_family(&[(label, *value)])?.encode_gauge(count))
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabels, _, u64>(&value, None)
    }

    fn counters<const N: usize>(&mut self, name: &str, help: &str, label: &str, rows: [(&str, u64); N]) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        rows.iter().try_for_each(|(value, count)| {
            metric.encode_family(&[(label, *value)])?.encode_counter::<NoLabels, _, u64>(count, None)
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a sum of waits is an estimate beyond 285 years")]
    fn waits(&mut self, name: &str, help: &str, waits: &Waits) -> fmt::Result {
        let mut buckets = [(f64::INFINITY, 0); BOUNDS_MILLIS.len() + 1];
        for ((_, count), bucket) in buckets.iter_mut().zip(&waits.buckets) {
            *count = total(bucket);
        }
        for ((bound, _), millis) in buckets.iter_mut().zip(BOUNDS_MILLIS) {
            *bound = f64::from(millis) / 1000.0;
        }
        let count = buckets.iter().map(|(_, count)| count).sum();
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        metric.encode_histogram::<[(&str, &str); 0]>(total(&waits.micros) as f64 / 1e6, count, &buckets, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::charge::BootId;
    use jiff::Timestamp;
    use std::time::Duration;

    #[test]
    fn shows_every_figure_once() {
        let figures = Arc::new(Figures::default());
        figures.active.store(3, Ordering::Relaxed);
        figures.waiting.store(7, Ordering::Relaxed);
        figures.bytes_out.store(1 << 40, Ordering::Relaxed);
        for millis in [0, 1, 700, 800, 70_000] {
            figures.waits.record(Duration::from_millis(millis));
        }
        figures.login_failed(*b"28P01");
        figures.login_failed(*b"XX000");
        let boot = Boot {
            id: BootId([0; 16]),
            pod_uid: "uid".to_owned(),
            kernel_boot: [0; 16],
            started: Timestamp::from_millisecond(1_500).unwrap(),
        };
        let metrics = Metrics::new(Arc::clone(&figures), &boot);
        let text = metrics.text().unwrap();
        for line in [
            "weir_sidecar_connections{state=\"active\"} 3",
            "weir_sidecar_waiting 7",
            "weir_sidecar_bytes_total{direction=\"to_client\"} 1099511627776",
            "# HELP weir_sidecar_acquire_wait_seconds How long clients waited for a server connection, until they got it, gave up or were refused",
            "# TYPE weir_sidecar_acquire_wait_seconds histogram",
            "weir_sidecar_acquire_wait_seconds_sum 71.501",
            "weir_sidecar_acquire_wait_seconds_count 5",
            "weir_sidecar_acquire_wait_seconds_bucket{le=\"0.001\"} 2",
            "weir_sidecar_acquire_wait_seconds_bucket{le=\"0.5\"} 2",
            "weir_sidecar_acquire_wait_seconds_bucket{le=\"1.0\"} 4",
            "weir_sidecar_acquire_wait_seconds_bucket{le=\"60.0\"} 4",
            "weir_sidecar_acquire_wait_seconds_bucket{le=\"+Inf\"} 5",
            "weir_sidecar_login_failures_total{class=\"28\"} 1",
            "weir_sidecar_login_failures_total{class=\"other\"} 1",
            "weir_sidecar_login_failures_total{class=\"53\"} 0",
            "weir_sidecar_database_reachable 0",
            "weir_sidecar_start_time_seconds 1.5",
            "# EOF",
        ] {
            assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line}\n{text}");
        }
        assert!(text.contains("weir_sidecar_build_info{version=\""), "{text}");
        assert_eq!(text.matches("_bucket{").count(), 16);
        figures.last_login.store(1, Ordering::Relaxed);
        assert!(metrics.text().unwrap().contains("weir_sidecar_database_reachable 1"));
        figures.last_login.store(0, Ordering::Relaxed);
        assert!(!metrics.text().unwrap().contains("database_reachable"));
    }
}
