//! The task that sends spans to a collector, in batches, by OTLP over HTTP. A batch that the collector does not take is
//! dropped and counted; the log says once that it does not, and once that it does again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use crate::config::{CollectorHeader, UpstreamUrl};
use crate::failure::chain;
use crate::forward::{ForwardError, Forwarder, HandedOver, RequestBody, Reuse, target};
use crate::metrics::Metrics;

/// How many spans are sent at once at most, as OpenTelemetry's own exporters do.
const BATCH_MAX: usize = 512;
/// How long the first span of a batch waits for others: no longer than people wait for a trace to appear.
const LINGER: Duration = Duration::from_secs(1);
/// How long a collector may take for a batch (the default of the OTLP specification).
const EXPORT_LIMIT: Duration = Duration::from_secs(10);
/// How long the last spans may take at the end of the process.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);
/// The largest answer of a collector that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Sends spans to a collector.
pub(super) struct Exporter {
    url: Uri,
    headers: HeaderMap,
    resource: ResourceAttributesWithSchema,
    forwarder: Forwarder,
    metrics: Arc<Metrics>,
    /// How many spans had been dropped when the collector took none for the first time; `None` while it takes them.
    dropped_before: Option<u64>,
}

/// Why a collector did not take a batch.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("send spans")]
    Exchange(#[from] ForwardError),
    #[error("the collector answered {0}")]
    Refused(http::StatusCode),
}

impl Exporter {
    pub(super) fn new(
        endpoint: &UpstreamUrl,
        headers: &[CollectorHeader],
        resource: &Resource,
        forwarder: Forwarder,
        metrics: Arc<Metrics>,
    ) -> Self {
        let url = target::target(endpoint, "/v1/traces", None).expect("a URL and a path are a target");
        let mut fields = HeaderMap::new();
        fields.extend(target::own_host(&url).map(|host| (HOST, host)));
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        fields.insert(USER_AGENT, HeaderValue::from_static(concat!("proxq/", env!("CARGO_PKG_VERSION"))));
        fields.extend(headers.iter().map(|header| (header.name().clone(), header.value().clone())));
        Self { url, headers: fields, resource: resource.into(), forwarder, metrics, dropped_before: None }
    }

    /// Sends spans until all have been sent that ended before `finished`, or the time for that is up.
    pub(super) async fn run(mut self, mut spans: Receiver<SpanData>, finished: CancellationToken) {
        let time_is_up = async {
            finished.cancelled().await;
            tokio::time::sleep(FLUSH_LIMIT).await;
        };
        tokio::select! {
            () = self.work(&mut spans, &finished) => {}
            () = time_is_up => tracing::warn!("the collector took too long for the last spans; they are lost"),
        }
    }

    async fn work(&mut self, spans: &mut Receiver<SpanData>, finished: &CancellationToken) {
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                _ = spans.recv_many(&mut batch, BATCH_MAX) => {}
                () = finished.cancelled() => return,
            }
            if batch.is_empty() {
                return; // nobody is left to begin a span
            }
            let full = async { while batch.len() < BATCH_MAX && spans.recv_many(&mut batch, BATCH_MAX).await > 0 {} };
            tokio::select! {
                biased;
                () = full => {}
                () = finished.cancelled() => {}
                () = tokio::time::sleep(LINGER) => {}
            }
            self.export(batch).await;
        }
    }

    async fn export(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = Bytes::from(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
        let sent = tokio::time::timeout(EXPORT_LIMIT, self.send(body)).await;
        match sent.unwrap_or(Err(ExportError::Timeout(EXPORT_LIMIT))) {
            Ok(refused) => {
                self.metrics.spans_dropped.not_taken.inc_by(refused.min(count));
                if let Some(before) = self.dropped_before.take() {
                    let dropped = self.metrics.spans_dropped.total() - before;
                    tracing::info!(dropped, "the collector takes spans again");
                }
            }
            Err(error) => {
                let before = self.metrics.spans_dropped.total();
                self.metrics.spans_dropped.not_taken.inc_by(count);
                if self.dropped_before.is_none() {
                    self.dropped_before = Some(before);
                    let error = chain(&error);
                    tracing::warn!(url = %self.url, error, "the collector takes no spans; they are dropped until it does");
                }
            }
        }
    }

    /// Gives the number of spans that the collector refused.
    async fn send(&self, body: Bytes) -> Result<u64, ExportError> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        let again = body.clone();
        let whole = |body: Bytes| -> RequestBody { Full::new(body).map_err(|never| match never {}).boxed_unsync() };
        let handed_over = HandedOver::default();
        let again = async || Some(whole(again));
        // No upstream has an empty prefix, so the connections are those without settings of their own.
        let response = self.forwarder.send("", request, whole(body), Reuse::Any, again, &handed_over).await?;
        if !response.status().is_success() {
            return Err(ExportError::Refused(response.status()));
        }
        // An answer that cannot be read says nothing of spans that were refused.
        let answer = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let answer = answer.ok().and_then(|answer| ExportTraceServiceResponse::decode(answer.to_bytes()).ok());
        let refused = answer.and_then(|answer| answer.partial_success).map_or(0, |partly| partly.rejected_spans);
        Ok(u64::try_from(refused).unwrap_or(0))
    }
}
