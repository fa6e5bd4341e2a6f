//! Cancels the job of a call that nobody waits for any more.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::address::JobAddress;
use crate::proxq::Setup;
use crate::response::is_own;

/// The pauses between attempts: a submission whose sender has just gone may take so long to become the job.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(600)];
/// How long one attempt may take; there is nobody left who waits for it.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(5);

/// Whether proxq has said that the job exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Submission {
    /// It may, or not yet, or never.
    Unanswered,
    Accepted,
}

/// While it is armed, dropping it cancels a job.
#[derive(Debug)]
pub(crate) struct Guard {
    setup: Arc<Setup>,
    armed: Option<(JobAddress, Submission)>,
}

impl Guard {
    /// Not armed.
    pub(crate) fn new(setup: Arc<Setup>) -> Self {
        Self { setup, armed: None }
    }

    /// Cancels this job from now on, in place of another.
    pub(crate) fn arm(&mut self, address: JobAddress, submission: Submission) {
        self.armed = Some((address, submission));
    }

    /// The call has ended in a way that leaves its job alone.
    pub(crate) fn disarm(&mut self) {
        self.armed = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some((address, submission)) = self.armed.take() else { return };
        // Without a runtime nobody could send it.
        let Ok(runtime) = Handle::try_current() else { return };
        let setup = Arc::clone(&self.setup);
        let under_way = self.setup.cancellations.begin();
        runtime.spawn(async move {
            cancel(&setup, &address, submission).await;
            drop(under_way);
        });
    }
}

/// The cancellations under way.
#[derive(Debug)]
pub(crate) struct Cancellations(watch::Sender<usize>);

impl Default for Cancellations {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

/// One that is under way until this is dropped.
struct UnderWay(watch::Sender<usize>);

impl Cancellations {
    fn begin(&self) -> UnderWay {
        self.0.send_modify(|count| *count += 1);
        UnderWay(self.0.clone())
    }

    /// Returns when none is under way.
    pub(crate) async fn ended(&self) {
        let none = |count: &usize| *count == 0;
        self.0.subscribe().wait_for(none).await.expect("the sender is here");
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Deletes the job: four attempts at most.
async fn cancel(setup: &Setup, address: &JobAddress, submission: Submission) {
    let Some(client) = setup.cancelling_client() else { return };
    let mut pauses = PAUSES.iter();
    loop {
        let mut request = address.request(Method::DELETE);
        *request.timeout_mut() = Some(ATTEMPT_LIMIT);
        let is_gone = match client.execute(request).await {
            Ok(answer) if answer.status() == StatusCode::NOT_FOUND => submission == Submission::Accepted,
            Ok(answer) => is_own(&answer) && answer.status().is_success(),
            Err(_) => false,
        };
        let Some(pause) = pauses.next().filter(|_| !is_gone) else { return };
        tokio::time::sleep(*pause).await;
    }
}
