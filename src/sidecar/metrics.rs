//! `GET /metrics`: the loop's figures as OpenMetrics text, read at each scrape.
//!
//! Label sets are bounded by this file: no host, user, database, statement or client address is ever a label.

mod out;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use self::out::{Out, gauge, total};
use super::boot::Boot;
use super::figures::Figures;

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
        let mut text = String::with_capacity(16 * 1024);
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
        let mut out = Out(encoder);
        self.connections(&mut out)?;
        self.work(&mut out)?;
        self.sessions(&mut out)?;
        self.statements(&mut out)?;
        self.logins(&mut out)
    }
}

impl Scrape {
    fn connections(&self, out: &mut Out<'_>) -> fmt::Result {
        let figures = &*self.figures;
        out.info("build", "What runs here", [("version", env!("CARGO_PKG_VERSION")), ("boot", &self.boot)])?;
        out.gauge("start_time_seconds", "When this boot started, seconds since 1970", &self.started)?;
        out.gauges(
            "connections",
            "Server connections: active is attached to a client, unconfirmed is ended here and perhaps not yet in PostgreSQL",
            "state",
            [
                ("active", gauge(&figures.active)),
                ("idle", gauge(&figures.idle)),
                ("unconfirmed", gauge(&figures.unconfirmed)),
            ],
        )?;
        out.gauge("charged", "Connections that this instance may be costing PostgreSQL", &gauge(&figures.charged))?;
        out.gauge("max", "Most connections that this instance may hold", &gauge(&figures.max))?;
        out.gauge("clients", "Clients that are logged in", &gauge(&figures.clients))?;
        out.gauge("waiting", "Clients that wait for a server connection", &gauge(&figures.waiting))?;
        if let Some(reachable) = figures.reachable() {
            out.gauge("database_reachable", "Whether the last login at PostgreSQL succeeded", &i64::from(reachable))?;
        }
        Ok(())
    }

    fn work(&self, out: &mut Out<'_>) -> fmt::Result {
        let figures = &*self.figures;
        out.counter("clients_accepted", "Clients accepted", total(&figures.clients_accepted))?;
        out.counter("acquired", "Server connections given to a client", total(&figures.acquired))?;
        out.histogram(
            "acquire_wait_seconds",
            "How long clients waited for a server connection, until they got it, gave up or were refused",
            &figures.waits,
        )?;
        out.counter("timeouts", "Clients that gave up after connectionTimeout", total(&figures.timed_out))?;
        out.histogram(
            "transaction_seconds",
            "How long clients had a server connection for a transaction",
            &figures.transactions,
        )?;
        out.histogram("query_seconds", "How long PostgreSQL owed an answer to a client", &figures.queries)?;
        out.counters(
            "errors",
            "Errors of PostgreSQL passed on to clients, by class of SQLSTATE",
            "class",
            figures.errors.iter().map(|(class, count)| (class, total(count))),
        )?;
        out.counter("cancels", "Cancel requests passed on", total(&figures.cancels))?;
        out.counters(
            "bytes",
            "Bytes passed on",
            "direction",
            [("to_server", total(&figures.bytes_in)), ("to_client", total(&figures.bytes_out))],
        )
    }

    fn sessions(&self, out: &mut Out<'_>) -> fmt::Result {
        let figures = &*self.figures;
        out.gauge(
            "pinned_clients",
            "Clients that keep their server connection beyond the transaction",
            &gauge(&figures.pinned.clients),
        )?;
        out.gauges(
            "pins",
            "Clients that keep their server connection, by reason; one may have several",
            "reason",
            figures.pinned.iter().map(|(pin, now, _)| (pin.label(), gauge(now))),
        )?;
        out.counters(
            "pins_begun",
            "How often a client came to have a reason to keep its server connection",
            "reason",
            figures.pinned.iter().map(|(pin, _, begun)| (pin.label(), total(begun))),
        )?;
        out.counter("asks", "Questions to PostgreSQL for what a client has left in its session", total(&figures.asks))?;
        out.counter("asks_failed", "Questions that PostgreSQL did not answer as expected", total(&figures.asks_failed))
    }

    fn statements(&self, out: &mut Out<'_>) -> fmt::Result {
        let figures = &*self.figures;
        out.gauge("statements", "Texts of prepared statements that are known", &total(&figures.texts))?;
        out.gauge("statement_bytes", "Bytes of these texts", &total(&figures.text_bytes))?;
        out.gauge(
            "prepared_statements",
            "Statements that are prepared, summed over the server connections",
            &total(&figures.copies),
        )?;
        out.gauge("prepared_statement_bytes", "Bytes of their texts", &total(&figures.copy_bytes))?;
        out.counter(
            "prepared_again",
            "Statements prepared on a server connection for a client that had prepared them on another",
            total(&figures.prepared_again),
        )?;
        out.counter(
            "stale_statements",
            "Errors 0A000 because the columns of a statement have changed",
            total(&figures.stale),
        )
    }

    fn logins(&self, out: &mut Out<'_>) -> fmt::Result {
        let figures = &*self.figures;
        out.counter("logins", "Logins at PostgreSQL that succeeded", total(&figures.logins))?;
        out.histogram("login_seconds", "How long these took, from connect() on", &figures.login_times)?;
        out.counters(
            "login_failures",
            "Logins at PostgreSQL that failed, by class of SQLSTATE",
            "class",
            figures.login_failures.iter().map(|(class, count)| (class, total(count))),
        )?;
        out.counter(
            "stray_parameters",
            "Words for a pool that clients sent as start-up parameters: the pool's client dialect is wrong",
            total(&figures.stray_parameters),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::charge::BootId;
    use crate::sidecar::exchange::Event;
    use crate::sidecar::state::{Pin, Pins};
    use jiff::Timestamp;
    use std::sync::atomic::Ordering;
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
        figures.note(&Event::Error(b"42P01"));
        figures.note(&Event::Prepared);
        figures.pinned.change(Pins::NONE, Pin::Listen.into());
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
            "weir_sidecar_acquire_wait_seconds_bucket{le=\"0.0001\"} 1",
            "weir_sidecar_acquire_wait_seconds_bucket{le=\"0.001\"} 2",
            "weir_sidecar_acquire_wait_seconds_bucket{le=\"0.5\"} 2",
            "weir_sidecar_acquire_wait_seconds_bucket{le=\"1.0\"} 4",
            "weir_sidecar_acquire_wait_seconds_bucket{le=\"60.0\"} 4",
            "weir_sidecar_acquire_wait_seconds_bucket{le=\"+Inf\"} 5",
            "weir_sidecar_errors_total{class=\"42\"} 1",
            "weir_sidecar_errors_total{class=\"23\"} 0",
            "weir_sidecar_pins{reason=\"listen\"} 1",
            "weir_sidecar_pins_begun_total{reason=\"listen\"} 1",
            "weir_sidecar_pins{reason=\"lock\"} 0",
            "weir_sidecar_pinned_clients 1",
            "weir_sidecar_prepared_again_total 1",
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
        assert_eq!(text.matches("_bucket{").count(), 4 * 20);
        figures.last_login.store(1, Ordering::Relaxed);
        assert!(metrics.text().unwrap().contains("weir_sidecar_database_reachable 1"));
        figures.last_login.store(0, Ordering::Relaxed);
        assert!(!metrics.text().unwrap().contains("database_reachable"));
    }
}
