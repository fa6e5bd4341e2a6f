//! Bytes that are not what was written, and records of a later version.

use std::fs;
use std::os::unix::fs::FileExt;

use super::*;
use crate::job::{BlobRef, Body, JobId, Progress, State, StoredResponse, Verdict};
use crate::store::contract::{
    RETENTION, failure, job, job_in, lease_ids, leased, queue, response, state_of, submitted,
};
use crate::store::record::of_later_version;
use crate::store::{Content, JobOrder, NewJob, StoreError};

impl Embedded {
    /// Overwrites a byte of a column of the job's row.
    async fn flip(&self, table: &str, column: &str, id: JobId) {
        let row = format!("seq = (SELECT seq FROM jobs WHERE id = {})", literal(id.as_bytes()));
        let other = another_byte(&format!("substr({column}, length({column}) - 1, 1)"));
        self.alter(format!(
            "UPDATE {table} SET {column} = cast(substr({column}, 1, length({column}) - 2) || {other}
                 || substr({column}, length({column})) AS BLOB) WHERE {row}"
        ))
        .await;
    }

    /// Puts a record of a later version in the place of the job's progress.
    async fn make_newer(&self, id: JobId) {
        let newer = literal(&of_later_version(id, &Progress::default()));
        self.alter(format!("UPDATE jobs SET progress = {newer} WHERE id = {}", literal(id.as_bytes()))).await;
    }
}

/// A byte that is another one than `byte` is, in SQL.
fn another_byte(byte: &str) -> String {
    format!("CASE cast({byte} AS BLOB) WHEN x'a5' THEN x'5a' ELSE x'a5' END")
}

fn is_corrupt<T>(read: &Result<T, StoreError>, of: JobId, part: &str) -> bool {
    matches!(read, Err(StoreError::CorruptJob { id, what }) if *id == of && *what == part)
}

#[tokio::test]
async fn a_damaged_job_is_never_served() {
    let mut embedded = embedded().await;
    for (table, column, part) in
        [("results", "head", "response"), ("results", "body", "response body"), ("jobs", "progress", "progress")]
    {
        let id = job_in(&embedded.store, State::Completed).await;
        embedded.store.response(id).await.unwrap();
        embedded.flip(table, column, id).await;
        if table == "results" {
            assert!(is_corrupt(&embedded.store.response(id).await, id, part), "{part}");
        } else {
            assert!(is_corrupt(&embedded.store.get(id).await, id, part), "{part}");
        }
        embedded.store.close().await;
        let findings = verify(embedded.folder.path()).unwrap();
        let finding = Finding { job: Some(id), what: format!("{part} does not match its checksum") };
        assert_eq!(findings, [finding]);
        embedded.store = open(embedded.folder.path(), embedded.time).unwrap();
        assert!(embedded.store.cancel(id).await.unwrap());
    }
}

#[tokio::test]
async fn a_state_that_is_none_is_damage() {
    let mut embedded = embedded().await;
    let id = job_in(&embedded.store, State::Archived).await;
    embedded.alter(format!("UPDATE jobs SET state = 9 WHERE id = {}", literal(id.as_bytes()))).await;
    let store = &embedded.store;
    assert!(is_corrupt(&store.get(id).await, id, "state"));
    assert!(is_corrupt(&store.response(id).await, id, "state"));
    assert!(is_corrupt(&store.retry_failed(id, true).await, id, "state"));
    embedded.store.close().await;
    let finding = Finding { job: Some(id), what: "state is none that there is".to_owned() };
    assert_eq!(verify(embedded.folder.path()).unwrap(), [finding]);
    embedded.store = open(embedded.folder.path(), embedded.time).unwrap();
    assert!(embedded.store.cancel(id).await.unwrap());
}

#[tokio::test]
async fn a_damaged_job_does_not_stand_in_the_way_of_others() {
    let embedded = embedded().await;
    let store = &embedded.store;
    let mut secret = job();
    secret.request.headers.insert("authorization", "Bearer secret".parse().unwrap());
    let secret_id = secret.request.id;
    store.submit(secret).await.unwrap();
    let damaged = [submitted(store).await, submitted(store).await, submitted(store).await, secret_id];
    embedded.flip("requests", "facts", damaged[0]).await;
    embedded.flip("requests", "body", damaged[1]).await;
    embedded.flip("jobs", "progress", damaged[2]).await;
    let other = another_byte("substr(bytes, 31, 1)");
    let flip = format!("UPDATE vault SET bytes = cast(substr(bytes, 1, 30) || {other} || substr(bytes, 32) AS BLOB)");
    embedded.alter(&flip).await;
    let whole = submitted(store).await;

    let mut leased = Vec::new();
    for _ in 0..damaged.len() {
        leased.extend(lease_ids(store, 2).await);
    }
    assert_eq!(leased, [whole]);
    assert!(is_corrupt(&store.get(damaged[0]).await, damaged[0], "request"));
    assert!(is_corrupt(&store.get(damaged[2]).await, damaged[2], "progress"));
    for id in [damaged[1], damaged[3]] {
        let Content::Failed { error } = store.response(id).await.unwrap() else { panic!("not failed") };
        assert!(error.contains("does not match its checksum"), "{error}");
    }
    assert_eq!(store.stats(&queue()).await.unwrap().count(State::Archived), 4);
    let page = store.list(&queue(), State::Archived, JobOrder::OldestFirst, None, 10).await.unwrap();
    assert_eq!(page.jobs.len(), 2, "the others are left out");
    embedded.time.advance(RETENTION);
    assert_eq!(store.upkeep().await.unwrap().expired, 4, "they go like other failed jobs");
}

#[tokio::test]
async fn a_damaged_job_whose_lease_is_lost_is_given_up() {
    let embedded = embedded().await;
    let store = &embedded.store;
    let id = job_in(store, State::Active).await;
    embedded.flip("requests", "facts", id).await;
    embedded.time.advance(Duration::from_mins(1));
    assert_eq!(store.upkeep().await.unwrap().reclaimed, 1);
    assert_eq!(store.stats(&queue()).await.unwrap().count(State::Archived), 1);
}

#[tokio::test]
async fn a_response_is_kept_though_the_jobs_progress_was_damaged() {
    let embedded = embedded().await;
    let id = submitted(&embedded.store).await;
    let job = leased(&embedded.store).await;
    embedded.flip("jobs", "progress", id).await;
    embedded.store.settle(&job.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    assert_eq!(state_of(&embedded.store, id).await, Some(State::Completed));
    assert!(matches!(embedded.store.response(id).await.unwrap(), Content::Ready(_)));
}

#[tokio::test]
async fn a_job_of_a_later_version_is_left_alone() {
    let mut embedded = embedded().await;
    let store = &embedded.store;
    let completed = job_in(store, State::Completed).await;
    let active = job_in(store, State::Active).await;
    let resting = job_in(store, State::Retry).await;
    let pending = submitted(store).await;
    let newer = [completed, active, resting, pending];
    for id in newer {
        embedded.make_newer(id).await;
    }
    let ours = submitted(store).await;
    assert_eq!(lease_ids(store, 1).await, [ours], "it is passed over");
    assert!(matches!(store.get(pending).await, Err(StoreError::NewerRecord { version: 3, .. })));
    assert!(matches!(store.cancel(pending).await, Err(StoreError::NewerRecord { version: 3, .. })));

    embedded.time.advance(RETENTION * 2);
    store.upkeep().await.unwrap();
    store.close().await;
    embedded.store = open(embedded.folder.path(), embedded.time).unwrap();
    let store = &embedded.store;
    store.upkeep().await.unwrap();
    let stats = store.stats(&queue()).await.unwrap();
    for state in [State::Completed, State::Active, State::Retry] {
        assert_eq!(stats.count(state), 1, "{state:?}: neither moved nor dropped");
    }
    assert_eq!(stats.count(State::Pending), 2);
    assert_eq!(lease_ids(store, 1).await, [ours]);
    embedded.store.close().await;
    assert_eq!(verify(embedded.folder.path()).unwrap().len(), 4);
}

async fn job_with_blobs(store: &EmbeddedStore) -> (JobId, BlobRef, BlobRef) {
    let mut blobs = Vec::new();
    for byte in [1, 2] {
        let mut writer = store.new_blob(&queue()).await.unwrap();
        writer.write(vec![byte; 600_000].into()).await.unwrap();
        blobs.push((writer.finish().await.unwrap(), writer));
    }
    let (response_blob, response_writer) = blobs.pop().unwrap();
    let (body_blob, body_writer) = blobs.pop().unwrap();
    let job = NewJob { body: Body::Blob(body_blob), ..job() };
    let id = job.request.id;
    store.submit(job).await.unwrap();
    body_writer.keep();
    let response = StoredResponse { body: Body::Blob(response_blob), ..response(200, "") };
    store.settle(&leased(store).await.lease, Verdict::Complete(response)).await.unwrap();
    response_writer.keep();
    (id, body_blob, response_blob)
}

#[tokio::test]
async fn a_damaged_blob_is_never_served() {
    let mut embedded = embedded().await;
    let (id, body, answer) = job_with_blobs(&embedded.store).await;
    let file = |blob: BlobRef| embedded.folder.path().join("blobs").join(blob.id.to_string());
    let whole = fs::read(file(body)).unwrap();
    let mut flipped = whole.clone();
    flipped[599_999] ^= 1;
    let mut longer = whole.clone();
    longer.push(0);
    for (damaged, what) in [(&flipped[..], "checksum"), (&whole[..599_999], "599999 bytes"), (&longer, "600001 bytes")]
    {
        fs::write(file(body), damaged).unwrap();
        match embedded.store.open_blob(&body).await.map(drop) {
            Err(StoreError::CorruptBlob { blob, what: found }) => {
                assert_eq!(blob, body.id);
                assert!(found.contains(what), "{found}");
            }
            other => panic!("{what}: {other:?}"),
        }
    }
    fs::remove_file(file(answer)).unwrap();
    assert!(matches!(embedded.store.open_blob(&answer).await.map(drop), Err(StoreError::CorruptBlob { .. })));
    embedded.store.close().await;
    let findings = verify(embedded.folder.path()).unwrap();
    assert_eq!(findings.len(), 2);
    assert!(findings.iter().all(|finding| finding.job == Some(id)), "{findings:?}");
    fs::write(file(body), &whole).unwrap();
    embedded.store = open(embedded.folder.path(), embedded.time).unwrap();
    embedded.store.open_blob(&body).await.map(drop).unwrap();
}

#[tokio::test]
async fn a_store_in_order_has_no_findings() {
    let embedded = embedded().await;
    job_with_blobs(&embedded.store).await;
    for state in State::ALL {
        job_in(&embedded.store, state).await;
        if state == State::Pending {
            let lease = leased(&embedded.store).await.lease;
            embedded.store.settle(&lease, failure()).await.unwrap();
        }
    }
    embedded.store.close().await;
    assert_eq!(verify(embedded.folder.path()).unwrap(), []);
}

#[tokio::test]
async fn damage_to_the_database_itself_is_found() {
    let embedded = embedded().await;
    for _ in 0..100 {
        submitted(&embedded.store).await;
    }
    embedded.store.close().await;
    let path = embedded.folder.path().join("jobs.sqlite3");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 3_000..end - 100].fill(0x77);
    fs::write(&path, bytes).unwrap();
    assert!(!verify(embedded.folder.path()).unwrap().is_empty());
}

#[tokio::test]
async fn a_damaged_page_is_damage_to_its_job_only() {
    let mut embedded = embedded().await;
    let whole = job_in(&embedded.store, State::Completed).await;
    let id = submitted(&embedded.store).await;
    let body = "x".repeat(20_000); // fills several pages, each of which names the next
    embedded.store.settle(&leased(&embedded.store).await.lease, Verdict::Complete(response(200, body))).await.unwrap();
    embedded.reopen().await; // now all is in the database's file, and no reader has read it
    let path = embedded.folder.path().join("jobs.sqlite3");
    let bytes = fs::read(&path).unwrap();
    let page_bytes = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for (number, page) in bytes.chunks(page_bytes).enumerate() {
        if page[4..].iter().all(|byte| *byte == b'x') {
            file.write_all_at(&[0xff; 4], (number * page_bytes) as u64).unwrap(); // the next page is none of the file
        }
    }
    let read = embedded.store.response(id).await;
    assert!(is_corrupt(&read, id, "a database page"), "{read:?}");
    assert!(matches!(embedded.store.response(whole).await, Ok(Content::Ready(_))));
    assert!(matches!(embedded.store.get(id).await, Ok(Some(job)) if job.state == State::Completed));
}
