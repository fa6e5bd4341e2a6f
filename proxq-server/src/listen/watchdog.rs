//! Tells when a connection has been silent for too long, and in which phase: before its first byte, within a request's
//! head, between requests, or while its client takes nothing of an answer. The HTTP library has one limit for the first
//! three and none for the last.
//!
//! Also tells when a client has broken off so many requests that it cannot mean any of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How many requests a connection may break off before they are answered, beyond those that it lets be answered. Each
/// costs an upstream an exchange, and HTTP/2 resets cost their sender nothing (CVE-2023-44487).
const BROKEN_OFF_MAX: u64 = 200;

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
    /// Whether one connection carries many requests at a time (HTTP/2).
    multiplexed: bool,
    /// Requests being handled or answered.
    requests: u64,
    /// Requests begun so far; numbers them.
    begun: u64,
    /// Bodies that are still coming, those of requests included that were answered.
    open_bodies: u64,
    /// Whether an answer broke off whose end is the connection's: it must not end in good order.
    answer_broke: bool,
    /// Requests broken off, less those that were answered.
    broken_off: u64,
    /// Answers of a multiplexed connection of which the client has taken nothing since it was given something, by their
    /// requests' numbers.
    stalled: BTreeSet<u64>,
    /// Until when the client may leave them, if it takes of no other.
    stalled_deadline: Instant,
    /// Whether whoever waits for [`Watchdog::overdue`] looks again by itself.
    timer_runs: bool,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// No byte of a request's head has come: until when one may.
    Silent { deadline: Instant },
    /// A head is coming: until when it may.
    Head { deadline: Instant },
    /// Requests are being handled or answered; that has limits of its own.
    Busy,
    /// An answer is being sent and the client does not take it: until when it may leave it.
    Stalled { deadline: Instant },
}

impl State {
    fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Silent { deadline } | Phase::Head { deadline } | Phase::Stalled { deadline } => Some(deadline),
            Phase::Busy => None,
        };
        // One answer that is left does not cost the others their connection, which may carry many people's requests.
        let all_stalled = self.requests > 0 && self.stalled.len() as u64 == self.requests;
        all_stalled.then_some(self.stalled_deadline).into_iter().chain(phase).min()
    }
}

impl Watchdog {
    /// Starts to watch a connection that has just been opened.
    pub(super) fn new(head_limit: Duration, idle_limit: Duration) -> Self {
        let state = State {
            phase: Phase::Silent { deadline: Instant::now() + head_limit },
            multiplexed: false,
            requests: 0,
            begun: 0,
            open_bodies: 0,
            answer_broke: false,
            broken_off: 0,
            stalled: BTreeSet::new(),
            stalled_deadline: Instant::now() + idle_limit,
            timer_runs: false,
        };
        let (state, changed, freed) = (Mutex::new(state), Notify::new(), Notify::new());
        Self { shared: Arc::new(Shared { state, changed, freed, head_limit, idle_limit }) }
    }

    /// From now on the connection carries many requests at a time, and bytes between them mean nothing.
    pub(super) fn multiplexed(&self) {
        let deadline = Instant::now() + self.shared.idle_limit;
        self.shared.change(|state| {
            state.multiplexed = true;
            state.phase = Phase::Silent { deadline };
        });
    }

    /// Returns when the connection has been silent for too long, or broke too much off.
    pub(super) async fn overdue(&self) {
        // Whatever begins after a look has at least this long, so looking again then is soon enough for all of it.
        let shortest = self.shared.head_limit.min(self.shared.idle_limit);
        loop {
            let changed = self.shared.changed.notified();
            let now = Instant::now();
            let next_look = {
                let mut state = self.shared.lock();
                if state.broken_off > BROKEN_OFF_MAX || state.deadline().is_some_and(|deadline| deadline <= now) {
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
        match (state.phase, write.is_pending()) {
            (Phase::Busy, true) => {
                state.phase = Phase::Stalled { deadline: Instant::now() + self.shared.idle_limit };
                self.shared.tell(&state);
            }
            (Phase::Stalled { .. }, false) => state.phase = Phase::Busy,
            // The end of an answer, handed over at once and taken bit by bit.
            (Phase::Silent { .. }, false) if !state.multiplexed && state.begun > 0 => {
                state.phase = Phase::Silent { deadline: Instant::now() + self.shared.idle_limit };
            }
            (Phase::Silent { .. } | Phase::Head { .. } | Phase::Busy | Phase::Stalled { .. }, _) => {}
        }
    }

    /// Whether an answer broke off of which only the connection's end could tell.
    pub(super) fn answer_broke(&self) -> bool {
        self.shared.lock().answer_broke
    }

    pub(super) fn bytes_came(&self) {
        let mut state = self.shared.lock();
        if !matches!(state.phase, Phase::Silent { .. }) {
            return;
        }
        if state.open_bodies > 0 {
            state.phase = Phase::Silent { deadline: Instant::now() + self.shared.idle_limit };
        } else if !state.multiplexed {
            state.phase = Phase::Head { deadline: Instant::now() + self.shared.head_limit };
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        if now_limited || state.broken_off > BROKEN_OFF_MAX {
            self.changed.notify_one();
        }
    }
}

/// A request is being handled or its answer is being sent.
#[derive(Debug)]
pub(super) struct Busy {
    shared: Arc<Shared>,
    number: u64,
    answered: bool,
}

impl Busy {
    /// The request has an answer, which may still have to be sent.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }

    /// Something of the answer was given away to be sent; until more is asked for, the client takes nothing.
    pub(super) fn gave(&self) {
        let mut state = self.shared.lock();
        // With one answer at a time the socket tells, by not taking what is sent.
        if state.multiplexed {
            state.stalled_deadline = Instant::now() + self.shared.idle_limit;
            state.stalled.insert(self.number);
            self.shared.tell(&state);
        }
    }

    /// The answer broke off, and only the connection's end can tell.
    pub(super) fn broke(&self) {
        self.shared.lock().answer_broke = true;
    }

    /// More of the answer is asked for.
    pub(super) fn asked(&self) {
        let mut state = self.shared.lock();
        if state.multiplexed {
            state.stalled.remove(&self.number);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let deadline = Instant::now() + self.shared.idle_limit;
        self.shared.change(|state| {
            state.requests -= 1;
            // What was the last of it may still have to be sent.
            state.stalled_deadline = deadline;
            state.stalled.remove(&self.number);
            state.broken_off =
                if self.answered { state.broken_off.saturating_sub(1) } else { state.broken_off.saturating_add(1) };
            if state.requests == 0 {
                state.phase = Phase::Silent { deadline };
                self.shared.freed.notify_waiters();
            }
        });
    }
}

/// A request's body is coming: what arrives is no new head, whether or not the request was answered.
#[derive(Debug)]
pub(super) struct OpenBody {
    shared: Arc<Shared>,
}

impl Drop for OpenBody {
    fn drop(&mut self) {
        self.shared.lock().open_bodies -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_mins(2);

    async fn overdue_after(watchdog: &Watchdog) -> Duration {
        let began = Instant::now();
        watchdog.overdue().await;
        began.elapsed()
    }

    async fn free_after(watchdog: &Watchdog) -> Duration {
        let began = Instant::now();
        watchdog.free().await;
        began.elapsed()
    }

    async fn never_overdue(watchdog: &Watchdog) {
        let long = Duration::from_hours(1);
        assert!(tokio::time::timeout(long, watchdog.overdue()).await.is_err(), "it is overdue");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_as_long_as_a_head() {
        assert_eq!(overdue_after(&Watchdog::new(HEAD, IDLE)).await, HEAD);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_timed_from_its_first_byte_whatever_trickles_in() {
        let watchdog = Watchdog::new(HEAD, IDLE);
        let trickle = async {
            for _ in 0..30 {
                watchdog.bytes_came();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            after = overdue_after(&watchdog) => assert_eq!(after, HEAD),
            () = trickle => panic!("a trickling head was never overdue"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_on_a_kept_connection_is_timed_although_the_wait_began_before() {
        let watchdog = Watchdog::new(HEAD, IDLE);
        drop(watchdog.busy());
        let begin_late = async {
            tokio::time::sleep(Duration::from_secs(47)).await;
            watchdog.bytes_came();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            after = overdue_after(&watchdog) => assert_eq!(after, Duration::from_secs(57)),
            () = begin_late => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_of_its_answer_has_the_idle_limit() {
        let watchdog = Watchdog::new(HEAD, IDLE);
        let _busy = watchdog.busy();
        watchdog.sent::<()>(&Poll::Pending);
        let almost = IDLE.checked_sub(Duration::from_secs(1)).unwrap();
        assert!(tokio::time::timeout(almost, watchdog.overdue()).await.is_err());
        watchdog.sent(&Poll::Ready(()));
        watchdog.sent::<()>(&Poll::Pending);
        watchdog.sent::<()>(&Poll::Pending);
        assert_eq!(overdue_after(&watchdog).await, IDLE, "since it last took something");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_takes_its_time_and_a_kept_connection_has_the_idle_limit() {
        let watchdog = Watchdog::new(HEAD, IDLE);
        let busy = watchdog.busy();
        never_overdue(&watchdog).await;
        let end_later = async {
            tokio::time::sleep(HEAD).await;
            drop(busy);
        };
        let (after, freed, ()) = tokio::join!(overdue_after(&watchdog), free_after(&watchdog), end_later);
        assert_eq!((after, freed), (HEAD + IDLE, HEAD));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_goes_on_after_its_answer_is_no_head() {
        let watchdog = Watchdog::new(HEAD, IDLE);
        let (busy, body) = (watchdog.busy(), watchdog.open_body());
        drop(busy);
        for _ in 0..10 {
            assert!(tokio::time::timeout(HEAD * 2, watchdog.overdue()).await.is_err());
            watchdog.bytes_came();
        }
        drop(body);
        watchdog.bytes_came();
        assert_eq!(overdue_after(&watchdog).await, HEAD);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_between_the_requests_of_a_multiplexed_connection_prolong_nothing_and_begin_no_head() {
        let watchdog = Watchdog::new(HEAD, IDLE);
        watchdog.multiplexed();
        let (first, second) = (watchdog.busy(), watchdog.busy());
        drop(first);
        never_overdue(&watchdog).await;
        drop(second);
        watchdog.bytes_came();
        assert_eq!(overdue_after(&watchdog).await, IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_multiplexed_connection_of_which_no_answer_is_taken_is_ended() {
        let watchdog = Watchdog::new(HEAD, IDLE);
        watchdog.multiplexed();
        let (left, other) = (watchdog.busy(), watchdog.busy());
        left.gave();
        never_overdue(&watchdog).await;
        other.gave();
        other.asked();
        never_overdue(&watchdog).await;
        other.gave();
        let almost = IDLE.checked_sub(Duration::from_secs(1)).unwrap();
        assert!(tokio::time::timeout(almost, watchdog.overdue()).await.is_err());
        drop(other);
        assert_eq!(overdue_after(&watchdog).await, IDLE, "since the last one that was taken");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_an_answer_may_be_taken_bit_by_bit() {
        let watchdog = Watchdog::new(HEAD, IDLE);
        drop(watchdog.busy());
        for _ in 0..10 {
            let almost = IDLE.checked_sub(Duration::from_secs(1)).unwrap();
            assert!(tokio::time::timeout(almost, watchdog.overdue()).await.is_err());
            watchdog.sent(&Poll::Ready(()));
        }
        assert_eq!(overdue_after(&watchdog).await, IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_breaks_off_request_after_request_is_ended() {
        let watchdog = Watchdog::new(HEAD, IDLE);
        watchdog.multiplexed();
        let _open = watchdog.busy();
        for _ in 0..BROKEN_OFF_MAX * 3 {
            drop(watchdog.busy());
            let mut answered = watchdog.busy();
            answered.answered();
        }
        never_overdue(&watchdog).await;
        let break_off = async {
            for _ in 0..=BROKEN_OFF_MAX {
                drop(watchdog.busy());
            }
        };
        let (after, ()) = tokio::join!(overdue_after(&watchdog), break_off);
        assert_eq!(after, Duration::ZERO);
    }
}
