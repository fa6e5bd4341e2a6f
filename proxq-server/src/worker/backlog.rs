//! The warning that jobs wait while all workers of a lane are busy: more workers would help.

use std::time::Duration;

use tokio::time::Instant;

use crate::failure::chain;
use crate::job::{QueueName, State};
use crate::store::WorkQueues;

/// When jobs are counted, and how often the log says that they wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long all workers are busy before the jobs that wait are counted.
    pub(super) busy_for: Duration,
    /// The shortest time between two warnings.
    pub(super) say_every: Duration,
}

impl Pace {
    /// A peak of half a minute needs nobody's attention, and of a longer one a line a minute says enough.
    pub(super) const USUAL: Self = Self { busy_for: Duration::from_secs(30), say_every: Duration::from_mins(1) };
}

/// When the jobs that wait are counted next, and when the log last said that there are some.
#[derive(Debug)]
pub(super) struct Backlog {
    pace: Pace,
    /// `None` while a worker is idle.
    next_look: Option<Instant>,
    last_said: Option<Instant>,
}

impl Backlog {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, next_look: None, last_said: None }
    }

    /// All workers are busy, from now on or since before.
    pub(super) fn all_busy(&mut self) {
        let look = Instant::now() + self.pace.busy_for;
        let may_say = self.last_said.map(|said| said + self.pace.say_every);
        self.next_look.get_or_insert(may_say.map_or(look, |may_say| may_say.max(look)));
    }

    /// Not all workers are busy, or this lane has no workers.
    pub(super) fn not_all_busy(&mut self) {
        self.next_look = None;
    }

    /// Returns when it is time to count. Cancel safe.
    pub(super) async fn time_to_look(&self) {
        match self.next_look {
            Some(instant) => tokio::time::sleep_until(instant).await,
            None => std::future::pending().await,
        }
    }

    /// Counts the jobs that wait, and says so if there are any.
    pub(super) async fn look(&mut self, store: &dyn WorkQueues, queue: &QueueName, concurrency: usize) {
        let waiting = match store.stats(queue).await {
            Ok(stats) => stats.count(State::Pending),
            Err(error) => {
                tracing::debug!(error = chain(&error), "count the jobs that wait");
                0
            }
        };
        let now = Instant::now();
        if waiting > 0 {
            tracing::warn!(
                waiting,
                concurrency,
                "all workers are busy and jobs wait; a higher concurrency starts them sooner"
            );
            self.last_said = Some(now);
        }
        let pause = if waiting > 0 { self.pace.say_every } else { self.pace.busy_for };
        self.next_look = Some(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In how many seconds it is looked.
    async fn seconds_to_look(backlog: &Backlog) -> Option<u64> {
        let began = Instant::now();
        let looked = tokio::time::timeout(Duration::from_hours(1), backlog.time_to_look()).await;
        looked.ok().map(|()| began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn it_looks_once_all_workers_have_been_busy_for_half_a_minute() {
        let mut backlog = Backlog::new(Pace::USUAL);
        assert_eq!(seconds_to_look(&backlog).await, None);
        backlog.all_busy();
        tokio::time::advance(Duration::from_secs(10)).await;
        backlog.all_busy();
        assert_eq!(seconds_to_look(&backlog).await, Some(20), "they were busy before");
        backlog.not_all_busy();
        assert_eq!(seconds_to_look(&backlog).await, None);
        backlog.all_busy();
        assert_eq!(seconds_to_look(&backlog).await, Some(30));
    }

    #[tokio::test(start_paused = true)]
    async fn it_looks_no_more_than_once_a_minute_after_it_was_said() {
        let mut backlog = Backlog::new(Pace::USUAL);
        backlog.last_said = Some(Instant::now());
        tokio::time::advance(Duration::from_secs(10)).await;
        backlog.all_busy();
        assert_eq!(seconds_to_look(&backlog).await, Some(50));
        backlog.not_all_busy();
        tokio::time::advance(Duration::from_secs(10)).await;
        backlog.all_busy();
        assert_eq!(seconds_to_look(&backlog).await, Some(30));
    }
}
