//! What becomes of a request that is for an upstream, without a connection that it comes from.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Request, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::{SyncMode, UpstreamUrl};
use crate::flow::Gates;
use crate::forward::Forwarder;
use crate::job::{Body, JobId, Outcome, Reach, Verdict};
use crate::metrics::Metrics;
use crate::metrics::StoreMetrics;
use crate::store::StoreSettings;
use crate::store::embedded::{EmbeddedOptions, EmbeddedStore};
use crate::tasks::Tasks;
use crate::upload::{Discard, DiscardBounds, UploadError};

/// Intake, and a store with a folder of its own.
pub(super) struct Bench {
    pub(super) intake: Intake,
    pub(super) store: Arc<dyn JobStore>,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// Takes bodies of up to 1000 bytes, and keeps those of up to 100 in memory.
    pub(super) async fn new() -> Self {
        let url = UpstreamUrl::new("http://127.0.0.1:9").unwrap();
        let mut config = Config { inline_body_limit: 100, ..Config::for_upstream(url) };
        config.upstreams[0].max_body_size = 1000;
        let folder = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions {
            data_dir: folder.path().to_owned(),
            sync: SyncMode::OperatingSystem,
            settings: StoreSettings::from(&config),
            instance: "one".to_owned(),
            keys: Arc::default(),
            metrics: StoreMetrics::default(),
        };
        let clock = Clock::new();
        let store: Arc<dyn JobStore> = Arc::new(EmbeddedStore::open(options, clock).unwrap());
        let deployment = Arc::new(KnownDeployment::unknown());
        deployment.ask(&*store).await.unwrap();
        let waiters = Arc::new(JobWaiters::new(
            Arc::clone(&store) as _,
            Metrics::default().wait_subscribers,
            CancellationToken::new(),
        ));
        let forwarder = Forwarder::new(&config.upstreams).unwrap();
        let gates = Arc::new(Gates::new(&config, Arc::clone(&store) as _, clock, Tasks::default(), Arc::default()));
        let direct = Direct::new(
            forwarder,
            Arc::clone(&gates),
            None,
            Tasks::default(),
            CancellationToken::new(),
            Duration::from_secs(1),
        );
        let turns = TurnKeeper::new(Arc::clone(&store) as _, Tasks::default(), CancellationToken::new());
        let intake = Intake::new(Arc::new(config), Arc::clone(&store), waiters, direct, clock, deployment, turns);
        Self { intake, store, _folder: folder }
    }

    /// The answer to a request that comes from nowhere.
    async fn handle<B>(&self, request: Request<B>) -> Option<Response<ReplyBody>>
    where
        B: http_body::Body<Data = Bytes, Error: Into<UploadError>> + Send + 'static,
    {
        let (head, body) = request.into_parts();
        let body = Upload::new(&head, body, || Discard {
            bounds: DiscardBounds::of(&self.intake.config),
            tasks: Tasks::default(),
            draining: CancellationToken::new(),
            _open: Box::new(()),
        });
        let peer = "127.0.0.1:1000".parse().unwrap();
        let request_id = HeaderValue::from_static("one");
        self.intake.handle(Arrival { head, body, peer, scheme: "http", request_id }).await
    }

    /// How many bytes of a body the job has, and whether they are in memory.
    async fn stored_body(&self, id: JobId) -> (u64, bool) {
        let queue = &self.intake.config.queue;
        let leased = self.store.lease(queue, 1).await.unwrap().remove(0);
        assert_eq!(leased.lease.id, id);
        (leased.body.length(), matches!(leased.body, Body::Inline(_)))
    }
}

/// A submission of so many bytes.
fn post(length: usize) -> Request<Full<Bytes>> {
    let request = Request::post("/report").header(header::CONTENT_LENGTH, length);
    request.body(Full::new(Bytes::from(vec![b'x'; length]))).unwrap()
}

fn job_of(answer: &Response<ReplyBody>) -> JobId {
    answer.headers()[proxq_protocol::header::JOB_ID].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_request_becomes_a_job_with_its_body_in_memory_or_in_a_blob() {
    let bench = Bench::new().await;
    for (length, in_memory) in [(100, true), (101, false)] {
        let answer = bench.handle(post(length)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        assert_eq!(bench.stored_body(job_of(&answer)).await, (length as u64, in_memory));
    }
}

#[tokio::test]
async fn a_monitor_is_answered_with_whatever_has_become_of_the_job() {
    let bench = Bench::new().await;
    let submission = || {
        let mut request = post(10);
        let id = HeaderValue::from_static("550e8400-e29b-41d4-a716-446655440000");
        request.headers_mut().insert(proxq_protocol::header::JOB_ID, id);
        request.headers_mut().insert("prefer", HeaderValue::from_static("respond-async"));
        request
    };
    let first = bench.handle(submission()).await.unwrap();
    let leased = bench.store.lease(&bench.intake.config.queue, 1).await.unwrap().remove(0);
    let failure = Verdict::Fail { error: "connect".to_owned(), reach: Reach::NotSent, outcome: Outcome::NotSent };
    bench.store.settle(&leased.lease, failure).await.unwrap();
    let again = bench.handle(submission()).await.unwrap();
    for answer in [first, again] {
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        assert_eq!(answer.headers()["preference-applied"], "respond-async");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_gets_no_answer_and_no_job() {
    let bench = Bench::new().await;
    for length in [10, 110] {
        let first = Ok(Frame::data(Bytes::from_static(b"begun")));
        let broken = StreamBody::new(stream::iter([first, Err(io::Error::from(io::ErrorKind::ConnectionReset))]));
        assert!(bench.handle(post(length).map(|_| broken)).await.is_none());
    }
    assert!(bench.store.lease(&bench.intake.config.queue, 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_unread() {
    let bench = Bench::new().await;
    let answer = bench.handle(post(1001)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let unasked = post(1001);
    let (mut head, body) = unasked.into_parts();
    head.headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    let answer = bench.handle(Request::from_parts(head, body)).await.unwrap();
    assert_eq!(answer.headers()[header::CONNECTION], "close");
}

#[tokio::test]
async fn a_hold_that_ends_before_its_job_is_answered_with_the_jobs_id() {
    let bench = Bench::new().await;
    let mut request = post(10);
    request.headers_mut().insert(proxq_protocol::header::WAIT, HeaderValue::from_static("10ms"));
    let answer = bench.handle(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let id = job_of(&answer);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains(&id.to_string()));
}
