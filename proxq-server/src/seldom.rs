//! A limit for messages of the log whose cause may occur again and again.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lock;

/// How often such a message is repeated: often enough to be seen by who looks now, too rarely to fill a log.
const REPEAT_EVERY: Duration = Duration::from_mins(1);

/// One message, and when it was written last.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    last: Mutex<Option<Instant>>,
}

impl Seldom {
    pub(crate) const fn new() -> Self {
        Self { last: Mutex::new(None) }
    }

    /// Whether to write the message now; if so, not again for a while.
    pub(crate) fn is_due(&self) -> bool {
        let mut last = lock(&self.last);
        let due = last.is_none_or(|last| last.elapsed() >= REPEAT_EVERY);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_is_said_once_a_minute() {
        let seldom = Seldom::new();
        assert!(seldom.is_due() && !seldom.is_due());
        tokio::time::advance(REPEAT_EVERY).await;
        assert!(seldom.is_due() && !seldom.is_due());
    }
}
