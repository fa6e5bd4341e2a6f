//! Tests beside asynq's own servers on the same Redis, which announce nothing to proxq.

use std::time::Duration;

use harness::{Answer, Gate, Job, Proxq, Redis, Store, Upstream, Value, count_for, get, on_the_store, post};
use proxq_protocol::JobStatus;
use tokio::time::Instant;

/// Registers a server of asynq that works on the queue `default`: its name, and asynq's `ServerInfo` with the host `go`, the
/// process 7, the server's id, ten workers, the queue and the status `active`. The score is in the year 5138. Gives the name.
pub(crate) fn go_server(redis: &Redis) -> String {
    let id = "4f4e1a1c-6c0a-4d3e-9d5e-1f7f0a8c2b11";
    let name = format!("asynq:servers:{{go:7:{id}}}");
    let info = format!("\x0a\x02go\x10\x07\x1a\x24{id}\x20\x0a\x2a\x0b\x0a\x07default\x10\x01\x3a\x06active");
    redis.run(&["SET", &name, &info]);
    redis.run(&["ZADD", "asynq:servers", "99999999999", &name]);
    name
}

/// The same server stops.
pub(crate) fn go_server_ends(redis: &Redis, name: &str) {
    redis.run(&["DEL", name]);
    redis.run(&["ZREM", "asynq:servers", name]);
}

/// Takes the only pending job as asynq does.
pub(crate) const DEQUEUE: &str = "
    local id = redis.call('RPOPLPUSH', KEYS[1] .. 'pending', KEYS[1] .. 'active')
    redis.call('HSET', KEYS[1] .. 't:' .. id, 'state', 'active')
    redis.call('HDEL', KEYS[1] .. 't:' .. id, 'pending_since')
    redis.call('ZADD', KEYS[1] .. 'lease', redis.call('TIME')[1] + 30, id)
    return id";

/// Ends a job with a result as asynq does. `completed_at` is written as a varint of five bytes, which it has until the year 3058.
pub(crate) const COMPLETE: &str = "
    local id, now = ARGV[1], tonumber(redis.call('TIME')[1])
    local completed_at, rest = string.char(13 * 8), now
    for i = 1, 4 do
        completed_at, rest = completed_at .. string.char(rest % 128 + 128), math.floor(rest / 128)
    end
    completed_at = completed_at .. string.char(rest)
    redis.call('HSET', KEYS[1] .. 't:' .. id, 'result', ARGV[2])
    redis.call('LREM', KEYS[1] .. 'active', 0, id)
    redis.call('ZREM', KEYS[1] .. 'lease', id)
    redis.call('ZADD', KEYS[1] .. 'completed', now + 3600, id)
    local message = redis.call('HGET', KEYS[1] .. 't:' .. id, 'msg')
    return redis.call('HSET', KEYS[1] .. 't:' .. id, 'msg', message .. completed_at, 'state', 'completed')";

/// What a Go worker answers.
pub(crate) const RESULT: &str = r#"{"statusCode":200,"headers":{"Content-Type":["text/plain"]},"body":"ZnJvbSBHbw=="}"#;

/// The beginning of asynq's keys of the queue.
pub(crate) const KEYS: &str = "asynq:{default}:";

/// What a Go worker would do.
pub(crate) fn go(redis: &Redis, script: &str, arguments: &[&str]) {
    redis.run(&[&["EVAL", script, "1", KEYS], arguments].concat());
}

/// A server that runs nothing itself, with a job that a Go worker has begun.
async fn begun_in_go(store: Store) -> (Proxq, Upstream, Job) {
    let upstream = Upstream::start().await;
    let proxq = Proxq::start(store.config_for(&upstream).set("concurrency", 0)).await;
    let job = proxq.submit(post("/x")).await;
    go(proxq.redis(), DEQUEUE, &[]);
    assert_eq!(proxq.status(&job).await.status, JobStatus::Running);
    (proxq, upstream, job)
}

/// How often Redis was asked for one field of a hash, which is how watched jobs are read.
fn reads(redis: &Redis) -> u64 {
    let stats = redis.run(&["INFO", "commandstats"]).text();
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_hget:calls="));
    calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
}

on_the_store! {
    Redis:

    async fn a_waiter_is_answered_when_a_go_worker_completes_the_job(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream).set("concurrency", 0);
        go_server(config.redis().unwrap());
        let proxq = Proxq::start(config).await;
        let job = proxq.submit(post("/x")).await;
        go(proxq.redis(), DEQUEUE, &[]);
        let waiting = async {
            let status = proxq.send(get(&format!("{}?wait=60s", job.location))).await;
            (status, Instant::now())
        };
        let completing = async {
            harness::eventually("the waiter is noticed", async || reads(proxq.redis()) > 2).await;
            go(proxq.redis(), COMPLETE, &[&job.id.to_string(), RESULT]);
            Instant::now()
        };
        let ((status, answered), completed) = tokio::join!(waiting, completing);
        assert_eq!(status.status, 200);
        let took = answered.saturating_duration_since(completed);
        eprintln!("answered {took:?} after the job was completed");
        assert!(took < Duration::from_secs(3), "looked once a second, on a busy machine: {took:?}");
        assert_eq!(proxq.settled(&job).await.status, JobStatus::Completed);
        assert_eq!(proxq.content(&job).await.text(), "from Go");
    }

    async fn watched_jobs_are_read_again_only_beside_go_servers(store: Store) {
        let (proxq, _upstream, job) = begun_in_go(store).await;
        let target = format!("{}?wait=60s", job.location);
        let waiting = proxq.send(get(&target));
        let counting = async {
            count_for(Duration::from_secs(1)).await; // the waiter begins to watch
            let before = reads(proxq.redis());
            count_for(Duration::from_secs(3)).await;
            assert_eq!(reads(proxq.redis()), before, "nobody else works on the queue");
            go_server(proxq.redis());
            harness::eventually("it is looked again and again", async || reads(proxq.redis()) >= before + 3).await;
            go(proxq.redis(), COMPLETE, &[&job.id.to_string(), RESULT]);
        };
        let (reply, ()) = tokio::join!(waiting, counting);
        assert_eq!(reply.status, 200);
    }

    async fn asynqs_tools_show_a_jobs_retries(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().reset());
        let config = store.config_for(&upstream).upstream("maxRetries", 4).upstream("retryDelay", "1h");
        let proxq = Proxq::start(config).await;
        let delayed = proxq.submit(post("/x").header("X-Proxq-Delay", "1h")).await;
        let job = proxq.submit(post("/x")).await;
        assert_eq!(proxq.resting(&job).await.max_retries, Some(4));
        // asynq's fields 5 and 6 as protobuf has them; a number of 0 is left out.
        let has = |job: &Job, field: &[u8]| {
            let Value::Bytes(message) = proxq.redis().run(&["HGET", &format!("{KEYS}t:{}", job.id), "msg"]) else {
                panic!("no message")
            };
            message.windows(field.len()).any(|part| part == field)
        };
        assert!(has(&job, b"\x28\x04") && has(&job, b"\x30\x01"), "one of four");
        assert!(has(&delayed, b"\x28\x04") && !has(&delayed, b"\x30\x01"), "none of four");
    }

    async fn a_server_that_drains_is_shown_as_closed_until_it_is_gone(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.once(Answer::nothing().wait(&gate).then("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        let config = store.config_for(&upstream);
        let redis = config.redis().unwrap().clone();
        let mut proxq = Proxq::start(config).await;
        proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        let shown = async |status: &str| {
            harness::eventually(status, async || {
                let servers = redis.run(&["ZRANGE", "asynq:servers", "0", "-1"]).texts();
                let [server] = &servers[..] else { return false };
                redis.run(&["GET", server]).text().contains(status)
            })
            .await;
        };
        shown("active").await;
        proxq.terminate();
        shown("closed").await;
        gate.open();
        assert_eq!(proxq.exit_code().await, Some(0));
        assert_eq!(redis.keys("asynq:servers*"), Vec::<String>::new());
        assert_eq!(redis.keys("asynq:workers*"), Vec::<String>::new());
    }
}
