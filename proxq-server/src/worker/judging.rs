//! What the end of an attempt means: for its job, and for what is known of its upstream.

use std::time::Duration;

use super::Worker;
use crate::flow::{Pass, Signs, Trouble, signs_of_status};
use crate::job::{
    AttemptEnd, JobRequest, Progress, Reach, RetryOn, RetryPolicy, Verdict, is_refusal, judge, judge_response,
    keep_deadline,
};

impl Worker {
    /// Has an attempt pass its upstream's gate whose job was queued before the upstream had one. It waits for its turn in `retry`
    /// where that is not possible now.
    pub(super) async fn pass_other_gate(&self, request: &JobRequest) -> Result<Option<Pass>, Verdict> {
        let Some(gate) = self.gates.of(&request.upstream) else { return Ok(None) };
        gate.admit(request.credential).await.map(Some).map_err(|refused| Verdict::RetryAfter {
            pause: refused.retry_after,
            error: "held back by the limits of the upstream".to_owned(),
            reach: Reach::NotSent,
            charged: false,
        })
    }

    /// Decides what an attempt's end means for its job, and tells the gate what it means for the upstream. `left` is what is left of
    /// the job's deadline.
    pub(super) async fn judge(
        &self,
        end: AttemptEnd,
        trouble: Option<Trouble>,
        request: &JobRequest,
        progress: &Progress,
        left: Option<Duration>,
        pass: Option<&mut Pass>,
    ) -> Verdict {
        let context = self.context.get();
        let retries = context.retry_policy(&request.upstream);
        let statuses = context.upstream(&request.upstream).map_or(&[][..], |upstream| &upstream.flow.retry_on);
        let Some(pass) = pass else {
            return decided(end, request, progress, retries, RetryOn { statuses, wait: None, left });
        };
        let (signs, wait) = match &end {
            AttemptEnd::Responded(response) => {
                let (status, headers) = (response.head.status, &response.head.headers);
                let wait = pass.heed(status, headers).await;
                (signs_of_status(status, statuses.contains(&status), wait.is_some()), wait)
            }
            AttemptEnd::Unacceptable { .. }
            | AttemptEnd::Broke { .. }
            | AttemptEnd::Aborted { .. }
            | AttemptEnd::NotPossible { .. }
            | AttemptEnd::NotBegun => (trouble.map_or(Signs::NONE, Signs::from), None),
        };
        let is_own = pass.ended(signs);
        let retries = if is_own { retries } else { RetryPolicy { max_retries: u32::MAX, ..retries } };
        let refused = matches!(&end, AttemptEnd::Responded(response) if is_refusal(response.head.status));
        let verdict = decided(end, request, progress, retries, RetryOn { statuses, wait, left });
        if let Verdict::RetryAfter { pause, charged: true, .. } = verdict {
            if !is_own {
                return verdict.at_no_charge();
            }
            if refused && wait.is_none() {
                // It does not say for how long: no longer than the job itself waits.
                pass.park(pause.min(UNSAID_PARK_MAX)).await;
            }
        }
        verdict
    }
}

/// The longest that a credential is parked for a refusal that does not say for how long.
const UNSAID_PARK_MAX: Duration = Duration::from_mins(1);

fn decided(
    end: AttemptEnd,
    request: &JobRequest,
    progress: &Progress,
    retries: RetryPolicy,
    on: RetryOn<'_>,
) -> Verdict {
    let verdict = match end {
        AttemptEnd::Responded(response) => judge_response(response, request, progress, retries, on),
        other @ (AttemptEnd::Unacceptable { .. }
        | AttemptEnd::Broke { .. }
        | AttemptEnd::Aborted { .. }
        | AttemptEnd::NotPossible { .. }
        | AttemptEnd::NotBegun) => judge(other, request, progress, retries),
    };
    keep_deadline(verdict, progress, on.left)
}
