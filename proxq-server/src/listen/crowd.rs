//! All client connections, and which of them gives way when another one finds no place: the one that has been idle for
//! the longest. Connections with a request, a body or an answer under way never do.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::watchdog::Watchdog;
use crate::lock::lock;
use crate::metrics::IntCounter;
use crate::seldom::Seldom;

/// How long a connection is idle at least before it gives way: a client that has just connected sends its request at once.
/// Probes wait for little more than this when silent connections take all places.
const IDLE_MIN: Duration = Duration::from_millis(250);
/// How many candidates are found in one look at all connections, which may be many thousands.
const BATCH: usize = 256;

/// The client connections of a server.
#[derive(Debug)]
pub(super) struct Crowd {
    members: Mutex<Members>,
    became_idle: Arc<Notify>,
    left: Notify,
    warning: Seldom,
    displaced: IntCounter,
}

#[derive(Debug, Default)]
struct Members {
    by_number: HashMap<u64, Watchdog>,
    entered: u64,
    /// The connections that had been idle for the longest at the last look, by number, the longest first. All that became
    /// idle since then have been idle for a shorter time.
    candidates: VecDeque<(Instant, u64)>,
}

impl Crowd {
    /// Counts the connections that give way.
    pub(super) fn new(displaced: IntCounter) -> Self {
        Self {
            members: Mutex::default(),
            became_idle: Arc::default(),
            left: Notify::new(),
            warning: Seldom::default(),
            displaced,
        }
    }

    /// Counts a connection among those that may give way until the guard is dropped.
    pub(super) fn enter(self: &Arc<Self>, watchdog: &Watchdog) -> Member {
        watchdog.tell_when_idle(Arc::clone(&self.became_idle));
        let mut members = self.lock();
        members.entered += 1;
        let number = members.entered;
        members.by_number.insert(number, watchdog.clone());
        self.became_idle.notify_waiters();
        Member { crowd: Arc::clone(self), number }
    }

    /// Ends the connection that has been idle for the longest, as soon as there is one that has been idle for long enough,
    /// and waits until it has left.
    pub(super) async fn one_gives_way(&self) {
        loop {
            let (became_idle, left) = (self.became_idle.notified(), self.left.notified());
            match self.longest_idle() {
                Some((since, watchdog)) => {
                    // A connection that becomes idle meanwhile has its turn later.
                    tokio::time::sleep_until(since + IDLE_MIN).await;
                    if watchdog.give_way(since) {
                        self.displaced.inc();
                        if self.warning.is_due() {
                            tracing::warn!("all client connections are taken: idle ones are closed for new ones");
                        }
                        return left.await;
                    }
                }
                None => became_idle.await,
            }
        }
    }

    /// The connection that has been idle for the longest, and since when. It may be in use again a moment later.
    fn longest_idle(&self) -> Option<(Instant, Watchdog)> {
        let mut members = self.lock();
        let Members { by_number, candidates, .. } = &mut *members;
        // Candidates that have left, or were used since the last look, count no more.
        while let Some((since, number)) = candidates.front() {
            match by_number.get(number) {
                Some(watchdog) if watchdog.idle_since() == Some(*since) => return Some((*since, watchdog.clone())),
                _ => candidates.pop_front(),
            };
        }
        let idle = by_number.iter().filter_map(|(number, watchdog)| Some((watchdog.idle_since()?, *number)));
        let mut idle: Vec<(Instant, u64)> = idle.collect();
        idle.sort_unstable();
        candidates.extend(idle.into_iter().take(BATCH));
        let (since, number) = candidates.front()?;
        Some((*since, by_number[number].clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        lock(&self.members)
    }
}

/// A connection's membership.
#[derive(Debug)]
pub(super) struct Member {
    crowd: Arc<Crowd>,
    number: u64,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.crowd.lock().by_number.remove(&self.number);
        self.crowd.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    const LIMIT: Duration = Duration::from_mins(1);

    fn enter(crowd: &Arc<Crowd>) -> (Watchdog, Member) {
        let watchdog = Watchdog::new(LIMIT, LIMIT);
        let member = crowd.enter(&watchdog);
        (watchdog, member)
    }

    /// Has one give way, which must be this one; says after which time.
    async fn gives_way(crowd: &Crowd, connection: (Watchdog, Member)) -> Duration {
        let began = Instant::now();
        let leave = async {
            connection.0.overdue().await;
            drop(connection);
        };
        tokio::join!(crowd.one_gives_way(), leave);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_gives_way() {
        let crowd = Arc::new(Crowd::new(Metrics::default().clients.displaced));
        let mut connections = VecDeque::new();
        for _ in 0..BATCH * 3 {
            connections.push_back(enter(&crowd));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        tokio::time::advance(IDLE_MIN).await;
        for _ in 0..BATCH + 10 {
            let used_again = connections.pop_front().unwrap();
            drop(used_again.0.busy());
            connections.push_back(used_again);
            let longest = connections.pop_front().unwrap();
            assert_eq!(gives_way(&crowd, longest).await, Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_in_use_gives_way_once_it_is_idle() {
        let crowd = Arc::new(Crowd::new(Metrics::default().clients.displaced));
        let (sending, uploading, answering) = (enter(&crowd), enter(&crowd), enter(&crowd));
        let (request, body) = (answering.0.busy(), uploading.0.open_body());
        sending.0.sent::<()>(&std::task::Poll::Pending);
        let second = Duration::from_secs(1);
        assert!(tokio::time::timeout(second, crowd.one_gives_way()).await.is_err(), "one gave way");
        let later = async {
            tokio::time::sleep(second).await;
            drop(request);
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(body);
            sending.0.sent(&std::task::Poll::Ready(()));
        };
        // The others have been silent for longer, when that is all that they are.
        let (after, ()) = tokio::join!(gives_way(&crowd, answering), later);
        assert_eq!(after, second + IDLE_MIN);
        assert_eq!(gives_way(&crowd, sending).await, Duration::ZERO);
        assert!(gives_way(&crowd, uploading).await < IDLE_MIN);
        assert_eq!(crowd.displaced.get(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_left_is_not_asked_to_give_way() {
        let crowd = Arc::new(Crowd::new(Metrics::default().clients.displaced));
        let (first, second, third) = (enter(&crowd), enter(&crowd), enter(&crowd));
        tokio::time::advance(IDLE_MIN).await;
        assert_eq!(gives_way(&crowd, first).await, Duration::ZERO);
        drop(second.1); // its watchdog lives on, idle as it was at the last look
        assert_eq!(gives_way(&crowd, third).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fresh_connection_has_a_moment_to_send_its_request() {
        let crowd = Arc::new(Crowd::new(Metrics::default().clients.displaced));
        let fresh = enter(&crowd);
        assert_eq!(gives_way(&crowd, fresh).await, IDLE_MIN);
        let second = Duration::from_secs(1);
        let enter_later = async {
            tokio::time::sleep(second).await;
            let (watchdog, member) = enter(&crowd);
            watchdog.overdue().await;
            drop(member);
        };
        let began = Instant::now();
        tokio::join!(crowd.one_gives_way(), enter_later);
        assert_eq!(began.elapsed(), second + IDLE_MIN, "while one is waited for");
    }
}
