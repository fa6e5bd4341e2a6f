//! The cancellation of jobs whose calls were dropped.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::address::JobAddress;
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
    canceller: Arc<Canceller>,
    armed: Option<(JobAddress, Submission)>,
}

impl Guard {
    /// Not armed.
    pub(crate) fn new(canceller: Arc<Canceller>) -> Self {
        Self { canceller, armed: None }
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
        let canceller = Arc::clone(&self.canceller);
        let under_way = canceller.begin();
        runtime.spawn(async move {
            canceller.cancel(&address, submission).await;
            drop(under_way);
        });
    }
}

/// Cancels jobs, and knows how many cancellations are under way.
#[derive(Debug)]
pub(crate) struct Canceller {
    /// The client that was given for it.
    given: Option<reqwest::Client>,
    /// The client that is made where none was given; `None` inside where the system lets none be made.
    made: OnceLock<Option<reqwest::Client>>,
    under_way: watch::Sender<usize>,
}

/// One that is under way until this is dropped.
struct UnderWay(watch::Sender<usize>);

impl Canceller {
    /// Cancels by this client, or by a plain one.
    pub(crate) fn by(given: Option<reqwest::Client>) -> Self {
        Self { given, made: OnceLock::new(), under_way: watch::Sender::new(0) }
    }

    /// Returns when no cancellation is under way.
    pub(crate) async fn ended(&self) {
        let none = |count: &usize| *count == 0;
        self.under_way.subscribe().wait_for(none).await.expect("the sender is here");
    }

    fn begin(&self) -> UnderWay {
        self.under_way.send_modify(|count| *count += 1);
        UnderWay(self.under_way.clone())
    }

    /// Deletes the job: four attempts at most.
    async fn cancel(&self, address: &JobAddress, submission: Submission) {
        let Some(client) = self.client() else { return };
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

    fn client(&self) -> Option<&reqwest::Client> {
        // proxq answers a cancellation itself, so there is nothing to follow, and nowhere for a token to be taken to.
        let plain = || reqwest::Client::builder().redirect(Policy::none()).build().ok();
        self.given.as_ref().or_else(|| self.made.get_or_init(plain).as_ref())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
