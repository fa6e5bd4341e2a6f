//! A full disk: says so, loses nothing, recovers.

use std::process::Command;

use futures_util::TryStreamExt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;
use crate::job::{Body, JobId, State, Verdict};
use crate::store::contract::{found, job, queue, response, state_of};
use crate::store::{Content, NewJob, StoreError, Submitted};

/// The length of a large body.
const LARGE_BYTES: usize = 50_000;

fn large_job() -> NewJob {
    job_of(LARGE_BYTES)
}

fn job_of(bytes: usize) -> NewJob {
    NewJob { body: Body::Inline(vec![7; bytes].into()), ..job() }
}

/// Submits large jobs until the store refuses. Gives what it took, and how it refused.
async fn fill(store: &EmbeddedStore) -> (Vec<JobId>, StoreError) {
    fill_with(store, LARGE_BYTES).await
}

async fn fill_with(store: &EmbeddedStore, bytes: usize) -> (Vec<JobId>, StoreError) {
    let mut taken = Vec::new();
    loop {
        let job = job_of(bytes);
        let id = job.request.id;
        match store.submit(job).await {
            Ok(submitted) => {
                assert_eq!(submitted, Submitted::New);
                taken.push(id);
            }
            Err(error) => {
                assert!(store.get(id).await.unwrap().is_none(), "what was refused is not there");
                return (taken, error);
            }
        }
    }
}

#[tokio::test]
async fn a_full_database_says_so_and_recovers() {
    let mut embedded = embedded().await;
    embedded.alter("PRAGMA max_page_count = 300").await;
    let (taken, refusal) = fill(&embedded.store).await;
    assert!(matches!(refusal, StoreError::Full { .. }), "{refusal:?}");
    assert!(taken.len() > 5);
    fill_with(&embedded.store, 10_000).await; // what is left is less than a probe takes
    assert!(matches!(embedded.store.ready().await, Err(StoreError::Full { .. })), "not ready while it is full");
    for id in &taken {
        assert_eq!(state_of(&embedded.store, *id).await, Some(State::Pending), "nothing is lost");
    }
    // Room that is made by cancellations is room; a few pages of it go to what SQLite keeps besides.
    for id in [taken[0], taken[2]] {
        assert!(embedded.store.cancel(id).await.unwrap());
    }
    embedded.store.ready().await.unwrap();
    assert_eq!(embedded.store.submit(large_job()).await.unwrap(), Submitted::New);

    fill(&embedded.store).await;
    embedded.alter("PRAGMA max_page_count = 100000").await;
    embedded.store.ready().await.unwrap();
    let job = embedded.store.lease(&queue(), 1).await.unwrap().pop().unwrap();
    assert_eq!(job.lease.id, taken[1]);
    embedded.store.settle(&job.lease, Verdict::Complete(response(200, vec![1; 100_000]))).await.unwrap();
    embedded.reopen().await;
    let Content::Ready(_) = embedded.store.response(taken[1]).await.unwrap() else { panic!("no response") };
}

/// Set in the child process that is given no room.
const CHILD: &str = "PROXQ_TEST_WITHOUT_ROOM";

/// Runs a test again in a process of its own, where a write beyond a limit fails instead of ending the process.
fn in_a_process_of_its_own(test: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let tests = std::env::current_exe().unwrap();
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(tests)
        .arg(name)
        .env(CHILD, "1")
        .output()
        .unwrap();
    let [said, complained] = [&child.stdout, &child.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(child.status.success() && said.contains("1 passed"), "{said}{complained}");
    false
}

/// Lets no file grow beyond this.
fn limit_files_to(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
}

#[tokio::test]
async fn a_blob_without_room_is_written_when_there_is_room() {
    if !in_a_process_of_its_own("a_blob_without_room_is_written_when_there_is_room") {
        return;
    }
    let embedded = embedded().await;
    let mut writer = embedded.store.new_blob(&queue()).await.unwrap();
    let chunk = |n: u8| bytes::Bytes::from(vec![n; 100_000]);
    limit_files_to(Some(450_000));
    let mut written = Vec::new();
    let mut refusals = 0;
    for n in 0..10 {
        if let Err(error) = writer.write(chunk(n)).await {
            assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
            refusals += 1;
            if refusals == 2 {
                limit_files_to(None);
            }
            writer.write(chunk(n)).await.unwrap_or_else(|_| {
                refusals += 1;
                limit_files_to(None);
            });
            if refusals == 2 {
                writer.write(chunk(n)).await.unwrap();
            }
        }
        written.extend_from_slice(&chunk(n));
    }
    assert_eq!(refusals, 2);
    limit_files_to(Some(1_000));
    let blob = writer.finish().await;
    limit_files_to(None);
    let blob = match blob {
        Ok(blob) => blob,
        Err(StoreError::Full { .. }) => writer.finish().await.unwrap(),
        Err(other) => panic!("{other:?}"),
    };
    let read: Vec<bytes::Bytes> = embedded.store.open_blob(&blob).await.unwrap().try_collect().await.unwrap();
    assert!(read.concat() == written);
}

#[tokio::test]
async fn a_log_without_room_loses_nothing() {
    if !in_a_process_of_its_own("a_log_without_room_loses_nothing") {
        return;
    }
    let mut embedded = embedded().await;
    limit_files_to(Some(1_000_000));
    let (mut taken, refusal) = fill(&embedded.store).await;
    assert!(matches!(refusal, StoreError::Full { .. }), "{refusal:?}");
    assert!(taken.len() > 5);
    limit_files_to(Some(1)); // where a large job had no room, a small one may have had some
    assert!(embedded.store.ready().await.is_err());
    limit_files_to(None);
    embedded.store.ready().await.unwrap();
    let more = job();
    taken.push(more.request.id);
    embedded.store.submit(more).await.unwrap();
    embedded.reopen().await;
    for id in &taken {
        assert_eq!(found(&embedded.store, *id).await.state, State::Pending);
    }
}
