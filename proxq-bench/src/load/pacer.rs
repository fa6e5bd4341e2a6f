//! A thread that says when requests are due. It sleeps with the kernel's precision of some 50 µs; tokio's timers round up to
//! whole milliseconds, which is more than most latencies.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::Problem;

/// When one lane's requests are due: every `gap`, from `first` on.
#[derive(Debug)]
pub(super) struct Lane {
    due: Arc<Semaphore>,
    next: Instant,
    gap: Duration,
    end: Instant,
}

/// Requests every `gap` from `began` on, shared out among so many lanes in turn, until the span is over.
pub(super) fn start(began: Instant, gap: Duration, lanes: u32, span: Duration) -> Vec<Lane> {
    let lane = |number| Lane {
        due: Arc::new(Semaphore::new(0)),
        next: began + gap * number,
        gap: gap * lanes,
        end: began + span,
    };
    let lanes: Vec<_> = (0..lanes).map(lane).collect();
    let signals: Vec<_> = lanes.iter().map(|lane| Arc::clone(&lane.due)).collect();
    spawn_blocking(move || {
        let mut next = began;
        for signal in signals.iter().cycle() {
            if next.duration_since(began) >= span {
                break;
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
            signal.add_permits(1);
            next += gap;
        }
    });
    lanes
}

impl Lane {
    /// Waits until the next request is due, and says since when it is; `None` at the end of the span.
    pub(super) async fn next(&mut self) -> Result<Option<Instant>, Problem> {
        if self.next >= self.end {
            return Ok(None);
        }
        self.due.acquire().await?.forget();
        let due = self.next;
        self.next += self.gap;
        Ok(Some(due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_request_comes_early_and_none_is_left_out() {
        let (began, gap) = (Instant::now(), Duration::from_millis(1));
        let mut due = Vec::new();
        for mut lane in start(began, gap, 4, gap * 10) {
            while let Some(instant) = lane.next().await.unwrap() {
                assert!(Instant::now() >= instant);
                due.push(instant);
            }
        }
        due.sort();
        assert_eq!(due, (0..10).map(|number| began + gap * number).collect::<Vec<_>>());
    }
}
