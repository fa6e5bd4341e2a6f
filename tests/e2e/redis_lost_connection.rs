//! Tests of single lost connections to a healthy Redis: clients notice nothing.

use std::sync::Arc;

use harness::{
    Answer, Cable, Config, Gate, Job, Proxq, Redis, Request, Route, Store, Upstream, delete, get, on_the_store, post,
};
use proxq_protocol::{JobStatus, Outcome};

/// How often every question is asked after a loss.
const LOSSES: usize = 8;
/// How often proxq sends one command again after a loss.
const REPETITIONS: usize = 3;

/// Ends every connection of a kind but the harness's own.
fn lose(redis: &Redis, kind: &str) {
    redis.run(&["CLIENT", "KILL", "TYPE", kind]);
}

fn retry(job: &Job) -> Request {
    post(&format!("{}/retry?confirm=may-duplicate", job.location))
}

/// A server whose jobs fail at once, and the cable to its Redis.
async fn failing() -> (Proxq, Upstream, Arc<Redis>, Cable) {
    let upstream = Upstream::start().await;
    upstream.always(Answer::nothing().reset());
    let redis = Redis::start_tcp();
    let cable = Cable::to(&redis.host_and_port()).await;
    let config = Config::new().route(Route::new("/", &upstream.url()));
    let config = config.in_redis_at(Arc::clone(&redis), &cable.host_and_port());
    (Proxq::start(config).await, upstream, redis, cable)
}

/// How a command names a job that is an argument of its own: those of scripts do, and no other.
fn as_argument(job: &Job) -> String {
    format!("\r\n{}\r\n", job.id)
}

on_the_store! {
    Redis:

    async fn a_lost_connection_costs_no_answer(store: Store) {
        let (proxq, upstream) = store.pair().await;
        upstream.answers(200, "kept");
        let job = proxq.submit(post("/x")).await;
        assert_eq!(proxq.response(&job).await.text(), "kept");
        upstream.always(Answer::nothing().reset());
        let failed = proxq.submit(post("/failed")).await;
        assert_eq!(proxq.settled(&failed).await.status, JobStatus::Failed);
        for round in 0..LOSSES {
            let content = format!("{}/content", job.location);
            for target in [&job.location, &content, "/__jobs/readyz"] {
                lose(proxq.redis(), "normal");
                assert_eq!(proxq.send(get(target)).await.status, 200, "{target} in round {round}");
            }
            let waiting = proxq.submit(post("/y").header("X-Proxq-Delay", "1h")).await;
            lose(proxq.redis(), "normal");
            assert_eq!(proxq.send(delete(&waiting.location)).await.status, 200, "round {round}");
            lose(proxq.redis(), "normal");
            proxq.send(get(&waiting.location)).await.refused(404, "NOT_FOUND");
            lose(proxq.redis(), "normal");
            assert_eq!(proxq.send(retry(&failed)).await.status, 202, "round {round}");
            assert_eq!(proxq.settled(&failed).await.status, JobStatus::Failed);
        }
    }

    async fn a_large_content_is_read_to_its_end_though_connections_are_lost(store: Store) {
        let (proxq, upstream) = store.pair().await;
        let large = vec![b'a'; 8 << 20];
        upstream.always(Answer::status(200).body(large.clone()));
        let job = proxq.submit(post("/x")).await;
        assert_eq!(proxq.settled(&job).await.status, JobStatus::Completed);
        // In as many readings as it takes for each to lose no more connections than one command is sent again after: more
        // may hit the same command, one after the other.
        for _ in 0..LOSSES.div_ceil(REPETITIONS) {
            let losing = async {
                for _ in 0..REPETITIONS {
                    lose(proxq.redis(), "normal");
                    assert_eq!(proxq.send(get("/__jobs/readyz")).await.status, 200);
                }
            };
            let (reply, ()) = tokio::join!(proxq.content(&job), losing);
            assert_eq!(reply.status, 200);
            assert!(reply.body == large);
        }
    }

    async fn a_waiting_client_goes_on_waiting(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).body("late").wait(&gate));
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let job = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        let status = proxq.send(get(&format!("{}?wait=30s", job.location)));
        let content = proxq.send(get(&format!("{}/content?wait=30s", job.location)));
        let held = proxq.send(post("/held").header("X-Proxq-Wait", "30s"));
        let events = proxq.send(get(&format!("{}/events", job.location)));
        let losing = async {
            upstream.arrivals(2).await;
            let channels = proxq.redis().run(&["PUBSUB", "CHANNELS", "proxq:changed:*"]).texts();
            assert!(!channels.is_empty());
            for kind in ["normal", "pubsub", "normal"] {
                lose(proxq.redis(), kind);
                proxq.send(get(&job.location)).await;
            }
            gate.open();
        };
        let (status, content, held, events, ()) = tokio::join!(status, content, held, events, losing);
        assert_eq!(status.json()["status"], "completed", "{status}");
        assert_eq!((content.text().as_str(), held.text().as_str()), ("late", "late"), "{content} {held}");
        assert!(events.text().contains(r#""status":"completed""#), "{events}");
    }

    async fn a_cancellation_whose_answer_is_lost_is_reported_as_done(_store: Store) {
        let (proxq, _upstream, redis, cable) = failing().await;
        let job = proxq.submit(post("/x").header("X-Proxq-Delay", "1h")).await;
        cable.lose_the_answer_to(as_argument(&job));
        let reply = proxq.send(delete(&job.location)).await;
        assert!(cable.lost() > 0, "the first answer was lost");
        assert_eq!((reply.status, reply.json()["status"].as_str()), (200, Some("cancelled")), "{reply}");
        assert!(redis.keys("asynq:{default}:t:*").is_empty());
        proxq.send(delete(&job.location)).await.refused(404, "NOT_FOUND");
    }

    async fn a_retry_whose_answer_is_lost_is_one_retry(_store: Store) {
        let (proxq, upstream, _redis, cable) = failing().await;
        let job = proxq.submit(post("/x")).await;
        assert_eq!(proxq.settled(&job).await.outcome, Some(Outcome::Indeterminate));
        cable.lose_the_answer_to(as_argument(&job));
        let reply = proxq.send(retry(&job)).await;
        assert!(cable.lost() > 0, "the first answer was lost");
        assert_eq!(reply.status, 202, "{reply}");
        harness::eventually("it has failed again", async || {
            let status = proxq.status(&job).await;
            status.status == JobStatus::Failed && status.attempts == Some(2)
        })
        .await;
        upstream.quiet().await;
        assert_eq!(upstream.deliveries(job.id), 2, "it was retried once");
        assert_eq!(proxq.status(&job).await.attempts, Some(2));
    }
}
