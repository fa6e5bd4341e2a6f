use http::{HeaderValue, StatusCode};
use opentelemetry::trace::Status;
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc::Receiver;

use super::*;

const CLIENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Traces without an exporter.
fn traces(job_trace: JobTrace, sampler: Sampler, metrics: &Arc<Metrics>) -> (Traces, Receiver<SpanData>) {
    let (queue, spans) = queue::bounded(Arc::clone(metrics));
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder_empty().build())
        .with_sampler(Sampler::ParentBased(Box::new(sampler)))
        .with_span_processor(queue);
    (Traces { tracer: provider.build().tracer("proxq"), job_trace }, spans)
}

fn sampling(job_trace: JobTrace) -> (Traces, Receiver<SpanData>) {
    traces(job_trace, Sampler::AlwaysOn, &Arc::default())
}

fn queue() -> QueueName {
    QueueName::new("default").unwrap()
}

fn said<'s>(span: &'s SpanData, name: &str) -> Option<&'s opentelemetry::Value> {
    span.attributes.iter().find(|attribute| attribute.key.as_str() == name).map(|attribute| &attribute.value)
}

#[test]
fn only_the_first_attempt_of_a_job_that_was_not_delayed_is_a_child_by_default() {
    use JobTrace::{Auto, Link, Parent};
    use Relation::{Child, Linked};
    for (job_trace, number, is_delayed, expected) in [
        (Auto, 1, false, Child),
        (Auto, 1, true, Linked),
        (Auto, 2, false, Linked),
        (Auto, 2, true, Linked),
        (Link, 1, false, Linked),
        (Link, 2, true, Linked),
        (Parent, 1, true, Child),
        (Parent, 2, false, Child),
    ] {
        let relation = Relation::of_attempt(job_trace, number, is_delayed);
        assert_eq!(relation, expected, "{job_trace:?} {number} {is_delayed}");
    }
}

#[test]
fn a_job_without_a_trace_context_gets_a_trace_without_a_link() {
    for job_trace in [JobTrace::Auto, JobTrace::Link, JobTrace::Parent] {
        let (traces, mut spans) = sampling(job_trace);
        drop(traces.attempt(&JobRequest::sample(), &queue(), 1));
        let span = spans.try_recv().unwrap();
        assert!(span.links.is_empty() && !span.parent_span_is_remote, "{span:?}");
    }
}

#[test]
fn the_part_of_traces_that_is_sampled_is_that_of_traces_that_begin_here() {
    let (traces, mut spans) = traces(JobTrace::Auto, Sampler::AlwaysOff, &Arc::default());
    let mut request = JobRequest::sample();
    drop(traces.submission(&mut request, &queue(), false));
    assert!(request.headers["traceparent"].to_str().unwrap().ends_with("-00"));
    drop(traces.attempt(&request, &queue(), 1));
    spans.try_recv().unwrap_err();
    request.headers.insert("traceparent", HeaderValue::from_static(CLIENT));
    drop(traces.submission(&mut request, &queue(), false));
    drop(traces.attempt(&request, &queue(), 1));
    drop(traces.attempt(&request, &queue(), 2));
    let sampled = [spans.try_recv().unwrap(), spans.try_recv().unwrap()];
    assert_eq!(sampled[0].span_context.trace_id(), sampled[1].span_context.trace_id());
    spans.try_recv().unwrap_err();
}

#[test]
fn a_span_says_how_it_ended_and_that_it_was_given_up_where_nobody_knows() {
    let (traces, mut spans) = sampling(JobTrace::Auto);
    let mut end = |end: &dyn Fn(&mut ActiveSpan)| {
        let mut span = traces.attempt(&JobRequest::sample(), &queue(), 1);
        end(&mut span);
        drop(span);
        let span = spans.try_recv().unwrap();
        (said(&span, "error.type").map(ToString::to_string), span.status != Status::Unset)
    };
    assert_eq!(end(&|span| span.responded(StatusCode::FOUND)), (None, false));
    assert_eq!(end(&|span| span.responded(StatusCode::NOT_FOUND)), (Some("404".to_owned()), true));
    assert_eq!(end(&|span| span.responded(StatusCode::BAD_GATEWAY)), (Some("502".to_owned()), true));
    assert_eq!(end(&|span| span.failed("timeout")), (Some("timeout".to_owned()), true));
    assert_eq!(end(&|_| {}), (Some("cancelled".to_owned()), true));
}

#[test]
fn what_a_client_chooses_takes_little_room_in_a_span() {
    let (traces, mut spans) = sampling(JobTrace::Auto);
    let mut request = JobRequest::sample();
    request.path = format!("/{}", "ä".repeat(5000));
    request.method = Method::from_bytes(&[b'X'; 5000]).unwrap();
    request.target = format!("https://[::1]/{}?hidden", "a".repeat(5000)).parse().unwrap();
    drop(traces.submission(&mut request, &queue(), false));
    drop(traces.attempt(&request, &queue(), 1));
    let (submission, attempt) = (spans.try_recv().unwrap(), spans.try_recv().unwrap());
    for span in [&submission, &attempt] {
        let bytes: usize = span.attributes.iter().map(|attribute| attribute.value.to_string().len()).sum();
        assert!(bytes < 1500 && span.name.len() < 100, "{span:?}");
        assert_eq!(said(span, "http.request.method"), Some(&"_OTHER".into()));
    }
    assert_eq!(said(&attempt, "server.address"), Some(&"::1".into()));
    assert_eq!(said(&attempt, "server.port"), Some(&443.into()));
    assert!(!format!("{attempt:?}").contains("hidden"));
}

#[test]
fn spans_that_find_no_room_are_dropped_and_counted() {
    let metrics = Arc::<Metrics>::default();
    let (traces, spans) = traces(JobTrace::Auto, Sampler::AlwaysOn, &metrics);
    for _ in 0..queue::QUEUE_MAX + 3 {
        drop(traces.attempt(&JobRequest::sample(), &queue(), 1));
    }
    assert_eq!((spans.len(), metrics.spans_dropped.total()), (queue::QUEUE_MAX, 3));
}
