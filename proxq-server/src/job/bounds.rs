//! The time within which a job must begin and may be tried, as its client asked. Pure: the stores and the worker apply it.

use std::time::Duration;

use proxq_protocol::{GoDuration, Outcome};

use super::delivery::failed_outcome;
use super::{Progress, Reach, Verdict};

/// Follows the error of a job that is not tried again because of its deadline.
pub(crate) const NOT_TRIED_AGAIN: &str = " (not tried again: X-Proxq-Deadline)";
/// Follows the error of a job whose last attempt its deadline has ended.
const CUT: &str = " (cut by X-Proxq-Deadline)";

/// How much time a job has from its submission on, by the store's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeBounds {
    /// Its first attempt begins within this span, or none does.
    pub start_within: Option<Duration>,
    /// No attempt begins or goes on after this span.
    pub deadline: Option<Duration>,
}

impl TimeBounds {
    /// All the time that there is.
    pub const NONE: Self = Self { start_within: None, deadline: None };

    /// How long the job may wait for its first attempt; `None` for as long as it takes.
    #[must_use]
    pub fn to_begin(self) -> Option<Duration> {
        [self.start_within, self.deadline].into_iter().flatten().min()
    }

    /// What is said of a job that has not begun in time.
    #[must_use]
    pub fn expired_error(self) -> String {
        let header = if self.start_within == self.to_begin() { "X-Proxq-Start-Within" } else { "X-Proxq-Deadline" };
        let span = GoDuration::from(self.to_begin().unwrap_or_default());
        format!("expired: not begun within {span} ({header})")
    }
}

/// How a job ends whose time is over while it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Why.
    pub error: String,
    /// How far it got.
    pub outcome: Outcome,
    /// Whether no attempt has begun.
    pub expired: bool,
}

impl Overdue {
    /// Whether another job may take the idempotency key after this, and no later try of its call is answered with it.
    #[must_use]
    pub fn frees_claim(&self) -> bool {
        self.outcome == Outcome::NotSent
    }

    /// Notes it. The instant is the caller's to note.
    pub(crate) fn note_in(&self, progress: &mut Progress) {
        progress.last_error = Some(self.error.clone());
        progress.outcome = Some(self.outcome);
        progress.expired = self.expired;
    }
}

/// Decides how a job ends whose time is over while it waits: as expired before its first attempt, by its attempts later.
#[must_use]
pub fn judge_overdue(bounds: TimeBounds, progress: &Progress) -> Overdue {
    if progress.attempts == 0 {
        return Overdue { error: bounds.expired_error(), outcome: Outcome::NotSent, expired: true };
    }
    let error = progress.last_error.clone().unwrap_or_else(|| "no attempt brought a response".to_owned());
    let outcome = failed_outcome(progress.reach, Reach::NotSent);
    Overdue { error: error + NOT_TRIED_AGAIN, outcome, expired: false }
}

/// What becomes of a verdict when so much is `left` of the job's deadline: a retry that would begin later is a failure now.
/// `progress` is as it was before the attempt ended.
#[must_use]
pub fn keep_deadline(verdict: Verdict, progress: &Progress, left: Option<Duration>) -> Verdict {
    let Some(left) = left else { return verdict };
    let why = if left.is_zero() { CUT } else { NOT_TRIED_AGAIN };
    match verdict {
        Verdict::RetryAfter { pause, error, reach, .. } if pause >= left => {
            Verdict::Fail { error: error + why, reach, outcome: failed_outcome(progress.reach, reach) }
        }
        Verdict::Fail { error, reach, outcome } if left.is_zero() && reach != Reach::Responded => {
            Verdict::Fail { error: error + why, reach, outcome }
        }
        kept @ (Verdict::Complete(_) | Verdict::RetryAfter { .. } | Verdict::Fail { .. } | Verdict::Release) => kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn the_nearer_bound_is_the_one_to_begin_by_and_the_one_that_is_named() {
        let bounds = |start_within, deadline| TimeBounds { start_within, deadline };
        for (bounds, to_begin, named) in [
            (bounds(Some(MINUTE), None), MINUTE, "within 1m0s (X-Proxq-Start-Within)"),
            (bounds(None, Some(MINUTE)), MINUTE, "within 1m0s (X-Proxq-Deadline)"),
            (bounds(Some(MINUTE), Some(MINUTE * 2)), MINUTE, "within 1m0s (X-Proxq-Start-Within)"),
            (bounds(Some(MINUTE * 2), Some(MINUTE)), MINUTE, "within 1m0s (X-Proxq-Deadline)"),
        ] {
            assert_eq!(bounds.to_begin(), Some(to_begin), "{bounds:?}");
            assert_eq!(bounds.expired_error(), format!("expired: not begun {named}"), "{bounds:?}");
        }
        assert_eq!(TimeBounds::NONE.to_begin(), None);
    }

    #[test]
    fn a_job_that_has_begun_is_judged_by_its_attempts() {
        let bounds = TimeBounds { start_within: None, deadline: Some(MINUTE) };
        let new = judge_overdue(bounds, &Progress::default());
        assert_eq!((new.outcome, new.expired, new.frees_claim()), (Outcome::NotSent, true, true));
        for (reach, outcome) in [(Reach::NotSent, Outcome::NotSent), (Reach::Unknown, Outcome::Indeterminate)] {
            let last_error = Some("connect: refused".to_owned());
            let progress = Progress { attempts: 1, reach: Some(reach), last_error, ..Progress::default() };
            let begun = judge_overdue(bounds, &progress);
            assert_eq!((begun.outcome, begun.expired), (outcome, false));
            assert_eq!(begun.error, "connect: refused (not tried again: X-Proxq-Deadline)");
            assert_eq!(begun.frees_claim(), outcome == Outcome::NotSent);
        }
    }

    #[test]
    fn a_retry_after_the_deadline_is_a_failure_now() {
        let retry =
            |pause| Verdict::RetryAfter { pause, error: "broke".to_owned(), reach: Reach::NotSent, charged: true };
        let before = Progress { reach: Some(Reach::Unknown), ..Progress::default() };
        for left in [None, Some(MINUTE + Duration::from_millis(1))] {
            let kept = keep_deadline(retry(MINUTE), &before, left);
            assert!(matches!(kept, Verdict::RetryAfter { pause: MINUTE, .. }), "{left:?}");
        }
        for (left, why) in [(MINUTE, "not tried again: X-Proxq-Deadline"), (Duration::ZERO, "cut by X-Proxq-Deadline")]
        {
            let Verdict::Fail { error, reach, outcome } = keep_deadline(retry(MINUTE), &before, Some(left)) else {
                panic!("no retry begins after the deadline")
            };
            assert_eq!((reach, outcome), (Reach::NotSent, Outcome::Indeterminate), "the furthest reach counts");
            assert_eq!(error, format!("broke ({why})"));
        }
    }

    #[test]
    fn a_failure_at_the_end_of_the_deadline_says_so() {
        let failure = |reach| Verdict::Fail { error: "broke".to_owned(), reach, outcome: Outcome::Indeterminate };
        let error = |reach, left| match keep_deadline(failure(reach), &Progress::default(), left) {
            Verdict::Fail { error, .. } => error,
            other @ (Verdict::Complete(_) | Verdict::RetryAfter { .. } | Verdict::Release) => panic!("{other:?}"),
        };
        assert_eq!(error(Reach::Unknown, Some(Duration::ZERO)), "broke (cut by X-Proxq-Deadline)");
        assert_eq!(error(Reach::Unknown, Some(MINUTE)), "broke");
        assert_eq!(error(Reach::Unknown, None), "broke");
        assert_eq!(error(Reach::Responded, Some(Duration::ZERO)), "broke", "that response was not wanted");
    }
}
