//! The header fields that carry a trace on: `traceparent` and `tracestate` (W3C Trace Context).

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// proxq's own member of `tracestate`, and its value for a job that was delayed.
const MEMBER: &str = "proxq";
const DELAYED: &str = "delayed";

/// A longer `tracestate` is sent on as it is, and not copied into spans: it is what every party has to keep at least
/// (W3C Trace Context §3.3.1.5).
const STATE_BYTES_MAX: usize = 512;

/// The span that these fields name; `None` where there is none, or more than one, or none that is valid.
pub(super) fn read(headers: &HeaderMap) -> Option<SpanContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (trace, span, flags) = parse(value.to_str().ok()?.trim())?;
    Some(SpanContext::new(trace, span, flags, true, state(headers)))
}

/// The parts of a `traceparent` (§3.2.2).
fn parse(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let bytes = text.as_bytes();
    let is_field = |from: usize, to: usize| {
        let digits = bytes.get(from..to)?;
        digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')).then(|| &text[from..to])
    };
    let (version, trace, span, flags) = (is_field(0, 2)?, is_field(3, 35)?, is_field(36, 52)?, is_field(53, 55)?);
    if [2, 35, 52].iter().any(|at| bytes[*at] != b'-') {
        return None;
    }
    match (version, bytes.get(55)) {
        ("ff", _) | ("00", Some(_)) => return None,
        (_later, Some(next)) if *next != b'-' => return None,
        (_, None | Some(_)) => {}
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let is_valid = trace != TraceId::INVALID && span != SpanId::INVALID;
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    is_valid.then_some((trace, span, flags))
}

fn state(headers: &HeaderMap) -> TraceState {
    let values: Option<Vec<_>> = headers.get_all(TRACESTATE).iter().map(|value| value.to_str().ok()).collect();
    let joined = values.unwrap_or_default().join(",");
    if joined.len() > STATE_BYTES_MAX { TraceState::NONE } else { joined.parse().unwrap_or_default() }
}

/// Has a request name this span; `is_same_trace` tells whether its `tracestate` belongs to the trace.
pub(super) fn send_on(span: &SpanContext, is_same_trace: bool, headers: &mut HeaderMap) {
    let text = format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8());
    headers.insert(TRACEPARENT, HeaderValue::try_from(text).expect("digits and hyphens"));
    if !is_same_trace {
        headers.remove(TRACESTATE);
    } else if state(headers).get(MEMBER).is_some() {
        set_state(&without_member(&state(headers)), headers);
    }
}

/// Has a job name the span of its submission, and whether it is delayed.
pub(super) fn remember(span: &SpanContext, is_same_trace: bool, is_delayed: bool, headers: &mut HeaderMap) {
    send_on(span, is_same_trace, headers);
    if is_delayed {
        let marked = state(headers).insert(MEMBER, DELAYED);
        set_state(&marked.expect("both are valid"), headers);
    }
}

/// Whether the job of this submission is delayed.
pub(super) fn is_delayed(submission: &SpanContext) -> bool {
    submission.trace_state().get(MEMBER) == Some(DELAYED)
}

/// The same span without proxq's own member.
pub(super) fn without_mark(submission: SpanContext) -> SpanContext {
    if submission.trace_state().get(MEMBER).is_none() {
        return submission;
    }
    let state = without_member(submission.trace_state());
    let (trace, span) = (submission.trace_id(), submission.span_id());
    SpanContext::new(trace, span, submission.trace_flags(), true, state)
}

fn without_member(state: &TraceState) -> TraceState {
    let others = state.delete(MEMBER).expect("the name is valid");
    if others.header().is_empty() { TraceState::NONE } else { others }
}

fn set_state(state: &TraceState, headers: &mut HeaderMap) {
    match HeaderValue::try_from(state.header()) {
        Ok(value) if !value.is_empty() => drop(headers.insert(TRACESTATE, value)),
        _ => drop(headers.remove(TRACESTATE)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn fields(parents: &[&str], states: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(TRACEPARENT, HeaderValue::from_str(parent).unwrap());
        }
        for state in states {
            headers.append(TRACESTATE, HeaderValue::from_str(state).unwrap());
        }
        headers
    }

    fn valid() -> String {
        format!("00-{TRACE}-{SPAN}-01")
    }

    #[test]
    fn a_valid_field_names_a_span() {
        let read = |text: &str| read(&fields(&[text], &["a=1", "b=2"])).unwrap();
        let span = read(&valid());
        assert_eq!((span.trace_id().to_string(), span.span_id().to_string()), (TRACE.to_owned(), SPAN.to_owned()));
        assert!(span.is_sampled() && span.is_remote());
        assert_eq!(span.trace_state().header(), "a=1,b=2");
        assert!(!read(&format!("00-{TRACE}-{SPAN}-00")).is_sampled());
        assert!(read(&format!("01-{TRACE}-{SPAN}-03")).is_sampled(), "of a later version what is known");
        assert!(read(&format!("cc-{TRACE}-{SPAN}-01-what-comes-later")).is_sampled());
    }

    #[test]
    fn any_other_names_none() {
        let zeros = "0".repeat(32);
        for text in [
            String::new(),
            "x".to_owned(),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-x"),
            format!("01-{TRACE}-{SPAN}-01x"),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-0"),
            format!("00-{TRACE}-{SPAN}-+1"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00_{TRACE}-{SPAN}-01"),
        ] {
            assert!(read(&fields(&[&text], &[])).is_none(), "{text}");
        }
        assert!(read(&fields(&[], &["a=1"])).is_none());
        assert!(read(&fields(&[&valid(), &valid()], &[])).is_none(), "nobody knows which");
    }

    #[test]
    fn the_state_stays_as_it_is_within_a_trace_and_is_left_out_of_another() {
        let span = read(&fields(&[&valid()], &[])).unwrap();
        let mut headers = fields(&["x"], &["a=1", "not valid"]);
        send_on(&span, true, &mut headers);
        assert_eq!(headers, fields(&[&valid()], &["a=1", "not valid"]));
        send_on(&span, false, &mut headers);
        assert_eq!(headers, fields(&[&valid()], &[]));
    }

    #[test]
    fn a_delay_is_remembered_and_not_sent_on() {
        for states in [&["a=1,b=2"][..], &["a=1", "b=2"], &["not valid"], &[]] {
            let mut headers = fields(&[&valid()], states);
            let span = read(&headers).unwrap();
            remember(&span, true, true, &mut headers);
            let remembered = read(&headers).unwrap();
            assert!(is_delayed(&remembered), "{headers:?}");
            assert_eq!(without_mark(remembered), span);
            send_on(&span, true, &mut headers);
            assert_eq!(read(&headers), Some(span.clone()), "{headers:?}");
            remember(&span, true, false, &mut headers);
            assert!(!is_delayed(&read(&headers).unwrap()));
        }
    }

    #[test]
    fn what_another_proxq_remembers_means_nothing_here() {
        let mut headers = fields(&[&valid()], &["proxq=delayed,a=1"]);
        let span = read(&headers).unwrap();
        remember(&span, true, false, &mut headers);
        assert_eq!(headers, fields(&[&valid()], &["a=1"]));
    }

    #[test]
    fn a_long_state_is_sent_on_and_not_copied() {
        let long = format!("a={}", "x".repeat(STATE_BYTES_MAX));
        let mut headers = fields(&[&valid()], &[&long]);
        let span = read(&headers).unwrap();
        assert_eq!(span.trace_state().header(), "");
        send_on(&span, true, &mut headers);
        assert_eq!(headers[TRACESTATE], long);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9a-f-]{0,60}|.{0,60}") {
            let _ = parse(&text);
        }
    }
}
