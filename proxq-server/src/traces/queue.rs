//! Ended spans that wait to be sent. Those that find no room are dropped and counted, so that nobody waits for a collector.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::mpsc;

use crate::metrics::Metrics;

/// How many spans wait at most: those of several seconds under load, some 2 MiB.
pub(super) const QUEUE_MAX: usize = 2048;

/// Where spans go when they end.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    metrics: Arc<Metrics>,
}

/// A queue, and its other end.
pub(super) fn bounded(metrics: Arc<Metrics>) -> (Queue, mpsc::Receiver<SpanData>) {
    let (spans, receiver) = mpsc::channel(QUEUE_MAX);
    (Queue { spans, metrics }, receiver)
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.metrics.spans_dropped.no_room.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(()) // the exporter goes by a signal of its own
    }
}
