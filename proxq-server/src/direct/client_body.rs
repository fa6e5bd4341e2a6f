//! A client's body on its way to an upstream: passed on as it arrives and as it is taken, never collected.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::failure::causes;
use crate::forward::forwarded::strip_request_trailers;
use crate::forward::{BodyError, body_end};
use crate::lock::lock;
use crate::upload::Upload;

/// What was received of a body before it was clear that it goes direct.
pub(crate) type BegunBody = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// The body of a direct request.
pub(crate) struct ClientBody {
    begun: Option<BegunBody>,
    /// `None` once it has ended or broken.
    rest: Option<Upload>,
    /// How long the client may send nothing while the upstream would take more.
    silence_limit: Duration,
    silence: Option<Pin<Box<Sleep>>>,
    progress: Progress,
}

impl ClientBody {
    /// A body of which nothing has been read, or what was read is in `begun`.
    pub(crate) fn new(begun: Option<BegunBody>, rest: Upload, silence_limit: Duration) -> Self {
        Self { begun, rest: Some(rest), silence_limit, silence: None, progress: Progress::default() }
    }

    /// How far the body has come. The value outlives the body.
    pub(super) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    fn ends(&mut self, how: Phase) {
        self.rest = None;
        self.silence = None;
        self.progress.enter(how);
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(begun) = &mut self.begun {
            match begun.as_mut().poll_next(cx) {
                Poll::Ready(Some(chunk)) => {
                    self.progress.enter(Phase::Upstream { since: Instant::now() });
                    return Poll::Ready(Some(chunk.map(Frame::data).map_err(BodyError::from)));
                }
                Poll::Ready(None) => self.begun = None,
                Poll::Pending => return Poll::Pending,
            }
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        match Pin::new(&mut *rest).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    strip_request_trailers(trailers);
                }
                self.silence = None;
                let since = Instant::now();
                let last = self.rest.as_ref().is_none_or(Body::is_end_stream);
                self.progress.enter(if last { Phase::Complete { since } } else { Phase::Upstream { since } });
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => match body_end::check(&*rest, rest.version()) {
                Ok(()) => {
                    self.ends(Phase::Complete { since: Instant::now() });
                    Poll::Ready(None)
                }
                Err(error) => {
                    self.ends(Phase::Broken);
                    Poll::Ready(Some(Err(error.into())))
                }
            },
            Poll::Ready(Some(Err(error))) => {
                self.ends(if causes(&*error).any(says_malformed) { Phase::Malformed } else { Phase::Broken });
                Poll::Ready(Some(Err(error)))
            }
            // A client that has its answer may be silent for as long as it likes: it may send more when it has read some.
            Poll::Pending if self.progress.is_answered() => Poll::Pending,
            Poll::Pending => {
                self.progress.enter(Phase::Client);
                let limit = self.silence_limit;
                let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
                if silence.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.ends(Phase::Broken);
                let error = io::Error::new(io::ErrorKind::TimedOut, "the client sent nothing of its body for too long");
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.begun, &self.rest) {
            (None, Some(rest)) => rest.size_hint(),
            (None, None) => SizeHint::with_exact(0),
            (Some(_), _) => SizeHint::default(),
        }
    }
}

/// Whether a body's chunks cannot be read, rather than that no more of them come.
fn says_malformed(cause: &(dyn std::error::Error + 'static)) -> bool {
    let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData))
}

/// How far a body has come, and who is waited for.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    shared: Arc<Mutex<Standing>>,
}

#[derive(Clone, Copy, Debug)]
struct Standing {
    phase: Phase,
    /// Whether there is a response head.
    answered: bool,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The upstream could take more than has come.
    Client,
    /// The upstream has more to take, or has not asked for any.
    Upstream { since: Instant },
    /// All of it was taken.
    Complete { since: Instant },
    /// The client broke off, or fell silent.
    Broken,
    /// What the client sent is no chunked body.
    Malformed,
}

impl Progress {
    fn enter(&self, phase: Phase) {
        self.lock().phase = phase;
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        lock(&self.shared)
    }

    /// There is a response head.
    pub(super) fn answered(&self) {
        self.lock().answered = true;
    }

    fn is_answered(&self) -> bool {
        self.lock().answered
    }

    /// Since when only the upstream is being waited for; `None` while it is the client.
    pub(super) fn upstream_since(&self) -> Option<Instant> {
        match self.lock().phase {
            Phase::Upstream { since } | Phase::Complete { since } => Some(since),
            Phase::Client | Phase::Broken | Phase::Malformed => None,
        }
    }

    /// Whether it was passed on to its end.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.lock().phase, Phase::Complete { .. })
    }

    /// Whether the client did not send it to its end.
    pub(super) fn is_broken(&self) -> bool {
        matches!(self.lock().phase, Phase::Broken | Phase::Malformed)
    }

    /// Whether that is because its chunks cannot be read: the client is still there.
    pub(super) fn is_malformed(&self) -> bool {
        matches!(self.lock().phase, Phase::Malformed)
    }
}

impl Default for Progress {
    fn default() -> Self {
        let standing = Standing { phase: Phase::Upstream { since: Instant::now() }, answered: false };
        Self { shared: Arc::new(Mutex::new(standing)) }
    }
}
