//! What the hot paths cost: their allocations, compared with committed baselines. Unlike times, these numbers do not depend
//! on the machine or on its load, so tests can hold them.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::arrival::Arrival;
use crate::cache;
use crate::clock::Clock;
use crate::config::{Config, KeyExclusions, UpstreamUrl};
use crate::deployment::KnownDeployment;
use crate::direct::Direct;
use crate::ended::JobWaiters;
use crate::flow::Gates;
use crate::forward::Forwarder;
use crate::idempotency::claim;
use crate::intake::Intake;
use crate::job::{Body, CredentialHash, JobId, JobRequest, ResponseHead, StoredResponse, Verdict};
use crate::jobs_api::JobsApi;
use crate::metrics::Metrics;
use crate::sealing::Keyring;
use crate::store::memory::MemoryStore;
use crate::store::{BodyFields, Facts, JobStore, Record, StoreSettings, WorkQueues};
use crate::tasks::Tasks;
use crate::turns::TurnKeeper;
use crate::upload::{Discard, DiscardBounds, Upload};

/// By how much a count may differ from its baseline: other versions of dependencies allocate a little differently.
const TOLERANCE_PERCENT: u64 = 5;

/// Counts the allocations of a path on this thread, and compares them with what they were when somebody looked at them last. A
/// change that needs more is to be worth it, and one that needs less keeps what it has won. The path is run once before:
/// what it does once does not count.
#[track_caller]
fn costs<T>(baseline: u64, mut path: impl FnMut() -> T) {
    drop(black_box(path()));
    let measured = allocation_counter::measure(|| drop(black_box(path()))).count_total;
    let margin = (baseline * TOLERANCE_PERCENT).div_ceil(100);
    let advice = if measured > baseline {
        "find out what has been added, or raise the baseline and say why"
    } else {
        "lower the baseline, so that they do not come back"
    };
    assert!(measured.abs_diff(baseline) <= margin, "{measured} allocations, baseline {baseline}: {advice}");
}

/// A server without its listener, on the store in memory.
struct Bench {
    runtime: Runtime,
    config: Arc<Config>,
    store: Arc<MemoryStore>,
    intake: Intake,
    jobs_api: JobsApi,
}

impl Bench {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let config = Arc::new(Config::for_upstream(UpstreamUrl::new("http://127.0.0.1:9").unwrap()));
        let clock = Clock::new();
        let store = Arc::new(MemoryStore::new(StoreSettings::from(&*config), clock));
        let deployment = Arc::new(KnownDeployment::unknown());
        runtime.block_on(deployment.ask(&*store)).unwrap();
        let (draining, tasks) = (CancellationToken::new(), Tasks::default());
        let waiters =
            Arc::new(JobWaiters::new(Arc::clone(&store) as _, Metrics::default().wait_subscribers, draining.clone()));
        let turns = TurnKeeper::new(Arc::clone(&store) as _, tasks.clone(), draining.clone());
        let forwarder = Forwarder::new(&config.upstreams).unwrap();
        let gates = Arc::new(Gates::new(&config, Arc::clone(&store) as _, clock, tasks.clone(), Arc::default()));
        let direct =
            Direct::new(forwarder, Arc::clone(&gates), None, tasks, CancellationToken::new(), Duration::from_secs(1));
        let jobs_api = JobsApi {
            config: Arc::clone(&config),
            store: Arc::clone(&store) as _,
            waiters: Arc::clone(&waiters),
            deployment: Arc::clone(&deployment),
            turns: turns.clone(),
            gates: Arc::clone(&gates),
            clock,
            draining,
        };
        let store_of_jobs: Arc<dyn JobStore> = Arc::clone(&store) as _;
        let intake = Intake::new(Arc::clone(&config), store_of_jobs, waiters, direct, clock, deployment, turns);
        Self { runtime, config, store, intake, jobs_api }
    }

    /// A request as an SDK sends it, with a body of 1 KiB.
    fn submission(&self) -> Arrival {
        let request = Request::post("/v1/chat/completions")
            .header("host", "proxq.example")
            .header("content-length", 1024)
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .header("authorization", "Bearer a-secret")
            .header("user-agent", "OpenAI/Python 2.0")
            .header("x-stainless-retry-count", "0")
            .header("x-stainless-lang", "python");
        let (head, body) = request.body(Full::new(Bytes::from(vec![b' '; 1024]))).unwrap().into_parts();
        let body = Upload::new(&head, body, || Discard {
            bounds: DiscardBounds::of(&self.config),
            tasks: Tasks::default(),
            draining: CancellationToken::new(),
            _open: Box::new(()),
        });
        let peer = "192.0.2.1:1000".parse().unwrap();
        Arrival { head, body, peer, scheme: "http", request_id: HeaderValue::from_static("one") }
    }

    fn submit(&self, arrival: Arrival) -> JobId {
        let answer = self.runtime.block_on(self.intake.handle(arrival)).unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        answer.headers()[proxq_protocol::header::JOB_ID].to_str().unwrap().parse().unwrap()
    }

    /// A job with a response of 1 KiB.
    fn completed(&self) -> JobId {
        let id = self.submit(self.submission());
        self.runtime.block_on(async {
            let job = self.store.lease(&self.config.queue, 1).await.unwrap().remove(0);
            let mut headers = http::HeaderMap::new();
            headers.insert("content-type", HeaderValue::from_static("application/json"));
            let head = ResponseHead { status: StatusCode::OK, reason: None, headers };
            let body = Body::Inline(Bytes::from(vec![b' '; 1024]));
            self.store.settle(&job.lease, Verdict::Complete(StoredResponse { head, body })).await.unwrap();
        });
        id
    }

    fn get(&self, target: &str) {
        let (head, ()) = Request::get(target).body(()).unwrap().into_parts();
        let body = self.runtime.block_on(async {
            let answer = self.jobs_api.handle(head).await;
            assert_eq!(answer.status(), StatusCode::OK);
            answer.into_body().collect().await.unwrap()
        });
        assert!(!body.to_bytes().is_empty());
    }
}

#[test]
fn a_submission() {
    let bench = Bench::new();
    let mut arrivals = vec![bench.submission(), bench.submission()];
    costs(64, || bench.submit(arrivals.pop().expect("it is run twice")));
}

#[test]
fn a_status_and_a_replay() {
    let bench = Bench::new();
    let id = bench.completed();
    let (status, content) = (format!("/__jobs/{id}"), format!("/__jobs/{id}/content"));
    costs(31, || bench.get(&status));
    costs(13, || bench.get(&content));
}

#[test]
fn a_record() {
    let plain = Keyring::default();
    let facts = Facts::new(sample(), BodyFields::of(&Body::Inline(Bytes::from_static(b"{}")), &plain).0);
    let id = facts.request.id;
    let record = Bytes::from(facts.encode(id, &plain));
    costs(18, || facts.encode(id, &plain));
    costs(7, || Facts::decode(id, record.clone(), &plain).unwrap());
    let keys = Keyring::of(&["a key"]);
    let record = Bytes::from(facts.encode(id, &keys));
    costs(21, || facts.encode(id, &keys)); // the hidden fields, their context and the sealed value are made apart
    costs(9, || Facts::decode(id, record.clone(), &keys).unwrap());
}

#[test]
fn a_key_and_a_fingerprint() {
    let request = JobRequest { idempotency_key: Some(b"key".to_vec()), ..sample() };
    let exclusions = KeyExclusions::default();
    costs(22, || cache::key(&request, &[1; 32], &exclusions));
    costs(6, || claim(&request, CredentialHash([2; 32]), [1; 32], Duration::from_secs(1), &[3; 32]));
}

fn sample() -> JobRequest {
    let mut request = JobRequest { method: Method::POST, ..JobRequest::sample() };
    for (name, value) in [("accept", "application/json"), ("content-type", "application/json"), ("user-agent", "sdk")] {
        request.headers.insert(name, HeaderValue::from_static(value));
    }
    request
}
