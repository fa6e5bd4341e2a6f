//! The watchdog of a connection: tells when the connection is overdue, idle or free. What comes in are the bytes, requests and
//! bodies that come and go on it; to end the connection is left to `connection.rs`.
//!
//! A connection is overdue when it has been silent for too long: before its first byte, within a request's head, between
//! requests, or while its client takes nothing of an answer (of several at a time: `watchdog/stalled.rs`). The HTTP library
//! has one limit for the first three and none for the last. It is overdue, too, when its client breaks off request after
//! request (`watchdog/break_offs.rs`), and when it is idle and has to make room for another one.

mod break_offs;
mod guards;
mod stalled;

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use self::break_offs::BreakOffs;
pub(super) use self::guards::{Busy, OpenBody};
use self::stalled::StalledAnswers;
use crate::lock::lock;

/// Watches one connection.
#[derive(Clone, Debug)]
pub(super) struct Watchdog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    /// No request is under way any more.
    freed: Notify,
    head_limit: Duration,
    idle_limit: Duration,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// When the phase began, or the client last took something of what is sent in it.
    since: Instant,
    /// Whether bytes wait that the client does not take.
    unsent: bool,
    /// Whether the connection has to end, and how.
    ending: Ending,
    /// Whom to tell that the connection has become idle.
    idle_listener: Option<Arc<Notify>>,
    /// Whether one connection carries many requests at a time (HTTP/2).
    multiplexed: bool,
    /// Requests being handled or answered.
    requests: u64,
    /// Requests begun so far; numbers them.
    begun: u64,
    /// Bodies that are still coming, those of requests included that were answered.
    open_bodies: u64,
    break_offs: BreakOffs,
    /// Those of a multiplexed connection.
    stalled: StalledAnswers,
    /// Whether whoever waits for [`Watchdog::overdue`] looks again by itself.
    timer_runs: bool,
}

/// How a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It goes on, or ends as its client and the protocol want it.
    Open,
    /// It makes room for another one.
    GivesWay,
    /// An answer to an HTTP/1.0 client broke off. The connection is reset, so that the answer does not look complete.
    Reset,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// No byte of a request's head has come: until when one may.
    Silent { deadline: Instant },
    /// A head is coming: until when it may.
    Head { deadline: Instant },
    /// Requests are being handled or answered; that has limits of its own.
    Busy,
    /// The client is not taking the answer; `deadline` is when we give up.
    Stalled { deadline: Instant },
}

impl State {
    /// No request is under way any more; the next one may begin within this limit.
    fn rest(&mut self, limit: Duration) {
        let now = Instant::now();
        (self.phase, self.since) = (Phase::Silent { deadline: now + limit }, now);
    }

    /// Whether the connection ends, whatever its phase.
    fn must_end(&self) -> bool {
        self.ending == Ending::GivesWay || self.break_offs.are_too_many()
    }

    /// Since when the connection is idle: no request is under way, no body is coming, no answer waits to be taken.
    fn idle_since(&self) -> Option<Instant> {
        let no_request = matches!(self.phase, Phase::Silent { .. } | Phase::Head { .. });
        (no_request && self.open_bodies == 0 && !self.unsent && self.ending == Ending::Open).then_some(self.since)
    }

    fn tell_if_idle(&self) {
        if let (Some(listener), Some(_)) = (&self.idle_listener, self.idle_since()) {
            listener.notify_waiters();
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Silent { deadline } | Phase::Head { deadline } | Phase::Stalled { deadline } => Some(deadline),
            Phase::Busy => None,
        };
        self.stalled.deadline(self.requests).into_iter().chain(phase).min()
    }
}

impl Watchdog {
    /// Starts to watch a connection that has just been opened.
    pub(super) fn new(head_limit: Duration, idle_limit: Duration) -> Self {
        let now = Instant::now();
        let state = State {
            phase: Phase::Silent { deadline: now + head_limit },
            since: now,
            unsent: false,
            ending: Ending::Open,
            idle_listener: None,
            multiplexed: false,
            requests: 0,
            begun: 0,
            open_bodies: 0,
            break_offs: BreakOffs::default(),
            stalled: StalledAnswers::new(now + idle_limit),
            timer_runs: false,
        };
        let (state, changed, freed) = (Mutex::new(state), Notify::new(), Notify::new());
        Self { shared: Arc::new(Shared { state, changed, freed, head_limit, idle_limit }) }
    }

    /// From now on the connection carries many requests at a time, and bytes between them mean nothing.
    pub(super) fn set_multiplexed(&self) {
        let idle_limit = self.shared.idle_limit;
        self.shared.change(|state| {
            state.multiplexed = true;
            state.rest(idle_limit);
        });
    }

    /// A handshake is done, and the first request may take as long to begin as on a connection that needs none.
    pub(super) fn begin_requests(&self) {
        let head_limit = self.shared.head_limit;
        self.shared.change(|state| state.rest(head_limit));
    }

    /// Returns when the connection has been silent for too long, broke too much off, or has to make room.
    pub(super) async fn overdue(&self) {
        // Whatever begins after a look has at least this long, so looking again then is soon enough for all of it.
        let shortest = self.shared.head_limit.min(self.shared.idle_limit);
        loop {
            let changed = self.shared.changed.notified();
            let now = Instant::now();
            let next_look = {
                let mut state = self.shared.lock();
                if state.must_end() || state.deadline().is_some_and(|deadline| deadline <= now) {
                    return;
                }
                let next_look = state.deadline().map(|deadline| deadline.min(now + shortest));
                state.timer_runs = next_look.is_some();
                next_look
            };
            match next_look {
                Some(instant) => tokio::select! {
                    () = tokio::time::sleep_until(instant) => {}
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    /// Has the listener told whenever the connection becomes idle.
    pub(super) fn tell_when_idle(&self, listener: Arc<Notify>) {
        self.shared.lock().idle_listener = Some(listener);
    }

    /// Since when the connection is idle, if it is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.shared.lock().idle_since()
    }

    /// Ends the connection if it has been idle since then, and says whether it does.
    pub(super) fn give_way(&self, since: Instant) -> bool {
        self.shared.change(|state| {
            let gives_way = state.idle_since() == Some(since);
            if gives_way {
                state.ending = Ending::GivesWay;
            }
            gives_way
        })
    }

    /// From now on the connection only waits for its client to close it.
    pub(super) fn begin_linger(&self) {
        let idle_limit = self.shared.idle_limit;
        self.shared.change(|state| state.rest(idle_limit));
    }

    /// Returns when no request is being handled or answered.
    pub(super) async fn free(&self) {
        loop {
            let freed = self.shared.freed.notified();
            if self.shared.lock().requests == 0 {
                return;
            }
            freed.await;
        }
    }

    /// A request is being handled until the guard is dropped.
    pub(super) fn busy(&self) -> Busy {
        let number = self.shared.change(|state| {
            state.phase = Phase::Busy;
            state.requests += 1;
            state.begun += 1;
            state.begun
        });
        Busy { shared: Arc::clone(&self.shared), number, answered: false }
    }

    /// A request's body is coming until the guard is dropped.
    pub(super) fn open_body(&self) -> OpenBody {
        self.shared.lock().open_bodies += 1;
        OpenBody { shared: Arc::clone(&self.shared) }
    }

    /// Notes whether the client takes what is sent.
    pub(super) fn sent<T>(&self, write: &Poll<T>) {
        let mut state = self.shared.lock();
        let was_unsent = std::mem::replace(&mut state.unsent, write.is_pending());
        if was_unsent {
            state.tell_if_idle();
        }
        match (state.phase, write.is_pending()) {
            (Phase::Busy, true) => {
                state.phase = Phase::Stalled { deadline: Instant::now() + self.shared.idle_limit };
                self.shared.tell(&state);
            }
            (Phase::Stalled { .. }, false) => state.phase = Phase::Busy,
            // The end of an answer, handed over at once and taken bit by bit.
            (Phase::Silent { .. }, false) if !state.multiplexed && state.begun > 0 => {
                state.rest(self.shared.idle_limit);
            }
            (Phase::Silent { .. } | Phase::Head { .. } | Phase::Busy | Phase::Stalled { .. }, _) => {}
        }
    }

    /// Whether an answer broke off of which only the connection's end could tell.
    pub(super) fn answer_broke(&self) -> bool {
        self.shared.lock().ending == Ending::Reset
    }

    pub(super) fn bytes_came(&self) {
        let mut state = self.shared.lock();
        if !matches!(state.phase, Phase::Silent { .. }) {
            return;
        }
        if state.open_bodies > 0 {
            state.rest(self.shared.idle_limit);
        } else if !state.multiplexed {
            let now = Instant::now();
            (state.phase, state.since) = (Phase::Head { deadline: now + self.shared.head_limit }, now);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        self.tell(&state);
        result
    }

    /// Wakes whoever waits for [`Watchdog::overdue`], if it does not look in time by itself.
    fn tell(&self, state: &State) {
        let now_limited = !state.timer_runs && state.deadline().is_some();
        if now_limited || state.must_end() {
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
