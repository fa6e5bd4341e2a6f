//! Tests of failures in proxq and on the way to OpenAI: each has its type, and none makes a second call to OpenAI.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use harness::{Answer, Cable, Gate, Proxq, Refusing, Route, Store, Upstream, delete, on_every_store, stay_silent};
use proxq_openai::{Builder, proxq_client, proxq_error};
use proxq_protocol::Outcome;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::bench::{config, http};
use super::groups::{ask, ask_for_stream};

const COMPLETION: &str =
    r#"{"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": []}"#;

/// Knows one address for every name, and counts how often it is asked: once for each connection.
#[derive(Clone)]
struct Lookups {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
}

impl Lookups {
    fn of(address: SocketAddr) -> Self {
        Self { address, count: Arc::default() }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }
}

impl Resolve for Lookups {
    fn resolve(&self, _name: Name) -> Resolving {
        self.count.fetch_add(1, Ordering::AcqRel);
        let found: Addrs = Box::new(std::iter::once(self.address));
        Box::pin(std::future::ready(Ok(found)))
    }
}

fn client_of(proxq: &Proxq) -> Client<OpenAIConfig> {
    proxq_openai::client(proxq.url(), config("https://api.openai.com")).expect("a good URL")
}

on_every_store! {
    async fn a_broken_exchange_is_one_job_and_one_call(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().reset());
        let error = ask(&client_of(&proxq)).await.unwrap_err();
        let failed = proxq_error(&error);
        assert!(
            matches!(failed, Some(proxq_client::Error::JobFailed { outcome: Some(Outcome::Indeterminate), .. })),
            "{error:?}"
        );
        assert_eq!(upstream.received().len(), 1, "it may have been received, so it is not sent again");
    }

    async fn a_refused_connection_is_told_and_tried_as_it_is_without_proxq(store: Store) {
        let refusing = Refusing::new();
        let proxq = Proxq::start(store.config().route(Route::new("/", &refusing.url()))).await;
        let lookups = Lookups::of(refusing.address());
        let origin = format!("http://openai.test:{}", refusing.address().port());
        let http = http().dns_resolver(lookups.clone()).build().unwrap();
        let direct = Client::build(http, config(&origin));
        let queued = proxq_openai::client(proxq.url(), config(&origin)).unwrap();

        let expected = ask(&direct).await.unwrap_err();
        let told = ask(&queued).await.unwrap_err();
        for error in [&expected, &told] {
            assert!(matches!(error, OpenAIError::Reqwest(error) if error.is_connect() && error.is_request()), "{error:?}");
        }
        assert_eq!(told.to_string(), expected.to_string());
        let tried: HashSet<_> = proxq
            .log()
            .records()
            .iter()
            .filter(|record| record.message() == "job failed")
            .filter_map(|record| record.field("job.id"))
            .collect();
        assert_eq!((tried.len(), lookups.count()), (4, 4), "the first time, and three more");

        assert!(proxq_error(&expected).is_none());
        let Some(failed) = proxq_error(&told) else { panic!("{told:?}") };
        assert!(matches!(failed, proxq_client::Error::JobFailed { outcome: Some(Outcome::NotSent), .. }), "{failed:?}");
        assert!(failed.to_string().contains("connection refused"), "{failed}");
        assert!(tried.contains(&failed.job_id().unwrap().to_string()), "the job of the last try");
    }

    async fn an_upstream_that_comes_back_is_reached(store: Store) {
        let refusing = Refusing::new();
        let proxq = Proxq::start(store.config().route(Route::new("/", &refusing.url()))).await;
        let client = client_of(&proxq);
        let (answer, upstream) = tokio::join!(ask(&client), async {
            proxq.log().find(|record| record.message().contains("failed")).await.expect("a first attempt fails");
            let upstream = refusing.listen();
            upstream.answers(200, COMPLETION);
            upstream
        });
        assert_eq!(answer.expect("a completion").id, "chatcmpl-1");
        assert_eq!(upstream.received().len(), 1);
    }

    async fn what_proxq_refuses_is_typed_and_not_repeated(store: Store) {
        let upstream = Upstream::start().await;
        let route = Route::new("/v1", &upstream.url()).set("maxBodySize", 10);
        let proxq = Proxq::start(store.config().route(route)).await;
        let base = format!("{}/elsewhere", proxq.url());
        let elsewhere = proxq_openai::client(&base, config("https://api.openai.com")).unwrap();
        for (client, status, name) in [(client_of(&proxq), 413, "BODY_TOO_LARGE"), (elsewhere, 502, "NO_UPSTREAM")] {
            let error = ask(&client).await.unwrap_err();
            let Some(proxq_client::Error::Refused { status: refused, code, detail }) = proxq_error(&error) else {
                panic!("{error:?}")
            };
            assert_eq!((refused.as_u16(), code.as_str()), (status, name), "{detail}");
            assert!(error.to_string().contains(detail), "{error}");
        }
        assert!(upstream.received().is_empty());
    }

    async fn an_unreachable_upstream_of_a_stream_is_typed(store: Store) {
        let refusing = Refusing::new();
        let proxq = Proxq::start(store.config().route(Route::new("/", &refusing.url()))).await;
        let error = ask_for_stream(&client_of(&proxq)).await.map(|_stream| ()).unwrap_err();
        let refused = proxq_error(&error);
        assert!(
            matches!(refused, Some(proxq_client::Error::Refused { code, .. }) if code == "UPSTREAM_UNREACHABLE"),
            "{error:?}"
        );
    }

    async fn a_job_that_is_cancelled_by_others_is_lost(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().hang());
        let client = client_of(&proxq);
        let (answer, ()) = tokio::join!(ask(&client), async {
            let id = upstream.request().await.job_id().expect("a job");
            proxq.send(delete(&format!("/__jobs/{id}"))).await;
        });
        let error = answer.unwrap_err();
        assert!(matches!(proxq_error(&error), Some(proxq_client::Error::JobLost { .. })), "{error:?}");
        assert_eq!(upstream.received().len(), 1);
    }

    async fn a_call_ends_at_its_timeout(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().hang());
        let options = proxq_client::Proxq::builder().max_wait(Duration::from_millis(300));
        let client = Builder::new(proxq.url()).proxq(options).build(config("https://api.openai.com")).unwrap();
        let error = ask(&client).await.unwrap_err();
        assert!(matches!(proxq_error(&error), Some(proxq_client::Error::WaitTimeout { .. })), "{error:?}");
        assert_eq!(upstream.received().len(), 1);
    }

    async fn a_timeout_of_the_http_client_ends_the_call_as_it_does_without_proxq(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().hang());
        let http = http().timeout(Duration::from_millis(300)).build().unwrap();
        let direct = Client::build(http.clone(), config(&upstream.url()));
        let queued = Builder::new(proxq.url()).http_client(http).build(config(&upstream.url())).unwrap();
        for client in [direct, queued] {
            let error = ask(&client).await.unwrap_err();
            assert!(matches!(&error, OpenAIError::Reqwest(error) if error.is_timeout()), "{error:?}");
        }
        let received = upstream.received();
        assert_eq!(received.len(), 2, "one each");
        upstream.abandoned(received[1].job_id().expect("a job")).await;
    }

    async fn a_call_that_is_dropped_ends_its_job(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().hang());
        let client = client_of(&proxq);
        let received = tokio::select! {
            answer = ask(&client) => panic!("{answer:?}"),
            received = upstream.request() => received,
        };
        upstream.abandoned(received.job_id().expect("a job")).await;
    }

    async fn a_cut_connection_makes_no_second_job(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let cable = Cable::to(&proxq.address().to_string()).await;
        let base = format!("http://{}", cable.host_and_port());
        let client = proxq_openai::client(&base, config("https://api.openai.com")).unwrap();
        let gate = Gate::new();
        upstream.always(Answer::status(200).body(COMPLETION).wait(&gate));
        let (answer, ()) = tokio::join!(ask(&client), async {
            upstream.arrivals(1).await;
            cable.cut();
            gate.open();
        });
        assert_eq!(answer.expect("a completion").id, "chatcmpl-1");
        assert_eq!(upstream.received().len(), 1);
    }
}

#[tokio::test]
async fn a_proxq_that_is_not_there_is_a_connection_error() {
    let client = proxq_openai::client(Refusing::new().url(), config("https://api.openai.com")).unwrap();
    let error = ask(&client).await.unwrap_err();
    assert!(matches!(&error, OpenAIError::Reqwest(error) if error.is_connect()), "{error:?}");
    assert!(proxq_error(&error).is_none());
}

#[tokio::test]
async fn a_proxq_that_comes_back_is_reached() {
    let refusing = Refusing::new();
    let client = proxq_openai::client(refusing.url(), config("https://api.openai.com")).unwrap();
    // One that is done with the job by the time that it answers says just what the upstream says.
    let (answer, proxq) = tokio::join!(ask(&client), async {
        stay_silent(Duration::from_millis(50)).await; // who is refused a connection is seen by nobody
        let proxq = refusing.listen();
        proxq.answers(200, COMPLETION);
        proxq
    });
    assert_eq!(answer.expect("a completion").id, "chatcmpl-1");
    assert_eq!(proxq.received().len(), 1);
}
