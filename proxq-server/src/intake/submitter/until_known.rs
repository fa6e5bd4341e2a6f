//! A submission to the store, tried again under the same id while it is unknown whether the store took the job. Comes in:
//! one try. Goes out: what is known in the end. What a client is told of it is left to intake.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;

use crate::failure::chain;
use crate::store::{StoreError, Submitted};

/// How long a submission is tried under one id while it is unknown whether it was stored. Counted from the first try on:
/// it is unknown from the moment that it is sent, and the client gets its answer after this time at the latest.
const PATIENCE: Duration = Duration::from_secs(5);
/// The shortest and the longest pause between two tries. A store that is away refuses at once: the pauses keep that from
/// becoming a busy loop, and the longest is short enough that several tries meet a store that comes back.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(500)];

/// What is known of a submission in the end.
#[derive(Debug)]
pub(super) enum Outcome {
    /// What the store said.
    Answered(Submitted),
    /// For certain, it was not stored.
    NotStored(StoreError),
    /// It may have been stored: an answer was lost, and none came later.
    Unknown,
}

/// Asks until the outcome is known or [`PATIENCE`] is over.
///
/// Only the first try can fail for certain. After a try that may have been stored, later errors prove nothing.
pub(super) async fn ask<T>(submit_once: impl Fn() -> T) -> Outcome
where
    T: Future<Output = Result<Submitted, StoreError>>,
{
    let deadline = Instant::now() + PATIENCE;
    let known = async {
        match submit_once().await {
            Ok(submitted) => return Outcome::Answered(submitted),
            Err(error @ StoreError::Unavailable { may_be_done: true, .. }) => {
                tracing::warn!(error = chain(&error), "the store's answer to a submission is lost; asking again");
            }
            Err(error) => return Outcome::NotStored(error),
        }
        let mut pauses = pauses();
        loop {
            tokio::time::sleep(pauses.next().unwrap_or(PAUSES[1])).await;
            match submit_once().await {
                Ok(submitted) => return Outcome::Answered(submitted),
                // It does not open again.
                Err(StoreError::Closed) => return Outcome::Unknown,
                Err(error) => tracing::debug!(error = chain(&error), "ask again about a submission"),
            }
        }
    };
    tokio::time::timeout_at(deadline, known).await.unwrap_or(Outcome::Unknown)
}

/// Growing pauses, no two submissions in step.
fn pauses() -> impl Iterator<Item = Duration> + Send {
    let [min, max] = PAUSES;
    ExponentialBuilder::default().with_min_delay(min).with_max_delay(max).with_jitter().without_max_times().build()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use super::*;
    use crate::job::JobId;

    fn unavailable(may_be_done: bool) -> StoreError {
        StoreError::Unavailable { may_be_done, source: "away".into() }
    }

    /// Asks a store that answers try after try like this. Gives what is known, the tries and the time that it took.
    async fn asked(answer: impl Fn(u32) -> Result<Submitted, StoreError>) -> (Outcome, u32, Duration) {
        let (tries, began) = (Cell::new(0), Instant::now());
        let outcome = ask(|| {
            tries.set(tries.get() + 1);
            ready(answer(tries.get()))
        });
        (outcome.await, tries.get(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_certain_is_said_at_once() {
        let (outcome, tries, took) = asked(|_| Ok(Submitted::New)).await;
        assert!(matches!(outcome, Outcome::Answered(Submitted::New)), "{outcome:?}");
        assert_eq!((tries, took), (1, Duration::ZERO));
        for error in [|| unavailable(false), || StoreError::Closed, || StoreError::Full { source: "full".into() }] {
            let (outcome, tries, took) = asked(|_| Err(error())).await;
            assert!(matches!(outcome, Outcome::NotStored(_)), "{outcome:?}");
            assert_eq!((tries, took), (1, Duration::ZERO));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_been_done_stays_in_doubt_whatever_comes_after() {
        for later in [|| unavailable(false), || unavailable(true), || StoreError::Full { source: "full".into() }] {
            let (outcome, tries, took) =
                asked(|number| Err(if number == 1 { unavailable(true) } else { later() })).await;
            assert!(matches!(outcome, Outcome::Unknown), "{outcome:?}");
            assert_eq!(took, PATIENCE);
            assert!((6..=20).contains(&tries), "neither given up nor a busy loop: {tries} tries");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_answer_ends_the_doubt() {
        let id = JobId::new();
        let (outcome, ..) = asked(|number| match number {
            1 => Err(unavailable(true)),
            2..=4 => Err(unavailable(false)),
            _ => Ok(Submitted::Existing(id)),
        })
        .await;
        assert!(matches!(outcome, Outcome::Answered(Submitted::Existing(first)) if first == id), "{outcome:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_store_is_asked_no_more() {
        let closing = |number| Err(if number == 1 { unavailable(true) } else { StoreError::Closed });
        let (outcome, tries, took) = asked(closing).await;
        assert!(matches!(outcome, Outcome::Unknown) && tries == 2 && took < PATIENCE, "{outcome:?} after {took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_without_an_end_is_in_doubt() {
        let began = Instant::now();
        let outcome = ask(pending).await;
        assert!(matches!(outcome, Outcome::Unknown) && began.elapsed() == PATIENCE, "{outcome:?}");
    }
}
