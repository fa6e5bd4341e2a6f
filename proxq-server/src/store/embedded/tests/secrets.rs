//! What a job forgets when it ends is nowhere in the folder.

use std::collections::HashMap;
use std::fs;

use super::*;
use crate::job::{JobId, Verdict};
use crate::store::LeasedJob;
use crate::store::contract::{all_leased, failure, job, response, retry_after};

/// Which of these texts are somewhere in the files of the folder.
fn in_files<'text>(folder: &Path, texts: impl IntoIterator<Item = &'text String>) -> Vec<&'text String> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            bytes.extend(fs::read(path).unwrap());
        }
    }
    // Every secret has the same length up to its number, so that one pass finds them all.
    let found: std::collections::HashSet<&[u8]> = bytes
        .windows(MARK.len())
        .enumerate()
        .filter(|(_, window)| *window == MARK.as_bytes())
        .map(|(at, _)| &bytes[at..(at + MARK.len() + DIGITS).min(bytes.len())])
        .collect();
    texts.into_iter().filter(|text| found.contains(text.as_bytes())).collect()
}

const MARK: &str = "secret-of-job-";
const DIGITS: usize = 6;

/// Secrets of all lengths: on a page with others, on a page alone, on several pages.
async fn submit_many(embedded: &Embedded, numbers: std::ops::Range<usize>) -> HashMap<JobId, String> {
    let mut secrets = HashMap::new();
    for number in numbers {
        let mut job = job();
        let secret = format!("{MARK}{number:0DIGITS$}");
        let padding = "x".repeat(if number % 10 == 0 { 6_000 } else { number * 37 % 700 });
        let value = format!("Bearer {padding} {secret}");
        job.request.headers.insert("authorization", value.parse().unwrap());
        secrets.insert(job.request.id, secret);
        embedded.store.submit(job).await.unwrap();
    }
    secrets
}

#[tokio::test]
async fn a_completed_jobs_secrets_are_nowhere_on_disk() {
    let embedded = embedded().await;
    let (store, time) = (&embedded.store, embedded.time);
    let mut secrets = submit_many(&embedded, 0..300).await;
    // Progress grows, rows move, pages are split.
    for _ in 0..3 {
        for job in all_leased(store).await {
            store.settle(&job.lease, retry_after(Duration::from_millis(1))).await.unwrap();
        }
        time.advance(Duration::from_millis(1));
    }
    let jobs = all_leased(store).await;
    assert_eq!(jobs.len(), 300);
    let ends = |job: &LeasedJob| job.lease.id.as_bytes()[0] % 4;
    let mut kept = Vec::new();
    for job in &jobs {
        match ends(job) {
            0 => store.settle(&job.lease, failure()).await.unwrap(), // may be retried, and needs them
            1 => assert!(store.cancel(job.lease.id).await.unwrap()),
            _ => store.settle(&job.lease, Verdict::Complete(response(200, "ok"))).await.unwrap(),
        }
        if ends(job) == 0 {
            kept.extend(secrets.remove(&job.lease.id));
        }
    }
    // Rows of the vault are used again, beside those that are still in use.
    kept.extend(submit_many(&embedded, 300..350).await.into_values());

    time.advance(Duration::from_secs(1));
    embedded.keep_up().await;
    let log = embedded.folder.path().join("jobs.sqlite3-wal");
    assert_eq!(log.metadata().unwrap().len(), 0, "the log is empty");
    assert_eq!(in_files(embedded.folder.path(), secrets.values()), Vec::<&String>::new());
    assert_eq!(in_files(embedded.folder.path(), &kept).len(), kept.len(), "whoever looks finds what is there");
}

#[tokio::test]
async fn a_busy_log_is_emptied_now_and_then() {
    let embedded = embedded().await;
    let time = embedded.time;
    let log = embedded.folder.path().join("jobs.sqlite3-wal");
    let length = || log.metadata().unwrap().len();
    let mut emptied_at = Vec::new();
    for second in 0..45 {
        let before = length();
        let writing = async {
            loop {
                submit_many(&embedded, second..second + 1).await;
                embedded.keep_up().await;
                // Only when it is emptied does it get shorter: what is written from its beginning keeps its length.
                let is_emptied = length() < before;
                // It is copied beside the writer first, for as long as that takes: the clock stands still meanwhile.
                if is_emptied || second != 32 || !emptied_at.is_empty() {
                    return is_emptied;
                }
            }
        };
        if tokio::time::timeout(Duration::from_mins(1), writing).await.expect("the log is emptied") {
            emptied_at.push(second);
        }
        time.advance(Duration::from_millis(999)); // never idle for a second
    }
    assert!(matches!(emptied_at[..], [30..=32]), "{emptied_at:?}");
}
