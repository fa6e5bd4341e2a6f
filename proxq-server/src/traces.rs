//! Traces by OpenTelemetry: a span for each submission, each attempt at an upstream and each direct request. Comes in: what
//! begins, with its header fields, and how it ended. Goes out: the fields that carry the trace on (`traces/context.rs`), and
//! the spans, to a collector by OTLP (`traces/queue.rs`, `traces/exporter.rs`). Where no collector is configured there is no
//! [`Traces`], and whoever would begin a span does nothing.
//!
//! A job remembers the span of its submission in its own `traceparent` field, which takes the place of the client's. So every
//! store keeps it, and every instance sends it on, whether it makes traces or not.
//!
//! No span has a query, a body, or a field of a request.

mod context;
mod exporter;
mod queue;
mod span;

use std::sync::Arc;

use http::{HeaderMap, Method, Uri};
use opentelemetry::trace::{Link, SpanBuilder, SpanContext, SpanKind, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tokio_util::sync::CancellationToken;

use self::exporter::Exporter;
pub(crate) use self::span::ActiveSpan;
use self::span::{method_word, of_client, of_path};
use crate::config::{JobTrace, OtlpConfig};
use crate::forward::Forwarder;
use crate::job::{JobRequest, QueueName};
use crate::metrics::Metrics;
use crate::tasks::Tasks;

/// Begins spans.
#[derive(Debug)]
pub(crate) struct Traces {
    tracer: SdkTracer,
    job_trace: JobTrace,
}

/// How a span relates to the one that caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// It belongs to the same trace.
    Child,
    /// It begins a trace, with a link to the other one.
    Linked,
}

impl Relation {
    /// That of an attempt to the submission of its job. `number` is counted from 1.
    fn of_attempt(job_trace: JobTrace, number: u32, is_delayed: bool) -> Self {
        match job_trace {
            JobTrace::Parent => Self::Child,
            JobTrace::Auto if number == 1 && !is_delayed => Self::Child,
            JobTrace::Auto | JobTrace::Link => Self::Linked,
        }
    }
}

impl Traces {
    /// Begins to send spans, until some time after `finished`. `None` where no collector is configured. `instance` tells this
    /// process from others.
    pub(crate) fn start(
        config: &OtlpConfig,
        instance: String,
        forwarder: Forwarder,
        metrics: Arc<Metrics>,
        tasks: &Tasks,
        finished: CancellationToken,
    ) -> Option<Arc<Self>> {
        let endpoint = config.endpoint.as_ref()?;
        let resource = Resource::builder_empty().with_attributes([
            KeyValue::new("service.name", config.service_name.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance),
        ]);
        let resource = resource.build();
        let (queue, spans) = queue::bounded(Arc::clone(&metrics));
        tasks.spawn(Exporter::new(endpoint, &config.headers, &resource, forwarder, metrics).run(spans, finished));
        let of_roots = Sampler::TraceIdRatioBased(config.sample_ratio);
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(Sampler::ParentBased(Box::new(of_roots)))
            .with_span_processor(queue)
            .build();
        Some(Arc::new(Self { tracer: provider.tracer("proxq"), job_trace: config.job_trace }))
    }

    /// The span of a submission. From now on the request carries it in place of the client's.
    pub(crate) fn submission(&self, request: &mut JobRequest, queue: &QueueName, is_delayed: bool) -> ActiveSpan {
        let client = context::read(&request.headers);
        let mut attributes = of_job(request, queue);
        attributes.push(KeyValue::new("http.request.method", method_word(&request.method)));
        attributes.push(KeyValue::new("url.path", of_path(&request.path)));
        let builder = SpanBuilder::from_name(format!("send {}", request.upstream))
            .with_kind(SpanKind::Producer)
            .with_start_time(std::time::UNIX_EPOCH + request.created_at.since_epoch())
            .with_attributes(attributes);
        let span = self.begin(builder, client.as_ref(), Relation::Child);
        context::remember(span.context(), client.is_some(), is_delayed, &mut request.headers);
        span
    }

    /// The span of an attempt that calls the upstream.
    pub(crate) fn attempt(&self, request: &JobRequest, queue: &QueueName, number: u32) -> ActiveSpan {
        let mut attributes = of_job(request, queue);
        attributes.extend(of_client(&request.method, &request.target));
        if number > 1 {
            attributes.push(KeyValue::new("http.request.resend_count", i64::from(number - 1)));
        }
        let name = format!("{} {}", method_word(&request.method), request.upstream);
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Client).with_attributes(attributes);
        self.begin_attempt(builder, request, number)
    }

    /// The span of an attempt that the response cache answers.
    pub(crate) fn cache_hit(&self, request: &JobRequest, queue: &QueueName, number: u32) -> ActiveSpan {
        let builder = SpanBuilder::from_name(format!("cache hit {}", request.upstream))
            .with_kind(SpanKind::Internal)
            .with_attributes(of_job(request, queue));
        self.begin_attempt(builder, request, number)
    }

    /// The span of a direct request, as a child of the client's in its fields, which it takes the place of.
    pub(crate) fn direct(&self, upstream: &str, method: &Method, target: &Uri, headers: &mut HeaderMap) -> ActiveSpan {
        let mut attributes = of_client(method, target);
        attributes.push(KeyValue::new("proxq.upstream", upstream.to_owned()));
        let builder = SpanBuilder::from_name(format!("{} {upstream}", method_word(method)))
            .with_kind(SpanKind::Client)
            .with_attributes(attributes);
        let client = context::read(headers);
        let span = self.begin(builder, client.as_ref(), Relation::Child);
        span.send_on(headers);
        span
    }

    fn begin_attempt(&self, builder: SpanBuilder, request: &JobRequest, number: u32) -> ActiveSpan {
        let submission = context::read(&request.headers);
        let is_delayed = submission.as_ref().is_some_and(context::is_delayed);
        let submission = submission.map(context::without_mark);
        self.begin(builder, submission.as_ref(), Relation::of_attempt(self.job_trace, number, is_delayed))
    }

    fn begin(&self, builder: SpanBuilder, cause: Option<&SpanContext>, relation: Relation) -> ActiveSpan {
        let nothing = Context::new();
        let (span, is_child) = match (cause, relation) {
            (Some(cause), Relation::Child) => {
                let parent = nothing.with_remote_span_context(cause.clone());
                (self.tracer.build_with_context(builder, &parent), true)
            }
            (Some(cause), Relation::Linked) => {
                let builder = builder.with_links(vec![Link::with_context(cause.clone())]);
                (self.tracer.build_with_context(builder, &nothing), false)
            }
            (None, _) => (self.tracer.build_with_context(builder, &nothing), false),
        };
        ActiveSpan::new(span, is_child)
    }
}

/// What a span says of its job.
fn of_job(request: &JobRequest, queue: &QueueName) -> Vec<KeyValue> {
    vec![
        KeyValue::new("proxq.job.id", request.id.to_string()),
        KeyValue::new("proxq.upstream", request.upstream.clone()),
        KeyValue::new("proxq.queue", queue.as_str().to_owned()),
    ]
}

#[cfg(test)]
mod tests;
