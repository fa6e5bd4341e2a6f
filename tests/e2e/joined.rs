//! Tests of joined retries: an SDK whose request was cut tries again and gets the job of its first try.

use std::time::Duration;

use harness::{Answer, Gate, Proxq, Reply, Request, Store, Upstream, get, head, on_every_store, post, within};
use proxq_protocol::JobStatus;
use tokio::time::Instant;

const MODES: [&str; 2] = ["wait", "follow"];
/// How long a later try waits for the client of an earlier one that is still there.
const HELD_PATIENCE: Duration = Duration::from_secs(5);

/// A server in this mode whose upstream answers when the gate is opened.
async fn gated(store: &Store, mode: &str) -> (Proxq, Upstream, Gate) {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    upstream.always(Answer::status(201).body("late").wait(&gate));
    (Proxq::start(store.config_for(&upstream).upstream("mode", mode)).await, upstream, gate)
}

/// Try `number` of a call, as SDKs count them.
fn nth_try(number: &str) -> Request {
    let request = post("/v1/chat").header("Authorization", "Bearer one").header("X-Stainless-Retry-Count", number);
    request.header("X-Request-Id", format!("request-{number}")).body("{\"model\":\"m\"}")
}

/// Sends a request that is cut once its job runs.
async fn cut(proxq: &Proxq, upstream: &Upstream, request: Request) {
    let before = upstream.received().len();
    let wire = proxq.begin(request).await;
    upstream.arrivals(before + 1).await;
    drop(wire);
}

fn is_joined(reply: &Reply) -> bool {
    reply.header("x-proxq-joined").is_some_and(|value| value == "retry")
}

on_every_store! {
    async fn a_later_try_gets_the_answer_to_the_first_one(store: Store) {
        for mode in MODES {
            let (proxq, upstream, gate) = gated(&store, mode).await;
            cut(&proxq, &upstream, nth_try("0")).await;
            let second = proxq.begin(nth_try("1")).await;
            proxq.log().line("joined the job of an earlier try").await.expect("the second try joins");
            drop(second);
            let (reply, ()) = tokio::join!(proxq.send(nth_try("2")), async {
                proxq.log().find_after(0, |record| record.message() == "client went away before its answer").await;
                gate.open();
            });
            assert_eq!((reply.status, reply.text().as_str(), is_joined(&reply)), (201, "late", true), "{mode}: {reply}");
            assert_eq!(upstream.received().len(), 1, "{mode}");
            let next = proxq.send(nth_try("1")).await;
            assert!(next.status == 201 && !is_joined(&next), "{mode}, an answered call is over: {next}");
            assert_eq!(upstream.received().len(), 2, "{mode}");
        }
    }

    async fn only_a_later_try_of_the_same_call_joins(store: Store) {
        let (proxq, upstream, gate) = gated(&store, "wait").await;
        cut(&proxq, &upstream, nth_try("0")).await;
        gate.open();
        let others = [
            nth_try("0"),
            nth_try("one"),
            nth_try("-1"),
            nth_try("100000000000000000000"),
            nth_try("1").header("X-Stainless-Retry-Count", "1"),
            nth_try("1").header("Authorization", "Bearer two"),
            nth_try("1").header("OpenAI-Organization", "other"),
            nth_try("1").body("{\"model\":\"n\"}"),
            nth_try("1").header("X-Proxq-Job-Id", "550e8400-e29b-41d4-a716-446655440000").header("X-Proxq-Mode", "wait"),
            nth_try("1").header("Idempotency-Key", "key"),
            nth_try("1").header("X-Proxq-Mode", "queue"),
        ];
        let count = others.len();
        for other in others {
            let reply = proxq.send(other).await;
            assert!((201..=202).contains(&reply.status) && !is_joined(&reply), "{reply}");
        }
        upstream.arrivals(1 + count).await;
        let reply = proxq.send(nth_try("999").header("X-Stainless-Lang", "python").header("Traceparent", "other")).await;
        assert!(is_joined(&reply), "the first one is there still: {reply}");
        assert_eq!(upstream.received().len(), 1 + count);
    }

    async fn a_client_without_credentials_is_joined_by_its_address(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(201).body("late").wait(&gate));
        let config = store.config_for(&upstream).upstream("mode", "wait").set("trustedProxies", vec!["127.0.0.1"]);
        let proxq = Proxq::start(config).await;
        let anonymous = |count: u8, address: &str| {
            post("/x").header("X-Stainless-Retry-Count", count.to_string()).header("X-Forwarded-For", address)
        };
        cut(&proxq, &upstream, anonymous(0, "192.0.2.1")).await;
        gate.open();
        assert!(!is_joined(&proxq.send(anonymous(1, "192.0.2.2")).await), "somebody else");
        assert!(is_joined(&proxq.send(anonymous(1, "192.0.2.1")).await));
    }

    async fn joining_can_be_switched_off(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(201).body("late").wait(&gate));
        let config = store.config_for(&upstream).upstream("mode", "wait").upstream("joinRetries", false);
        let proxq = Proxq::start(config).await;
        cut(&proxq, &upstream, nth_try("0")).await;
        gate.open();
        assert!(!is_joined(&proxq.send(nth_try("1")).await));
        assert_eq!(upstream.received().len(), 2);
    }

    async fn a_client_that_is_still_there_keeps_its_job(store: Store) {
        let (proxq, upstream, gate) = gated(&store, "wait").await;
        let mut first = proxq.begin(nth_try("0")).await;
        upstream.arrivals(1).await;
        let gone = proxq.begin(nth_try("1")).await;
        proxq.ready().await; // so that it most likely waits by then
        drop(gone);
        let began = Instant::now();
        let second = proxq.begin(nth_try("1")).await;
        upstream.arrivals(2).await;
        assert!(began.elapsed() >= HELD_PATIENCE, "it waited for the first client to go");
        gate.open();
        assert_eq!(first.reply().await.status, 201);
        assert_eq!(upstream.received().len(), 2, "a try that went away while it waited is no job");
        drop(second);
    }

    async fn a_later_try_waits_for_the_first_client_to_go(store: Store) {
        let (proxq, upstream, gate) = gated(&store, "wait").await;
        let first = proxq.begin(nth_try("0")).await;
        upstream.arrivals(1).await;
        let mut second = proxq.begin(nth_try("1")).await;
        let began = Instant::now();
        drop(first);
        proxq.log().line("joined the job of an earlier try").await.expect("the second try joins");
        assert!(began.elapsed() < HELD_PATIENCE, "as soon as the first client has gone");
        gate.open();
        assert!(is_joined(&second.reply().await));
    }

    async fn a_follower_that_is_cut_between_hops_or_in_one_is_joined(store: Store) {
        let (proxq, upstream, gate) = gated(&store, "follow").await;
        let left = proxq.send(nth_try("0").header("X-Proxq-Wait", "0")).await;
        assert_eq!(left.status, 303, "it does not follow");
        let again = proxq.send(nth_try("1").header("X-Proxq-Wait", "0")).await;
        assert!(again.status == 303 && is_joined(&again), "{again}");
        let id = again.header("x-proxq-job-id").unwrap();
        assert_eq!(left.header("x-proxq-job-id").as_deref(), Some(&*id));
        let hop = proxq.begin(get(&format!("/__jobs/{id}/content?hop=1"))).await;
        upstream.arrivals(1).await;
        drop(hop);
        gate.open();
        let last = proxq.send(nth_try("2")).await;
        assert!(last.status == 201 && is_joined(&last), "{last}");
        assert_eq!(upstream.received().len(), 1);
    }

    async fn a_look_at_the_head_alone_is_no_answer_to_the_call(store: Store) {
        let (proxq, upstream, gate) = gated(&store, "follow").await;
        let left = proxq.send(nth_try("0").header("X-Proxq-Wait", "0")).await;
        gate.open();
        let hop = format!("/__jobs/{}/content?hop=1", left.header("x-proxq-job-id").unwrap());
        assert_eq!(proxq.send(head(&hop)).await.status, 201);
        let again = proxq.send(nth_try("1")).await;
        assert!(is_joined(&again) && again.text() == "late", "{again}");
        assert_eq!(upstream.received().len(), 1);
    }

    async fn an_answer_that_was_cut_is_given_again(store: Store) {
        let (upstream, body) = (Upstream::start().await, vec![b'x'; 9 << 20]);
        upstream.always(Answer::status(200).body(body.clone()));
        let proxq = Proxq::start(store.config_for(&upstream).upstream("mode", "follow")).await;
        let mut wire = proxq.begin(nth_try("0")).await;
        assert_eq!(wire.head().await.word(1), "200");
        drop(wire);
        let again = proxq.send(nth_try("1")).await;
        assert!(is_joined(&again) && again.body == body, "{} bytes", again.body.len());
        assert_eq!(upstream.received().len(), 1);
    }

    async fn what_an_sdk_sends_again_on_purpose_is_a_job_of_its_own(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        let (answers, mut count) = (gate.clone(), 0);
        upstream.plan(move |_| {
            count += 1;
            if count == 1 { Answer::status(429).wait(&answers) } else { Answer::status(200).body("at last") }
        });
        let proxq = Proxq::start(store.config_for(&upstream).upstream("mode", "wait")).await;
        let queued = nth_try("0").header("X-Proxq-Wait", "0");
        let job = harness::Job::of(&proxq.send(queued).await);
        gate.open();
        assert_eq!(proxq.settled(&job).await.status, JobStatus::Completed);
        let again = proxq.send(nth_try("1")).await;
        assert_eq!((again.text().as_str(), is_joined(&again)), ("at last", false), "{again}");
    }

    async fn what_may_have_been_done_is_not_sent_again(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::nothing().wait(&gate).reset());
        let proxq = Proxq::start(store.config_for(&upstream).upstream("mode", "follow")).await;
        let job = harness::Job::of(&proxq.send(nth_try("0").header("X-Proxq-Mode", "wait").header("X-Proxq-Wait", "0")).await);
        gate.open(); // not before the answer, which would be that the job has failed
        assert_eq!(proxq.settled(&job).await.status, JobStatus::Failed);
        let again = proxq.send(nth_try("1")).await;
        assert_eq!((again.status, is_joined(&again)), (424, true), "{again}");
        assert_eq!(again.json()["outcome"], "indeterminate");
        assert_eq!(upstream.received().len(), 1);
    }

    async fn the_job_of_an_abandoned_call_is_cancelled_where_that_is_wanted(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().hang());
        let config = store.config_for(&upstream).upstream("mode", "follow").upstream("onAbandon", "cancel");
        let proxq = Proxq::start(config).await;
        let left = proxq.send(nth_try("0").header("X-Proxq-Mode", "wait").header("Prefer", "wait=0")).await;
        let kept = harness::Job::of(&left);
        upstream.arrivals(1).await;
        cut(&proxq, &upstream, post("/other")).await;
        let id = upstream.received()[1].job_id().expect("the upstream gets the id");
        upstream.abandoned(id).await;
        let gone = proxq.send(get(&format!("/__jobs/{id}"))).await;
        assert_eq!(gone.status, 404, "{gone}");
        assert_eq!(proxq.status(&kept).await.status, JobStatus::Running, "its client said how long it waits");
    }
}

/// A server that was killed holds nobody: another instance, or the next run, has its jobs joined.
mod after_a_crash {
    use super::*;

    on_every_store! {
        async fn a_later_try_joins_the_job_of_a_killed_server(store: Store) {
            let (mut proxq, upstream, gate) = gated(&store, "follow").await;
            cut(&proxq, &upstream, nth_try("0")).await;
            let held = proxq.begin(nth_try("1")).await;
            proxq.log().line("joined the job of an earlier try").await.expect("the second try joins");
            proxq.kill();
            drop(held);
            proxq.start_again().await;
            gate.open();
            // The job's lease was lost, and a POST is not sent again. In Redis the lease has to expire first.
            let mut request = nth_try("2");
            let reply = within("the job's end", async {
                loop {
                    let reply = proxq.send(request).await;
                    assert!(is_joined(&reply) || reply.status == 424 || reply.status == 303, "{reply}");
                    if reply.status != 303 {
                        return reply;
                    }
                    request = get(&format!("/__jobs/{}/content?hop=1", reply.header("x-proxq-job-id").unwrap()));
                }
            })
            .await;
            assert_eq!((reply.status, reply.json()["outcome"].as_str()), (424, Some("indeterminate")), "{reply}");
            assert_eq!(upstream.received().len(), 1, "nothing is sent twice");
        }
    }
}
