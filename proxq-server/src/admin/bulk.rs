//! Carries out orders for many jobs. Each runs in the background, a few jobs at a time, so that it holds nobody up.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::api::store_problem;
use super::desk::Desk;
use super::filter::Filter;
use super::model::{Bulk, BulkAction, BulkCount, BulkOrder};
use super::search::{Found, PAGE_MAX, Place, search};
use crate::clock::Timestamp;
use crate::failure::chain;
use crate::job::{JobId, State};
use crate::reply::Problem;
use crate::store::{JobAccess, JobOrder, Requeued, StoreError, StorePauses};
use crate::tasks::Tasks;

/// How many jobs an order works on at once: enough to share the commits of the embedded store, and so few that Redis, which does
/// one thing at a time, has others wait for them half a millisecond longer.
const AT_ONCE: usize = 4;
/// How long an order rests after each page for each span that the page took: others have the store for half of the time.
const REST_PARTS: u32 = 1;
/// How many jobs are looked at to count those of an order.
const COUNTED_MAX: usize = 100_000;
/// How long the count may take.
const COUNTS_FOR: Duration = Duration::from_secs(2);
/// How often an order asks a store again that does not answer, before it gives up.
const TRIES: u32 = 10;

/// The states that an action is for, if jobs in the wanted one are.
fn states_of(action: BulkAction, wanted: Option<State>) -> Result<Vec<State>, Problem> {
    let allowed = match action {
        BulkAction::Retry | BulkAction::Delete => &[State::Archived][..],
        BulkAction::Cancel => &[State::Pending, State::Scheduled, State::Active, State::Retry][..],
    };
    match wanted {
        None => Ok(allowed.to_vec()),
        Some(state) if allowed.contains(&state) => Ok(vec![state]),
        Some(_) => Err(Problem::bad_body(match action {
            BulkAction::Retry | BulkAction::Delete => {
                "filter.state: only failed jobs can be retried or deleted; write failed"
            }
            BulkAction::Cancel => {
                "filter.state: jobs that have ended cannot be cancelled; write pending, scheduled, active or retry"
            }
        })),
    }
}

impl Desk {
    /// The filter of an order, and its states. Jobs that end after `now` are left out, so that none is retried twice.
    fn filters_of(&self, order: &BulkOrder, now: Timestamp) -> Result<Vec<Filter>, Problem> {
        let filter = Filter::read(&order.filter, &self.queue_names())?;
        let states = states_of(order.action, filter.state)?;
        let ended_before = matches!(order.action, BulkAction::Retry | BulkAction::Delete).then_some(now);
        Ok(states.into_iter().map(|state| filter.narrowed(state, ended_before)).collect())
    }

    /// How many jobs an order is for, as far as can be said at once.
    pub(crate) async fn count(&self, order: &BulkOrder) -> Result<BulkCount, Problem> {
        let now = self.clock.wall();
        let began = tokio::time::Instant::now();
        let (mut jobs, mut looked_at) = (0, 0);
        for filter in self.filters_of(order, now)? {
            if filter.is_open() {
                jobs += self.counted(&filter).await.map_err(|error| store_problem(&error))?;
                continue;
            }
            let mut place = None;
            loop {
                let found = self.page(&filter, place, now).await.map_err(|error| store_problem(&error))?;
                jobs += found.jobs.len() as u64;
                looked_at += found.looked_at;
                match found.next {
                    None => break,
                    Some(_) if looked_at >= COUNTED_MAX || began.elapsed() > COUNTS_FOR => {
                        return Ok(BulkCount { jobs, complete: false });
                    }
                    next => place = next,
                }
            }
        }
        Ok(BulkCount { jobs, complete: true })
    }

    async fn page(&self, filter: &Filter, place: Option<Place>, now: Timestamp) -> Result<Found, StoreError> {
        search(&*self.store as _, filter, &self.queue_names(), JobOrder::OldestFirst, place, (PAGE_MAX, now)).await
    }

    /// Begins an order, unless another one runs. An equal one that runs is that order.
    pub(crate) fn begin_bulk(self: &Arc<Self>, order: BulkOrder, tasks: &Tasks) -> Result<Bulk, Problem> {
        let now = self.clock.wall();
        let filters = self.filters_of(&order, now)?;
        let stop = self.draining.child_token();
        let bulk = match self.orders.begin(order, now, stop.clone()) {
            Ok(bulk) => bulk,
            Err(running) => {
                let (other, is_same) = *running;
                return if is_same { Ok(other) } else { Err(Problem::bulk_running(other.number)) };
            }
        };
        let (desk, number) = (Arc::clone(self), bulk.number);
        tracing::info!(bulk = number, order = ?bulk.order, "bulk action begins");
        tasks.spawn(async move {
            let ended = desk.run_bulk(number, filters, now, &stop).await;
            let (status, error) = match ended {
                Ok(()) if stop.is_cancelled() => ("stopped", None),
                Ok(()) => ("done", None),
                Err(error) => ("failed", Some(chain(&error))),
            };
            let ended_at = Some(desk.clock.wall().to_string());
            desk.orders.note(number, |bulk| {
                (bulk.status, bulk.error, bulk.ended_at) = (status.to_owned(), error, ended_at);
            });
            if let Some(Bulk { done, skipped, error, .. }) = desk.orders.get(number) {
                tracing::info!(bulk = number, status, done, skipped, error, "bulk action ended");
            }
        });
        Ok(bulk)
    }

    async fn run_bulk(
        &self,
        number: u64,
        filters: Vec<Filter>,
        now: Timestamp,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let Some(Bulk { order, .. }) = self.orders.get(number) else { return Ok(()) };
        for filter in filters {
            let mut place = None;
            loop {
                if stop.is_cancelled() {
                    return Ok(());
                }
                let began = tokio::time::Instant::now();
                let found = asked_again(stop, || self.page(&filter, place.clone(), now)).await?;
                let looked_at = found.looked_at as u64;
                let ids: Vec<_> = found.jobs.iter().map(|(_, job)| job.request.id).collect();
                let apply_to = |id| apply(&*self.store as _, order.action, order.may_duplicate, id);
                let mut answers =
                    stream::iter(ids).map(|id| asked_again(stop, move || apply_to(id))).buffer_unordered(AT_ONCE);
                let (mut done, mut skipped) = (0, 0);
                let mut failed = None;
                while let Some(answer) = answers.next().await {
                    match answer {
                        Ok(true) => done += 1,
                        Ok(false) => skipped += 1,
                        Err(error @ (StoreError::CorruptJob { .. } | StoreError::NewerRecord { .. })) => {
                            tracing::warn!(bulk = number, error = chain(&error), "job left out of a bulk action");
                            skipped += 1;
                        }
                        Err(error) => failed = Some(error),
                    }
                }
                self.orders.note(number, |bulk| {
                    bulk.looked_at += looked_at;
                    bulk.done += done;
                    bulk.skipped += skipped;
                });
                if let Some(error) = failed {
                    return Err(error);
                }
                place = found.next;
                if place.is_none() {
                    break;
                }
                let _is_stopped = stop.run_until_cancelled(tokio::time::sleep(began.elapsed() * REST_PARTS)).await;
            }
        }
        Ok(())
    }
}

/// Does with one job what is ordered. Gives whether it was possible.
async fn apply(store: &dyn JobAccess, action: BulkAction, may_duplicate: bool, id: JobId) -> Result<bool, StoreError> {
    match action {
        BulkAction::Retry => Ok(store.retry_failed(id, may_duplicate).await? == Requeued::Queued),
        BulkAction::Cancel | BulkAction::Delete => store.cancel(id).await,
    }
}

/// Asks a store that does not answer again, for a while and until `stop`. What an order does with a job can be done twice.
async fn asked_again<T, F: Future<Output = Result<T, StoreError>>>(
    stop: &CancellationToken,
    ask: impl Fn() -> F,
) -> Result<T, StoreError> {
    let mut pauses = StorePauses::new();
    let mut tries = 0;
    loop {
        match ask().await {
            Err(error @ StoreError::Unavailable { .. }) if tries < TRIES => {
                tries += 1;
                if stop.run_until_cancelled(tokio::time::sleep(pauses.next())).await.is_none() {
                    return Err(error);
                }
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_is_asked_again_until_the_order_is_stopped() {
        let asked = AtomicU32::new(0);
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(StoreError::from_io(std::io::Error::other("away")))
        };
        let stop = CancellationToken::new();
        assert!(asked_again(&stop, ask).await.is_err());
        assert_eq!(asked.swap(0, Ordering::Relaxed), TRIES + 1);
        stop.cancel();
        assert!(asked_again(&stop, ask).await.is_err());
        assert_eq!(asked.into_inner(), 1);
    }
}
