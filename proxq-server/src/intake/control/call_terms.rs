//! What becomes of the job of a client that is held to the final answer, and what a later try of that client gets.

use http::HeaderMap;
use proxq_protocol::header as proxq;

use super::Answering;
use crate::config::{JoinRetries, OnAbandon, Upstream};

/// What becomes of a job whose client is held to the final answer, and goes away before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallTerms {
    /// Whether a later try of the client joins it.
    pub(crate) joins: bool,
    /// Whether this is such a later try.
    pub(crate) repeats: bool,
    /// Whether it is cancelled.
    pub(crate) cancel_when_abandoned: bool,
}

impl CallTerms {
    /// Those of a submission that is answered like this; `None` where nothing becomes of it. A client that names its job comes
    /// back to it by itself, and so may one that says how long it waits.
    pub(super) fn of(headers: &HeaderMap, answering: Answering, waits: bool, upstream: &Upstream) -> Option<Self> {
        if !matches!(answering, Answering::Wait | Answering::Follow) {
            return None;
        }
        let named = headers.contains_key(proxq::JOB_ID);
        let joins =
            upstream.join_retries == JoinRetries::Joined && !named && !headers.contains_key(proxq::IDEMPOTENCY_KEY);
        let cancel_when_abandoned = upstream.on_abandon == OnAbandon::Cancel && !named && !waits;
        let repeats = joins && is_later_try(headers);
        (joins || cancel_when_abandoned).then_some(Self { joins, repeats, cancel_when_abandoned })
    }
}

/// Whether an SDK says that it sends this request again. What is no number of up to three digits says nothing.
fn is_later_try(headers: &HeaderMap) -> bool {
    let mut counts = headers.get_all(proxq::RETRY_COUNT).iter();
    let (Some(count), None) = (counts.next(), counts.next()) else { return false };
    let digits = count.as_bytes();
    (1..=3).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && digits.iter().any(|digit| *digit != b'0')
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::super::Controls;
    use super::*;
    use crate::config::{AnswerMode, Config, Prefix, UpstreamUrl};

    #[test]
    fn it_matters_that_a_held_client_goes_away_unless_it_comes_back_by_itself() {
        let url = UpstreamUrl::new("http://upstream").unwrap();
        let config = Config::for_upstream(url.clone());
        let call = |fields: &[(&'static str, &'static str)], join_retries, on_abandon| {
            let fields =
                fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name, value);
            }
            let upstream = Upstream::new(Prefix::root(), url.clone());
            let waits = Upstream { answer_mode: AnswerMode::Wait, join_retries, on_abandon, ..upstream };
            Controls::read(&headers, None, &waits, &config).unwrap().call
        };
        let joined = |fields: &[(&'static str, &'static str)]| call(fields, JoinRetries::Joined, OnAbandon::Keep);
        let first = CallTerms { joins: true, repeats: false, cancel_when_abandoned: false };
        assert_eq!(joined(&[]), Some(first));
        for (count, repeats) in [
            ("0", false),
            ("000", false),
            ("1", true),
            ("010", true),
            ("999", true),
            ("1000", false),
            ("-1", false),
            ("1.0", false),
            ("", false),
            ("one", false),
            ("100000000000000000000", false),
        ] {
            assert_eq!(joined(&[("x-stainless-retry-count", count)]), Some(CallTerms { repeats, ..first }), "{count}");
        }
        let twice = [("x-stainless-retry-count", "1"), ("x-stainless-retry-count", "1")];
        assert_eq!(joined(&twice), Some(first));
        assert_eq!(joined(&[("idempotency-key", "k")]), None, "the key finds the job");
        assert_eq!(joined(&[("x-proxq-job-id", "550e8400-e29b-41d4-a716-446655440000")]), None);
        assert_eq!(joined(&[("prefer", "respond-async")]), None, "nobody waits");

        let cancelled =
            |fields: &[(&'static str, &'static str)]| call(fields, JoinRetries::Separate, OnAbandon::Cancel);
        let cancelling = CallTerms { joins: false, repeats: false, cancel_when_abandoned: true };
        assert_eq!(cancelled(&[("x-stainless-retry-count", "1")]), Some(cancelling));
        assert_eq!(cancelled(&[("idempotency-key", "k")]), Some(cancelling));
        assert_eq!(cancelled(&[("x-proxq-wait", "7s")]), None);
        assert_eq!(cancelled(&[("prefer", "wait=7")]), None);
    }
}
