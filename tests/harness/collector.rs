//! A collector of traces: takes spans by OTLP over HTTP, and keeps them as a test looks at them.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;

use crate::Config;
use crate::upstream::{Received, Upstream};
use crate::waiting::eventually;

/// A server that takes every span.
#[derive(Debug)]
pub struct Collector {
    server: Upstream,
}

/// A span as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectedSpan {
    /// Its name.
    pub name: String,
    /// `PRODUCER`, `CLIENT`, …
    pub kind: &'static str,
    /// The trace that it belongs to, in hexadecimal digits.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// That of its parent; empty where it has none.
    pub parent: String,
    /// The traces and the ids of the spans that it links to.
    pub links: Vec<(String, String)>,
    /// Its attributes, all as texts.
    pub attributes: BTreeMap<String, String>,
    /// Whether it is marked as an error.
    pub is_error: bool,
    /// When it began and ended, in nanoseconds since the Unix epoch.
    pub times: [u64; 2],
}

impl CollectedSpan {
    /// An attribute as a text; empty where there is none.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// The trace and the id, as a link has them.
    pub fn itself(&self) -> (String, String) {
        (self.trace.clone(), self.id.clone())
    }

    /// The `traceparent` that names this span, which is sampled.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace, self.id)
    }
}

impl Collector {
    /// Starts on a free port.
    pub async fn start() -> Self {
        Self { server: Upstream::start().await }
    }

    /// The server itself.
    pub fn server(&self) -> &Upstream {
        &self.server
    }

    /// The configuration with this collector.
    pub fn config(&self, config: Config) -> Config {
        config.set("telemetry.otlp.endpoint", self.server.url())
    }

    /// The spans so far, in the order in which they ended.
    pub fn spans(&self) -> Vec<CollectedSpan> {
        self.server.received().iter().flat_map(spans_of).collect()
    }

    /// Waits until so many spans have come, and gives them.
    pub async fn collects(&self, count: usize) -> Vec<CollectedSpan> {
        eventually(&format!("{count} spans are collected"), async || self.spans().len() >= count).await;
        let spans = self.spans();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }
}

fn spans_of(received: &Received) -> Vec<CollectedSpan> {
    assert_eq!((received.method(), received.target()), ("POST", "/v1/traces"));
    assert_eq!(received.header("content-type").as_deref(), Some("application/x-protobuf"));
    let request = ExportTraceServiceRequest::decode(&*received.body).expect("the body is a batch of spans");
    let mut spans = Vec::new();
    for resource in request.resource_spans {
        let service = texts(&resource.resource.as_ref().expect("spans have a resource").attributes);
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let mut attributes = texts(&span.attributes);
            attributes.extend(service.clone());
            spans.push(CollectedSpan {
                kind: match span.kind() {
                    SpanKind::Producer => "PRODUCER",
                    SpanKind::Client => "CLIENT",
                    SpanKind::Internal => "INTERNAL",
                    SpanKind::Unspecified | SpanKind::Server | SpanKind::Consumer => "another",
                },
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
                attributes,
                is_error: span.status.as_ref().is_some_and(|status| status.code == 2),
                times: [span.start_time_unix_nano, span.end_time_unix_nano],
                name: span.name,
            });
        }
    }
    spans
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"))
}
