//! The ways in which upstreams say what is left of a limit.

use std::time::Duration;

use super::tally::Quota;

/// How an upstream says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hints {
    /// Not at all.
    None,
    /// `Retry-After` in whole seconds, on refusals.
    RetryAfter,
    /// `retry-after-ms`, on refusals.
    RetryAfterMs,
    /// `x-ratelimit-remaining-requests` and `x-ratelimit-reset-requests`, on every response.
    XRatelimit,
    /// `anthropic-ratelimit-requests-remaining` and `anthropic-ratelimit-requests-reset`, on every response.
    Anthropic,
}

impl Hints {
    /// The lines of the fields.
    pub(super) fn fields(self, quota: Quota, is_taken: bool) -> String {
        let Quota { limit, left, resets_in } = quota;
        // Never too early, as honest upstreams round.
        let millis = resets_in.as_nanos().div_ceil(1_000_000);
        match self {
            Self::RetryAfter if !is_taken => format!("Retry-After: {}\r\n", millis.div_ceil(1000)),
            Self::RetryAfterMs if !is_taken => format!("retry-after-ms: {millis}\r\n"),
            Self::None | Self::RetryAfter | Self::RetryAfterMs => String::new(),
            Self::XRatelimit => format!(
                "x-ratelimit-limit-requests: {limit}\r\nx-ratelimit-remaining-requests: {left}\r\n\
                 x-ratelimit-reset-requests: {millis}ms\r\n"
            ),
            Self::Anthropic => {
                let now = jiff::Timestamp::now();
                let reset = now + Duration::from_millis(u64::try_from(millis).expect("a window is short"));
                let reset = jiff::Timestamp::from_second(reset.as_second() + 1).expect("a year of four digits");
                format!(
                    "anthropic-ratelimit-requests-limit: {limit}\r\nanthropic-ratelimit-requests-remaining: {left}\r\n\
                     anthropic-ratelimit-requests-reset: {reset}\r\n"
                )
            }
        }
    }
}
