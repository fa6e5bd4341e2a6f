//! The table of metrics: each one's name, unit, labels and help, and its value so far.
//!
//! Names are `proxq_<what>_<unit>` and end in `_total` for what only grows. Values of labels come from sets that are written
//! down here, and never from what a client sends.

use super::{Counter, Metrics};

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) help: &'static str,
    pub(crate) samples: Vec<Sample>,
}

/// A value of a metric, with the labels that tell it from the metric's other values.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) labels: &'static [(&'static str, &'static str)],
    pub(crate) value: u64,
}

impl Metrics {
    /// The table, as it stands.
    pub(crate) fn table(&self) -> Vec<Metric> {
        let failures = &self.cache_failures;
        vec![
            Metric {
                name: "proxq_cache_failures_total",
                unit: "failures",
                help: "How often the response cache failed, and its job went on without it.",
                samples: vec![
                    sample(&[("step", "find")], &failures.find),
                    sample(&[("step", "read")], &failures.read),
                    sample(&[("step", "keep")], &failures.keep),
                ],
            },
            Metric {
                name: "proxq_connections_displaced_total",
                unit: "connections",
                help: "Idle client connections that were closed because new ones found no place.",
                samples: vec![sample(&[], &self.connections_displaced)],
            },
        ]
    }
}

fn sample(labels: &'static [(&'static str, &'static str)], counter: &Counter) -> Sample {
    Sample { labels, value: counter.get() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own_in_the_common_form_and_a_help() {
        let mut names = HashSet::new();
        for Metric { name, unit, help, samples } in Metrics::default().table() {
            assert!(names.insert(name), "{name} is there twice");
            assert!(name.starts_with("proxq_") && name.ends_with("_total") && name.contains(unit), "{name} {unit}");
            assert!(help.ends_with('.') && !help.contains('\n'), "{name}: {help}");
            let labels: HashSet<_> = samples.iter().map(|sample| sample.labels).collect();
            assert_eq!(labels.len(), samples.len(), "{name} has two samples with the same labels");
        }
    }

    #[test]
    fn the_table_shows_what_was_counted() {
        let metrics = Metrics::default();
        metrics.cache_failures.read.count();
        metrics.cache_failures.keep.count();
        metrics.cache_failures.keep.count();
        assert_eq!(metrics.cache_failures.total(), 3);
        let table = metrics.table();
        let failures = table.iter().find(|metric| metric.name == "proxq_cache_failures_total").unwrap();
        let kept = failures.samples.iter().find(|sample| sample.labels == [("step", "keep")]).unwrap();
        assert_eq!(kept.value, 2);
    }
}
