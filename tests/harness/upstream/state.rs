//! The state of an upstream: its script and what it has received, shared by its handle and its connections.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::answer::Answer;
use super::http2;
use super::received::Received;
use crate::body::Digest;
use crate::message::{Head, ReceivedBody};

/// Chooses the answer to a request by its head.
pub(super) type Plan = Box<dyn FnMut(&Head) -> Answer + Send>;

/// The state, and the news that it has changed.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

/// The script, what came of it, and how connections are treated.
pub(super) struct State {
    pub(super) script: VecDeque<Answer>,
    pub(super) otherwise: Plan,
    pub(super) received: Vec<Received>,
    pub(super) taken: usize,
    pub(super) connections: usize,
    /// Connections on which both sides have agreed on TLS.
    pub(super) secured: usize,
    pub(super) open: usize,
    /// How long a connection stays open between requests.
    pub(super) idle_limit: Duration,
    /// How many requests of a connection are answered.
    pub(super) answers_max: usize,
    pub(super) http2: http2::Manners,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("received", &self.received.len()).finish_non_exhaustive()
    }
}

impl Shared {
    /// One that answers `200`, of which nothing was asked yet.
    pub(super) fn new() -> Self {
        let state = State {
            script: VecDeque::new(),
            otherwise: Box::new(|_| Answer::status(200)),
            received: Vec::new(),
            taken: 0,
            connections: 0,
            secured: 0,
            open: 0,
            idle_limit: Duration::MAX,
            answers_max: usize::MAX,
            http2: http2::Manners::default(),
        };
        Self { state: Mutex::new(state), changes: watch::channel(()).0 }
    }

    /// The state as it is, locked. [`Shared::change`] is for changes that somebody may wait for.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a connection stays open between requests, and how many of its requests are answered.
    pub(super) fn limits(&self) -> (Duration, usize) {
        let state = self.state();
        (state.idle_limit, state.answers_max)
    }

    /// Changes the state and tells whoever waits.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = change(&mut self.state());
        self.changes.send_replace(());
        value
    }

    /// Keeps a request's head, and chooses the answer. Gives the request's place, too.
    pub(super) fn take(&self, head: &Head, connection: usize) -> (usize, Answer) {
        let received = Received {
            head: head.clone(),
            body: Vec::new(),
            digest: Digest::default(),
            complete: false,
            abandoned: false,
            connection,
        };
        self.change(|state| {
            state.received.push(received);
            let answer = state.script.pop_front().unwrap_or_else(|| (state.otherwise)(head));
            (state.received.len() - 1, answer)
        })
    }

    /// Keeps what came of a request's body.
    pub(super) fn body(&self, index: usize, body: ReceivedBody, complete: bool) {
        self.change(|state| {
            let received = &mut state.received[index];
            received.body = body.kept;
            received.digest = body.digest;
            received.complete = complete;
            received.abandoned = !complete;
        });
    }

    /// Notes that the sender of a request went away.
    pub(super) fn abandon(&self, index: usize) {
        self.change(|state| state.received[index].abandoned = true);
    }

    /// Waits until there is such a value in the state; gives it.
    pub(super) async fn until<T>(&self, mut there: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(value) = there(&mut self.state()) {
                return value;
            }
            changes.changed().await.expect("the sender is in `self`");
        }
    }
}
