//! What a server counts and measures. Comes in: each event, at the metric of its kind. Goes out: the text that Prometheus reads.
//!
//! Names are `proxq_<what>_<unit>` and end in `_total` for what only grows (<https://prometheus.io/docs/practices/naming>).
//! Values of labels come from the configuration and from sets that are written down here, never from what a client sends: their
//! number is bounded.

mod cache;
mod listener;
mod process;
mod queue;
mod register;
mod spans;
mod store;
mod upstream;

use std::sync::Arc;

pub(crate) use prometheus::{IntCounter, IntGauge};
use prometheus::{Registry, TextEncoder};

pub(crate) use self::cache::CacheMetrics;
pub(crate) use self::listener::ListenerMetrics;
use self::process::ProcessMetrics;
pub(crate) use self::queue::QueueMetrics;
use self::register::Register;
use self::spans::SpansDropped;
pub(crate) use self::store::StoreMetrics;
use self::upstream::UpstreamFamilies;
pub(crate) use self::upstream::{Held, SHARED, Totals, UpstreamMetrics};

/// The media type of the text (<https://prometheus.io/docs/instrumenting/exposition_formats>).
pub(crate) const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a server counts and measures. One for each server of a process; a reload keeps it.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    upstreams: UpstreamFamilies,
    pub(crate) cache: CacheMetrics,
    pub(crate) clients: ListenerMetrics,
    pub(crate) operators: ListenerMetrics,
    pub(crate) queues: QueueMetrics,
    pub(crate) store: StoreMetrics,
    pub(crate) spans_dropped: SpansDropped,
    /// Jobs that are pending again because their lease was lost.
    pub(crate) jobs_recovered: IntCounter,
    /// Jobs that ended because their time was over while they waited.
    pub(crate) jobs_overdue: IntCounter,
    /// Requests that are held until their job changes.
    pub(crate) wait_subscribers: IntGauge,
    process: ProcessMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let register = Register(&registry);
        let listeners = listener::Families::new(register);
        let info = register.gauges("proxq_info", "Always 1; the labels say what runs.", &["version"]);
        info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            upstreams: UpstreamFamilies::new(register),
            cache: CacheMetrics::new(register),
            clients: listeners.of("clients"),
            operators: listeners.of("operators"),
            queues: QueueMetrics::new(register),
            store: StoreMetrics::new(register),
            spans_dropped: SpansDropped::new(register),
            jobs_recovered: register.counter(
                "proxq_jobs_recovered_total",
                "Jobs that were taken back from workers that had gone; each is sent again or ends, as its delivery says.",
            ),
            jobs_overdue: register.counter(
                "proxq_jobs_overdue_total",
                "Jobs that failed because their deadline or start limit passed while they waited.",
            ),
            wait_subscribers: register
                .gauge("proxq_wait_subscribers", "Requests that are held open until a job ends or changes."),
            process: ProcessMetrics::new(register),
            registry,
        }
    }
}

impl Metrics {
    /// Counts for these upstreams from now on, by their prefixes. What was counted for others stays.
    pub(crate) fn know_upstreams<'a>(&self, prefixes: impl Iterator<Item = &'a str>) {
        self.upstreams.know(prefixes);
    }

    /// The metrics of the upstream with this prefix; those of all unknown ones together if it was never configured.
    pub(crate) fn upstream(&self, prefix: &str) -> Arc<UpstreamMetrics> {
        self.upstreams.of(prefix)
    }

    /// What all upstreams together have counted since the start.
    pub(crate) fn totals(&self) -> Totals {
        self.upstreams.totals()
    }

    /// All metrics, as Prometheus reads them.
    pub(crate) fn text(&self) -> String {
        self.process.refresh();
        let mut text = String::new();
        let written = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        written.expect("every family has a name and a value");
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_metric_has_a_name_in_the_common_form_and_a_help() {
        let metrics = Metrics::default();
        metrics.know_upstreams(["/api"].into_iter());
        let mut names = HashSet::new();
        for family in metrics.registry.gather() {
            let (name, help) = (family.name(), family.help());
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            assert!(name.starts_with("proxq_") || name.starts_with("process_"), "{name}");
            assert!(help.ends_with('.') && !help.contains('\n'), "{name}: {help}");
            let grows = family.get_field_type() == prometheus::proto::MetricType::COUNTER;
            assert_eq!(name.ends_with("_total"), grows, "{name}");
        }
        assert!(names.len() > 25, "{names:?}");
    }

    #[test]
    fn the_text_shows_what_was_counted_for_known_upstreams_and_for_all_others_together() {
        let metrics = Metrics::default();
        metrics.know_upstreams(["/api", "/slow"].into_iter());
        metrics.upstream("/api").submitted.inc();
        for number in 0..1000 {
            metrics.upstream(&format!("/never/{number}")).submitted.inc();
        }
        metrics.cache.failures.keep.inc();
        let text = metrics.text();
        let lines: HashSet<_> = text.lines().collect();
        for line in [
            "proxq_jobs_submitted_total{upstream=\"/api\"} 1",
            "proxq_jobs_submitted_total{upstream=\"/slow\"} 0",
            "proxq_jobs_submitted_total{upstream=\"(other)\"} 1000",
            "proxq_cache_failures_total{step=\"keep\"} 1",
            "proxq_cache_failures_total{step=\"find\"} 0",
            "proxq_bypassed_total{reason=\"large_body\",upstream=\"/slow\"} 0",
        ] {
            assert!(lines.contains(line), "{line} is not in:\n{text}");
        }
        assert!(!text.contains("/never/"));
        assert_eq!(metrics.totals().submitted, 1001);
    }

    #[test]
    fn an_upstream_that_a_reload_removes_keeps_its_counts() {
        let metrics = Metrics::default();
        metrics.know_upstreams(["/api"].into_iter());
        metrics.upstream("/api").submitted.inc();
        metrics.know_upstreams(["/new"].into_iter());
        metrics.upstream("/api").submitted.inc();
        assert!(metrics.text().contains("proxq_jobs_submitted_total{upstream=\"/api\"} 2"));
    }
}
