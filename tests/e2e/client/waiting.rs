//! Tests of waits that do not end with a response at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::{Answer, Gate, Proxq, Refusing, Route, Store, Upstream, delete, on_every_store, on_the_store, within};
use proxq_client::{Error, Event, Outcome, Proxq as Middleware, ProxqClient, ProxqOptions};
use proxq_protocol::JobId;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{client, plain, scripted, url, with};

/// What a failed call has to say.
fn error(failed: &reqwest_middleware::Error) -> &Error {
    Error::find(failed).unwrap_or_else(|| panic!("not one of ours: {failed:?}"))
}

on_every_store! {
    async fn a_failed_job_is_an_error_that_says_why(store: Store) {
        let nobody = Refusing::new();
        let proxq = Proxq::start(store.config().route(Route::new("/", &nobody.url()))).await;
        let http = client();
        for _ in 0..2 {
            let failed = http.post(url(&proxq, "/x")).send().await.unwrap_err();
            let Error::JobFailed { error, outcome, .. } = error(&failed) else { panic!("{failed:?}") };
            assert!(error.contains("refused"), "{error}");
            assert_eq!(*outcome, Some(Outcome::NotSent));
            assert!(failed.to_string().contains(error), "{failed}");
            assert_eq!(format!("{failed:?}").matches(error.as_str()).count(), 1, "with all its causes: {failed:?}");
        }
    }

    async fn a_job_that_is_cancelled_is_lost(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().hang());
        let http = client();
        let (failed, ()) = tokio::join!(http.post(url(&proxq, "/x")).send(), async {
            upstream.arrivals(1).await;
            let id = upstream.received()[0].job_id().unwrap();
            proxq.send(delete(&format!("/__jobs/{id}"))).await;
        });
        let failed = failed.unwrap_err();
        assert!(matches!(error(&failed), Error::JobLost { .. }), "{failed:?}");
    }

    async fn the_wait_can_be_limited_and_the_job_goes_on(proxq: Proxq, upstream: Upstream) {
        let gate = Gate::new();
        upstream.always(Answer::status(200).body("late").wait(&gate));
        // A quarter of it is left for the answer to a held submission to come, also on a machine that is busy.
        let limit = Duration::from_secs(2);
        let http = client();
        let limited = [
            (false, http.post(url(&proxq, "/x")).with_extension(ProxqOptions::new().max_wait(limit))),
            (true, http.post(url(&proxq, "/x")).timeout(limit)),
            (true, http.post(url(&proxq, "/x")).timeout(limit).with_extension(ProxqOptions::new().wait(None))),
            (false, http.post(url(&proxq, "/x")).with_extension(ProxqOptions::new().max_wait(limit).wait(None))),
        ];
        let named = Middleware::builder().proxq_url(url(&proxq, "")).build().unwrap();
        let jobs = ProxqClient::new(named, plain());
        // A request's own timeout ends as it does without proxq.
        for (is_own, request) in limited {
            let begun = Instant::now();
            let failed = request.send().await.unwrap_err();
            assert!(begun.elapsed() < limit + Duration::from_secs(1), "{:?}", begun.elapsed());
            let Error::WaitTimeout { id, waited } = error(&failed) else { panic!("{failed:?}") };
            assert_eq!(failed.is_timeout(), is_own, "{failed:?}");
            assert!(*waited >= limit, "{waited:?}");
            gate.let_through(1);
            let content = jobs.attach(*id).unwrap().content().await.unwrap();
            assert_eq!(content.text().await.unwrap(), "late");
        }
    }

    async fn an_upstreams_503_differs_from_that_of_a_proxy_between(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::status(503).header("X-From", "upstream").body("busy"));
        let http = client();
        for options in [ProxqOptions::new(), ProxqOptions::new().wait(None), ProxqOptions::new()] {
            let response = http.get(url(&proxq, "/x")).with_extension(options).send().await.unwrap();
            assert_eq!((response.status().as_u16(), response.headers()["x-from"].as_bytes()), (503, &b"upstream"[..]));
        }
        assert_eq!(upstream.received().len(), 3, "and nothing was sent twice");
    }

    async fn a_listener_is_given_the_events_of_a_call(proxq: Proxq, upstream: Upstream) {
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let (told, mut events) = mpsc::unbounded_channel();
        // Held answers, a proxq that is known: what makes a call quick does not keep its listener waiting.
        let builder = Middleware::builder().proxq_url(url(&proxq, ""));
        let http = with(builder.on_event(move |event| told.send(event.clone()).unwrap_or_default()));
        let begun = Instant::now();
        let heard = async {
            let Some(Event::Submitted { id }) = within("an event", events.recv()).await else { panic!("not submitted") };
            let waiting = within("an event", events.recv()).await;
            assert!(matches!(&waiting, Some(Event::Waiting { id: same, status: Some(_), .. }) if *same == id), "{waiting:?}");
            assert!(begun.elapsed() < Duration::from_secs(10), "at once, not after an answer was held: {:?}", begun.elapsed());
            gate.open();
            loop {
                match within("an event", events.recv()).await {
                    Some(Event::Waiting { .. }) => {}
                    Some(Event::Done { id: same, .. }) => return assert_eq!(same, id),
                    other => panic!("{other:?}"),
                }
            }
        };
        let (response, ()) = tokio::join!(http.get(url(&proxq, "/x")).send(), heard);
        assert_eq!(response.unwrap().status(), 200);
    }
}

/// The status of a job that has its response.
fn completed(id: JobId) -> Answer {
    let status = format!(r#"{{"id":"{id}","status":"completed"}}"#);
    Answer::status(200).header("X-Proxq-Source", "proxq").body(status)
}

on_the_store! { Embedded:
    async fn a_held_submission_costs_one_round_trip(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let cable = harness::Cable::to(&proxq.address().to_string()).await;
        let server = format!("http://{}", cable.host_and_port());
        let http = with(Middleware::builder().proxq_url(&server));
        http.get(format!("{server}/x")).send().await.unwrap();
        assert_eq!(cable.round_trips(), 1);
    }
}

#[test]
fn a_server_that_does_not_hold_its_answers_is_not_flooded() {
    harness::run(async {
        let id = JobId::new();
        let not_ready = Answer::status(404).header("X-Proxq-Source", "proxq").body(r#"{"code":"NOT_READY"}"#);
        let server = scripted(id, not_ready).await;
        let http = with(Middleware::builder().max_wait(Duration::from_secs(1)));
        let failed = http.get(server.url()).send().await.unwrap_err();
        assert!(matches!(error(&failed), Error::WaitTimeout { .. }), "{failed:?}");
        assert!((3..15).contains(&server.received().len()), "{}", server.received().len());
    });
}

#[test]
fn a_location_that_answers_202_again_makes_no_second_job() {
    harness::run(async {
        let id = JobId::new();
        let server = Upstream::start().await;
        server.plan(move |_| super::accepted_answer(id));
        let failed = with(Middleware::builder()).get(server.url()).send().await.unwrap_err();
        assert!(matches!(error(&failed), Error::Protocol { .. }), "{failed:?}");
        assert_eq!(server.received().len(), 2, "the submission and one question");
    });
}

#[test]
fn a_location_elsewhere_gets_neither_the_job_nor_the_credentials() {
    harness::run(async {
        let id = JobId::new();
        let (server, elsewhere) = (Upstream::start().await, Upstream::start().await);
        let location = format!("{}/__jobs/{id}", elsewhere.url());
        server.plan(move |head| match head.word(1) {
            "/x" => Answer::status(202)
                .header("X-Proxq-Source", "proxq")
                .header("Location", &location)
                .body(format!(r#"{{"jobId":"{id}"}}"#)),
            _ => Answer::status(200).body("here"),
        });
        let request = client().get(format!("{}/x", server.url())).bearer_auth("secret").header("X-Api-Key", "secret");
        assert_eq!(request.send().await.unwrap().text().await.unwrap(), "here");
        assert!(elsewhere.received().is_empty());
        let content = &server.received()[1];
        assert!(content.header("authorization").is_some() && content.header("x-api-key").is_some());
    });
}

#[test]
fn a_jobs_url_elsewhere_gets_no_credentials() {
    harness::run(async {
        let id = JobId::new();
        let (server, jobs) = (scripted(id, Answer::status(500)).await, Upstream::start().await);
        jobs.answers(200, "there");
        let http = with(Middleware::builder().jobs_url(format!("{}/all", jobs.url())));
        let request = http.get(format!("{}/x", server.url())).bearer_auth("secret").header("X-Api-Key", "secret");
        assert_eq!(request.send().await.unwrap().text().await.unwrap(), "there");
        let content = jobs.request().await;
        assert_eq!(content.target(), format!("/all/{id}/content?wait=20s"));
        assert!(content.header("authorization").is_none() && content.header("x-api-key").is_none());
        assert_eq!(server.received().len(), 1);
    });
}

#[test]
fn it_works_on_both_kinds_of_runtime() {
    let flavours = [tokio::runtime::Builder::new_current_thread(), tokio::runtime::Builder::new_multi_thread()];
    for mut flavour in flavours {
        let heard = Arc::new(Mutex::new(0));
        let count = Arc::clone(&heard);
        flavour.enable_all().build().unwrap().block_on(async {
            let id = JobId::new();
            let server = Upstream::start().await;
            server.plan(move |head| match head.word(1) {
                path if path.ends_with("/content") => Answer::status(200).body("done"),
                path if path.starts_with("/__jobs/") => completed(id),
                _ => super::accepted_answer(id),
            });
            let http = with(Middleware::builder().on_event(move |_| *count.lock().unwrap() += 1));
            assert_eq!(http.get(server.url()).send().await.unwrap().text().await.unwrap(), "done");
        });
        assert_eq!(*heard.lock().unwrap(), 2);
    }
}
