//! What the span of an attempt says of its end.

use super::attempt::Told;
use crate::job::{AttemptEnd, Verdict};
use crate::traces::ActiveSpan;

/// Notes how the attempt ended.
pub(super) fn ended(span: &mut ActiveSpan, end: &AttemptEnd, told: Told) {
    match end {
        AttemptEnd::Responded(_) if told == Told::Nothing => span.succeeded(),
        AttemptEnd::Responded(response) => span.responded(response.head.status),
        AttemptEnd::Unacceptable { .. } => span.failed("response_too_large"),
        AttemptEnd::Broke { .. } => span.failed(match told {
            Told::Trouble(trouble) => trouble.word(),
            Told::Response | Told::Nothing => "broken",
        }),
        AttemptEnd::Aborted { .. } => span.failed("aborted"),
        AttemptEnd::NotPossible { .. } => span.failed("not_possible"),
        AttemptEnd::NotBegun => span.failed("not_begun"),
    }
}

/// Notes what becomes of the job, and ends the span.
pub(super) fn judged(mut span: ActiveSpan, verdict: &Verdict) {
    let outcome = match verdict {
        Verdict::Complete(_) => "completed",
        Verdict::Fail { .. } => "failed",
        Verdict::RetryAfter { .. } => "retry",
        Verdict::Release => "released",
    };
    span.say("proxq.outcome", outcome);
}
