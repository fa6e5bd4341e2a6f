//! Which folders are opened, and which are not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::super::schema::FORMAT;
use super::*;
use crate::job::{JobId, JobRequest, Priority, State};
use crate::store::contract::{job, job_in, lease_ids, request, state_of, submitted};
use crate::store::{Call, Claim, Join, NewJob, Submitted};

#[tokio::test]
async fn the_folder_is_private() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("deep/down");
    let store = open(&folder, ChosenTime::at(START)).unwrap();
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    store.close().await;
}

#[tokio::test]
async fn a_folder_that_holds_other_files_keeps_its_mode() {
    let folder = tempfile::tempdir().unwrap();
    let mode = |name: &str| folder.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
    fs::write(folder.path().join("theirs"), "").unwrap();
    for open in [".", "theirs"] {
        fs::set_permissions(folder.path().join(open), fs::Permissions::from_mode(0o755)).unwrap();
    }
    open(folder.path(), ChosenTime::at(START)).unwrap().close().await;
    let modes = [".", "theirs", "jobs.sqlite3", "lock", "blobs"].map(mode);
    assert_eq!(modes, [0o755, 0o755, 0o600, 0o600, 0o700], "what is ours is closed");
}

#[tokio::test]
async fn a_second_open_is_refused_until_the_first_is_over() {
    let embedded = embedded().await;
    let path = embedded.folder.path();
    let refused = EmbeddedStore::open(options(path), embedded.time.clock()).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }));
    assert!(refused.to_string().contains(&path.display().to_string()), "names the folder: {refused}");
    assert!(matches!(super::super::verify(path, &Keyring::default()), Err(OpenError::InUse { .. })));
    drop(embedded.store); // not closed
    open(path, embedded.time).unwrap();
}

#[tokio::test]
async fn a_later_format_is_refused() {
    let embedded = embedded().await;
    embedded.store.close().await;
    let path = embedded.folder.path();
    let database = Connection::open(path.join("jobs.sqlite3")).unwrap();
    database.pragma_update(None, "user_version", FORMAT + 1).unwrap();
    drop(database);
    let refused = open(path, embedded.time).unwrap_err().to_string();
    let both = [format!("format {}", FORMAT + 1), format!("up to {FORMAT}")];
    assert!(both.iter().all(|version| refused.contains(version)), "{refused}");
}

#[tokio::test]
async fn an_earlier_format_is_brought_up_to_date() {
    let embedded = embedded().await;
    let id = submitted(&embedded.store).await;
    embedded.store.close().await;
    let path = embedded.folder.path();
    back_in_format_1(path);
    let store = open(path, embedded.time).unwrap();
    assert_eq!(state_of(&store, id).await, Some(State::Pending), "what was there is there");
    let claim = Claim { scope: [1; 32], fingerprint: [2; 32], ttl: Duration::from_mins(1) };
    let new = NewJob { claim: Some(claim), ..job() };
    let first = new.request.id;
    assert_eq!(store.submit(new).await.unwrap(), Submitted::New);
    assert_eq!(store.submit(NewJob { claim: Some(claim), ..job() }).await.unwrap(), Submitted::Replayed(first));
    let call = Call { key: Some([3; 32]), join: Join::OrWait, cancel_when_abandoned: false };
    assert_eq!(store.submit(NewJob { call: Some(call), ..job() }).await.unwrap(), Submitted::New);
}

#[tokio::test]
async fn jobs_of_an_earlier_format_are_of_normal_priority() {
    let embedded = embedded().await;
    let normal = submitted(&embedded.store).await;
    embedded.store.close().await;
    back_in_format_1(embedded.folder.path());
    let store = open(embedded.folder.path(), embedded.time).unwrap();
    let [high, low] = [Priority::High, Priority::Low].map(|priority| {
        let request = JobRequest { priority, ..request(JobId::new()) };
        NewJob { request, ..job() }
    });
    let order = [high.request.id, normal, low.request.id];
    store.submit(low).await.unwrap();
    store.submit(high).await.unwrap();
    assert_eq!(lease_ids(&store, 10).await, order);
}

/// Makes the database one of the first format.
fn back_in_format_1(folder: &Path) {
    let database = Connection::open(folder.join("jobs.sqlite3")).unwrap();
    let back = "DROP INDEX pending;
         DROP INDEX filed;
         DROP INDEX waiting_by_number;
         ALTER TABLE jobs DROP COLUMN filed;
         ALTER TABLE jobs DROP COLUMN priority;
         CREATE INDEX pending ON jobs (queue, due) WHERE state = 0;
         DROP TABLE claims;
         DROP TABLE calls;
         DROP TABLE bounds;
         DROP TABLE paused;
         PRAGMA user_version = 1;";
    database.execute_batch(back).unwrap();
}

#[tokio::test]
async fn what_is_not_a_database_of_proxq_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.sqlite3");
    fs::write(&path, "just some text, longer than the hundred bytes of a database's header. ".repeat(20)).unwrap();
    let time = ChosenTime::at(START);
    assert!(matches!(open(folder.path(), time), Err(OpenError::NotOurs { .. })));
    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(open(folder.path(), time), Err(OpenError::NotOurs { .. })));
    let theirs: i64 = Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'theirs'", (), |row| row.get(0))
        .unwrap();
    assert_eq!(theirs, 1, "and left as it is");
}

#[tokio::test]
async fn an_empty_file_is_a_store_that_was_never_begun() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("jobs.sqlite3"), "").unwrap();
    let store = open(folder.path(), ChosenTime::at(START)).unwrap();
    submitted(&store).await;
}

#[tokio::test]
async fn a_damaged_database_is_refused() {
    let embedded = embedded().await;
    for _ in 0..200 {
        submitted(&embedded.store).await;
    }
    embedded.store.close().await;
    let path = embedded.folder.path().join("jobs.sqlite3");
    let whole = fs::read(&path).unwrap();

    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let refused = open(embedded.folder.path(), embedded.time).unwrap_err();
    assert!(matches!(refused, OpenError::Corrupt { .. }), "truncated: {refused}");

    let mut torn = whole.clone();
    torn[4_096..20_000].fill(0x5a);
    fs::write(&path, &torn).unwrap();
    let refused = open(embedded.folder.path(), embedded.time).unwrap_err();
    assert!(matches!(refused, OpenError::Corrupt { .. }), "overwritten: {refused}");

    fs::write(&path, &whole).unwrap();
    open(embedded.folder.path(), embedded.time).unwrap().close().await;
}

#[tokio::test]
async fn a_clock_that_was_set_back_between_runs_keeps_the_order() {
    let mut embedded = embedded().await;
    let first = submitted(&embedded.store).await;
    embedded.time.advance(Duration::from_secs(1));
    let second = submitted(&embedded.store).await;
    let delayed = job_in(&embedded.store, State::Scheduled).await;
    embedded.store.close().await;
    embedded.time = ChosenTime::at(START.before(Duration::from_hours(1)));
    embedded.store = open(embedded.folder.path(), embedded.time).unwrap();
    let third = submitted(&embedded.store).await;
    assert_eq!(lease_ids(&embedded.store, 10).await, [first, second, third]);
    assert_eq!(state_of(&embedded.store, delayed).await, Some(State::Scheduled));
}
