//! What the response cache counts.

use prometheus::IntCounter;

use super::register::Register;

/// What the response cache counts.
#[derive(Debug)]
pub(crate) struct CacheMetrics {
    pub(crate) failures: CacheFailures,
}

/// How often the response cache did not do as it should, by the step that failed.
#[derive(Debug)]
pub(crate) struct CacheFailures {
    pub(crate) find: IntCounter,
    pub(crate) read: IntCounter,
    pub(crate) keep: IntCounter,
}

impl CacheMetrics {
    pub(super) fn new(register: Register<'_>) -> Self {
        let help = "How often the response cache failed, and its job went on without it.";
        let failures = register.counters("proxq_cache_failures_total", help, &["step"]);
        let step = |name: &str| failures.with_label_values(&[name]);
        Self { failures: CacheFailures { find: step("find"), read: step("read"), keep: step("keep") } }
    }
}

impl CacheFailures {
    /// Those of all steps.
    pub(crate) fn total(&self) -> u64 {
        self.find.get() + self.read.get() + self.keep.get()
    }
}
