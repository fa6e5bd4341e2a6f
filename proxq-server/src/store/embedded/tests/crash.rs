//! A process that dies at any moment: what its files hold then is copied and opened.

use std::fs;

use super::*;
use crate::job::{Body, JobId, State, Verdict};
use crate::store::contract::{
    all_leased, found, job, job_in, leased, queue, response, retry_after, state_of, submitted,
};
use crate::store::{Content, NewJob};

/// What a `kill -9` would leave at this moment.
fn remains(of: &Embedded) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join("blobs")).unwrap();
    for file in ["jobs.sqlite3", "jobs.sqlite3-wal"] {
        fs::copy(of.folder.path().join(file), copy.path().join(file)).unwrap();
    }
    for file in fs::read_dir(of.folder.path().join("blobs")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join("blobs").join(file.file_name())).unwrap();
    }
    copy
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash() {
    let embedded = embedded().await;
    let store = &embedded.store;
    let completed = job_in(store, State::Completed).await;
    let resting = job_in(store, State::Retry).await;
    let archived = job_in(store, State::Archived).await;
    let running = submitted(store).await;
    leased(store).await;
    let pending = submitted(store).await;

    let remains = remains(&embedded);
    assert_eq!(verify(remains.path()).unwrap(), []);
    let store = open(remains.path(), embedded.time).unwrap();
    for (id, state) in [
        (completed, State::Completed),
        (resting, State::Retry),
        (archived, State::Archived),
        (running, State::Pending),
        (pending, State::Pending),
    ] {
        assert_eq!(state_of(&store, id).await, Some(state));
    }
    let taken_over = found(&store, running).await.progress;
    assert_eq!((taken_over.attempts, taken_over.lease_losses), (1, 1), "at once, without waiting for the lease's end");
    assert!(matches!(store.response(completed).await.unwrap(), Content::Ready(_)));
}

#[tokio::test]
async fn many_lost_leases_are_taken_over_at_the_start() {
    let embedded = embedded().await;
    let submissions = (0..250).map(|_| embedded.store.submit(job()));
    futures_util::future::try_join_all(submissions).await.unwrap();
    assert_eq!(all_leased(&embedded.store).await.len(), 250);
    let remains = remains(&embedded);
    let store = open(remains.path(), embedded.time).unwrap();
    assert_eq!(store.stats(&queue()).await.unwrap().count(State::Pending), 250);
}

#[tokio::test]
async fn a_log_that_was_cut_short_loses_the_end_and_nothing_else() {
    let embedded = embedded().await;
    let log = embedded.folder.path().join("jobs.sqlite3-wal");
    let mut ends = Vec::new();
    let mut ids: Vec<JobId> = Vec::new();
    for _ in 0..12 {
        ids.push(submitted(&embedded.store).await);
        ends.push(log.metadata().unwrap().len());
    }
    let whole = remains(&embedded);
    let bytes = fs::read(whole.path().join("jobs.sqlite3-wal")).unwrap();
    for cut in (usize::try_from(ends[0]).unwrap()..=bytes.len()).step_by(4_603) {
        for garbage in [0, 700] {
            let copy = tempfile::tempdir().unwrap();
            fs::copy(whole.path().join("jobs.sqlite3"), copy.path().join("jobs.sqlite3")).unwrap();
            let mut torn = bytes[..cut].to_vec();
            torn.extend(std::iter::repeat_n(0xa5, garbage));
            fs::write(copy.path().join("jobs.sqlite3-wal"), torn).unwrap();
            let store = open(copy.path(), embedded.time).unwrap();
            let expected = ends.iter().filter(|end| **end <= cut as u64).count();
            for (n, id) in ids.iter().enumerate() {
                let there = store.get(*id).await.unwrap().is_some();
                assert_eq!(there, n < expected, "job {n} of {expected} in a log cut at {cut}");
            }
            store.close().await;
        }
    }
}

#[tokio::test]
async fn blobs_that_a_crash_left_behind_are_swept() {
    let embedded = embedded().await;
    let store = &embedded.store;
    let mut unfinished = store.new_blob(&queue()).await.unwrap();
    unfinished.write(vec![1; 300_000].into()).await.unwrap();
    let mut finished = store.new_blob(&queue()).await.unwrap();
    finished.finish().await.unwrap();
    let mut referred = store.new_blob(&queue()).await.unwrap();
    let blob = referred.finish().await.unwrap();
    store.submit(NewJob { body: Body::Blob(blob), ..job() }).await.unwrap();

    let remains = remains(&embedded);
    let blobs = || {
        let names = fs::read_dir(remains.path().join("blobs")).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(blobs().len(), 3);
    let store = open(remains.path(), embedded.time).unwrap();
    store.upkeep().await.unwrap();
    assert_eq!(blobs(), [blob.id.to_string()]);
}

#[tokio::test]
async fn closing_finishes_what_was_begun() {
    let mut embedded = embedded().await;
    let jobs: Vec<_> = (0..300).map(|_| job()).collect();
    let submissions = jobs.iter().map(|job| embedded.store.submit(job.clone()));
    let (outcomes, ()) = tokio::join!(futures_util::future::join_all(submissions), embedded.store.close());
    let log = embedded.folder.path().join("jobs.sqlite3-wal");
    assert!(log.metadata().is_err() || log.metadata().unwrap().len() == 0, "the log is emptied");
    embedded.store = open(embedded.folder.path(), embedded.time).unwrap();
    for (job, outcome) in jobs.iter().zip(outcomes) {
        let there = embedded.store.get(job.request.id).await.unwrap().is_some();
        assert_eq!(there, outcome.is_ok(), "what was acknowledged is there, and nothing else");
    }
}

#[tokio::test]
async fn a_settled_job_stays_settled() {
    let embedded = embedded().await;
    let id = submitted(&embedded.store).await;
    embedded.store.settle(&leased(&embedded.store).await.lease, retry_after(Duration::ZERO)).await.unwrap();
    let job = leased(&embedded.store).await;
    embedded.store.settle(&job.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    let remains = remains(&embedded);
    let store = open(remains.path(), embedded.time).unwrap();
    let found = found(&store, id).await;
    assert_eq!((found.state, found.progress.lease_losses, found.progress.attempts), (State::Completed, 0, 2));
}
