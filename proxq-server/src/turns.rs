//! The turns of clients that are held: whoever answers one holds a [`TurnGuard`], which tells the store how the turn ended,
//! whatever becomes of the request.

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::CancellationToken;

use crate::failure::chain;
use crate::job::JobId;
use crate::reply::body::{self, Body, BoxError};
use crate::store::{JOIN_WINDOW, LeftBy, StoreError, Turn, Turns};
use crate::tasks::Tasks;

/// The shortest and the longest pause before the store is told again. One that is away refuses at once. A later try waits for
/// 5 s until the store knows that the earlier one's client has gone, so the longest is well below that.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// Makes the guards of all turns of one server.
#[derive(Clone, Debug)]
pub(crate) struct TurnKeeper {
    store: Arc<dyn Turns>,
    tasks: Tasks,
    draining: CancellationToken,
}

impl TurnKeeper {
    /// What the store is told goes on in `tasks`; it is told that the server let a client go, not the client the server, once
    /// the server is `draining`.
    pub(crate) fn new(store: Arc<dyn Turns>, tasks: Tasks, draining: CancellationToken) -> Self {
        Self { store, tasks, draining }
    }

    /// Guards a turn that has begun.
    pub(crate) fn guard(&self, turn: Turn) -> TurnGuard {
        TurnGuard { turn: Some(turn), keeper: self.clone() }
    }

    /// Begins the next turn of a job, unless its call has ended. A client is answered, whatever the store says.
    pub(crate) async fn resume(&self, id: JobId) -> Option<TurnGuard> {
        let keeper = self.clone();
        let resumed = self.outlive(async move {
            match keeper.store.resume(id).await {
                Ok(turn) => turn.map(|turn| keeper.guard(turn)),
                Err(error) => {
                    tracing::warn!(job.id = %id, error = chain(&error), "note that a client waits for a job again");
                    None
                }
            }
        });
        resumed.await.flatten()
    }

    /// Does something to its end, even if whoever waits for it goes away. So a guard that it gives is always dropped, whose
    /// turn would seem to last otherwise. `None` where it panicked.
    pub(crate) async fn outlive<T: Send + 'static>(
        &self,
        begin_turn: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.tasks.spawn_for(begin_turn).await.ok()
    }
}

/// A turn that lasts. Dropped, it was abandoned.
#[derive(Debug)]
pub(crate) struct TurnGuard {
    turn: Option<Turn>,
    keeper: TurnKeeper,
}

impl TurnGuard {
    /// Ends a turn, if there is one, when this answer, a final one, has been written or its client has gone away.
    pub(crate) fn end_with(turn: Option<Self>, answer: Response<Body>) -> Response<Body> {
        match turn {
            Some(guard) => answer.map(|body| body::relayed(Watched { body, guard: Some(guard) })),
            None => answer,
        }
    }

    /// Ends the turn of a client that was told that its job goes on, and which: the job is not cancelled.
    pub(crate) fn let_go(mut self) {
        self.abandon(LeftBy::Server);
    }

    fn abandon(&mut self, by: LeftBy) {
        let Some(turn) = self.turn.take() else { return };
        let store = Arc::clone(&self.keeper.store);
        self.keeper.tell(turn, "note that a client has gone", move || {
            let store = Arc::clone(&store);
            async move { store.abandoned(turn, by).await }
        });
    }

    fn answered(mut self) {
        let Some(turn) = self.turn.take() else { return };
        let store = Arc::clone(&self.keeper.store);
        self.keeper.tell(turn, "note that a client has its answer", move || {
            let store = Arc::clone(&store);
            async move { store.answered(turn).await }
        });
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        if self.turn.is_some() {
            let by = if self.keeper.draining.is_cancelled() { LeftBy::Server } else { LeftBy::Client };
            self.abandon(by);
        }
    }
}

impl TurnKeeper {
    /// Tells the store, again and again until it has heard or nobody would join the job any more. There are as many of these
    /// tasks as clients went away while the store is: without it there are no new turns.
    fn tell<F>(&self, turn: Turn, what: &'static str, say: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        let draining = self.draining.clone();
        self.tasks.try_spawn(async move {
            let [min, max] = PAUSES;
            let pauses = ExponentialBuilder::default()
                .with_min_delay(min)
                .with_max_delay(max)
                .with_jitter()
                .with_total_delay(Some(JOIN_WINDOW))
                .without_max_times()
                .build();
            for pause in pauses {
                match say().await {
                    Ok(()) => return,
                    Err(StoreError::Closed) => break,
                    Err(error) => tracing::debug!(job.id = %turn.id, error = chain(&error), "{what}"),
                }
                if draining.is_cancelled() {
                    break; // the end of this process says it, too
                }
                tokio::time::sleep(pause).await;
            }
            tracing::warn!(job.id = %turn.id, "could not {what}");
        });
    }
}

/// The body of a final answer, with the turn that ends with it.
struct Watched {
    body: Body,
    guard: Option<TurnGuard>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none()
            && let Some(guard) = self.guard.take()
        {
            guard.answered();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Whoever writes a body does not ask for more once it is at its end.
        if self.body.is_end_stream()
            && let Some(guard) = self.guard.take()
        {
            guard.answered();
        }
    }
}
