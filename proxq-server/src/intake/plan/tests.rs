//! What a request's head decides. Nothing is sent, and the store is not asked.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::Clock;
use crate::config::{Config, Prefix, UpstreamUrl};
use crate::deployment::KnownDeployment;
use crate::direct::Direct;
use crate::ended::JobWaiters;
use crate::flow::Gates;
use crate::forward::Forwarder;
use crate::metrics::Metrics;
use crate::store::memory::MemoryStore;
use crate::store::{JobStore, StoreSettings};
use crate::tasks::Tasks;
use crate::turns::TurnKeeper;

/// An upstream for `/api`, which `change` may change.
async fn intake(change: impl FnOnce(&mut Config)) -> Intake {
    let intake = intake_without_secrets(change);
    intake.deployment.ask(&*intake.store).await.unwrap();
    intake
}

/// The same, before the store has given the deployment's secrets.
fn intake_without_secrets(change: impl FnOnce(&mut Config)) -> Intake {
    let url = UpstreamUrl::new("http://api:3000/v1").unwrap();
    let mut config = Config::for_upstream(url);
    config.upstreams[0].prefix = Prefix::new("/api").unwrap();
    change(&mut config);
    let clock = Clock::new();
    let store: Arc<dyn JobStore> = Arc::new(MemoryStore::new(StoreSettings::from(&config), clock));
    let waiters = Arc::new(JobWaiters::new(
        Arc::clone(&store) as _,
        Metrics::default().wait_subscribers,
        CancellationToken::new(),
    ));
    let forwarder = Forwarder::new(&config.upstreams).unwrap();
    let gates = Arc::new(Gates::new(&config, Arc::clone(&store) as _, clock, Tasks::default(), Arc::default()));
    let direct =
        Direct::new(forwarder, gates, None, Tasks::default(), CancellationToken::new(), Duration::from_secs(1));
    let turns = TurnKeeper::new(Arc::clone(&store) as _, Tasks::default(), CancellationToken::new());
    Intake::new(Arc::new(config), store, waiters, direct, clock, Arc::new(KnownDeployment::unknown()), turns)
}

/// A submission with a body of 10 bytes, as `change` makes it.
fn request(change: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
    let usual = Request::post("/api/report?year=2026").header("host", "proxq").header("content-length", 10);
    change(usual).body(()).unwrap().into_parts().0
}

/// What the intake plans for a request, which has a body.
fn plan(intake: &Intake, mut head: Parts) -> Result<Plan, StatusCode> {
    let request_id = HeaderValue::from_static("one");
    let sender = Sender { peer: "192.0.2.1:1000".parse().unwrap(), scheme: "http", request_id: &request_id };
    let plan = intake.plan(&mut head, false, sender);
    plan.map_err(|problem| problem.into_response().status())
}

/// The job that a request is to become.
macro_rules! queued {
    ($plan:expr) => {{
        let Ok(Plan::Queue(queued)) = $plan else { panic!("it is not queued") };
        *queued
    }};
}

#[tokio::test]
async fn a_request_becomes_a_job_for_the_upstream_of_its_path() {
    let intake = intake(|_| {}).await;
    let queued = queued!(plan(&intake, request(|usual| usual.header("x-own", "kept").header("te", "trailers"))));
    let job = &queued.request;
    assert_eq!((job.upstream.as_str(), job.path.as_str()), ("/api", "/api/report"));
    assert_eq!(job.target, "http://api:3000/v1/report?year=2026");
    assert_eq!((&job.headers["x-own"], job.client), (&HeaderValue::from_static("kept"), [192, 0, 2, 1].into()));
    assert!(!job.headers.contains_key("te"), "it is for one hop");
    assert!(!job.headers.contains_key("host"), "the upstream has its own");
    assert_eq!((queued.length, queued.limit), (10, intake.config.upstreams[0].max_body_size));
    assert!(queued.secrets_known && !job.idempotent);
    assert_eq!(job.timeout, intake.config.upstreams[0].timeout);
}

#[tokio::test]
async fn what_cannot_be_forwarded_is_refused() {
    let intake = intake(|config| config.max_hops = 1).await;
    for (head, status) in [
        (request(|usual| usual.method(Method::CONNECT)), StatusCode::NOT_IMPLEMENTED),
        (request(|usual| usual.method(Method::TRACE)), StatusCode::METHOD_NOT_ALLOWED),
        (request(|usual| usual.method(Method::OPTIONS).uri("*")), StatusCode::NOT_FOUND),
        (request(|usual| usual.uri("/apis")), StatusCode::BAD_GATEWAY),
        (request(|usual| usual.header("x-proxq-mode", "sideways")), StatusCode::BAD_REQUEST),
        (request(|usual| usual.header("x-proxq-timeout", "forever")), StatusCode::BAD_REQUEST),
    ] {
        let asked = format!("{} {} {:?}", head.method, head.uri, head.headers);
        assert_eq!(plan(&intake, head).unwrap_err(), status, "{asked}");
    }
}

#[tokio::test]
async fn a_request_that_has_come_by_too_often_is_a_loop() {
    let intake = intake(|config| config.max_hops = 1).await;
    let name = intake.deployment.via_name().to_owned();
    let via = |hops: usize| vec![format!("1.1 {name}"); hops].join(", ");
    assert!(plan(&intake, request(|usual| usual.header("via", via(1)))).is_ok());
    let looping = plan(&intake, request(|usual| usual.header("via", via(2))));
    assert_eq!(looping.unwrap_err(), StatusCode::LOOP_DETECTED);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_unless_it_may_go_direct() {
    let intake = intake(|config| config.upstreams[0].max_body_size = 9).await;
    let refused = plan(&intake, request(|usual| usual)).unwrap_err();
    assert_eq!(refused, StatusCode::PAYLOAD_TOO_LARGE);
    let json = request(|usual| usual.header("content-type", "application/json"));
    let queued = queued!(plan(&intake, json));
    assert!(queued.peek.is_some() && queued.length > queued.limit, "it may ask for a stream");
}

#[tokio::test]
async fn a_request_that_bypasses_the_queue_goes_direct_or_is_redirected() {
    let proxying = intake(|_| {}).await;
    let asked_for = request(|usual| usual.header("x-proxq-mode", "direct"));
    let Ok(Plan::Direct(direct)) = plan(&proxying, asked_for) else { panic!("it does not go direct") };
    assert_eq!(direct.target, "http://api:3000/v1/report?year=2026");

    let redirecting = intake(|config| {
        config.upstreams[0].direct_mode = DirectMode::Redirect;
        config.upstreams[0].direct_proxy_threshold = Some(9);
    })
    .await;
    let large = request(|usual| usual);
    let Ok(Plan::Redirect(target)) = plan(&redirecting, large) else { panic!("it is not redirected") };
    assert_eq!(target, "http://api:3000/v1/report?year=2026");
    let stream = request(|usual| usual.header("accept", "text/event-stream"));
    assert!(matches!(plan(&redirecting, stream), Ok(Plan::Direct(_))), "a stream is passed on");
}

#[tokio::test]
async fn controls_of_a_submission_count_for_its_job() {
    let intake = intake(|_| {}).await;
    let id = JobId::new();
    let queued = queued!(plan(
        &intake,
        request(|usual| {
            let usual = usual.header("x-proxq-job-id", id.to_string()).header("x-proxq-timeout", "7s");
            usual.method(Method::PUT).header("idempotency-key", "key").header("x-proxq-delay", "1m")
        })
    ));
    assert_eq!((queued.request.id, queued.request.timeout), (id, Duration::from_secs(7)));
    assert_eq!(queued.controls.delay, Some(Duration::from_mins(1)));
    assert_eq!(queued.request.idempotency_key.as_deref(), Some(&b"key"[..]));
    assert!(queued.request.idempotent, "a PUT is repeatable");
    assert!(!queued.request.headers.contains_key("x-proxq-timeout"), "it is for proxq");
}

#[tokio::test]
async fn a_host_goes_on_where_the_upstream_wants_the_clients() {
    let intake = intake(|config| config.upstreams[0].host_header = HostHeader::Client).await;
    let queued = queued!(plan(&intake, request(|usual| usual)));
    assert_eq!(queued.request.headers["host"], "proxq");
}

#[tokio::test]
async fn without_secrets_direct_works_and_jobs_do_not() {
    let intake = intake_without_secrets(|_| {});
    assert!(!queued!(plan(&intake, request(|usual| usual))).secrets_known);
    let direct = request(|usual| usual.header("x-proxq-mode", "direct"));
    assert!(matches!(plan(&intake, direct), Ok(Plan::Direct(_))));
}
