//! Tests of outages between a call and its proxq.

use std::time::Duration;

use futures_util::stream;
use harness::{Answer, Cable, Gate, Proxq, Refusing, Store, Tap, Upstream, eventually, on_every_store, on_the_store};
use proxq_client::{Error, Proxq as Middleware};
use proxq_protocol::JobId;
use tokio::time::Instant;

use super::{scripted, with};

/// An address at which a server can be started again.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port of loopback");
    listener.local_addr().expect("a bound socket has an address").to_string()
}

on_every_store! {
    async fn proxq_may_go_away_and_come_back_while_a_call_waits(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.once(Answer::status(200).wait(&gate));
        upstream.answers(200, "done at last");
        let config = store.config_for(&upstream).set("listenAddress", free_address()).upstream("delivery", "at-least-once");
        let mut proxq = Proxq::start(config).await;
        // One that is known to be a proxq has the same trouble with its submission, see below.
        let http = with(Middleware::builder());
        let tap = Tap::to(proxq.address()).await;
        let target = format!("{}/x", tap.url());
        let (response, ()) = tokio::join!(http.post(target).body("x").send(), async {
            tap.sees("GET /__jobs/").await; // so it has the answer to its submission
            upstream.arrivals(1).await;
            proxq.kill();
            proxq.start_again().await;
        });
        assert_eq!(response.unwrap().text().await.unwrap(), "done at last");
        let ids: Vec<_> = upstream.received().iter().map(harness::Received::job_id).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "one job: {ids:?}");
    }

    async fn a_submission_whose_answer_got_lost_is_sent_again_and_stays_one_job(proxq: Proxq, upstream: Upstream) {
        let gate = Gate::new();
        upstream.always(Answer::status(200).body("once").wait(&gate));
        let cable = Cable::to(&proxq.address().to_string()).await;
        let server = format!("http://{}", cable.host_and_port());
        let http = with(Middleware::builder().proxq_url(&server));
        let (response, ()) = tokio::join!(http.post(format!("{server}/x")).body("x").send(), async {
            for sent in 1..=3 {
                eventually("it is sent", async || cable.round_trips() == sent).await;
                upstream.arrivals(1).await;
                cable.cut();
            }
            eventually("it is sent for the last time", async || cable.round_trips() == 4).await;
            gate.open();
        });
        assert_eq!(response.unwrap().text().await.unwrap(), "once");
        assert_eq!(upstream.received().len(), 1);
    }
}

on_the_store! { Embedded:
    async fn a_body_that_is_a_stream_is_sent_once(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().hang());
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let cable = Cable::to(&proxq.address().to_string()).await;
        let server = format!("http://{}", cable.host_and_port());
        let http = with(Middleware::builder().proxq_url(&server));
        let pieces = stream::iter([Ok::<_, std::io::Error>("x")]);
        let request = http.post(format!("{server}/x")).header("Content-Length", "1").body(reqwest::Body::wrap_stream(pieces));
        let (response, ()) = tokio::join!(request.send(), async {
            upstream.arrivals(1).await;
            cable.cut();
        });
        assert!(response.unwrap_err().is_request());
        // It may have become a job, of which nobody knows any more.
        upstream.abandoned(upstream.received()[0].job_id().unwrap()).await;
    }
}

#[test]
fn an_unreachable_proxq_is_reported_at_once() {
    harness::run(async {
        let nobody = Refusing::new();
        let http = with(Middleware::builder().proxq_url(nobody.url()));
        let begun = Instant::now();
        assert!(http.get(nobody.url()).send().await.unwrap_err().is_connect());
        assert!(begun.elapsed() < Duration::from_millis(150), "as a direct call fails: {:?}", begun.elapsed());
    });
}

#[test]
fn a_lasting_outage_ends_the_call_and_names_its_job() {
    harness::run(async {
        let id = JobId::new();
        let server = scripted(id, Answer::status(503).body("from a load balancer")).await;
        let http = with(Middleware::builder().max_outage(Duration::from_millis(500)));
        let begun = Instant::now();
        let failed = http.get(server.url()).send().await.unwrap_err();
        let Some(Error::Poll { id: named, source }) = Error::find(&failed) else { panic!("{failed:?}") };
        assert_eq!(*named, id);
        assert!(source.to_string().contains("503"), "{source}");
        assert!((500..1500).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
        let submissions = server.received().iter().filter(|received| received.target() == "/").count();
        assert_eq!(submissions, 1);
    });
}

#[test]
fn a_failing_proxy_between_is_tolerated_for_a_while() {
    harness::run(async {
        let id = JobId::new();
        let server = Upstream::start().await;
        let mut asked = 0;
        server.plan(move |head| match head.word(1) {
            "/x" => super::accepted_answer(id),
            content if content.contains("/content") => {
                asked += 1;
                if asked <= 3 { Answer::status(502).body("nginx") } else { Answer::status(200).body("done") }
            }
            _ => Answer::status(502).body("nginx"),
        });
        let response = with(Middleware::builder()).get(format!("{}/x", server.url())).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "done");
    });
}
