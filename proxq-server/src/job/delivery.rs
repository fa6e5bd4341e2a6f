//! The rules that say what the end of an attempt means for its job. Pure: the worker and the stores apply them.

use std::time::Duration;

use http::StatusCode;
use proxq_protocol::Outcome;

use super::{JobRequest, Progress, Reach, StoredResponse};

/// What may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// What the upstream did not see, and what may be repeated without harm.
    Auto,
    /// Everything.
    AtLeastOnce,
    /// Only what the upstream did not see.
    AtMostOnce,
}

/// How long a job rests before its next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// The same pause before every retry.
    Fixed(Duration),
    /// `n⁴` seconds before retry `n`: 1 s, 16 s, 81 s, …
    Quartic,
}

impl Backoff {
    /// The pause before the retry with this number, from 1.
    #[must_use]
    pub fn pause(self, retry: u32) -> Duration {
        match self {
            Self::Fixed(pause) => pause,
            Self::Quartic => Duration::from_secs(u64::from(retry).saturating_pow(4)),
        }
    }
}

/// How many failed attempts a job may have, and the pause after each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Failed attempts that may be retried.
    pub max_retries: u32,
    /// The rest before each of them.
    pub backoff: Backoff,
}

impl RetryPolicy {
    /// For jobs whose upstream is no longer configured.
    pub const NONE: Self = Self { max_retries: 0, backoff: Backoff::Quartic };
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub enum AttemptEnd {
    /// With a complete response that is stored or can be.
    Responded(StoredResponse),
    /// With a response that proxq does not accept, and that would be the same the next time.
    Unacceptable {
        /// Why not.
        error: String,
    },
    /// Without a complete response.
    Broke {
        /// How far it got.
        reach: Reach,
        /// The step and the cause.
        error: String,
    },
    /// Aborted by proxq, which is shutting down.
    Aborted {
        /// How far it may have got.
        reach: Reach,
    },
    /// Before it began, for a reason outside the job and its upstream: the store did not give the request's body, or the
    /// process is short of descriptors, memory or ports.
    NotPossible {
        /// What was missing.
        error: String,
    },
    /// Before it began: proxq is shutting down.
    NotBegun,
}

impl AttemptEnd {
    /// How far the attempt got; `None` for one that was not made.
    pub(crate) fn reach(&self) -> Option<Reach> {
        match self {
            Self::Responded(_) | Self::Unacceptable { .. } => Some(Reach::Responded),
            Self::Broke { reach, .. } | Self::Aborted { reach } => Some(*reach),
            Self::NotPossible { .. } | Self::NotBegun => None,
        }
    }
}

/// How long a job rests after an attempt that was not possible: a store or a process needs some time to recover.
const NOT_POSSIBLE_PAUSE: Duration = Duration::from_secs(5);

/// The status of an upstream that is overloaded, at Anthropic.
const OVERLOADED: u16 = 529;

/// Whether a status refuses a request for now, unprocessed.
pub(crate) fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) || status.as_u16() == OVERLOADED
}

/// How often an upstream may refuse a job and say when to come again before that counts against `maxRetries`: more often than limits
/// do that anybody keeps to, and seldom enough that a request which is never accepted ends.
const FREE_REFUSALS: u32 = 20;

/// Which responses count as failed attempts, and what is known of the one at hand.
#[derive(Clone, Copy, Debug, Default)]
pub struct RetryOn<'a> {
    /// Their statuses.
    pub statuses: &'a [StatusCode],
    /// For how long the response asks to wait.
    pub wait: Option<Duration>,
    /// What is left of the job's deadline, if it has one.
    pub left: Option<Duration>,
}

/// What becomes of a job at the end of an attempt.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Ends the job with this response.
    Complete(StoredResponse),
    /// Rests and tries again.
    RetryAfter {
        /// From now, by the store's clock.
        pause: Duration,
        /// Why the attempt failed.
        error: String,
        /// How far it got.
        reach: Reach,
        /// Whether it counts against the upstream's `maxRetries`.
        charged: bool,
    },
    /// Gives the job up.
    Fail {
        /// Why.
        error: String,
        /// How far the last attempt got.
        reach: Reach,
        /// How far the job got.
        outcome: Outcome,
    },
    /// Puts it back at the head of the queue: the attempt was not made.
    Release,
}

impl Verdict {
    /// Whether another job may take the idempotency key after this: the upstream saw nothing of the request, or asked for
    /// another try.
    #[must_use]
    pub fn frees_claim(&self) -> bool {
        self.asks_for_another_try(&[408, 425, 429])
    }

    /// Whether no later try of the same call may be answered with this: clients send the request again on purpose after such
    /// an answer.
    #[must_use]
    pub fn ends_call(&self) -> bool {
        self.asks_for_another_try(&[408, 409, 429])
    }

    /// The same without a charge, for an attempt that failed because the upstream is down: the job waits for it to come back.
    #[must_use]
    pub(crate) fn at_no_charge(self) -> Self {
        match self {
            Self::RetryAfter { error, reach, .. } => {
                Self::RetryAfter { pause: Duration::ZERO, error, reach, charged: false }
            }
            other @ (Self::Complete(_) | Self::Fail { .. } | Self::Release) => other,
        }
    }

    /// Whether the request has to be sent once more to get anything else: it was not sent, or was answered with a server's
    /// error or one of these statuses.
    fn asks_for_another_try(&self, statuses: &[u16]) -> bool {
        match self {
            Self::Complete(response) => {
                let status = response.head.status;
                statuses.contains(&status.as_u16()) || status.is_server_error()
            }
            Self::Fail { outcome, .. } => *outcome == Outcome::NotSent,
            Self::RetryAfter { .. } | Self::Release => false,
        }
    }
}

/// Decides what the end of an attempt means for its job.
#[must_use]
pub fn judge(end: AttemptEnd, request: &JobRequest, progress: &Progress, retries: RetryPolicy) -> Verdict {
    match end {
        AttemptEnd::Responded(response) => Verdict::Complete(response), // an upstream's 500 is an answer
        AttemptEnd::Unacceptable { error } => {
            Verdict::Fail { error, reach: Reach::Responded, outcome: Outcome::Responded }
        }
        AttemptEnd::Broke { reach, error } => {
            if may_send_again(request, reach) && progress.retried < retries.max_retries {
                let pause = retries.backoff.pause(progress.retried + 1);
                Verdict::RetryAfter { pause, error, reach, charged: true }
            } else {
                Verdict::Fail { error, reach, outcome: failed_outcome(progress.reach, reach) }
            }
        }
        AttemptEnd::Aborted { reach } => {
            let error = "attempt aborted: proxq was shut down".to_owned();
            if may_send_again(request, reach) {
                Verdict::RetryAfter { pause: Duration::ZERO, error, reach, charged: false }
            } else {
                Verdict::Fail { error, reach, outcome: failed_outcome(progress.reach, reach) }
            }
        }
        AttemptEnd::NotPossible { error } => {
            Verdict::RetryAfter { pause: NOT_POSSIBLE_PAUSE, error, reach: Reach::NotSent, charged: false }
        }
        AttemptEnd::NotBegun => Verdict::Release,
    }
}

/// Decides what a complete response means for its job: its end, unless it counts as a failed attempt and the request may be sent
/// again. Of a job that is not retried any more, the last response is the result.
#[must_use]
pub fn judge_response(
    response: StoredResponse,
    request: &JobRequest,
    progress: &Progress,
    retries: RetryPolicy,
    on: RetryOn<'_>,
) -> Verdict {
    let status = response.head.status;
    let reach = if is_refusal(status) { Reach::NotSent } else { Reach::Unknown };
    if !on.statuses.contains(&status) || !may_send_again(request, reach) {
        return Verdict::Complete(response);
    }
    let at_no_charge = progress.attempts.saturating_sub(progress.retried);
    let (pause, charged) = match on.wait {
        Some(wait) if reach == Reach::NotSent && at_no_charge <= FREE_REFUSALS => (wait, false),
        wait if progress.retried < retries.max_retries => {
            (retries.backoff.pause(progress.retried + 1).max(wait.unwrap_or_default()), true)
        }
        _ => return Verdict::Complete(response),
    };
    if on.left.is_some_and(|left| pause >= left) {
        return Verdict::Complete(response);
    }
    let error = format!("forward request: the upstream answered {status}, which retryOn counts as a failure");
    Verdict::RetryAfter { pause, error, reach, charged }
}

/// Decides what becomes of a job whose worker was lost. `progress` is as it was before the loss.
///
/// A lost lease spends no retry. More than `max_lease_losses` of them end the job, since it may be what kills workers.
#[must_use]
pub fn judge_lost_lease(request: &JobRequest, progress: &Progress, max_lease_losses: u32) -> Verdict {
    let reach = Reach::Unknown;
    let losses = progress.lease_losses.saturating_add(1);
    let error = if losses > max_lease_losses {
        format!("worker lost {losses} times while on this job; given up (maxLeaseLosses: {max_lease_losses})")
    } else {
        "worker lost: it is unknown whether the request reached the upstream".to_owned()
    };
    if may_send_again(request, reach) && losses <= max_lease_losses {
        Verdict::RetryAfter { pause: Duration::ZERO, error, reach, charged: false }
    } else {
        Verdict::Fail { error, reach, outcome: failed_outcome(progress.reach, reach) }
    }
}

/// Whether `delivery` allows a request to be sent again after an attempt that got this far.
pub(crate) fn may_send_again(request: &JobRequest, reach: Reach) -> bool {
    match (request.delivery, reach) {
        (Delivery::AtLeastOnce, Reach::NotSent | Reach::Unknown)
        | (Delivery::Auto | Delivery::AtMostOnce, Reach::NotSent) => true,
        (Delivery::Auto, Reach::Unknown) => request.idempotent,
        (Delivery::AtMostOnce, Reach::Unknown) | (_, Reach::Responded) => false,
    }
}

/// `not_sent` only if every attempt was.
pub(super) fn failed_outcome(before: Option<Reach>, last: Reach) -> Outcome {
    match before.max(Some(last)) {
        None | Some(Reach::NotSent) => Outcome::NotSent,
        Some(Reach::Unknown | Reach::Responded) => Outcome::Indeterminate,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::job::{Body, ResponseHead};

    const THREE: RetryPolicy = RetryPolicy { max_retries: 3, backoff: Backoff::Quartic };

    fn request(delivery: Delivery, idempotent: bool) -> JobRequest {
        JobRequest { delivery, idempotent, ..JobRequest::sample() }
    }

    fn broke(reach: Reach) -> AttemptEnd {
        AttemptEnd::Broke { reach, error: "forward request: broke".to_owned() }
    }

    /// `Some(charged)` for a retry, `None` for a failure.
    fn retried(verdict: &Verdict) -> Option<bool> {
        match verdict {
            Verdict::RetryAfter { charged, .. } => Some(*charged),
            Verdict::Fail { .. } => None,
            Verdict::Complete(_) | Verdict::Release => panic!("neither retried nor failed: {verdict:?}"),
        }
    }

    #[test]
    fn any_complete_response_completes_the_job() {
        let head =
            ResponseHead { status: StatusCode::INTERNAL_SERVER_ERROR, reason: None, headers: http::HeaderMap::new() };
        let response = StoredResponse { head, body: Body::Inline(Bytes::new()) };
        let end = AttemptEnd::Responded(response.clone());
        let verdict = judge(end, &request(Delivery::Auto, false), &Progress::default(), RetryPolicy::NONE);
        assert!(matches!(verdict, Verdict::Complete(kept) if kept == response));
    }

    #[test]
    fn what_may_be_sent_again_follows_delivery() {
        for (delivery, idempotent, reach, expected) in [
            (Delivery::Auto, false, Reach::NotSent, true),
            (Delivery::Auto, false, Reach::Unknown, false),
            (Delivery::Auto, true, Reach::Unknown, true),
            (Delivery::AtMostOnce, true, Reach::NotSent, true),
            (Delivery::AtMostOnce, true, Reach::Unknown, false),
            (Delivery::AtLeastOnce, false, Reach::NotSent, true),
            (Delivery::AtLeastOnce, false, Reach::Unknown, true),
        ] {
            let job = request(delivery, idempotent);
            let after_break = judge(broke(reach), &job, &Progress::default(), THREE);
            assert_eq!(retried(&after_break), expected.then_some(true), "{delivery:?} {idempotent} {reach:?}");
            let aborted = judge(AttemptEnd::Aborted { reach }, &job, &Progress::default(), RetryPolicy::NONE);
            assert_eq!(retried(&aborted), expected.then_some(false), "an abort spends no retry");
            if reach == Reach::Unknown {
                let lost = judge_lost_lease(&job, &Progress::default(), 5);
                assert_eq!(retried(&lost), expected.then_some(false), "a lost lease spends no retry");
            }
        }
    }

    #[test]
    fn retries_end_with_the_budget() {
        let job = request(Delivery::AtLeastOnce, false);
        let after = |retried| judge(broke(Reach::Unknown), &job, &Progress { retried, ..Progress::default() }, THREE);
        let Verdict::RetryAfter { pause, .. } = after(2) else { panic!("the third retry is allowed") };
        assert_eq!(pause, Duration::from_secs(81));
        assert_eq!(retried(&after(3)), None);
    }

    #[test]
    fn a_failed_job_was_not_sent_only_if_no_attempt_was() {
        let job = request(Delivery::Auto, false);
        let outcome = |before, last| {
            let progress = Progress { reach: before, ..Progress::default() };
            match judge(broke(last), &job, &progress, RetryPolicy::NONE) {
                Verdict::Fail { outcome, .. } => outcome,
                other @ (Verdict::Complete(_) | Verdict::RetryAfter { .. } | Verdict::Release) => panic!("{other:?}"),
            }
        };
        assert_eq!(outcome(None, Reach::NotSent), Outcome::NotSent);
        assert_eq!(outcome(Some(Reach::NotSent), Reach::NotSent), Outcome::NotSent);
        assert_eq!(outcome(Some(Reach::Unknown), Reach::NotSent), Outcome::Indeterminate);
        assert_eq!(outcome(None, Reach::Unknown), Outcome::Indeterminate);
    }

    #[test]
    fn a_response_that_is_too_large_ends_the_job_at_once() {
        let end = AttemptEnd::Unacceptable { error: "too large".to_owned() };
        let verdict = judge(end, &request(Delivery::AtLeastOnce, true), &Progress::default(), THREE);
        assert!(matches!(verdict, Verdict::Fail { outcome: Outcome::Responded, .. }));
    }

    #[test]
    fn trouble_with_the_store_costs_no_retry() {
        let end = AttemptEnd::NotPossible { error: "the store is unavailable".to_owned() };
        let verdict = judge(end, &request(Delivery::AtMostOnce, false), &Progress::default(), RetryPolicy::NONE);
        assert_eq!(retried(&verdict), Some(false));
    }

    #[test]
    fn a_job_that_kills_workers_is_given_up() {
        let job = request(Delivery::AtLeastOnce, true);
        let after = |lease_losses| judge_lost_lease(&job, &Progress { lease_losses, ..Progress::default() }, 5);
        assert_eq!(retried(&after(4)), Some(false));
        assert_eq!(retried(&after(5)), None);
    }

    fn answered(status: u16) -> StoredResponse {
        let status = StatusCode::from_u16(status).unwrap();
        StoredResponse {
            head: ResponseHead { status, reason: None, headers: http::HeaderMap::new() },
            body: Body::Inline(Bytes::new()),
        }
    }

    const ALL: &[StatusCode] = &[
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];

    /// The pause and the charge of a retry; `None` where the response is the result.
    fn of_response(status: u16, delivery: Delivery, retried: u32, on: RetryOn<'_>) -> Option<(Duration, bool)> {
        let progress = Progress { attempts: retried + 1, retried, ..Progress::default() };
        match judge_response(answered(status), &request(delivery, false), &progress, THREE, on) {
            Verdict::RetryAfter { pause, charged, .. } => Some((pause, charged)),
            Verdict::Complete(_) => None,
            other @ (Verdict::Fail { .. } | Verdict::Release) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_response_that_counts_as_a_failure_is_retried_within_the_budget_and_then_kept() {
        let on = RetryOn { statuses: ALL, ..RetryOn::default() };
        let retry = |status, retried| of_response(status, Delivery::AtLeastOnce, retried, on);
        for status in [429, 502, 503, 504] {
            assert_eq!(retry(status, 0), Some((Duration::from_secs(1), true)), "{status}");
            assert_eq!(retry(status, 2), Some((Duration::from_secs(81), true)), "{status}");
            assert_eq!(retry(status, 3), None, "{status}");
        }
        assert_eq!((retry(500, 0), retry(200, 0)), (None, None));
    }

    #[test]
    fn what_was_refused_was_not_processed_and_all_else_may_have_been() {
        let on = RetryOn { statuses: ALL, ..RetryOn::default() };
        for delivery in [Delivery::Auto, Delivery::AtMostOnce] {
            for (status, again) in [(429, true), (503, true), (502, false), (504, false)] {
                assert_eq!(of_response(status, delivery, 0, on).is_some(), again, "{delivery:?} {status}");
            }
        }
    }

    #[test]
    fn a_refusal_that_says_when_costs_nothing_for_a_while() {
        let wait = Duration::from_secs(7);
        let on = RetryOn { statuses: ALL, wait: Some(wait), left: None };
        assert_eq!(of_response(429, Delivery::AtMostOnce, 0, on), Some((wait, false)));
        assert_eq!(of_response(429, Delivery::Auto, 3, on), Some((wait, false)), "whatever was charged");
        assert_eq!(of_response(502, Delivery::AtLeastOnce, 0, on), Some((wait, true)), "no refusal");
        let often = Progress { attempts: FREE_REFUSALS + 1, ..Progress::default() };
        let verdict = judge_response(answered(429), &request(Delivery::Auto, false), &often, RetryPolicy::NONE, on);
        assert!(matches!(verdict, Verdict::Complete(_)), "it is never accepted: {verdict:?}");
    }

    #[test]
    fn a_response_is_kept_where_the_next_attempt_would_come_too_late() {
        let on = |left| RetryOn { statuses: ALL, wait: Some(Duration::from_secs(7)), left };
        assert_eq!(of_response(429, Delivery::Auto, 0, on(Some(Duration::from_secs(7)))), None);
        assert!(of_response(429, Delivery::Auto, 0, on(Some(Duration::from_secs(8)))).is_some());
    }

    proptest! {
        #[test]
        fn a_backoff_grows_and_never_overflows(retry: u32) {
            prop_assert!(Backoff::Quartic.pause(retry) <= Backoff::Quartic.pause(retry.saturating_add(1)));
            prop_assert_eq!(Backoff::Fixed(Duration::from_secs(3)).pause(retry), Duration::from_secs(3));
        }
    }
}
