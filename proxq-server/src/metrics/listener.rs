//! What a listener counts.

use http::StatusCode;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::register::Register;

/// The families of all listeners.
#[derive(Debug)]
pub(super) struct Families {
    requests: IntCounterVec,
    received: IntCounterVec,
    sent: IntCounterVec,
    connections: IntGaugeVec,
    displaced: IntCounterVec,
}

/// What one listener counts.
#[derive(Clone, Debug)]
pub(crate) struct ListenerMetrics {
    name: &'static str,
    requests: IntCounterVec,
    /// Bytes that came over its connections.
    pub(crate) received: IntCounter,
    /// Bytes that went out over them.
    pub(crate) sent: IntCounter,
    /// Connections that are open.
    pub(crate) connections: IntGauge,
    /// Idle ones that were closed for new ones.
    pub(crate) displaced: IntCounter,
}

impl Families {
    pub(super) fn new(register: Register<'_>) -> Self {
        let by_listener = &["listener"];
        Self {
            requests: register.counters(
                "proxq_http_requests_total",
                "Requests that were answered, by the status code; one that no standard knows counts as its class.",
                &["listener", "code"],
            ),
            received: register.counters(
                "proxq_http_received_bytes_total",
                "Bytes that came over client connections, heads included.",
                by_listener,
            ),
            sent: register.counters(
                "proxq_http_sent_bytes_total",
                "Bytes that went out over client connections, heads included.",
                by_listener,
            ),
            connections: register.gauges("proxq_http_connections", "Client connections that are open.", by_listener),
            displaced: register.counters(
                "proxq_connections_displaced_total",
                "Idle client connections that were closed because new ones found no place.",
                by_listener,
            ),
        }
    }

    pub(super) fn of(&self, name: &'static str) -> ListenerMetrics {
        let metrics = ListenerMetrics {
            name,
            requests: self.requests.clone(),
            received: self.received.with_label_values(&[name]),
            sent: self.sent.with_label_values(&[name]),
            connections: self.connections.with_label_values(&[name]),
            displaced: self.displaced.with_label_values(&[name]),
        };
        metrics.requests.with_label_values(&[name, "200"]); // there from the start
        metrics
    }
}

impl ListenerMetrics {
    /// Counts an answer. A code that no standard knows is an upstream's own: there are hundreds, so that it counts as its class.
    pub(crate) fn answered(&self, status: StatusCode) {
        let code = match status.canonical_reason() {
            Some(_) => status.as_str(),
            None => match status.as_u16() / 100 {
                1 => "1xx",
                2 => "2xx",
                3 => "3xx",
                4 => "4xx",
                5 => "5xx",
                _ => "other",
            },
        };
        self.requests.with_label_values(&[self.name, code]).inc();
    }
}
