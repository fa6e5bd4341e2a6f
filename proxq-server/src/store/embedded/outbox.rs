//! How a step gets to the thread, and its outcome back.

use std::fmt;
use std::sync::Arc;

use rusqlite::ErrorCode;
use tokio::sync::{mpsc, oneshot};

use super::schema::lacks_room;
use super::step::{Step, StepError, Tx};
use crate::metrics::StoreMetrics;
use crate::store::StoreError;

/// Steps that may wait for the thread; who comes later waits to be let in.
const QUEUE_STEPS: usize = 1_024;

/// The way to the thread.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    inbox: mpsc::Sender<Message>,
    metrics: StoreMetrics,
}

#[derive(Debug)]
pub(super) enum Message {
    Step(Box<dyn Waiting>),
    /// Leases were given back, or the store is closing.
    LookAround,
}

impl Outbox {
    /// The way, and where it ends.
    pub(super) fn new(metrics: StoreMetrics) -> (Self, mpsc::Receiver<Message>) {
        let (sender, inbox) = mpsc::channel(QUEUE_STEPS);
        (Self { inbox: sender, metrics }, inbox)
    }

    /// Has a step done. Given up while it waits, it may be done all the same.
    pub(super) async fn run<S: Step>(&self, step: S) -> Result<S::Output, StoreError> {
        let measuring = self.metrics.begin(name::<S>());
        let (envelope, answer) = Envelope::new(step);
        self.inbox.send(Message::Step(envelope)).await.map_err(|_| StoreError::Closed)?;
        let answer = answer.await.unwrap_or(Err(StoreError::Closed));
        measuring.end(answer.as_ref().is_err_and(StoreError::is_failure));
        answer
    }

    /// Has a step done, from a thread that may block.
    pub(super) fn run_blocking<S: Step>(&self, step: S) -> Result<S::Output, StoreError> {
        let (envelope, answer) = Envelope::new(step);
        self.inbox.blocking_send(Message::Step(envelope)).map_err(|_| StoreError::Closed)?;
        answer.blocking_recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Whether the thread takes steps.
    pub(super) fn is_open(&self) -> Result<(), StoreError> {
        if self.inbox.is_closed() { Err(StoreError::Closed) } else { Ok(()) }
    }

    /// Has the thread look at what is shared with it. Where there is no room to say so, it is awake anyway.
    pub(super) fn look_around(&self) {
        let _awake = self.inbox.try_send(Message::LookAround);
    }
}

/// What metrics call a step: the name of its type, without where it is.
fn name<S: Step>() -> &'static str {
    let whole = std::any::type_name::<S>();
    whole.rsplit_once("::").map_or(whole, |(_, name)| name)
}

/// A step and whoever waits for it.
pub(super) trait Waiting: fmt::Debug + Send {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), rusqlite::Error>;

    /// Whether it gives room back.
    fn makes_room(&self) -> bool;

    /// Answers with what the step gave, or with why nothing was committed.
    fn answer(self: Box<Self>, failure: Option<&Failure>);
}

#[derive(Debug)]
pub(super) struct Envelope<S: Step> {
    step: S,
    outcome: Option<Result<S::Output, StoreError>>,
    reply: oneshot::Sender<Result<S::Output, StoreError>>,
}

impl<S: Step> Envelope<S> {
    /// A step, and where its outcome comes out.
    pub(super) fn new(step: S) -> (Box<Self>, oneshot::Receiver<Result<S::Output, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        (Box::new(Self { step, outcome: None, reply }), answer)
    }
}

impl<S: Step> Waiting for Envelope<S> {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), rusqlite::Error> {
        self.outcome = Some(match self.step.run(tx) {
            Ok(output) => Ok(output),
            Err(StepError::Refused(refusal)) => Err(refusal),
            Err(StepError::Database(error)) => return Err(error),
        });
        Ok(())
    }

    fn makes_room(&self) -> bool {
        self.step.makes_room()
    }

    fn answer(self: Box<Self>, failure: Option<&Failure>) {
        let outcome = match failure {
            Some(failure) => Err(failure.to_store_error()),
            None => self.outcome.expect("a step was run before its transaction was committed"),
        };
        let _nobody_waits = self.reply.send(outcome);
    }
}

/// A transaction that was not committed, or not for sure.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) source: Arc<rusqlite::Error>,
    pub(super) may_be_done: bool,
    /// The log may not grow: a limit on file sizes, of which SQLite only says that a write failed.
    pub(super) log_at_limit: bool,
}

impl Failure {
    pub(super) fn to_store_error(&self) -> StoreError {
        let source = Box::new(Arc::clone(&self.source));
        if self.is_for_want_of_room() {
            StoreError::Full { source }
        } else {
            StoreError::Unavailable { may_be_done: self.may_be_done, source }
        }
    }

    /// Whether there is no room on the disk.
    pub(super) fn is_for_want_of_room(&self) -> bool {
        lacks_room(&self.source)
            || (self.log_at_limit && self.source.sqlite_error_code() == Some(ErrorCode::SystemIoFailure))
    }

    /// Whether the cause lies in one of the steps, so that the others may succeed without it.
    pub(super) fn is_of_one_step(&self) -> bool {
        let environment = matches!(
            self.source.sqlite_error_code(),
            Some(
                ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::OutOfMemory
                    | ErrorCode::ReadOnly
            )
        );
        !environment && !self.may_be_done
    }
}
