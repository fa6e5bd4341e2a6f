//! Tests of traces: which spans a collector gets, how they relate, and what the upstream is told of them.

use std::time::Duration;

use harness::{
    Answer, CollectedSpan, Collector, Gate, Proxq, Received, Refusing, Request, Store, Upstream, get, on_every_store,
    once, outlast, post, within,
};
use tokio::time::Instant;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// A request of a client that makes traces itself.
fn traced(request: Request, flags: &str) -> Request {
    request
        .header("traceparent", format!("00-{TRACE}-{SPAN}-{flags}"))
        .header("tracestate", "a=1")
        .header("baggage", "b=2")
}

/// The spans of this kind, in the order in which they ended.
fn of_kind(spans: &[CollectedSpan], kind: &str) -> Vec<CollectedSpan> {
    spans.iter().filter(|span| span.kind == kind).cloned().collect()
}

/// The only submission among spans, and the attempts.
fn of_a_job(spans: &[CollectedSpan]) -> (CollectedSpan, Vec<CollectedSpan>) {
    let mut submissions = of_kind(spans, "PRODUCER");
    assert_eq!(submissions.len(), 1, "{spans:#?}");
    (submissions.remove(0), of_kind(spans, "CLIENT"))
}

fn belongs_to(span: &CollectedSpan, parent: &CollectedSpan) {
    assert_eq!((&span.trace, &span.parent, &span.links), (&parent.trace, &parent.id, &vec![]), "{span:#?}");
}

fn is_root_with_link(span: &CollectedSpan, cause: &CollectedSpan) {
    assert_eq!((span.parent.as_str(), &span.links), ("", &vec![cause.itself()]), "{span:#?}");
    assert_ne!(span.trace, cause.trace);
}

fn was_told_of(received: &Received, span: &CollectedSpan) {
    assert_eq!(received.headers("traceparent"), [span.traceparent()]);
}

on_every_store! {
    async fn a_request_its_submission_and_its_attempt_are_one_trace(store: Store) {
        let (upstream, collector) = (Upstream::start().await, Collector::start().await);
        upstream.answers(201, "made");
        let proxq = Proxq::start(collector.config(store.config_for(&upstream))).await;
        let job = proxq.submit(traced(post("/x/y?key=1"), "01").body("z")).await;
        proxq.response(&job).await;
        let (submission, attempts) = of_a_job(&collector.collects(2).await);
        let attempt = &attempts[0];
        assert_eq!((submission.trace.as_str(), submission.parent.as_str()), (TRACE, SPAN));
        belongs_to(attempt, &submission);
        let received = upstream.request().await;
        was_told_of(&received, attempt);
        assert_eq!(received.headers("tracestate"), ["a=1"]);
        assert_eq!(received.headers("baggage"), ["b=2"]);
        assert_eq!((submission.name.as_str(), attempt.name.as_str()), ("send /", "POST /"));
        for span in [&submission, attempt] {
            assert!(!span.is_error && span.times[0] > 0 && span.times[1] >= span.times[0], "{span:#?}");
            for (name, value) in [
                ("proxq.job.id", job.id.to_string().as_str()),
                ("proxq.upstream", "/"),
                ("proxq.queue", "default"),
                ("http.request.method", "POST"),
                ("service.name", "proxq"),
            ] {
                assert_eq!(span.attribute(name), value, "{name} of {span:#?}");
            }
        }
        assert_eq!(submission.attribute("url.path"), "/x/y");
        for (name, value) in [
            ("server.address", "127.0.0.1"),
            ("server.port", upstream.address().port().to_string().as_str()),
            ("url.full", format!("{}/x/y", upstream.url()).as_str()),
            ("http.response.status_code", "201"),
            ("http.request.resend_count", ""),
            ("error.type", ""),
            ("proxq.outcome", "completed"),
        ] {
            assert_eq!(attempt.attribute(name), value, "{name} of {attempt:#?}");
        }
    }

    async fn a_request_without_a_trace_begins_one(store: Store) {
        let (upstream, collector) = (Upstream::start().await, Collector::start().await);
        let config = collector.config(store.config_for(&upstream)).set("telemetry.otlp.serviceName", "edge");
        let proxq = Proxq::start(config).await;
        proxq.through_queue(get("/x").header("traceparent", "nonsense").header("tracestate", "a=1")).await;
        let (submission, attempts) = of_a_job(&collector.collects(2).await);
        assert_eq!((submission.parent.as_str(), submission.attribute("service.name")), ("", "edge"));
        belongs_to(&attempts[0], &submission);
        let received = upstream.request().await;
        was_told_of(&received, &attempts[0]);
        assert_eq!(received.headers("tracestate"), Vec::<String>::new(), "it is of no known trace");
    }

    async fn a_retry_has_a_trace_of_its_own_with_a_link(store: Store) {
        let (upstream, collector) = (Upstream::start().await, Collector::start().await);
        upstream.once(Answer::nothing().close());
        upstream.answers(404, "in the end");
        let config = store.config_for(&upstream).upstream("maxRetries", 1).upstream("retryDelay", "10ms");
        let proxq = Proxq::start(collector.config(config)).await;
        proxq.through_queue(traced(get("/x"), "01")).await;
        let (submission, attempts) = of_a_job(&collector.collects(3).await);
        let [first, second] = &attempts[..] else { panic!("{attempts:#?}") };
        belongs_to(first, &submission);
        is_root_with_link(second, &submission);
        for (span, name, value) in [
            (first, "error.type", "broken"),
            (first, "http.request.resend_count", ""),
            (first, "http.response.status_code", ""),
            (first, "proxq.outcome", "retry"),
            (second, "error.type", "404"),
            (second, "http.request.resend_count", "1"),
            (second, "http.response.status_code", "404"),
            (second, "proxq.outcome", "completed"),
        ] {
            assert!(span.is_error && span.attribute(name) == value, "{name} of {span:#?}");
        }
        let received = upstream.received();
        was_told_of(&received[0], first);
        was_told_of(&received[1], second);
        let states: Vec<_> = received.iter().map(|received| received.headers("tracestate")).collect();
        assert_eq!(states, [vec!["a=1".to_owned()], vec![]], "it belongs to the client's trace");
    }

    async fn a_delayed_job_has_a_trace_of_its_own_with_a_link_also_after_a_restart(store: Store) {
        let (upstream, collector) = (Upstream::start().await, Collector::start().await);
        let mut proxq = Proxq::start(collector.config(store.config_for(&upstream))).await;
        let job = proxq.submit(traced(get("/x"), "01").header("X-Proxq-Delay", "2s")).await;
        proxq.stop().await;
        let (submission, _) = of_a_job(&collector.collects(1).await); // the end of the process sends what is left
        assert_eq!((submission.trace.as_str(), submission.parent.as_str()), (TRACE, SPAN));
        proxq.start_again().await;
        proxq.response(&job).await;
        let (_, attempts) = of_a_job(&collector.collects(2).await);
        is_root_with_link(&attempts[0], &submission);
        let received = upstream.request().await;
        was_told_of(&received, &attempts[0]);
        assert_eq!(received.headers("tracestate"), Vec::<String>::new());
    }

    async fn job_trace_link_makes_each_attempt_a_trace_with_a_link(store: Store) {
        let (upstream, collector) = (Upstream::start().await, Collector::start().await);
        let config = collector.config(store.config_for(&upstream)).set("telemetry.otlp.jobTrace", "link");
        let proxq = Proxq::start(config).await;
        proxq.through_queue(traced(get("/x"), "01")).await;
        let (submission, attempts) = of_a_job(&collector.collects(2).await);
        is_root_with_link(&attempts[0], &submission);
        was_told_of(&upstream.request().await, &attempts[0]);
    }

    async fn job_trace_parent_makes_all_attempts_parts_of_one_trace(store: Store) {
        let (upstream, collector) = (Upstream::start().await, Collector::start().await);
        upstream.once(Answer::nothing().close());
        let config = store.config_for(&upstream).upstream("maxRetries", 1).upstream("retryDelay", "10ms");
        let proxq = Proxq::start(collector.config(config).set("telemetry.otlp.jobTrace", "parent")).await;
        proxq.through_queue(traced(get("/x"), "01").header("X-Proxq-Delay", "100ms")).await;
        let (submission, attempts) = of_a_job(&collector.collects(3).await);
        assert_eq!(attempts.len(), 2);
        for (attempt, received) in attempts.iter().zip(upstream.received()) {
            belongs_to(attempt, &submission);
            was_told_of(&received, attempt);
            assert_eq!(received.headers("tracestate"), ["a=1"]);
        }
    }

    async fn a_client_that_does_not_sample_is_not_collected(store: Store) {
        let (upstream, collector) = (Upstream::start().await, Collector::start().await);
        let proxq = Proxq::start(collector.config(store.config_for(&upstream))).await;
        proxq.through_queue(traced(get("/unsampled"), "00")).await;
        let told = upstream.request().await.header("traceparent").unwrap();
        assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-00") && !told.contains(SPAN), "{told}");
        proxq.through_queue(get("/sampled")).await;
        let spans = collector.collects(2).await;
        assert!(spans.iter().all(|span| span.trace != TRACE), "{spans:#?}");
    }

    async fn an_answer_of_the_cache_is_no_call_of_the_upstream(store: Store) {
        let (upstream, collector) = (Upstream::start().await, Collector::start().await);
        upstream.answers(200, "kept");
        let proxq = Proxq::start(collector.config(store.config_for(&upstream)).set("cache.mode", "memory")).await;
        proxq.through_queue(get("/x")).await;
        proxq.through_queue(traced(get("/x"), "01")).await;
        let spans = collector.collects(4).await;
        let (calls, hits) = (of_kind(&spans, "CLIENT"), of_kind(&spans, "INTERNAL"));
        assert_eq!((calls.len(), hits.len(), upstream.received().len()), (1, 1, 1));
        assert_eq!((hits[0].name.as_str(), hits[0].trace.as_str(), hits[0].is_error), ("cache hit /", TRACE, false));
    }

    async fn a_submission_under_a_known_key_says_which_job_it_joined(store: Store) {
        let (upstream, collector) = (Upstream::start().await, Collector::start().await);
        let proxq = Proxq::start(collector.config(store.config_for(&upstream))).await;
        let keyed = || post("/x").header("Idempotency-Key", "k");
        let job = proxq.submit(keyed()).await;
        assert_eq!(proxq.submit(keyed()).await.id, job.id);
        let spans = of_kind(&collector.collects(3).await, "PRODUCER");
        let said = |name: &str| spans.iter().map(|span| span.attribute(name).to_owned()).collect::<Vec<_>>();
        assert_eq!(said("proxq.joined"), ["", "same_key"]);
        assert_eq!(spans[1].attributes["proxq.job.id"], job.id.to_string());
    }

    async fn no_span_has_a_query_a_credential_or_a_body(store: Store) {
        let (upstream, collector) = (Upstream::start().await, Collector::start().await);
        upstream.answers(400, "hidden");
        let config = collector.config(store.config_for(&upstream));
        let config = config.set("telemetry.otlp.headers.X-Api-Key", "of-the-collector");
        let mut proxq = Proxq::start(config).await;
        let request = || {
            let request = post("/x?key=hidden").header("Authorization", "Bearer hidden").header("Cookie", "a=hidden");
            request.header("X-Anything", "hidden").body("hidden")
        };
        proxq.through_queue(request()).await;
        proxq.send(request().header("X-Proxq-Mode", "direct")).await.from_upstream(400);
        proxq.stop().await;
        assert_eq!(collector.spans().len(), 3);
        for batch in collector.server().received() {
            assert!(!batch.text().contains("hidden"), "{}", batch.text());
            assert_eq!(batch.headers("x-api-key"), ["of-the-collector"]);
        }
        assert!(!proxq.log().text().contains("of-the-collector"));
    }

    async fn a_collector_that_is_away_holds_nobody_up_and_is_said_once(store: Store) {
        let (upstream, collector) = (Upstream::start().await, Refusing::new());
        let config = store.config_for(&upstream).set("telemetry.otlp.endpoint", collector.url());
        let proxq = Proxq::start(config).await;
        proxq.through_queue(get("/1")).await;
        proxq.log().record("the collector is missed", |record| record.message().contains("takes no spans")).await;
        proxq.through_queue(get("/2")).await;
        outlast(Duration::from_secs(2)).await; // a batch waits for one second
        let collector = collector.listen();
        proxq.through_queue(get("/3")).await;
        collector.arrivals(1).await;
        let back = |record: &harness::Record| record.message() == "the collector takes spans again";
        let back = proxq.log().record("the collector is back", back).await;
        assert_eq!(back.field("dropped").as_deref(), Some("4"));
        let said = proxq.log().records();
        assert_eq!(said.iter().filter(|record| record.message().contains("takes no spans")).count(), 1);
    }

    async fn a_collector_that_does_not_answer_holds_nobody_up_not_even_the_end(store: Store) {
        let (upstream, collector, gate) = (Upstream::start().await, Collector::start().await, Gate::new());
        collector.server().always(Answer::status(200).wait(&gate));
        let mut proxq = Proxq::start(collector.config(store.config_for(&upstream))).await;
        proxq.through_queue(get("/1")).await;
        collector.server().arrivals(1).await;
        proxq.through_queue(get("/2")).await;
        let begun = Instant::now();
        within("the server ends", proxq.stop()).await;
        assert!(begun.elapsed() < Duration::from_secs(9), "{:?}: not the time that a batch has", begun.elapsed());
        assert!(proxq.log().text().contains("took too long for the last spans"));
    }
}

once! {
    async fn a_direct_request_is_a_part_of_its_clients_trace(store: Store) {
        let (upstream, collector) = (Upstream::start().await, Collector::start().await);
        upstream.answers(200, "at once");
        let mut proxq = Proxq::start(collector.config(store.config_for(&upstream))).await;
        proxq.send(traced(get("/x?key=1"), "01").header("X-Proxq-Mode", "direct")).await.from_upstream(200);
        let span = collector.collects(1).await.remove(0);
        assert_eq!((span.kind, span.trace.as_str(), span.parent.as_str()), ("CLIENT", TRACE, SPAN));
        assert_eq!(span.attribute("http.response.status_code"), "200");
        assert_eq!((span.attribute("url.full"), span.is_error), (format!("{}/x", upstream.url()).as_str(), false));
        let received = upstream.request().await;
        was_told_of(&received, &span);
        assert_eq!(received.headers("tracestate"), ["a=1"]);
        upstream.always(Answer::nothing().close());
        proxq.send(get("/y").header("X-Proxq-Mode", "direct")).await.refused(502, "UPSTREAM_UNREACHABLE");
        proxq.stop().await;
        let spans = collector.collects(2).await;
        assert_eq!((spans[1].attribute("error.type"), spans[1].is_error), ("broken", true));
    }

    async fn a_collector_can_be_behind_tls(store: Store) {
        let (upstream, collector) = (Upstream::start().await, Upstream::start_tls().await);
        let config = store.config_for(&upstream).set("telemetry.otlp.endpoint", format!("{}/base", collector.url()));
        let proxq = Proxq::builder(config).env("SSL_CERT_FILE", collector.ca_file()).start().await;
        proxq.send(get("/x").header("X-Proxq-Mode", "direct")).await.from_upstream(200);
        let batch = collector.request().await;
        assert_eq!((batch.method(), batch.target()), ("POST", "/base/v1/traces"));
    }

    async fn only_the_configuration_names_a_collector(store: Store) {
        let (upstream, collector) = (Upstream::start().await, Collector::start().await);
        let variable = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let builder = Proxq::builder(store.config_for(&upstream)).env(variable, collector.server().url());
        let mut proxq = builder.start().await;
        proxq.send(traced(get("/x"), "01").header("X-Proxq-Mode", "direct")).await.from_upstream(200);
        assert_eq!(upstream.request().await.headers("traceparent"), [format!("00-{TRACE}-{SPAN}-01")]);
        proxq.stop().await;
        assert_eq!(collector.server().connections(), 0);
    }
}
