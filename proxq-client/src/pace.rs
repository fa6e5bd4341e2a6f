//! How fast a job is asked for: sooner at first, then at a steady pace; slower while nobody answers.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The first look at a job comes so soon: what takes longer than a submission is rarely done before.
const FIRST_LOOK: Duration = Duration::from_millis(25);
const LOOKS_GROW_BY: f32 = 1.5;

/// After the first failure, so that a hiccup is hardly noticed.
const FIRST_REST: Duration = Duration::from_millis(100);
/// The longest pause while nobody answers, so that a call notices soon that its server is back.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// The pauses between submissions of the same job: enough for a connection to be made anew, or for a restart.
const RESENDS: usize = 3;
const FIRST_RESEND: Duration = Duration::from_millis(200);
const RESENDS_GROW_BY: f32 = 3.0;

/// A sequence of pauses.
#[derive(Debug)]
pub(crate) struct Pace(ExponentialBackoff);

impl Pace {
    /// Between looks: from 25 ms up to `interval`.
    pub(crate) fn of_looks(interval: Duration) -> Self {
        let pauses = ExponentialBuilder::default().with_min_delay(FIRST_LOOK.min(interval)).with_max_delay(interval);
        Self(pauses.with_factor(LOOKS_GROW_BY).without_max_times().build())
    }

    /// While nobody answers. No two clients keep step.
    pub(crate) fn of_outage() -> Self {
        let pauses = ExponentialBuilder::default().with_min_delay(FIRST_REST).with_max_delay(LONGEST_REST);
        Self(pauses.with_jitter().without_max_times().build())
    }

    /// Before a submission is sent again: three times.
    pub(crate) fn of_resends() -> Self {
        let pauses = ExponentialBuilder::default().with_min_delay(FIRST_RESEND).with_factor(RESENDS_GROW_BY);
        Self(pauses.with_jitter().with_max_times(RESENDS).build())
    }

    /// The next pause; `None` when there is to be no other try.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        self.0.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polling_slows_down_to_the_interval() {
        let interval = Duration::from_millis(500);
        let mut pace = Pace::of_looks(interval);
        let pauses: Vec<_> = (0..20).filter_map(|_| pace.next()).collect();
        assert_eq!((pauses.len(), pauses[0], pauses[19]), (20, FIRST_LOOK, interval));
        assert!(pauses.is_sorted());
        assert_eq!(Pace::of_looks(Duration::from_millis(10)).next(), Some(Duration::from_millis(10)));
    }

    #[test]
    fn a_submission_is_sent_again_three_times() {
        let mut pace = Pace::of_resends();
        assert_eq!(std::iter::from_fn(|| pace.next()).count(), 3);
    }

    #[test]
    fn pauses_of_an_outage_stay_below_their_limit() {
        let mut pace = Pace::of_outage();
        assert!((0..50).all(|_| pace.next().is_some_and(|pause| pause <= 2 * LONGEST_REST)));
    }
}
