//! `X-Proxq-Start-Within` and `X-Proxq-Deadline`: how much time a job has. They must fit each other and `X-Proxq-Delay`.

use std::time::Duration;

use http::HeaderMap;
use http::header::HeaderName;
use proxq_protocol::{GoDuration, header as proxq};

use super::{only_value, read_span};
use crate::job::TimeBounds;
use crate::reply::Problem;
use crate::spelling::canonical;

/// Reads both. The job will be delayed by `delay`; neither may be longer than `max_delay`.
pub(super) fn read(headers: &HeaderMap, delay: Option<Duration>, max_delay: Duration) -> Result<TimeBounds, Problem> {
    let start_within = Bound::read(headers, proxq::START_WITHIN, max_delay)?;
    let deadline = Bound::read(headers, proxq::DEADLINE, max_delay)?;
    if let (Some(start_within), Some(deadline)) = (&start_within, &deadline)
        && start_within.span > deadline.span
    {
        let deadline = GoDuration::from(deadline.span);
        let expected = format!("it is longer than X-Proxq-Deadline ({deadline}), after which no attempt begins");
        return Err(start_within.refused(&expected));
    }
    for bound in [&start_within, &deadline].into_iter().flatten() {
        if let Some(delay) = delay.filter(|delay| *delay > bound.span) {
            let delay = GoDuration::from(delay);
            let expected = format!("it is shorter than X-Proxq-Delay ({delay}), before which no attempt begins");
            return Err(bound.refused(&expected));
        }
    }
    let span = |bound: Option<Bound<'_>>| bound.map(|bound| bound.span);
    Ok(TimeBounds { start_within: span(start_within), deadline: span(deadline) })
}

/// A header that is there, and its value.
struct Bound<'h> {
    name: HeaderName,
    value: &'h str,
    span: Duration,
}

impl<'h> Bound<'h> {
    fn read(headers: &'h HeaderMap, name: &'static str, max_delay: Duration) -> Result<Option<Self>, Problem> {
        let name = HeaderName::from_static(name);
        if !headers.contains_key(&name) {
            return Ok(None);
        }
        let value = only_value(headers, &name)?;
        let span = read_span(&canonical(&name), value, "10m", (max_delay, "maxDelay"))?;
        let bound = Self { name, value, span: span.unwrap_or_default() };
        if bound.span.is_zero() {
            return Err(bound.refused("it must be more than zero, such as 10m; for all the time there is leave it out"));
        }
        Ok(Some(bound))
    }

    fn refused(&self, expected: &str) -> Problem {
        Problem::bad_header(&canonical(&self.name), self.value, expected)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const START_WITHIN: &str = proxq::START_WITHIN;
    const DEADLINE: &str = proxq::DEADLINE;
    const HOUR: Duration = Duration::from_hours(1);

    fn read(fields: &[(&'static str, &'static str)], delay: Option<Duration>) -> Result<TimeBounds, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        super::read(&headers, delay, HOUR).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn bounds_that_fit_each_other_are_taken() {
        let minute = Duration::from_mins(1);
        assert_eq!(read(&[], Some(HOUR)), Ok(TimeBounds::NONE));
        let both = TimeBounds { start_within: Some(minute), deadline: Some(minute) };
        assert_eq!(read(&[(START_WITHIN, "1m"), (DEADLINE, "60s")], Some(minute)), Ok(both), "equal is not over");
        let deadline = TimeBounds { start_within: None, deadline: Some(HOUR) };
        assert_eq!(read(&[(DEADLINE, "1h")], None), Ok(deadline));
    }

    #[test]
    fn a_bad_bound_is_refused_with_its_name_its_value_and_what_would_be_right() {
        for (value, expected) in [
            ("0", "more than zero"),
            ("0s", "more than zero"),
            ("-1s", "negative"),
            ("30", "has no unit"),
            ("soon", "is not valid"),
            ("", "duration is missing"),
            ("1h1ns", "maxDelay"),
        ] {
            for (name, shown) in [(START_WITHIN, "X-Proxq-Start-Within"), (DEADLINE, "X-Proxq-Deadline")] {
                let problem = read(&[(name, value)], None).unwrap_err();
                assert!(problem.contains("BadHeader") && problem.contains(expected), "{value}: {problem}");
                assert!(problem.contains(&format!("{shown}: \\\"{value}\\\"")), "{value}: {problem}");
                let twice = read(&[(name, "1m"), (name, "1m")], None).unwrap_err();
                assert!(twice.contains("more than once"), "{twice}");
            }
        }
    }

    #[test]
    fn bounds_that_contradict_each_other_are_refused_and_both_are_named() {
        let minute = Some(Duration::from_mins(1));
        for (fields, delay, expected) in [
            (
                &[(START_WITHIN, "61s"), (DEADLINE, "1m")][..],
                None,
                "Start-Within: \\\"61s\\\" is not valid: it is longer than X-Proxq-Deadline (1m0s)",
            ),
            (
                &[(START_WITHIN, "59s")],
                minute,
                "Start-Within: \\\"59s\\\" is not valid: it is shorter than X-Proxq-Delay (1m0s)",
            ),
            (
                &[(DEADLINE, "59s")],
                minute,
                "Deadline: \\\"59s\\\" is not valid: it is shorter than X-Proxq-Delay (1m0s)",
            ),
            (&[(START_WITHIN, "59s"), (DEADLINE, "1h")], minute, "Start-Within: \\\"59s\\\" is not valid"),
        ] {
            let problem = read(fields, delay).unwrap_err();
            assert!(problem.contains(expected) && problem.contains("BadHeader"), "{problem}");
        }
    }
}
