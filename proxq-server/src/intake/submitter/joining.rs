//! The submission of a later try: it gets the job of an earlier try whose client went away, instead of a job of its own.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

use super::super::body::ReceivedBody;
use super::super::body_memory::Submitting;
use super::until_known::{Outcome, ask};
use super::{HeldClient, SubmitError, Submitter};
use crate::cache;
use crate::config::{HeaderPattern, KeyExclusions};
use crate::credential::{is_anonymous, keyed};
use crate::failure::chain;
use crate::idempotency::hash;
use crate::job::{CredentialHash, JobRequest};
use crate::store::{Call, JobWatch, Join, NewJob, Submitted};

/// How long a later try waits for the client of an earlier one that still seems to be there: gateways keep their connection
/// to proxq open for a while after they have told their client that it is too late.
const HELD_PATIENCE: Duration = Duration::from_secs(5);

/// What differs between two tries though the same is asked for: on which way each came, and in which trace it is.
static EXCLUSIONS: LazyLock<KeyExclusions> = LazyLock::new(|| {
    let way =
        ["x-forwarded-*", "forwarded", "x-real-ip", "via", "x-request-*", "x-correlation-id", "cf-ray", "cdn-loop"];
    let trace = [
        "sentry-trace",
        "x-datadog-*",
        "b3",
        "x-b3-*",
        "x-amzn-trace-id",
        "x-cloud-trace-context",
        "x-client-request-id",
    ];
    let pattern = |text| HeaderPattern::new(text).expect("a name, or the beginning of names");
    KeyExclusions::of(way.into_iter().chain(trace).map(pattern).collect())
});

impl Submitter {
    /// What the store is told of a submission's call.
    pub(super) fn call(
        &self,
        request: &JobRequest,
        body: &ReceivedBody,
        claimant: Option<CredentialHash>,
        held: &HeldClient,
    ) -> Call {
        let terms = held.terms;
        let key = claimant
            .filter(|_| terms.joins)
            .map(|claimant| self.call_key(request, body.digest(&request.headers), claimant));
        let join = if terms.repeats { Join::OrWait } else { Join::Never };
        Call { key, join, cancel_when_abandoned: terms.cancel_when_abandoned }
    }

    /// Hash of what all tries of a call have in common. `claimant` is the hash of all secrets, keyed by the deployment. The
    /// address of a client without any counts, too.
    fn call_key(&self, request: &JobRequest, body: [u8; 32], claimant: CredentialHash) -> [u8; 32] {
        let key = self.deployment.credential_key().expect("nothing is submitted before the deployment is known");
        let asked = cache::key(request, &body, &EXCLUSIONS);
        let address = if is_anonymous(key, claimant) { request.client.to_string() } else { String::new() };
        keyed(key, hash([&claimant.0[..], asked.as_bytes(), request.upstream.as_bytes(), address.as_bytes()]))
    }

    /// Submits a job under an id of the server's, or joins one. A try whose client goes away while it waits is no job. One that
    /// waits gives its `memory` back. `held` is what is known of its client.
    pub(super) async fn submit_or_join(
        &self,
        mut job: NewJob,
        held: Option<&HeldClient>,
        memory: &mut Submitting,
    ) -> Result<Outcome, SubmitError> {
        let deadline = Instant::now() + HELD_PATIENCE;
        let mut watch: Option<JobWatch> = None;
        loop {
            let outcome = ask(|| self.store.submit(job.clone())).await;
            let Outcome::Answered(Submitted::StillHeld(earlier)) = outcome else { return Ok(outcome) };
            let held = held.expect("only a held client's submission waits");
            *memory = None; // others must not wait for this client as well
            match watch.take() {
                // Asked again once somebody watches: its client may have gone meanwhile.
                None => match self.store.watch(earlier).await {
                    Ok(begun) => watch = Some(begun),
                    Err(error) => {
                        tracing::warn!(job.id = %earlier, error = chain(&error), "wait for an earlier try's client to go");
                        give_up(&mut job);
                    }
                },
                Some(change) => tokio::select! {
                    biased;
                    () = held.gone.cancelled() => return Err(SubmitError::ClientGone),
                    changed = tokio::time::timeout_at(deadline, change) => {
                        if changed.is_err() {
                            give_up(&mut job);
                        }
                    }
                },
            }
        }
    }
}

/// From now on the job is made if there is none to join.
fn give_up(job: &mut NewJob) {
    if let Some(call) = &mut job.call {
        call.join = Join::IfAbandoned;
    }
}
