//! What happens to a call, for whoever shows it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use proxq_protocol::{JobId, JobStatus};

/// A step in the life of a call that became a job. Given to the callback of [`Builder::on_event`](crate::Builder::on_event).
///
/// [`Event::Submitted`] and the first [`Event::Waiting`] come as soon as there is a job.
///
/// ```
/// use proxq_client::{Event, Proxq};
///
/// let proxq = Proxq::builder()
///     .on_event(|event| match event {
///         Event::Submitted { id } => println!("{id}: accepted"),
///         Event::Waiting { id, waited, .. } => println!("{id}: {waited:?} so far"),
///         Event::Done { id, waited } => println!("{id}: done after {waited:?}"),
///         _ => {}
///     })
///     .build()?;
/// # Ok::<(), proxq_client::BuildError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The request is a job.
    Submitted {
        /// The job.
        id: JobId,
    },
    /// The job has not ended. Comes at once, and then whenever an answer was held for as long as
    /// [`wait`](crate::Builder::wait) says.
    Waiting {
        /// The job.
        id: JobId,
        /// Where it stands.
        status: Option<JobStatus>,
        /// Since the call began.
        waited: Duration,
    },
    /// The upstream's response has begun to come.
    Done {
        /// The job.
        id: JobId,
        /// Since the call began.
        waited: Duration,
    },
}

/// The callback for events.
#[derive(Clone)]
pub(crate) struct Listener(Arc<dyn Fn(&Event) + Send + Sync>);

impl Listener {
    pub(crate) fn new(listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    pub(crate) fn hear(&self, event: &Event) {
        (self.0)(event);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}
