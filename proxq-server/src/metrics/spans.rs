//! What is counted of the spans of traces.

use prometheus::IntCounter;

use super::register::Register;

/// How many spans of traces were dropped, by the reason.
#[derive(Debug)]
pub(crate) struct SpansDropped {
    /// They found no room in the queue.
    pub(crate) no_room: IntCounter,
    /// The collector did not take them.
    pub(crate) not_taken: IntCounter,
}

impl SpansDropped {
    pub(super) fn new(register: Register<'_>) -> Self {
        let help = "Spans of traces that were dropped: the queue was full, or the collector did not take them.";
        let spans = register.counters("proxq_spans_dropped_total", help, &["reason"]);
        let reason = |reason: &str| spans.with_label_values(&[reason]);
        Self { no_room: reason("no_room"), not_taken: reason("not_taken") }
    }

    /// Those of all reasons.
    pub(crate) fn total(&self) -> u64 {
        self.no_room.get() + self.not_taken.get()
    }
}
