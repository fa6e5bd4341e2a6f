//! Encryption at rest, through the program: nothing of a job is found where it is stored, keys can be exchanged, and a job whose
//! key is missing waits for it.

use std::fs;
use std::path::{Path, PathBuf};

use harness::{
    Answer, Config, Exit, Launch, Proxq, Request, Route, Store, Upstream, eventually, get, on_every_store, post,
};
use proxq_protocol::JobStatus;
use serde_json::json;
use tempfile::TempDir;

/// What stands in every secret of these jobs.
const HUSH: &str = "hush-";
/// What stands in the error of a job whose upstream refuses connections.
const ERROR: &str = "connect to";
/// Jobs of the search: enough for every page of a store to have been used and freed.
const JOBS: usize = 1000;
/// Bodies above it are blobs.
const INLINE_BYTES: usize = 4096;

/// A folder with keys.
struct Keys(TempDir);

impl Keys {
    fn new() -> Self {
        let keys = Self(tempfile::tempdir().expect("a temporary folder can be made"));
        for name in ["old", "new"] {
            fs::write(keys.path(name), format!("{name:*<32}\n")).expect("the folder is ours");
        }
        keys
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// A configuration that seals with a key, and opens with another.
    fn seal(&self, config: Config, key: &str, previous: &[&str]) -> Config {
        let previous: Vec<_> = previous.iter().map(|name| self.path(name)).collect();
        config.set("encryption", json!({ "keyFile": self.path(key), "previousKeyFiles": previous }))
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn shows(bytes: &[u8]) -> bool {
    [HUSH, ERROR].iter().any(|text| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
}

/// Where secrets are found: in the files of the store and the temporary ones, and in each key of Redis.
fn found(proxq: &Proxq, temporary: &Path, store: Store) -> Vec<String> {
    let mut folders = vec![temporary.to_owned(), proxq.data_dir().to_owned()];
    if store == Store::Redis {
        folders.push(proxq.redis().socket().parent().expect("the socket is in a folder").to_owned());
    }
    let files = folders.iter().flat_map(|folder| files(folder));
    let mut found: Vec<_> = files
        .filter(|file| fs::read(file).is_ok_and(|bytes| shows(&bytes)))
        .map(|file| file.display().to_string())
        .collect();
    if store == Store::Redis {
        let dumped = |key: &String| match proxq.redis().run(&["DUMP", key]) {
            harness::Value::Bytes(bytes) => shows(&bytes) || shows(key.as_bytes()),
            harness::Value::Nil | harness::Value::Number(_) | harness::Value::List(_) => shows(key.as_bytes()),
        };
        found.extend(proxq.redis().keys("*").into_iter().filter(dumped));
    }
    found
}

/// Submits jobs of all kinds: completed ones, small and large, failed ones, and such as wait.
async fn submit_all(proxq: &Proxq) {
    for number in 0..JOBS {
        let (path, delay) = match number % 20 {
            0 => ("/gone", None),
            1 => ("/x", Some("1h")),
            _ => ("/x", None),
        };
        let body = if number % 50 == 2 { HUSH.repeat(INLINE_BYTES) } else { format!("{HUSH}body-{number}") };
        let mut request = post(&format!("{path}/{HUSH}path-{number}?{HUSH}query"))
            .header("Authorization", format!("Bearer {HUSH}credential-{number}"))
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", format!("\"{HUSH}key-{number}\""))
            .header("X-Name", format!("{HUSH}header-{number}"))
            .body(format!("{{\"text\":\"{body}\"}}"));
        if let Some(delay) = delay {
            request = request.header("X-Proxq-Delay", delay);
        }
        proxq.submit(request).await;
    }
}

on_every_store! {
    async fn nothing_of_a_thousand_jobs_is_found_at_rest(store: Store) {
        let (upstream, keys) = (Upstream::start().await, Keys::new());
        upstream.always(Answer::status(200).header("X-Answer", "hush-answer").body("hush-response"));
        let config = store.config_for(&upstream).route(Route::new("/gone", "http://127.0.0.1:1"));
        let config = config.set("routing", "longest-prefix").set("inlineBodyLimit", INLINE_BYTES);
        let temporary = tempfile::tempdir().expect("a temporary folder can be made");
        let builder = Proxq::builder(keys.seal(config, "old", &[]));
        let mut proxq = builder.env("TMPDIR", temporary.path().display().to_string()).start().await;
        submit_all(&proxq).await;
        let failing = proxq.submit(post("/gone/hush-last").body("hush-last")).await;
        let last = proxq.submit(post("/x/hush-last").body("hush-last")).await;
        assert_eq!(proxq.response(&last).await.text(), "hush-response");
        let failed = proxq.settled(&failing).await;
        assert!(failed.status == JobStatus::Failed && failed.error.is_some_and(|error| error.contains(ERROR)));
        upstream.arrivals(JOBS * 18 / 20 + 1).await;
        assert_eq!(found(&proxq, temporary.path(), store), [""; 0], "while it runs");
        proxq.kill();
        assert_eq!(found(&proxq, temporary.path(), store), [""; 0], "after a crash");
        proxq.start_again().await;
        assert_eq!(proxq.response(&last).await.text(), "hush-response");
        assert_eq!(proxq.status(&last).await.path.as_deref(), Some("/x/hush-last"));
    }

    async fn a_key_is_exchanged_without_a_loss(store: Store) {
        let (upstream, keys) = (Upstream::start().await, Keys::new());
        upstream.answers(200, "of before");
        let config = store.config_for(&upstream);
        let mut proxq = Proxq::start(keys.seal(config.clone(), "old", &[])).await;
        let request = || post("/x").header("Idempotency-Key", "\"one\"").body("a body");
        let job = proxq.submit(request()).await;
        proxq.response(&job).await;
        proxq.stop().await;
        proxq.start_again_with(keys.seal(config.clone(), "new", &["old"])).await;
        assert_eq!(proxq.content(&job).await.text(), "of before");
        let again = proxq.send(request()).await;
        assert_eq!(again.header("Idempotency-Replayed").as_deref(), Some("true"), "the key stands for its job");
        let of_new = proxq.submit(post("/y")).await;
        proxq.response(&of_new).await;
        proxq.stop().await;
        let checked = checked(&proxq).await;
        assert_eq!(checked.code, Some(0), "{}{}", checked.output, checked.log);
        for line in ["(keyFile): 1 job", "(previousKeyFiles): 1 job"] {
            assert!(checked.output.contains(line), "{}", checked.output);
        }
        proxq.rewrite(keys.seal(config, "new", &[]));
        let checked = self::checked(&proxq).await;
        assert_eq!(checked.code, Some(1), "{}{}", checked.output, checked.log);
        assert!(checked.output.contains("which is not configured: 1 job that cannot be read"), "{}", checked.output);
    }

    async fn without_its_key_jobs_keep_their_owners(store: Store) {
        let (upstream, keys) = (Upstream::start().await, Keys::new());
        upstream.answers(200, "sealed");
        let config = store.config_for(&upstream).set("auth.owner", "credential");
        let mut proxq = Proxq::start(keys.seal(config.clone(), "old", &[])).await;
        let own = |request: Request| request.header("Authorization", "Bearer own").header("Idempotency-Key", "a");
        let job = proxq.submit(own(post("/x"))).await;
        let status = async |proxq: &Proxq| proxq.send(own(get(&job.location))).await;
        proxq.send(own(get(&format!("{}/content?wait=20s", job.location)))).await.from_upstream(200);
        proxq.stop().await;
        proxq.expect_error("which this proxq does not have");
        proxq.expect_error("sealed with a key that is not configured");
        proxq.start_again_with(keys.seal(config.clone(), "new", &[])).await;
        status(&proxq).await.refused(503, "KEY_UNKNOWN");
        proxq.send(own(post("/x"))).await.refused(503, "KEY_UNKNOWN");
        proxq.send(post("/x")).await.refused(503, "KEY_UNKNOWN");
        proxq.send(get("/__jobs/readyz")).await.refused(503, "KEY_UNKNOWN");
        proxq.stop().await;
        proxq.start_again_with(keys.seal(config.clone(), "new", &["old"])).await;
        assert_eq!(status(&proxq).await.status, 200);
        assert_eq!(proxq.submit(own(post("/x"))).await.id, job.id, "it is known by its key");
        assert_eq!(upstream.deliveries(job.id), 1);
    }

    async fn a_job_waits_for_its_key(store: Store) {
        let (upstream, keys) = (Upstream::start().await, Keys::new());
        upstream.answers(200, "sealed");
        let config = store.config_for(&upstream);
        let mut proxq = Proxq::start(keys.seal(config.clone(), "old", &[])).await;
        let done = proxq.submit(post("/x")).await;
        proxq.response(&done).await;
        let waiting = proxq.submit(post("/later").header("X-Proxq-Delay", "1s")).await;
        proxq.stop().await;
        proxq.expect_error("sealed with a key that is not configured");
        proxq.expect_error("which this proxq does not have");
        proxq.start_again_with(keys.seal(config.clone(), "new", &[])).await;
        let status = proxq.status(&done).await;
        assert_eq!((status.status, status.method.as_deref(), status.path), (JobStatus::Completed, Some("POST"), None));
        proxq.content(&done).await.refused(500, "KEY_UNKNOWN");
        eventually("readyz tells", async || proxq.send(get("/__jobs/readyz")).await.status == 503).await;
        proxq.send(get("/__jobs/readyz")).await.refused(503, "KEY_UNKNOWN");
        let status = proxq.status(&waiting).await;
        assert_eq!((status.status, status.attempts), (JobStatus::Queued, Some(0)));
        assert_eq!(proxq.through_queue(post("/other")).await.text(), "sealed", "nobody else is touched");
        // Nobody can tell whether these were sent before.
        for field in [("Idempotency-Key", "a"), ("X-Proxq-Job-Id", "550e8400-e29b-41d4-a716-446655440000")] {
            proxq.send(post("/x").header(field.0, field.1)).await.refused(503, "KEY_UNKNOWN");
        }
        assert_eq!(upstream.deliveries(waiting.id), 0);
        proxq.cancel(&waiting).await;
        proxq.send(get(&waiting.location)).await.refused(404, "NOT_FOUND");
    }
}

/// What `proxq check --store` says of a stopped server's store.
async fn checked(proxq: &Proxq) -> Exit {
    let file = proxq.config_file().display().to_string();
    Launch::new(proxq.folder()).args(["check", "--store", "--config", &file]).to_exit().await
}
