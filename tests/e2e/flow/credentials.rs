//! Tests of clients with different credentials at one upstream: turns, and limits of each.

use std::time::Duration;

use harness::{Answer, Gate, Proxq, Store, Upstream, never_within, on_every_store, post};
use proxq_protocol::Waiting;

use super::{job_of, submit, waits};

/// Longer than an attempt takes that may begin.
const WOULD_HAVE_BEGUN: Duration = Duration::from_millis(300);

/// Whose the requests were, in their order.
fn credentials(upstream: &Upstream) -> String {
    upstream.received().iter().map(|received| received.header("authorization").unwrap_or_default()).collect()
}

/// The order in which jobs begin of which four are of `a`, then four of `b`, all waiting behind one of `z`.
async fn order(store: Store, fairness: &str) -> String {
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    upstream.always(Answer::status(200).wait(&gate));
    let config = store.config_for(&upstream).upstream("concurrency", 1).upstream("fairness", fairness);
    let proxq = Proxq::start(config).await;
    proxq.submit(job_of("z")).await;
    upstream.arrivals(1).await;
    for credential in ["a", "b"] {
        submit(&proxq, &job_of(credential), 4).await;
    }
    gate.open();
    upstream.arrivals(9).await;
    credentials(&upstream)
}

on_every_store! {
    async fn credentials_take_turns_where_that_is_set(store: Store) {
        let order = order(store, "credential").await;
        assert!(["zabababab", "zbabababa"].contains(&order.as_str()), "{order}");
    }

    async fn without_it_the_oldest_job_is_next(store: Store) {
        assert_eq!(order(store, "none").await, "zaaaabbbb");
    }

    async fn a_client_that_comes_late_does_not_wait_behind_another(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).wait(&gate));
        let config = store.config_for(&upstream).upstream("concurrency", 1).upstream("fairness", "credential");
        let proxq = Proxq::start(config).await;
        submit(&proxq, &job_of("a"), 50).await;
        upstream.arrivals(1).await;
        gate.let_through(3);
        upstream.arrivals(4).await;
        submit(&proxq, &job_of("b"), 1).await;
        gate.let_through(2);
        upstream.arrivals(6).await;
        assert!(credentials(&upstream).contains('b'), "{}", credentials(&upstream));
    }

    async fn jobs_of_one_credential_keep_their_order_and_their_priority(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).wait(&gate));
        let config = store.config_for(&upstream).upstream("concurrency", 1).upstream("fairness", "credential");
        let proxq = Proxq::start(config).await;
        proxq.submit(post("/runs")).await;
        upstream.arrivals(1).await;
        for (path, priority) in [("/1", "normal"), ("/2", "normal"), ("/0", "high"), ("/3", "low")] {
            proxq.submit(post(path).header("X-Proxq-Priority", priority)).await;
        }
        gate.open();
        upstream.arrivals(5).await;
        let order: Vec<_> = upstream.received().iter().skip(1).map(|received| received.target().to_owned()).collect();
        assert_eq!(order, ["/0", "/1", "/2", "/3"]);
    }

    async fn each_credential_has_its_own_number_at_once(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).wait(&gate));
        let proxq = Proxq::start(store.config_for(&upstream).upstream("perCredential.concurrency", 1)).await;
        let of_a = submit(&proxq, &job_of("a"), 3).await;
        upstream.arrivals(1).await;
        submit(&proxq, &job_of("b"), 2).await;
        upstream.arrivals(2).await;
        waits(&proxq, &of_a[1], Waiting::Limit).await;
        never_within(WOULD_HAVE_BEGUN, "another one begins", upstream.arrivals(3)).await;
        assert_eq!(credentials(&upstream), "ab");
        gate.let_through(2);
        upstream.arrivals(4).await;
        assert!(["abab", "abba"].contains(&credentials(&upstream).as_str()), "{}", credentials(&upstream));
        gate.open();
        proxq.response(&of_a[2]).await;
    }

    async fn each_credential_has_its_own_rate(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).upstream("perCredential.rateLimit", "1/h")).await;
        for credential in ["a", "b"] {
            proxq.through_queue(job_of(credential)).await;
            let second = proxq.submit(job_of(credential)).await;
            waits(&proxq, &second, Waiting::Rate).await;
        }
        let direct = |credential| job_of(credential).header("X-Proxq-Mode", "direct");
        proxq.send(direct("a")).await.refused(429, "RATE_LIMITED");
        proxq.send(direct("c")).await.from_upstream(200);
        assert_eq!(credentials(&upstream), "abc");
    }

    async fn an_api_key_in_another_header_is_a_credential_too(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).upstream("perCredential.rateLimit", "1/h")).await;
        for key in ["a", "b"] {
            proxq.through_queue(post("/x").header("x-api-key", key)).await;
        }
        let second = proxq.submit(post("/x").header("x-api-key", "a")).await;
        waits(&proxq, &second, Waiting::Rate).await;
    }
}
