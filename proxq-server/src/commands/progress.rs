//! A line on a terminal's standard error that says how far something is. Elsewhere nothing is shown.

use std::io::{self, Write};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::terminal::{cut, size};

/// How often the elapsed time is shown anew.
const TICK: Duration = Duration::from_secs(1);

/// The line.
#[derive(Debug)]
pub(super) struct Progress {
    began: Instant,
    ticks: Interval,
    is_shown: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { began: Instant::now(), ticks, is_shown: false }
    }

    /// Whether anybody sees it.
    pub(super) fn is_seen() -> bool {
        size(&io::stderr()).is_some()
    }

    /// Shows a text that a terminal may show, and the elapsed time.
    pub(super) fn show(&mut self, text: &str) {
        let Some(size) = size(&io::stderr()) else { return };
        let line = format!("{text}, {} s", self.began.elapsed().as_secs());
        // One column less: some terminals begin a new line once the last one is full.
        let _closed = write!(io::stderr(), "\r\x1b[K{}", cut(&line, size.columns.saturating_sub(1)));
        self.is_shown = true;
    }

    /// Shows a text and the elapsed time until something has ended.
    pub(super) async fn during<T>(&mut self, text: &str, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                ended = &mut work => return ended,
                _ = self.ticks.tick() => self.show(text),
            }
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _closed = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
