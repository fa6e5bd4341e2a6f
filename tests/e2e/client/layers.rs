//! Tests of the middleware together with other middleware, and with clients that have settings of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::{Answer, Proxq, Refusing, Route, Store, Upstream, on_every_store, on_the_store};
use proxq_client::{Delivery, Error, Proxq as Middleware};
use proxq_protocol::{JobId, header};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use reqwest_retry::RetryTransientMiddleware;
use reqwest_retry::policies::ExponentialBackoff;
use reqwest_tracing::TracingMiddleware;

use super::{plain, scripted, url, with_provider};

fn retries() -> RetryTransientMiddleware<ExponentialBackoff> {
    let soon = std::time::Duration::from_millis(10);
    RetryTransientMiddleware::new_with_policy(
        ExponentialBackoff::builder().retry_bounds(soon, soon).build_with_max_retries(3),
    )
}

fn through(client: reqwest::Client) -> ClientWithMiddleware {
    ClientBuilder::new(client).with(Middleware::new()).build()
}

on_every_store! {
    async fn retries_above_see_one_call(proxq: Proxq, upstream: Upstream) {
        upstream.once(Answer::status(503));
        upstream.answers(200, "second");
        let http = ClientBuilder::new(plain()).with(retries()).with(Middleware::new()).build();
        let response = http.post(url(&proxq, "/x")).body("x").send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "second");
        let ids: Vec<_> = upstream.received().iter().map(|received| received.job_id().unwrap()).collect();
        assert!(ids.len() == 2 && ids[0] != ids[1], "an upstream's 503 is answered by another job: {ids:?}");
    }

    async fn retries_below_make_no_second_job(proxq: Proxq, upstream: Upstream) {
        upstream.answers(200, "once");
        let http = ClientBuilder::new(plain()).with(Middleware::new()).with(retries()).build();
        for _ in 0..2 {
            assert_eq!(http.post(url(&proxq, "/x")).body("x").send().await.unwrap().text().await.unwrap(), "once");
        }
        assert_eq!(upstream.received().len(), 2);
    }

    async fn default_headers_reach_the_upstream_and_cookies_are_kept(proxq: Proxq, upstream: Upstream) {
        upstream.once(Answer::status(200).header("Set-Cookie", "session=1; Path=/"));
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("x-default", "yes".parse().unwrap());
        let http = through(with_provider(reqwest::Client::builder().cookie_store(true).default_headers(headers)));
        for cookie in [None, Some("session=1"), Some("session=1")] {
            http.get(url(&proxq, "/x")).send().await.unwrap();
            let received = upstream.request().await;
            assert_eq!(received.header("x-default").as_deref(), Some("yes"));
            assert_eq!(received.header("cookie").as_deref(), cookie);
        }
    }

    async fn a_proxy_is_used_for_all_of_it(proxq: Proxq, upstream: Upstream) {
        upstream.answers(200, "behind a proxy");
        // proxq does not mind for whom a request was meant, so that it can play the proxy that leads to it.
        let proxy = reqwest::Proxy::http(url(&proxq, "")).unwrap();
        let http = through(with_provider(reqwest::Client::builder().proxy(proxy)));
        for _ in 0..2 {
            let response = http.get("http://nowhere.invalid/x").send().await.unwrap();
            assert!(matches!(response.extensions().get(), Some(Delivery::Job { .. })));
            assert_eq!(response.text().await.unwrap(), "behind a proxy");
        }
    }

    async fn a_form_with_files_is_queued(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::echo());
        let form = || reqwest::multipart::Form::new().part("file", reqwest::multipart::Part::bytes(b"content".as_slice()).file_name("a.txt"));
        let http = through(plain());
        for _ in 0..2 {
            let response = http.post(url(&proxq, "/x")).multipart(form()).send().await.unwrap();
            assert!(matches!(response.extensions().get(), Some(Delivery::Job { .. })));
            assert!(response.text().await.unwrap().contains("content"));
        }
    }
}

on_the_store! { Embedded:
    async fn an_error_is_found_under_retries(store: Store) {
        let nobody = Refusing::new();
        let proxq = Proxq::start(store.config().route(Route::new("/", &nobody.url()))).await;
        let http = ClientBuilder::new(plain()).with(retries()).with(Middleware::new()).build();
        let failed = http.get(url(&proxq, "/x")).send().await.unwrap_err();
        assert!(matches!(Error::find(&failed), Some(Error::JobFailed { .. })), "{failed:?}");
    }
}

#[test]
fn retries_below_see_every_request_and_keep_the_jobs_id() {
    harness::run(async {
        let id = JobId::new();
        let server = scripted(id, Answer::status(200).body("done")).await;
        server.once(Answer::status(503));
        let named = Middleware::builder().proxq_url(server.url()).build().unwrap();
        let http = ClientBuilder::new(plain()).with(named).with(retries()).build();
        assert_eq!(http.get(server.url()).send().await.unwrap().text().await.unwrap(), "done");
        let received = server.received();
        assert_eq!(received.len(), 3);
        assert_eq!(received[0].header(header::JOB_ID), received[1].header(header::JOB_ID));
    });
}

/// Counts the spans that begin.
struct Spans(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Spans {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        _id: &tracing::span::Id,
        _context: tracing_subscriber::layer::Context<'_, S>,
    ) {
        if attributes.metadata().name() == "HTTP request" {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }
}

#[test]
fn tracing_sees_the_call_above_and_its_requests_below() {
    use tracing_subscriber::layer::SubscriberExt as _;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (above, spans) in [(true, 1), (false, 2)] {
        let count = Arc::new(AtomicUsize::new(0));
        let subscriber = tracing_subscriber::registry().with(Spans(Arc::clone(&count)));
        let _here = tracing::subscriber::set_default(subscriber);
        runtime.block_on(async {
            let server = scripted(JobId::new(), Answer::status(200)).await;
            let builder = ClientBuilder::new(plain());
            let http = if above {
                builder.with(TracingMiddleware::default()).with(Middleware::new()).build()
            } else {
                builder.with(Middleware::new()).with(TracingMiddleware::default()).build()
            };
            http.get(server.url()).send().await.unwrap();
        });
        assert_eq!(count.load(Ordering::Acquire), spans);
    }
}

#[test]
fn a_private_authority_is_trusted_for_all_of_it() {
    harness::run(async {
        let id = JobId::new();
        let server = Upstream::start_tls().await;
        super::script(&server, id, Answer::status(200).body("done"));
        let certificate = reqwest::Certificate::from_pem(&std::fs::read(server.ca_file()).unwrap()).unwrap();
        let client = with_provider(reqwest::Client::builder().tls_certs_only([certificate]));
        let http = through(client.clone());
        assert_eq!(http.get(server.url()).send().await.unwrap().text().await.unwrap(), "done");

        super::script(&server, id, Answer::nothing().hang());
        let named = Middleware::builder().client(client.clone()).build().unwrap();
        let http = ClientBuilder::new(client).with(named).build();
        let mut call = tokio::task::JoinSet::new();
        let request = http.get(server.url());
        call.spawn(async move { request.send().await });
        server.arrivals(4).await;
        drop(call);
        server.arrivals(5).await;
        assert_eq!(server.received()[4].method(), "DELETE");
    });
}
