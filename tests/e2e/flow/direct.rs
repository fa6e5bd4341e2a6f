//! Tests of direct requests at an upstream with limits: they count, and one too many is refused.

use harness::websocket::{EchoServer, Message, WebSocket};
use harness::{Answer, Gate, Proxq, Reply, Request, Store, Upstream, eventually, get, on_every_store, post};
use proxq_protocol::{Waiting, header};

use super::{config_for_url, waits};

fn direct() -> Request {
    get("/direct").header("X-Proxq-Mode", "direct")
}

/// Asserts that a limit refused a direct request; gives after how many seconds it is worth another try.
#[track_caller]
fn is_refused(reply: &Reply, policy: &str) -> u64 {
    reply.refused(429, "RATE_LIMITED");
    assert_eq!(reply.header(header::SHOULD_RETRY).as_deref(), Some("true"), "{reply}");
    assert_eq!(reply.header(header::RATE_LIMIT_POLICY).as_deref(), Some(policy), "{reply}");
    let seconds: u64 = reply.header("retry-after").expect("a 429 has it").parse().expect("a number");
    let name = policy.split(';').next().expect("a policy has a name");
    assert_eq!(reply.header(header::RATE_LIMIT), Some(format!("{name};r=0;t={seconds}")));
    seconds
}

const ONE_AT_ONCE: &str = "\"concurrency\";q=1;qu=\"concurrent-requests\"";

/// An upstream that answers when the gate is opened, and a server that allows one attempt at once.
async fn one_at_once(store: Store, scope: &str) -> (Proxq, Upstream, Gate) {
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    upstream.always(Answer::status(200).body("late").wait(&gate));
    let config = store.config_for(&upstream).upstream("concurrency", 1).upstream("concurrencyScope", scope);
    (Proxq::start(config).await, upstream, gate)
}

fn scopes(store: Store) -> &'static [&'static str] {
    match store {
        Store::Embedded => &["instance"],
        Store::Redis => &["instance", "shared"],
    }
}

on_every_store! {
    async fn a_direct_request_occupies_the_place_of_a_job(store: Store) {
        for scope in scopes(store) {
            let (proxq, upstream, gate) = one_at_once(store, scope).await;
            let mut running = proxq.begin(direct()).await;
            upstream.arrivals(1).await;
            let job = proxq.submit(post("/job")).await;
            waits(&proxq, &job, Waiting::Limit).await;
            assert_eq!(is_refused(&proxq.send(direct()).await, ONE_AT_ONCE), 1);
            assert_eq!(upstream.received().len(), 1, "{scope}");
            gate.open();
            assert_eq!(running.reply().await.from_upstream(200).text(), "late");
            proxq.response(&job).await;
            proxq.send(direct()).await.from_upstream(200);
        }
    }

    async fn a_job_occupies_the_place_of_a_direct_request(store: Store) {
        for scope in scopes(store) {
            let (proxq, upstream, gate) = one_at_once(store, scope).await;
            let job = proxq.submit(post("/job")).await;
            upstream.arrivals(1).await;
            is_refused(&proxq.send(direct()).await, ONE_AT_ONCE);
            gate.open();
            proxq.response(&job).await;
            proxq.send(direct()).await.from_upstream(200);
        }
    }

    async fn a_client_that_goes_away_gives_its_place_back(store: Store) {
        for scope in scopes(store) {
            let (proxq, upstream, gate) = one_at_once(store, scope).await;
            let running = proxq.begin(direct()).await;
            upstream.arrivals(1).await;
            drop(running);
            gate.open();
            proxq.through_queue(post("/job")).await;
        }
    }

    async fn a_response_holds_its_place_until_it_has_ended(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        upstream.once(Answer::raw(head).wait(&gate).then("later"));
        let proxq = Proxq::start(store.config_for(&upstream).upstream("concurrency", 1)).await;
        let mut running = proxq.begin(direct()).await;
        running.head().await;
        is_refused(&proxq.send(direct()).await, ONE_AT_ONCE);
        gate.open();
        running.comes("later").await;
        proxq.through_queue(post("/job")).await;
    }

    async fn a_websocket_holds_its_place_until_it_ends(store: Store) {
        let echo = EchoServer::start().await;
        let proxq = Proxq::start(config_for_url(store, &echo.url()).upstream("concurrency", 1)).await;
        let mut socket = WebSocket::connect(proxq.address(), "/chat").await;
        socket.send(Message::text("hello")).await;
        assert_eq!(socket.next().await, Some(Message::text("hello")));
        is_refused(&proxq.send(direct()).await, ONE_AT_ONCE);
        let job = proxq.submit(post("/job")).await;
        waits(&proxq, &job, Waiting::Limit).await;
        socket.close(4000, "enough").await;
        assert_eq!(socket.farewell().await, Some((4000, "enough".to_owned())));
        drop(socket); // with its connection, the tunnel ends
        // What the echo server makes of a job is its own affair.
        eventually("the job has ended", async || proxq.status(&job).await.status.is_final()).await;
    }

    async fn direct_requests_and_jobs_share_a_rate(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).upstream("rateLimit", "1/h")).await;
        proxq.send(direct()).await.from_upstream(200);
        let job = proxq.submit(post("/job")).await;
        waits(&proxq, &job, Waiting::Rate).await;
        let seconds = is_refused(&proxq.send(direct()).await, "\"rate\";q=1;w=3600");
        // Some seconds may have passed, and the pace lies a little below the rate.
        assert!((3500..=3700).contains(&seconds), "{seconds}");
        assert_eq!(upstream.received().len(), 1);
    }

    async fn a_burst_is_for_direct_requests_too(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream).upstream("rateLimit", "3/h").upstream("burst", 3);
        let proxq = Proxq::start(config).await;
        proxq.through_queue(post("/job")).await;
        for _ in 0..2 {
            proxq.send(direct()).await.from_upstream(200);
        }
        is_refused(&proxq.send(direct()).await, "\"rate\";q=3;w=3600");
    }

    async fn without_limits_direct_requests_pass(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream).upstream("retryOn", vec![503]).set("concurrency", 1);
        let (proxq, gate) = (Proxq::start(config).await, Gate::new());
        upstream.once(Answer::status(200).wait(&gate));
        let job = proxq.submit(post("/job")).await;
        upstream.arrivals(1).await;
        for _ in 0..3 {
            proxq.send(direct()).await.from_upstream(200);
        }
        upstream.answers(503, "as it is");
        proxq.send(direct()).await.from_upstream(503);
        gate.open();
        proxq.response(&job).await;
    }
}
