//! The change-over from a Go proxq, carried out by the commands of the page, with scripts in Go's place.

use std::sync::Arc;

use harness::{Block, Config, Document, Job, Proxq, Redis, Store, Upstream, eventually, on_the_store, post};
use proxq_protocol::{JobId, JobStatus};

use super::shell;
use crate::redis_beside_go::{COMPLETE, DEQUEUE, KEYS, RESULT, go, go_server, go_server_ends};

/// A body that proxq would keep beside its job.
const LARGE_BYTES: usize = 300 << 10;

/// Takes a job in as a Go proxq does.
const ENQUEUE: &str = "
    redis.call('SADD', 'asynq:queues', 'default')
    redis.call('HSET', KEYS[1] .. 't:' .. ARGV[1], 'msg', ARGV[2], 'state', 'pending', 'pending_since', '1')
    return redis.call('LPUSH', KEYS[1] .. 'pending', ARGV[1])";

/// Has a Go proxq take in a `POST`. Its message: type, payload, id, queue, three retries, a limit of 60 s, a retention of 100 s.
fn submitted_in_go(redis: &Redis, url: &str) -> Job {
    let id = JobId::new().to_string();
    let payload = format!(r#"{{"request":{{"method":"POST","url":"{url}"}}}}"#);
    // Lengths are one byte each as long as they are below 128.
    let text = |number: u8, text: &str| {
        let length = u8::try_from(text.len()).ok().filter(u8::is_ascii).expect("a short text");
        format!("{}{}{text}", char::from(number << 3 | 2), char::from(length))
    };
    let strings = [text(1, "proxy:request"), text(2, &payload), text(3, &id), text(4, "default")].concat();
    go(redis, ENQUEUE, &[&id, &format!("{strings}\x28\x03\x40\x3c\x60\x64")]);
    Job { location: format!("/__jobs/{id}"), id: id.parse().expect("a UUID") }
}

/// Runs a command of the page on this Redis; gives what it prints.
async fn run(redis: &Redis, block: &Block) -> String {
    let here = std::env::temp_dir();
    let command = block.text.replacen("redis-cli", &format!("redis-cli -s {}", redis.socket().display()), 1);
    let (code, output) = shell(&here, command).await;
    assert_eq!(code, 0, "{}: {output}", block.place());
    output.trim().to_owned()
}

/// The configuration of the page, and the same without what is only for the change-over.
fn configured(page: &Document, upstream: &Upstream, redis: &Arc<Redis>) -> (Config, Config) {
    let text = page.blocks_below("Before", "yaml")[0].text.replace("http://api:3000", &upstream.url());
    let afterwards: String = text
        .lines()
        .filter(|line| !line.starts_with("inlineBodyLimit"))
        .fold(String::new(), |all, line| all + line + "\n");
    assert_ne!(text, afterwards);
    [text, afterwards].map(|text| Config::from_yaml(&text).in_redis(Arc::clone(redis))).into()
}

/// Whether Redis has the job in the form that Go's workers know.
fn is_known_to_go(redis: &Redis, job: &Job) -> bool {
    let message = redis.run(&["HGET", &format!("{KEYS}t:{}", job.id), "msg"]).text();
    message.contains("proxy:request") && !message.contains("proxq:2")
}

on_the_store! {
    Redis:

    async fn a_migration_from_the_go_server_breaks_no_request_off(_store: Store) {
        let page = Document::named("docs/migration.md");
        let [_start, pause, active, resume, _reload] = &page.blocks_below("Changing over", "sh")[..] else {
            panic!("the page has other steps")
        };
        let [blobs] = &page.blocks_below("Rolling back", "sh")[..] else { panic!("the page has other steps") };
        let redis = Redis::start();
        let upstream = Upstream::start().await;
        upstream.answers(200, "from the upstream");
        let name = go_server(&redis);
        let begun_in_go = submitted_in_go(&redis, &format!("{}/begun", upstream.url()));
        go(&redis, DEQUEUE, &[]);
        let waiting = submitted_in_go(&redis, &format!("{}/waiting", upstream.url()));

        let (during, afterwards) = configured(&page, &upstream, &redis);
        let proxq = Proxq::start(during).await;
        assert_eq!(proxq.response(&waiting).await.text(), "from the upstream");
        assert_eq!(proxq.status(&begun_in_go).await.status, JobStatus::Running);
        let large = proxq.submit(post("/api/large").body(vec![b'x'; LARGE_BYTES])).await;
        assert!(is_known_to_go(&redis, &large));
        assert_eq!(proxq.response(&large).await.status, 200);

        run(&redis, pause).await;
        let kept = proxq.submit(post("/api/kept")).await;
        assert_eq!(run(&redis, active).await, "1", "Go's attempt is under way");
        go(&redis, COMPLETE, &[&begun_in_go.id.to_string(), RESULT]);
        assert_eq!(run(&redis, active).await, "0");
        assert_eq!(proxq.status(&kept).await.status, JobStatus::Queued);
        go_server_ends(&redis, &name);
        run(&redis, resume).await;
        assert_eq!(proxq.response(&kept).await.status, 200);
        assert_eq!(proxq.content(&begun_in_go).await.text(), "from Go");

        assert_eq!(proxq.reload(afterwards).await, "inlineBodyLimit");
        run(&redis, pause).await;
        let large = proxq.submit(post("/api/large").body(vec![b'x'; LARGE_BYTES])).await;
        assert!(!is_known_to_go(&redis, &large));
        assert_ne!(run(&redis, blobs).await, "", "such a job is to be waited for on the way back");
        run(&redis, resume).await;
        assert_eq!(proxq.response(&large).await.status, 200);
        assert_eq!(proxq.cancel(&large).await.status, 200, "deleted, as it will be after its retention");
        eventually("no large body is left", async || run(&redis, blobs).await.is_empty()).await;
        let targets: Vec<_> = upstream.received().iter().map(|request| request.target().to_owned()).collect();
        assert_eq!(targets, ["/waiting", "/large", "/kept", "/large"], "each job once");
    }
}
