//! One transaction for many steps; what one of them does to the others; what is left in memory.

use std::sync::{Arc, Barrier};

use rusqlite::ffi;

use super::*;
use crate::job::{JobId, State, Verdict};
use crate::store::contract::{job, leased, queue, response, submitted};
use crate::store::{StoreError, Submitted};

/// Holds the writer up until a test says go.
#[derive(Debug)]
struct Hold(Arc<Barrier>);

impl Step for Hold {
    type Output = ();

    fn run(&self, _: &mut Tx<'_>) -> Result<(), StepError> {
        self.0.wait();
        self.0.wait();
        Ok(())
    }
}

/// A step that changes something and then fails in the database.
#[derive(Debug)]
struct Fails(i32);

impl Step for Fails {
    type Output = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), StepError> {
        tx.connection.execute("INSERT INTO meta (key, value) VALUES ('half', x'00')", ())?;
        Err(StepError::Database(rusqlite::Error::SqliteFailure(ffi::Error::new(self.0), None)))
    }
}

impl Embedded {
    /// Does these together with a hundred submissions, in one batch. Gives what became of the submissions.
    async fn batch_with(&self, steps: Vec<Fails>) -> (Vec<Result<Submitted, StoreError>>, u64) {
        let barrier = Arc::new(Barrier::new(2));
        let (outbox, commits_before) = (&self.store.writer.outbox, self.store.shared.health.counts().0);
        let hold = outbox.run(Hold(Arc::clone(&barrier)));
        let jobs: Vec<_> = (0..100).map(|_| job()).collect();
        let submissions = futures_util::future::join_all(jobs.iter().map(|job| self.store.submit(job.clone())));
        let failing = futures_util::future::join_all(steps.into_iter().map(|step| outbox.run(step)));
        // All of them are sent at the first poll, however many a task may do before it lets others go on.
        let together = tokio::task::unconstrained(futures_util::future::join(submissions, failing));
        tokio::pin!(hold, together);
        assert!(futures_util::poll!(&mut hold).is_pending());
        barrier.wait(); // the writer is at work, and takes nothing more
        assert!(futures_util::poll!(&mut together).is_pending());
        barrier.wait();
        hold.await.unwrap();
        let (outcomes, failures) = together.await;
        assert!(failures.iter().all(Result::is_err));
        for (job, outcome) in jobs.iter().zip(&outcomes) {
            assert_eq!(self.store.get(job.request.id).await.unwrap().is_some(), outcome.is_ok());
        }
        (outcomes, self.store.shared.health.counts().0 - commits_before)
    }
}

#[tokio::test]
async fn what_waits_shares_a_transaction() {
    let embedded = embedded().await;
    let (outcomes, commits) = embedded.batch_with(Vec::new()).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(commits, 1, "for a hundred submissions");
}

#[tokio::test]
async fn a_step_that_cannot_be_done_does_not_harm_its_neighbours() {
    let embedded = embedded().await;
    let (outcomes, _) = embedded.batch_with(vec![Fails(ffi::SQLITE_CORRUPT), Fails(ffi::SQLITE_TOOBIG)]).await;
    assert!(outcomes.iter().all(Result::is_ok));
    embedded.store.ready().await.unwrap();
    let half: i64 = embedded
        .store
        .readers
        .read(|connection| {
            Ok(connection.query_row("SELECT count(*) FROM meta WHERE key = 'half'", (), |row| row.get(0))?)
        })
        .await
        .unwrap();
    assert_eq!(half, 0, "nothing is half done");
}

#[tokio::test]
async fn a_disk_that_fails_fails_everybody() {
    let embedded = embedded().await;
    let (outcomes, commits) = embedded.batch_with(vec![Fails(ffi::SQLITE_FULL)]).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(StoreError::Full { .. }))));
    assert_eq!(commits, 0);
    let (outcomes, _) = embedded.batch_with(vec![Fails(ffi::SQLITE_IOERR)]).await;
    let unavailable = |outcome| matches!(outcome, &Err(StoreError::Unavailable { may_be_done: false, .. }));
    assert!(outcomes.iter().all(unavailable));
    embedded.store.ready().await.unwrap();
    submitted(&embedded.store).await;
}

#[tokio::test]
async fn what_was_rolled_back_is_not_counted() {
    let embedded = embedded().await;
    let pending = async || embedded.store.stats(&queue()).await.unwrap().count(State::Pending);
    embedded.batch_with(vec![Fails(ffi::SQLITE_CORRUPT)]).await;
    assert_eq!(pending().await, 100, "each submission is counted once, though it was done twice");
    embedded.batch_with(vec![Fails(ffi::SQLITE_IOERR)]).await;
    assert_eq!(pending().await, 100, "none of these was committed");
}

#[tokio::test]
async fn upkeep_with_nothing_to_do_writes_nothing() {
    let embedded = embedded().await;
    submitted(&embedded.store).await;
    let before = embedded.store.shared.health.counts();
    for _ in 0..10 {
        embedded.time.advance(Duration::from_secs(1));
        embedded.store.upkeep().await.unwrap();
    }
    let after = embedded.store.shared.health.counts();
    assert_eq!(after.0, before.0, "no transaction wrote");
    assert!(after.1 > before.1);
}

#[tokio::test]
async fn those_who_waited_leave_nothing_in_memory() {
    let embedded = embedded().await;
    let store = &embedded.store;
    let id = submitted(store).await;
    let watches = (store.watch(id).await.unwrap(), store.watch(id).await.unwrap());
    drop(store.watch(JobId::new()).await.unwrap());
    let job = leased(store).await;
    assert_eq!(store.shared.signals.sizes(), (1, 1));
    watches.0.await;
    assert_eq!(store.shared.signals.sizes(), (1, 1), "the other watches on");
    drop(watches.1);
    store.settle(&job.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    assert_eq!(store.shared.signals.sizes(), (0, 0));

    submitted(store).await;
    let jobs = store.lease(&queue(), 1).await.unwrap();
    store.cancel(jobs[0].lease.id).await.unwrap();
    assert_eq!(store.shared.signals.sizes(), (0, 0));
}
