//! Clocks that are set, and a machine that sleeps or is started again.

use super::*;
use crate::job::{JobId, State, Verdict};
use crate::store::contract::{RETENTION, found, job, job_in, leased, queue, response, retry_after, submitted};
use crate::store::{Claim, Content, JobOrder, NewJob, Submitted, Upkept};

const HOUR: Duration = Duration::from_hours(1);

fn claiming() -> NewJob {
    NewJob { claim: Some(Claim { scope: [1; 32], fingerprint: [2; 32], ttl: HOUR }), ..job() }
}

/// What waits for ten minutes, and what is kept for an hour.
struct Kept {
    completed: JobId,
    claimed: JobId,
    waiting: [JobId; 2],
}

impl Kept {
    async fn on(store: &EmbeddedStore) -> Self {
        let completed = job_in(store, State::Completed).await;
        let new = claiming();
        let claimed = new.request.id;
        store.submit(new).await.unwrap();
        store.settle(&leased(store).await.lease, Verdict::Complete(response(200, ""))).await.unwrap();
        let waiting = [job_in(store, State::Scheduled).await, job_in(store, State::Retry).await];
        Self { completed, claimed, waiting }
    }

    /// Nothing has happened yet, and all of it happens in its own time, which begins now.
    async fn comes_in_its_own_time(&self, Embedded { store, time, .. }: &Embedded) {
        assert_eq!(store.upkeep().await.unwrap(), Upkept::default());
        assert_eq!(store.submit(claiming()).await.unwrap(), Submitted::Replayed(self.claimed));
        time.advance(Duration::from_mins(10).saturating_sub(Duration::from_millis(1)));
        assert_eq!(store.upkeep().await.unwrap(), Upkept::default());
        let due = queue();
        let woken = store.due(&due);
        time.advance(Duration::from_millis(1));
        tokio::time::timeout(Duration::from_mins(1), woken).await.expect("a worker is woken");
        let leased = store.lease(&queue(), 10).await.unwrap();
        assert_eq!(leased.len(), 2);
        for job in leased {
            assert!(self.waiting.contains(&job.lease.id));
            store.settle(&job.lease, retry_after(HOUR * 24)).await.unwrap();
        }
        time.advance(RETENTION.saturating_sub(Duration::from_mins(10) + Duration::from_millis(1)));
        assert!(matches!(store.response(self.completed).await.unwrap(), Content::Ready(_)));
        assert_eq!(store.upkeep().await.unwrap(), Upkept::default());
        time.advance(Duration::from_millis(1));
        assert_eq!(store.upkeep().await.unwrap().expired, 2);
    }
}

#[tokio::test]
async fn a_clock_that_is_set_at_any_time_changes_nothing() {
    for hours in [-8_766, -2, 2, 8_766] {
        for (restarts, set_while_it_runs) in [(false, true), (true, true), (true, false)] {
            for machine_restarts in [false, true] {
                if machine_restarts && !(restarts && set_while_it_runs) {
                    continue; // nobody can tell the one from the other
                }
                let mut embedded = embedded().await;
                let kept = Kept::on(&embedded.store).await;
                embedded.store.upkeep().await.unwrap();
                let set = START.shifted(hours * 3_600_000);
                if set_while_it_runs {
                    embedded.time.set_wall(set);
                }
                if restarts {
                    embedded.store.close().await;
                    embedded.time.set_wall(set);
                    if machine_restarts {
                        embedded.time.reboot();
                    }
                    embedded.store = open(embedded.folder.path(), embedded.time).unwrap();
                }
                kept.comes_in_its_own_time(&embedded).await;
            }
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_behind_when_the_machine_starts_hangs_nothing() {
    for corrected in [false, true] {
        let mut embedded = embedded().await;
        let kept = Kept::on(&embedded.store).await;
        embedded.store.close().await;
        embedded.time.reboot();
        embedded.time.set_wall(START.before(HOUR * 8_766));
        embedded.store = open(embedded.folder.path(), embedded.time).unwrap();
        embedded.store.upkeep().await.unwrap();
        if corrected {
            embedded.time.set_wall(START);
        }
        kept.comes_in_its_own_time(&embedded).await;
    }
}

#[tokio::test]
async fn a_crash_costs_no_time() {
    let embedded = embedded().await;
    let kept = Kept::on(&embedded.store).await;
    let copy = tempfile::tempdir().unwrap();
    for file in ["jobs.sqlite3", "jobs.sqlite3-wal"] {
        std::fs::copy(embedded.folder.path().join(file), copy.path().join(file)).unwrap();
    }
    embedded.time.set_wall(START.before(HOUR));
    embedded.time.advance(HOUR * 2);
    let store = open(copy.path(), embedded.time).unwrap();
    assert_eq!(store.upkeep().await.unwrap(), Upkept { woken: 2, reclaimed: 0, expired: 2, overdue: 0 });
    assert!(store.get(kept.completed).await.unwrap().is_none());
}

#[tokio::test]
async fn what_was_due_while_the_machine_was_off_or_asleep_is_due() {
    for off in [false, true] {
        let mut embedded = embedded().await;
        let kept = Kept::on(&embedded.store).await;
        if off {
            embedded.store.close().await;
            embedded.time.reboot();
            embedded.time.advance(HOUR);
            embedded.store = open(embedded.folder.path(), embedded.time).unwrap();
        } else {
            embedded.time.sleep(HOUR);
        }
        assert_eq!(embedded.store.upkeep().await.unwrap(), Upkept { woken: 2, reclaimed: 0, expired: 2, overdue: 0 });
        assert!(embedded.store.get(kept.completed).await.unwrap().is_none());
        assert_eq!(embedded.store.submit(claiming()).await.unwrap(), Submitted::New);
    }
}

#[tokio::test]
async fn a_worker_that_slept_keeps_its_lease() {
    let embedded = embedded().await;
    submitted(&embedded.store).await;
    let lease = leased(&embedded.store).await.lease;
    embedded.time.sleep(HOUR * 8);
    assert_eq!(embedded.store.upkeep().await.unwrap().reclaimed, 0);
    embedded.store.settle(&lease, Verdict::Complete(response(200, ""))).await.unwrap();
}

#[tokio::test]
async fn people_are_shown_the_time_of_day_as_it_was_corrected() {
    let mut embedded = embedded().await;
    let time = embedded.time;
    let id = submitted(&embedded.store).await;
    time.advance(Duration::from_secs(1));
    embedded.store.settle(&leased(&embedded.store).await.lease, retry_after(HOUR)).await.unwrap();
    for (hours, restarts) in [(-2, false), (5, true), (0, true)] {
        time.set_wall(START.shifted(hours * 3_600_000 + 1_000));
        if restarts {
            embedded.reopen().await;
        }
        let shown = found(&embedded.store, id).await;
        let began = START.shifted(hours * 3_600_000);
        let sent = began.after(Duration::from_secs(1));
        assert_eq!(shown.request.created_at, began);
        assert_eq!((shown.progress.started_at, shown.progress.due_at), (Some(sent), Some(sent.after(HOUR))));
        let attempt = &shown.progress.history[0];
        assert_eq!((attempt.started_at, attempt.ended_at), (sent, sent));
        let listed =
            embedded.store.list(&queue(), State::Retry, JobOrder::OldestFirst, None, 10).await.unwrap().jobs.remove(0);
        assert_eq!(listed.request.created_at, began);
    }
    time.set_wall(START.after(Duration::from_secs(1)));
    time.advance(HOUR);
    assert_eq!(leased(&embedded.store).await.request.created_at, START, "so is a worker");
}
