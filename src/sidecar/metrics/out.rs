//! Figures as metrics of each type.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;

use crate::sidecar::figures::{BOUNDS_MICROS, Histogram};

/// Where they are written.
pub struct Out<'a>(pub DescriptorEncoder<'a>);

type NoLabels = [(&'static str, &'static str); 0];

pub fn gauge(figure: &AtomicU32) -> i64 {
    figure.load(Ordering::Relaxed).into()
}

pub fn total(figure: &AtomicU64) -> u64 {
    figure.load(Ordering::Relaxed)
}

impl Out<'_> {
    pub fn info(&mut self, name: &str, help: &str, labels: [(&str, &str); 2]) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
    }

    pub fn gauge(&mut self, name: &str, help: &str, value: &impl EncodeGaugeValue) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(value)
    }

    pub fn gauges<'r>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        rows: impl IntoIterator<Item = (&'r str, i64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        rows.into_iter().try_for_each(|(value, count)| metric.encode_family(&[(label, value)])?.encode_gauge(&count))
    }

    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabels, _, u64>(&value, None)
    }

    pub fn counters<'r>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        rows: impl IntoIterator<Item = (&'r str, u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        rows.into_iter().try_for_each(|(value, count)| {
            metric.encode_family(&[(label, value)])?.encode_counter::<NoLabels, _, u64>(&count, None)
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a sum of durations is an estimate beyond 285 years")]
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        let mut buckets = [(f64::INFINITY, 0); BOUNDS_MICROS.len() + 1];
        for ((_, count), bucket) in buckets.iter_mut().zip(&histogram.buckets) {
            *count = total(bucket);
        }
        for ((bound, _), micros) in buckets.iter_mut().zip(BOUNDS_MICROS) {
            *bound = f64::from(micros) / 1e6;
        }
        let count = buckets.iter().map(|(_, count)| count).sum();
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabels>(total(&histogram.micros) as f64 / 1e6, count, &buckets, None)
    }
}
