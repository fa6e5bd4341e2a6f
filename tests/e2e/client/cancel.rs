//! Tests of dropped calls: each cancels its job, as a direct call closes its connection.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use harness::{Answer, Cable, Gate, Proxq, Upstream, eventually, get, never_within, on_every_store, within};
use proxq_client::{Builder, Event, Proxq as Middleware};
use proxq_protocol::{JobId, header};
use reqwest_middleware::ClientBuilder;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{accepted_answer, script, scripted, url, with};

/// Within this time a dropped call's job is gone.
const SOON: Duration = Duration::from_secs(1);

/// A call under way, which never has a result. Dropping it drops the call.
fn call(builder: Builder, url: String) -> JoinSet<()> {
    let http = with(builder);
    let mut call = JoinSet::new();
    call.spawn(async move {
        let ended = http.post(url).body("x").send().await;
        panic!("the call should not end: {ended:?}");
    });
    call
}

on_every_store! {
    async fn a_dropped_call_cancels_its_running_job(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().hang());
        let (told, mut events) = mpsc::unbounded_channel();
        // Nothing says before the first answer that there is a proxq.
        let builder = Middleware::builder().on_event(move |event| told.send(event.clone()).unwrap_or_default());
        let call = call(builder, url(&proxq, "/x"));
        let submitted = within("it is submitted", events.recv()).await;
        let Some(Event::Submitted { id }) = submitted else { panic!("{submitted:?}") };
        upstream.arrivals(1).await;
        drop_and_see_it_aborted(&upstream, call, id).await;
        proxq.send(get(&format!("/__jobs/{id}"))).await.refused(404, "NOT_FOUND");
    }

    async fn a_dropped_call_cancels_the_job_of_a_held_submission(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().hang());
        let call = call(Middleware::builder().proxq_url(url(&proxq, "")), url(&proxq, "/x"));
        upstream.arrivals(1).await;
        let id = upstream.received()[0].job_id().unwrap();
        drop_and_see_it_aborted(&upstream, call, id).await;
    }

    async fn a_job_whose_submission_arrives_after_its_cancellation_is_aborted(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().hang());
        let cable = Cable::to(&proxq.address().to_string()).await;
        let gate = Gate::new();
        cable.keep_back(&gate);
        let server = format!("http://{}", cable.host_and_port());
        let http = with(Middleware::builder().proxq_url(&server));
        let mut call = JoinSet::new();
        call.spawn(async move { http.get(format!("{server}/x")).send().await });
        eventually("the submission is on its way", async || cable.round_trips() == 1).await;
        let cancelling = Gate::new();
        cable.keep_back(&cancelling);
        cancelling.let_through(1); // the first cancellation alone; the next comes when the upstream has the request
        drop(call);
        let is_unknown = |record: &harness::Record| {
            record.message() == "request answered" && record.field("status").as_deref() == Some("404")
        };
        proxq.log().find(is_unknown).await.expect("proxq is asked to cancel what it does not know");
        assert!(upstream.received().is_empty());

        gate.let_through(1); // the request, and not yet that its sender has gone
        let id = upstream.request().await.job_id().unwrap();
        let arrived = Instant::now();
        cancelling.open();
        upstream.abandoned(id).await;
        assert!(arrived.elapsed() < SOON, "{:?}", arrived.elapsed());
        proxq.send(get(&format!("/__jobs/{id}"))).await.refused(404, "NOT_FOUND");
    }

    async fn a_dropped_call_leaves_its_job_where_cancelling_is_switched_off(proxq: Proxq, upstream: Upstream) {
        let gate = Gate::new();
        upstream.always(Answer::status(200).body("done").wait(&gate));
        let call = call(Middleware::builder().proxq_url(url(&proxq, "")).cancel_on_drop(false), url(&proxq, "/x"));
        upstream.arrivals(1).await;
        let id = upstream.received()[0].job_id().unwrap();
        drop(call);
        never_within(SOON, "the job is cancelled", upstream.abandoned(id)).await;
        gate.open();
        let content = proxq.send(get(&format!("/__jobs/{id}/content?wait=10s"))).await;
        assert_eq!(content.text(), "done");
    }
}

async fn drop_and_see_it_aborted(upstream: &Upstream, call: JoinSet<()>, id: JobId) {
    let dropped = Instant::now();
    drop(call);
    upstream.abandoned(id).await;
    assert!(dropped.elapsed() < SOON, "{:?}", dropped.elapsed());
    assert_eq!(upstream.deliveries(id), 1);
}

/// Waits for the request that cancels a job.
async fn cancelled(server: &Upstream, id: JobId) -> harness::Received {
    let of_job = || {
        let mut received = server.received().into_iter();
        received.find(|one| one.method() == "DELETE" && one.target() == format!("/__jobs/{id}"))
    };
    eventually("the job is cancelled", async || of_job().is_some()).await;
    of_job().expect("it has just been there")
}

/// What was on its way when its call was dropped may become a job after that was cancelled for the first time.
#[test]
fn a_job_that_is_unknown_yet_is_cancelled_until_it_is_known() {
    harness::run(async {
        let server = Upstream::start().await;
        let mut asked = 0;
        server.plan(move |head| match head.word(0) {
            "DELETE" => {
                asked += 1;
                let known = asked == 3;
                Answer::status(if known { 200 } else { 404 }).header(header::SOURCE, header::SOURCE_VALUE)
            }
            _ => Answer::nothing().hang(),
        });
        let call = call(Middleware::builder().proxq_url(server.url()), format!("{}/x", server.url()));
        server.arrivals(1).await;
        let id = server.received()[0].job_id().expect("it is proposed");
        drop(call);
        server.arrivals(4).await;
        // The next would come after 0.6 s.
        never_within(SOON, "it is cancelled once more", server.arrivals(5)).await;
        let targets: Vec<_> = server.received().iter().skip(1).map(|one| one.target().to_owned()).collect();
        assert_eq!(targets, vec![format!("/__jobs/{id}"); 3]);
    });
}

#[test]
fn a_dropped_call_cancels_the_job_whose_result_is_fetched() {
    harness::run(async {
        let id = JobId::new();
        let server = scripted(id, Answer::nothing().hang()).await;
        let call = call(Middleware::builder(), format!("{}/x", server.url()));
        server.arrivals(2).await; // the submission, the content
        drop(call);
        cancelled(&server, id).await;
    });
}

/// Whether a future has not ended yet.
async fn is_pending(mut future: Pin<&mut impl Future<Output = ()>>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

#[test]
fn flush_waits_until_the_cancellations_are_answered() {
    harness::run(async {
        let (id, gate) = (JobId::new(), Gate::new());
        let server = Upstream::start().await;
        let plan = gate.clone();
        server.plan(move |head| match head.word(0) {
            "DELETE" => Answer::status(200).header(header::SOURCE, header::SOURCE_VALUE).wait(&plan),
            "POST" => accepted_answer(id),
            _ => Answer::nothing().hang(),
        });
        let proxq = Middleware::new();
        within("there is nothing to wait for", proxq.flush()).await;
        let http = ClientBuilder::new(super::plain()).with(proxq.clone()).build();
        let mut call = JoinSet::new();
        let request = http.post(format!("{}/x", server.url()));
        call.spawn(async move { request.send().await });
        server.arrivals(2).await;
        call.shutdown().await;
        let mut flush = pin!(proxq.flush());
        assert!(is_pending(flush.as_mut()).await, "a cancellation is under way");
        cancelled(&server, id).await;
        assert!(is_pending(flush.as_mut()).await, "it has no answer yet");
        gate.open();
        within("it has ended", flush).await;
    });
}

#[test]
fn a_cancellation_has_the_credentials_of_its_call() {
    harness::run(async {
        let id = JobId::new();
        let server = Upstream::start().await;
        server.plan(move |head| match head.word(0) {
            "POST" => accepted_answer(id),
            "DELETE" => Answer::status(200).header(header::SOURCE, "proxq").body(r#"{"status":"cancelled"}"#),
            _ => Answer::nothing().hang(),
        });
        let http = with(Middleware::builder().proxq_url(server.url()).token("secret"));
        let request = http.post(format!("{}/x", server.url())).bearer_auth("mine").header("X-Other", "1");
        let mut call = JoinSet::new();
        call.spawn(async move { request.send().await });
        server.arrivals(2).await;
        drop(call);
        let delete = cancelled(&server, id).await;
        assert_eq!(delete.header("authorization").as_deref(), Some("Bearer mine"));
        assert_eq!(delete.header(header::TOKEN).as_deref(), Some("secret"));
        assert_eq!(delete.header("x-other"), None);
        never_within(SOON, "it is cancelled a second time", server.arrivals(4)).await;
        assert_eq!(server.received().iter().filter(|one| one.method() == "DELETE").count(), 1, "once is enough");
    });
}

#[test]
fn a_call_that_has_its_response_cancels_nothing() {
    harness::run(async {
        let id = JobId::new();
        let server = scripted(id, Answer::status(200).body("done")).await;
        let http = with(Middleware::builder());
        let response = http.get(format!("{}/x", server.url())).send().await.unwrap();
        drop(response);
        script(&server, id, Answer::nothing().hang());
        let so_far = server.received().len();
        never_within(Duration::from_millis(300), "something is asked after the response", server.arrivals(so_far + 1))
            .await;
        assert!(server.received().iter().all(|one| one.method() == "GET"));
    });
}
