//! What the end of an attempt means: for its job, and for what is known of its upstream.

use std::time::Duration;

use super::Worker;
use super::attempt::Told;
use crate::flow::{Pass, Signs, random_part, signs_of_status};
use crate::job::{
    AttemptEnd, JobRequest, Progress, Reach, RetryOn, RetryPolicy, Verdict, is_refusal, judge, judge_response,
    keep_deadline,
};

/// The longest that a credential is parked for a refusal that does not say for how long.
const UNSAID_PARK_MAX: Duration = Duration::from_mins(1);

/// Over which time jobs come again that wait in another queue than that of their upstream. There may be many of them.
const SPREAD: Duration = Duration::from_secs(10);

impl Worker {
    /// Has an attempt pass its upstream's gate whose job was queued before the upstream had one. Where that is not possible now, the
    /// job waits in `retry`.
    pub(super) async fn pass_other_gate(&self, request: &JobRequest) -> Result<Option<Pass>, Verdict> {
        let Some(gate) = self.gates.of(&request.upstream) else { return Ok(None) };
        let least = if gate.holds_back(request.credential) {
            Duration::ZERO
        } else {
            match gate.admit(request.credential).await {
                Ok(pass) => return Ok(Some(pass)),
                Err(refused) => refused.retry_after.min(SPREAD), // a reload may allow it sooner
            }
        };
        Err(Verdict::RetryAfter {
            pause: least + random_part(SPREAD),
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
        told: Told,
        request: &JobRequest,
        progress: &Progress,
        left: Option<Duration>,
        pass: Option<&mut Pass>,
    ) -> Verdict {
        let context = self.context.get();
        let retries = context.retry_policy(&request.upstream);
        let statuses = context.upstream(&request.upstream).map_or(&[][..], |upstream| &upstream.flow.retry_on);
        let Some(pass) = pass else {
            let on = RetryOn { statuses, wait: None, left };
            return keep_deadline(decided(end, request, progress, retries, on), progress, left);
        };
        let (mut signs, mut wait, mut is_refused) = (Signs::NONE, None, false);
        match (told, &end) {
            (Told::Response, AttemptEnd::Responded(response)) => {
                let (status, headers) = (response.head.status, &response.head.headers);
                wait = pass.heed(status, headers).await;
                signs = signs_of_status(status, statuses.contains(&status), wait.is_some());
                is_refused = is_refusal(status);
            }
            (Told::Trouble(trouble), _) => signs = trouble.into(),
            (Told::Response | Told::Nothing, _) => {}
        }
        let is_own = pass.ended(signs);
        let retries = if is_own { retries } else { RetryPolicy { max_retries: u32::MAX, ..retries } };
        let mut verdict = decided(end, request, progress, retries, RetryOn { statuses, wait, left });
        if let Verdict::RetryAfter { pause, charged: true, .. } = verdict {
            if !is_own {
                verdict = verdict.at_no_charge();
            } else if is_refused && wait.is_none() {
                // It does not say for how long: no longer than the job itself waits.
                pass.park(pause.min(UNSAID_PARK_MAX)).await;
            }
        }
        keep_deadline(verdict, progress, left)
    }
}

fn decided(
    end: AttemptEnd,
    request: &JobRequest,
    progress: &Progress,
    retries: RetryPolicy,
    on: RetryOn<'_>,
) -> Verdict {
    match end {
        AttemptEnd::Responded(response) => judge_response(response, request, progress, retries, on),
        other @ (AttemptEnd::Unacceptable { .. }
        | AttemptEnd::Broke { .. }
        | AttemptEnd::Aborted { .. }
        | AttemptEnd::NotPossible { .. }
        | AttemptEnd::NotBegun) => judge(other, request, progress, retries),
    }
}
