//! What the span of a submission says of its end.

use super::{MadeBy, SubmitError, SubmittedJob};
use crate::traces::ActiveSpan;

/// Notes which job the submission became, or why it became none, and ends the span.
pub(super) fn ended(mut span: ActiveSpan, result: &Result<SubmittedJob, SubmitError>) {
    match result {
        Ok(SubmittedJob { made_by: MadeBy::ThisOne, .. }) => span.succeeded(),
        Ok(SubmittedJob { id, made_by, .. }) => {
            let how = if *made_by == MadeBy::SameKey { "same_key" } else { "earlier_try" };
            span.say("proxq.job.id", id.to_string());
            span.say("proxq.joined", how);
            span.succeeded();
        }
        Err(error) => span.failed(error_type(error)),
    }
}

fn error_type(error: &SubmitError) -> &'static str {
    match error {
        SubmitError::NotStored(_) => "not_stored",
        SubmitError::Unknown(_) => "unknown",
        SubmitError::NotLookedFor(_) => "not_looked_for",
        SubmitError::IdTaken(_) => "id_taken",
        SubmitError::IdempotencyMismatch => "idempotency_mismatch",
        SubmitError::RedirectGone(_) => "redirect_gone",
        SubmitError::TooManyFollowed(_) => "too_many_followed",
        SubmitError::QueueFull { .. } => "queue_full",
        SubmitError::ClientGone => "client_gone",
    }
}
