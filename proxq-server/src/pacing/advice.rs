//! What a response says of its upstream's limits: for how long a client with these credentials had better send nothing.
//!
//! | fields | of | in |
//! |---|---|---|
//! | `Retry-After` | RFC 9110 §10.2.3 | seconds, or a date; on a refusal |
//! | `retry-after-ms` | OpenAI, Azure | milliseconds; on a refusal |
//! | `x-ratelimit-remaining-*: 0`, `x-ratelimit-reset-*` | OpenAI, Azure, and without a suffix many others | a Go duration, seconds, or a Unix time |
//! | `anthropic-ratelimit-*-remaining: 0`, `-reset` | Anthropic | RFC 3339 |
//! | `RateLimit: "name";r=0;t=20` | draft-ietf-httpapi-ratelimit-headers-11 | seconds |

use std::time::{Duration, UNIX_EPOCH};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, StatusCode};
use proxq_protocol::GoDuration;

use crate::clock::Timestamp;
use crate::job::is_refusal;

/// The longest that a credential is parked, whatever a response says: then it is worth another try.
pub(crate) const PARK_MAX: Duration = Duration::from_hours(24);

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const REMAINING: &str = "x-ratelimit-remaining";
const RESET: &str = "x-ratelimit-reset";
const ANTHROPIC: &str = "anthropic-ratelimit-";

/// A number of seconds from which on it is a time of day: nobody waits for thirty years.
const UNIX_TIMES_FROM: f64 = 1e9;
/// From which number on that time is in milliseconds.
const UNIX_MILLIS_FROM: f64 = 1e11;

/// What a response says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Advice {
    /// For how long nothing more should be sent; above zero, and no longer than [`PARK_MAX`].
    pub(crate) wait: Option<Duration>,
    /// A field that says nothing that could be understood.
    pub(crate) nonsense: Option<HeaderName>,
}

/// Reads a response's head. `wall` is the present time of day.
pub(crate) fn advice(status: StatusCode, headers: &HeaderMap, wall: Timestamp) -> Advice {
    let mut reader = Reader { headers, wall, advice: Advice::default() };
    // What the refusal itself says counts: a reset may be that of a limit which still has much left then.
    if is_refusal(status) && (reader.retry_after_ms() || reader.retry_after()) {
        return reader.advice;
    }
    reader.remaining();
    reader.anthropic();
    reader.rate_limit();
    reader.advice
}

struct Reader<'h> {
    headers: &'h HeaderMap,
    wall: Timestamp,
    advice: Advice,
}

impl Reader<'_> {
    fn text(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// Notes a wait; `None` is nonsense, and what lies in the past is no wait.
    fn wait(&mut self, name: &HeaderName, wait: Option<Duration>) {
        match wait {
            Some(Duration::ZERO) => {}
            Some(wait) => self.advice.wait = self.advice.wait.max(Some(wait.min(PARK_MAX))),
            None => self.advice.nonsense = Some(name.clone()),
        }
    }

    /// Gives whether the field is there and says something.
    fn retry_after_ms(&mut self) -> bool {
        let Some(text) = self.text(&RETRY_AFTER_MS) else { return false };
        let wait = text.parse().ok().and_then(|millis: f64| span(millis / 1000.0));
        self.wait(&RETRY_AFTER_MS, wait);
        wait.is_some_and(|wait| !wait.is_zero())
    }

    fn retry_after(&mut self) -> bool {
        let Some(text) = self.text(&RETRY_AFTER) else { return false };
        let wait = match text.parse::<f64>() {
            Ok(seconds) => span(seconds),
            Err(_) => httpdate::parse_http_date(text).ok().map(|date| {
                let since_epoch = date.duration_since(UNIX_EPOCH).unwrap_or_default();
                since_epoch.saturating_sub(self.wall.since_epoch())
            }),
        };
        self.wait(&RETRY_AFTER, wait);
        wait.is_some_and(|wait| !wait.is_zero())
    }

    /// `x-ratelimit-remaining-requests: 0` with `x-ratelimit-reset-requests: 6m0s`, and their like.
    fn remaining(&mut self) {
        for (name, value) in self.headers {
            let Some(suffix) = name.as_str().strip_prefix(REMAINING) else { continue };
            if !is_nothing(value.to_str().unwrap_or_default()) {
                continue;
            }
            let Ok(reset) = HeaderName::try_from(format!("{RESET}{suffix}")) else { continue };
            if let Some(text) = self.text(&reset) {
                let wait = self.reset(text);
                self.wait(&reset, wait);
            }
        }
    }

    fn reset(&self, text: &str) -> Option<Duration> {
        match text.parse::<f64>() {
            Ok(time) if time >= UNIX_MILLIS_FROM => Some(span(time / 1000.0)?.saturating_sub(self.wall.since_epoch())),
            Ok(time) if time >= UNIX_TIMES_FROM => Some(span(time)?.saturating_sub(self.wall.since_epoch())),
            Ok(seconds) => span(seconds),
            Err(_) => text.parse::<GoDuration>().ok().and_then(GoDuration::to_std),
        }
    }

    fn anthropic(&mut self) {
        for (name, value) in self.headers {
            let limit = name.as_str().strip_prefix(ANTHROPIC).and_then(|rest| rest.strip_suffix("-remaining"));
            let Some(limit) = limit.filter(|_| is_nothing(value.to_str().unwrap_or_default())) else { continue };
            let Ok(reset) = HeaderName::try_from(format!("{ANTHROPIC}{limit}-reset")) else { continue };
            if let Some(text) = self.text(&reset) {
                let instant = text.parse::<jiff::Timestamp>().ok();
                let instant = instant.map(|instant| Timestamp::from_millis(instant.as_millisecond()));
                self.wait(&reset, instant.map(|instant| instant.since(self.wall)));
            }
        }
    }

    /// A list of items with parameters (RFC 9651): `"minute";r=0;t=12, "day";r=4000;t=3600`.
    fn rate_limit(&mut self) {
        for value in self.headers.get_all(RATE_LIMIT) {
            for item in value.to_str().unwrap_or_default().split(',') {
                let parameter = |wanted: &str| {
                    let mut parameters =
                        item.split(';').skip(1).filter_map(|parameter| parameter.trim().split_once('='));
                    parameters.find(|(name, _)| *name == wanted).map(|(_, value)| value.trim())
                };
                if parameter("r").is_some_and(is_nothing)
                    && let Some(seconds) = parameter("t")
                {
                    let wait = seconds.parse().ok().and_then(span);
                    self.wait(&RATE_LIMIT, wait);
                }
            }
        }
    }
}

/// Whether a number of what remains is none. Azure writes -1 where it does not say.
fn is_nothing(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok_and(|number| number == 0.0)
}

/// So many seconds; `None` where they are negative, or no number.
fn span(seconds: f64) -> Option<Duration> {
    if seconds.is_sign_negative() && seconds != 0.0 || seconds.is_nan() {
        return None;
    }
    Some(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-28T12:00:00Z.
    const NOW: Timestamp = Timestamp::from_millis(1_795_867_200_000);

    fn read(status: u16, fields: &[(&'static str, &str)]) -> Advice {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        advice(StatusCode::from_u16(status).unwrap(), &headers, NOW)
    }

    fn waits(status: u16, fields: &[(&'static str, &str)]) -> Option<u128> {
        let advice = read(status, fields);
        assert_eq!(advice.nonsense, None, "{fields:?}");
        advice.wait.map(|wait| wait.as_millis())
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        for status in [429, 503, 529] {
            assert_eq!(waits(status, &[("retry-after", "7")]), Some(7_000));
            assert_eq!(waits(status, &[("retry-after-ms", "1500"), ("retry-after", "2")]), Some(1_500));
            assert_eq!(waits(status, &[("retry-after", "Sat, 28 Nov 2026 12:01:30 GMT")]), Some(90_000));
        }
        assert_eq!(waits(200, &[("retry-after", "7")]), None, "elsewhere it means something else");
        assert_eq!(waits(301, &[("retry-after-ms", "7")]), None);
        assert_eq!(waits(429, &[]), None);
    }

    #[test]
    fn any_response_may_say_that_nothing_is_left() {
        let openai = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s")];
        assert_eq!(waits(200, &openai), Some(360_000));
        let azure = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "12")];
        assert_eq!(waits(200, &azure), Some(12_000));
        let github = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795867260")];
        assert_eq!(waits(200, &github), Some(60_000));
        let in_millis = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795867260000")];
        assert_eq!(waits(200, &in_millis), Some(60_000));
        let anthropic = [
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "2026-11-28T12:00:05Z"),
        ];
        assert_eq!(waits(200, &anthropic), Some(5_000));
        assert_eq!(waits(200, &[("ratelimit", "\"minute\";r=0;t=12, \"day\";r=4000;t=3600")]), Some(12_000));
        for something_left in [
            [("x-ratelimit-remaining-requests", "1"), ("x-ratelimit-reset-requests", "6m0s")],
            [("x-ratelimit-remaining-requests", "-1"), ("x-ratelimit-reset-requests", "6m0s")],
            [("ratelimit", "\"minute\";r=1;t=12"), ("x-other", "0")],
        ] {
            assert_eq!(waits(200, &something_left), None);
        }
    }

    #[test]
    fn of_a_refusal_its_own_word_counts_and_else_the_longest() {
        let both = [("retry-after", "2"), ("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "1m")];
        assert_eq!(waits(429, &both), Some(2_000));
        let two = [
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "3s"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "12ms"),
        ];
        assert_eq!(waits(200, &two), Some(3_000));
    }

    #[test]
    fn nonsense_is_named_and_ignored_and_too_much_is_cut() {
        for value in ["yesterday", "-1", "", "12 parsecs"] {
            let advice = read(429, &[("retry-after", value)]);
            assert_eq!((advice.wait, advice.nonsense), (None, Some(RETRY_AFTER)), "{value:?}");
        }
        assert_eq!(waits(429, &[("retry-after", "1000000000000")]), Some(PARK_MAX.as_millis()));
        assert_eq!(waits(429, &[("retry-after", "1e400")]), Some(PARK_MAX.as_millis()));
        assert_eq!(waits(429, &[("retry-after", "Sat, 28 Nov 2020 12:01:30 GMT")]), None, "it is over");
        assert_eq!(waits(429, &[("retry-after", "0")]), None);
        let past = [
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2020-01-01T00:00:00Z"),
        ];
        assert_eq!(waits(200, &past), None);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_no_wait_is_too_long(
            status in 200_u16..600,
            name in prop::sample::select(vec!["retry-after", "retry-after-ms", "ratelimit", "x-ratelimit-reset-requests", "anthropic-ratelimit-requests-reset"]),
            value in "[ -~]{0,40}",
        ) {
            let zero = [("x-ratelimit-remaining-requests", "0"), ("anthropic-ratelimit-requests-remaining", "0"), (name, value.as_str())];
            let wait = read(status, &zero).wait;
            prop_assert!(wait.is_none_or(|wait| !wait.is_zero() && wait <= PARK_MAX));
        }
    }
}
