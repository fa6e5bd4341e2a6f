//! Flow control of an upstream: how fast and how wide it is used, and what holds its jobs back.

use std::fmt::Write;
use std::num::NonZeroU32;

use http::StatusCode;

use super::Prefix;
use crate::job::QueueName;
use crate::pacing::{AdaptiveRange, BreakerPolicy, ConcurrencyScope, Fairness, Pace, PerCredential, QueueLimits, Rate};

/// Flow control of an upstream. Without any, its jobs wait with those of all others and begin as workers are free.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowControl {
    /// The name of its own queue, where it is not made from its prefix.
    pub queue: Option<QueueName>,
    /// Attempts at once, direct ones included.
    pub concurrency: Option<NonZeroU32>,
    /// Over whom `concurrency` and that of each credential count.
    pub concurrency_scope: ConcurrencyScope,
    /// Attempts a time, direct ones included.
    pub rate_limit: Option<Rate>,
    /// How many attempts may begin at once after a rest; `None` for one.
    pub burst: Option<NonZeroU32>,
    /// How many jobs may wait.
    pub max_queued: Option<NonZeroU32>,
    /// The statuses of responses that count as failed attempts, each once.
    pub retry_on: Vec<StatusCode>,
    /// When attempts stop because the upstream is down; `None` for never.
    pub circuit_breaker: Option<BreakerPolicy>,
    /// Within which bounds `concurrency` follows what the upstream bears; `None` if it does not.
    pub adaptive: Option<AdaptiveRange>,
    /// In which order jobs of different credentials begin.
    pub fairness: Fairness,
    /// The limits of each credential.
    pub per_credential: PerCredential,
}

impl FlowControl {
    /// Whether there is any: then the upstream's jobs have a queue of their own.
    pub(crate) fn is_some(&self) -> bool {
        *self != Self::default()
    }

    /// What decides which jobs of the queue may begin.
    pub(crate) fn queue_limits(&self) -> QueueLimits {
        QueueLimits {
            rate: self.pace(),
            shared_concurrency: self.concurrency.filter(|_| self.concurrency_scope == ConcurrencyScope::Shared),
            fairness: self.fairness,
            per_credential: self.per_credential,
        }
    }

    /// The rate and the burst.
    pub(crate) fn pace(&self) -> Option<Pace> {
        let rate = self.rate_limit?;
        Some(Pace { rate, burst: self.burst.unwrap_or(NonZeroU32::MIN) })
    }
}

/// The name of an upstream's own queue, made from its prefix: different prefixes give different names. `/api/v1` beside the
/// queue `default` has `default:api:v1`.
pub(crate) fn queue_of_prefix(home: &QueueName, prefix: &Prefix) -> QueueName {
    let mut name = home.to_string();
    if prefix.depth() == 0 {
        name.push_str(":_"); // no segment: an escaped character is two digits longer
    }
    for segment in prefix.segments() {
        name.push(':');
        for byte in segment {
            match byte {
                b'.' | b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => name.push(char::from(*byte)),
                other => write!(name, "_{other:02X}").expect("a String takes every text"),
            }
        }
    }
    QueueName::new(&name).expect("each of these characters may be in a name")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn queue(prefix: &str) -> String {
        let home = QueueName::new("default").unwrap();
        queue_of_prefix(&home, &Prefix::new(prefix).unwrap()).as_str().to_owned()
    }

    #[test]
    fn a_queue_is_named_after_its_prefix() {
        assert_eq!(queue("/api/v1"), "default:api:v1");
        assert_eq!(queue("/"), "default:_");
        assert_eq!(queue("/a_b"), "default:a_5Fb");
        assert_eq!(queue("/ä"), queue("/%C3%A4"));
        assert_eq!(queue("/a%2Fb"), "default:a_2Fb");
    }

    proptest! {
        #[test]
        fn different_prefixes_have_different_queues(one in "/([ab_:/]|%2[Ff]){0,6}", other in "/([ab_:/]|%2[Ff]){0,6}") {
            let (Ok(one), Ok(other)) = (Prefix::new(&one), Prefix::new(&other)) else { return Ok(()) };
            let home = QueueName::new("default").unwrap();
            let are_the_same = one.contains(&other) && other.contains(&one);
            prop_assert_eq!(queue_of_prefix(&home, &one) == queue_of_prefix(&home, &other), are_the_same);
        }
    }
}
