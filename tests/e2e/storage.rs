//! Tests of the embedded store's files: damaged, of a newer format, or limited in size.

use std::fs::{self, Permissions};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use harness::{
    Answer, Exit, Job, Launch, Pattern, Proxq, Record, Reply, Store, Upstream, get, on_every_store, on_the_store, post,
};
use proxq_protocol::JobStatus;

/// Large enough to be told from everything else, small enough to lie in the database.
const INLINE: &str = "a body that lies in the database, and that can be found there by this very sentence";

/// Where the database file has its `user_version`, big-endian.
const USER_VERSION: Range<usize> = 60..64;

/// The database file.
fn database(proxq: &Proxq) -> PathBuf {
    let is_database = |file: &Path| fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"));
    let files = proxq.files().into_iter().map(|(file, _)| file);
    files.into_iter().find(|file| is_database(file)).expect("there is a database")
}

/// The files in which these bytes are.
fn holding(proxq: &Proxq, bytes: &[u8]) -> Vec<PathBuf> {
    let holds = |file: &PathBuf| fs::read(file).is_ok_and(|all| all.windows(bytes.len()).any(|window| window == bytes));
    proxq.files().into_iter().map(|(file, _)| file).filter(holds).collect()
}

/// Changes one bit in the middle of these bytes, wherever they are.
fn damage(proxq: &Proxq, bytes: &[u8]) {
    let files = holding(proxq, bytes);
    assert!(!files.is_empty(), "they are somewhere");
    for file in files {
        let mut all = fs::read(&file).expect("it was read before");
        let places: Vec<_> = (0..=all.len() - bytes.len()).filter(|&at| all[at..].starts_with(bytes)).collect();
        for at in places {
            all[at + bytes.len() / 2] ^= 1;
        }
        fs::write(&file, all).expect("the folder is ours");
    }
}

/// A server with a job that completed with this body, stopped.
async fn stopped_after(store: Store, answer: Answer) -> (Proxq, Upstream, Job) {
    let upstream = Upstream::start().await;
    upstream.always(answer);
    let mut proxq = Proxq::start(store.config_for(&upstream).set("inlineBodyLimit", 10_000)).await;
    let job = proxq.submit(post("/x")).await;
    proxq.response(&job).await;
    proxq.stop().await;
    (proxq, upstream, job)
}

/// What `proxq check --store` says of a stopped server's folder.
async fn checked(proxq: &Proxq) -> Exit {
    let data_dir = proxq.data_dir().display().to_string();
    let arguments = ["check", "--store", "--upstream", "http://127.0.0.1:1", "--data-dir", &data_dir];
    Launch::new(proxq.folder()).args(arguments).to_exit().await
}

/// The content is refused, and the log names the job and the request.
async fn is_corrupt(proxq: &mut Proxq, job: &Job) {
    let id = job.id.to_string();
    proxq.expect_error(&id);
    let reply: Reply = proxq.send(get(&format!("{}/content", job.location)).header("X-Request-ID", "corrupt-1")).await;
    reply.refused(500, "CORRUPT");
    let names = |record: &Record| {
        let request = record.field("request_id").or(record.field("request.id"));
        record.level() == "ERROR"
            && record.field("job.id").as_ref() == Some(&id)
            && request.as_deref() == Some("corrupt-1")
    };
    proxq.log().record("an error that names job and request", names).await;
    // Nobody else is touched.
    proxq.through_queue(post("/y")).await;
}

on_the_store! {
    Embedded:

    async fn check_store_says_that_all_is_as_it_was_written(store: Store) {
        let (proxq, _upstream, _job) = stopped_after(store, Answer::status(200).body(INLINE)).await;
        let exit = checked(&proxq).await;
        assert_eq!(exit.code, Some(0), "{}{}", exit.output, exit.log);
        assert!(exit.output.contains("as it was written"), "{}", exit.output);
    }

    async fn check_store_names_the_job_that_is_damaged(store: Store) {
        let (proxq, _upstream, job) = stopped_after(store, Answer::status(200).body(INLINE)).await;
        damage(&proxq, INLINE.as_bytes());
        let exit = checked(&proxq).await;
        assert_eq!(exit.code, Some(1), "{}{}", exit.output, exit.log);
        assert!(exit.output.contains(&job.id.to_string()), "{}", exit.output);
    }

    async fn a_damaged_large_response_is_never_served(store: Store) {
        let pattern = Pattern::new(1, 200_000);
        let (mut proxq, _upstream, job) = stopped_after(store, Answer::status(200).pattern(pattern)).await;
        damage(&proxq, &pattern.bytes()[100_000..100_064]);
        proxq.start_again().await;
        is_corrupt(&mut proxq, &job).await;
    }

    async fn a_truncated_large_response_is_never_served(store: Store) {
        let pattern = Pattern::new(1, 200_000);
        let (mut proxq, _upstream, job) = stopped_after(store, Answer::status(200).pattern(pattern)).await;
        let blob = holding(&proxq, &pattern.bytes()[..64]).remove(0);
        let bytes = fs::read(&blob).unwrap();
        fs::write(&blob, &bytes[..bytes.len() - 1]).unwrap();
        proxq.start_again().await;
        is_corrupt(&mut proxq, &job).await;
    }

    async fn a_missing_large_response_is_an_error_of_proxq(store: Store) {
        let pattern = Pattern::new(1, 200_000);
        let (mut proxq, _upstream, job) = stopped_after(store, Answer::status(200).pattern(pattern)).await;
        fs::remove_file(holding(&proxq, &pattern.bytes()[..64]).remove(0)).unwrap();
        proxq.start_again().await;
        is_corrupt(&mut proxq, &job).await;
    }

    async fn a_damaged_small_response_is_never_served(store: Store) {
        let (mut proxq, upstream, job) = stopped_after(store, Answer::status(200).body(INLINE)).await;
        upstream.answers(200, "other");
        damage(&proxq, INLINE.as_bytes());
        proxq.start_again().await;
        is_corrupt(&mut proxq, &job).await;
    }

    async fn a_damaged_request_is_never_sent(store: Store) {
        let upstream = Upstream::start().await;
        let large = Pattern::new(2, 200_000);
        let config = store.config_for(&upstream).set("inlineBodyLimit", 10_000);
        let mut proxq = Proxq::start(config.clone().set("concurrency", 0)).await;
        let jobs = [proxq.submit(post("/x").body(INLINE)).await, proxq.submit(post("/x").pattern(large)).await];
        let intact = proxq.submit(post("/y").body("intact")).await;
        proxq.stop().await;
        damage(&proxq, INLINE.as_bytes());
        damage(&proxq, &large.bytes()[100_000..100_064]);
        for job in &jobs {
            proxq.expect_error(&job.id.to_string());
        }
        proxq.start_again_with(config).await;
        assert_eq!(proxq.response(&intact).await.status, 200);
        for job in &jobs {
            let id = job.id.to_string();
            let names = |record: &Record| record.level() == "ERROR" && record.field("job.id").as_ref() == Some(&id);
            proxq.log().record("an error that names the job", names).await;
            assert_eq!(
                upstream.received().iter().filter(|received| received.complete && received.target() == "/x").count(),
                0
            );
        }
    }

    async fn a_newer_format_is_refused(store: Store) {
        let (proxq, _upstream, _job) = stopped_after(store, Answer::status(200)).await;
        let file = database(&proxq);
        let mut bytes = fs::read(&file).unwrap();
        bytes[USER_VERSION].copy_from_slice(&1_000_000_u32.to_be_bytes());
        fs::write(&file, bytes).unwrap();
        let exit = proxq.fails_to_start().await;
        assert_eq!(exit.code, Some(1), "{}", exit.log);
        assert!(exit.log.contains("format 1000000") && exit.log.contains("a later proxq"), "{}", exit.log);
        assert!(!exit.log.contains("panicked"), "{}", exit.log);
    }

    async fn a_truncated_or_foreign_database_is_refused(store: Store) {
        let (proxq, _upstream, _job) = stopped_after(store, Answer::status(200).body(INLINE)).await;
        let file = database(&proxq);
        let whole = fs::read(&file).unwrap();
        let foreign = b"this is not a database, it only lies where one is expected to be".repeat(100);
        for broken in [&whole[..4096], &whole[..whole.len() / 2 + 100], &foreign] {
            fs::write(&file, broken).unwrap();
            let exit = proxq.fails_to_start().await;
            assert_eq!(exit.code, Some(1), "{} bytes: {}", broken.len(), exit.log);
            assert!(exit.log.contains(&file.display().to_string()), "{}", exit.log);
            assert!(!exit.log.contains("panicked"), "{}", exit.log);
            assert!(fs::read(&file).unwrap() == broken, "nothing is repaired by throwing away");
        }
    }

    async fn a_torn_last_write_loses_nothing_before_it(store: Store) {
        let upstream = Upstream::start().await;
        let mut proxq = Proxq::start(store.config_for(&upstream).set("concurrency", 0)).await;
        let mut jobs = Vec::new();
        for _ in 0..10 {
            jobs.push(proxq.submit(post("/x").body(INLINE)).await);
        }
        for torn in [100, 5000] {
            proxq.kill();
            let log = proxq.files().into_iter().find(|(file, _)| file.to_string_lossy().ends_with("-wal"));
            let (log, length) = log.expect("a write-ahead log after a crash");
            let tail = length.saturating_sub(torn);
            fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(tail).unwrap();
            proxq.start_again().await;
            // What was cut off are the last commits at most.
            for job in &jobs[..8] {
                assert_eq!(proxq.status(job).await.status, JobStatus::Queued);
            }
            jobs.truncate(8);
            for _ in 0..3 {
                jobs.push(proxq.submit(post("/x")).await);
            }
        }
    }

    async fn a_limit_on_file_sizes_counts_as_a_full_store(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::echo());
        let mut proxq = Proxq::start(store.config_for(&upstream)).await;
        proxq.expect_error("full");
        let kept = proxq.through_queue(post("/x").body(INLINE)).await;
        assert_eq!(kept.text(), INLINE);
        proxq.limit_file_size(Some(512 << 10));
        let large = Pattern::new(7, 1 << 20);
        proxq.send(post("/x").pattern(large)).await.refused(503, "STORE_FULL");
        let refused = async || proxq.send(post("/x").body(vec![1; 20_000])).await.code() == "STORE_FULL";
        harness::eventually("small submissions are refused as well", refused).await;
        proxq.limit_file_size(None);
        assert_eq!(proxq.through_queue(post("/x").pattern(large)).await.digest, large.digest());
    }

    async fn secret_headers_are_erased_when_a_job_ends(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream).set("secretHeaders", vec!["X-Session"]);
        let mut proxq = Proxq::start(config.clone().set("concurrency", 0)).await;
        let names = [
            "Authorization",
            "Cookie",
            "Api-Key",
            "X-Api-Key",
            "X-Goog-Api-Key",
            "X-Auth-Token",
            "X-Amz-Security-Token",
            "X-Session",
        ];
        let request = names.iter().fold(post("/x"), |request, name| request.header(name, format!("SECRET-OF-{name}")));
        let job = proxq.submit(request.header("X-Plain", "no secret at all")).await;
        proxq.stop().await;
        assert!(!holding(&proxq, b"SECRET-OF-Cookie").is_empty(), "as long as it must be sent");
        proxq.start_again_with(config).await;
        proxq.response(&job).await;
        let received = upstream.request().await;
        assert!(names.iter().all(|name| received.header(name) == Some(format!("SECRET-OF-{name}"))));
        proxq.stop().await;
        let left = holding(&proxq, b"SECRET-OF-");
        assert!(left.is_empty(), "{left:?}");
    }

    async fn files_and_folders_are_for_their_owner_only(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::status(200).pattern(Pattern::new(4, 1 << 20)));
        let mut proxq = Proxq::start(store.config_for(&upstream)).await;
        let job = proxq.submit(post("/x")).await;
        proxq.response(&job).await;
        assert_eq!(open_to_others(&proxq), Vec::<PathBuf>::new(), "while it runs");
        // As earlier versions left them.
        let log = proxq.data_dir().join("jobs.sqlite3-wal");
        proxq.kill();
        assert!(log.exists(), "a write-ahead log after a crash");
        for path in everything(&proxq) {
            let mode = if path.is_dir() { 0o755 } else { 0o644 };
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        proxq.start_again().await;
        proxq.response(&job).await;
        assert_eq!(open_to_others(&proxq), Vec::<PathBuf>::new(), "after a start");
    }
}

/// The data folder, and everything below it.
fn everything(proxq: &Proxq) -> Vec<PathBuf> {
    let files: Vec<PathBuf> = proxq.files().into_iter().map(|(file, _)| file).collect();
    let folders = files.iter().flat_map(|file| file.ancestors().skip(1).map(Path::to_owned));
    let mut all: Vec<PathBuf> = folders.filter(|folder| folder.starts_with(proxq.data_dir())).collect();
    all.extend(files);
    all.sort();
    all.dedup();
    all
}

/// What the group or other users may do anything with.
fn open_to_others(proxq: &Proxq) -> Vec<PathBuf> {
    let is_open = |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o77 != 0);
    let all = everything(proxq);
    assert!(all.iter().any(|path| path.ends_with("blobs")) && all.len() >= 5, "{all:?}");
    all.into_iter().filter(is_open).collect()
}

on_every_store! {
    async fn a_job_survives_a_crash_right_after_its_acceptance(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::echo());
        let config = store.config_for(&upstream);
        let mut proxq = Proxq::start(config.clone().set("concurrency", 0)).await;
        let (small, large) = (Pattern::new(1, 100), Pattern::new(2, 1 << 20));
        let first = proxq.submit(post("/x").pattern(small)).await;
        let second = proxq.submit(post("/x").pattern(large)).await;
        proxq.kill();
        proxq.start_again_with(config).await;
        assert_eq!(proxq.response(&first).await.digest, small.digest());
        assert_eq!(proxq.response(&second).await.digest, large.digest());
    }

    async fn a_response_survives_a_crash(store: Store) {
        let upstream = Upstream::start().await;
        let pattern = Pattern::new(2, 1 << 20);
        upstream.once(Answer::status(201).header("X-A", "1").body("small"));
        upstream.once(Answer::status(202).pattern(pattern));
        let mut proxq = Proxq::start(store.config_for(&upstream)).await;
        let jobs = [proxq.submit(post("/x")).await, proxq.submit(post("/x")).await];
        for job in &jobs {
            proxq.response(job).await;
        }
        proxq.kill();
        proxq.start_again().await;
        let mut replies = [proxq.response(&jobs[0]).await, proxq.response(&jobs[1]).await];
        replies.sort_by_key(|reply| reply.status);
        assert_eq!((replies[0].status, replies[0].text().as_str()), (201, "small"));
        assert_eq!((replies[1].status, &replies[1].digest), (202, &pattern.digest()));
    }
}
