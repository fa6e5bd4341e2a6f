//! The keys of an upstream's flow control.

use std::num::NonZeroU32;

use http::StatusCode;

use super::{Key, Keys, choice_of, key, queue_name, word_of};
use crate::config::FlowControl;
use crate::config::form::Form;
use crate::config::section::{At, Section};
use crate::config::yaml_value::YamlValue;
use crate::pacing::{AdaptiveRange, BreakerPolicy, ConcurrencyScope, Fairness, PerCredential, Rate};

const SCOPES: [(&str, ConcurrencyScope); 2] =
    [("instance", ConcurrencyScope::Instance), ("shared", ConcurrencyScope::Shared)];

const FAIRNESS: [(&str, Fairness); 2] = [("none", Fairness::None), ("credential", Fairness::Credential)];

/// The statuses that may count as failures, from the first to the last.
const FAILURES: [u16; 2] = [400, 599];

/// `queue_at` is filled with the place where the queue is named; `has_redis` says whether jobs are kept in Redis.
pub(super) fn declare(keys: &mut impl Keys, flow: &mut FlowControl, queue_at: &mut Option<At>, has_redis: bool) {
    declare_queue(keys, flow, queue_at);
    declare_concurrency(keys, flow, has_redis);
    declare_rate(keys, flow);
    let about = "How many jobs may wait. Further ones are refused with 429.";
    keys.optional_count(key("maxQueued", about).suggested("1000"), &mut flow.max_queued);
    declare_retry_on(keys, &mut flow.retry_on);
    let breaker = "While the upstream is down, no attempts are made: jobs wait and spend no retries. Off without this \
                   section; {} turns it on with the values shown here.";
    keys.optional_section(key("circuitBreaker", breaker), &mut flow.circuit_breaker, declare_breaker);
    let concurrency = flow.concurrency;
    let adaptive = "The number of attempts at once follows the upstream: it falls when the upstream refuses or times out, \
                    and rises while attempts succeed. Off without this section; {} turns it on.";
    keys.optional_section(key("adaptive", adaptive), &mut flow.adaptive, |keys, range| {
        declare_adaptive(keys, range, concurrency);
    });
    let fairness = "In which order waiting jobs begin: `none`, the oldest first; `credential`, clients with different \
                    credentials take turns.";
    keys.choice(key("fairness", fairness), &mut flow.fairness, &FAIRNESS);
    let per_credential = &mut flow.per_credential;
    keys.only_if(*per_credential != PerCredential::default(), |keys| {
        let about = "Limits for each credential that clients send.";
        keys.section(key("perCredential", about), |keys| declare_per_credential(keys, per_credential));
    });
}

fn declare_queue(keys: &mut impl Keys, flow: &mut FlowControl, queue_at: &mut Option<At>) {
    let queue = key(
        "queue",
        "Name of this upstream's own queue. An upstream has one if it has any of the keys from here to perCredential. \
         If it has no name here, it is named after the global queue and the prefix, such as `default:api`.",
    );
    keys.optional(
        queue.suggested("\"api\""),
        Form::Text,
        &mut flow.queue,
        |section, name| {
            let written = section.parsed(name, queue_name)?;
            *queue_at = Some(written.at);
            Some(written.value)
        },
        |queue| YamlValue::quoted(queue.as_str()),
    );
}

fn declare_concurrency(keys: &mut impl Keys, flow: &mut FlowControl, has_redis: bool) {
    let about = "The number of attempts at once at this upstream, direct requests included.";
    keys.optional_count(key("concurrency", about).suggested("10"), &mut flow.concurrency);
    keys.key(
        key(
            "concurrencyScope",
            "Over what concurrency counts: `instance`, over each instance; `shared`, over all instances on one Redis \
             together.",
        ),
        choice_of(&SCOPES),
        &mut flow.concurrency_scope,
        |section, name, scope| {
            let Some(written) = section.choice(name, &SCOPES) else { return };
            *scope = written.value;
            if *scope == ConcurrencyScope::Shared {
                if !has_redis {
                    let problem =
                        "\"shared\" needs the jobs in Redis (store: redis); write instance, or add a redis section";
                    section.note(&written.at, problem);
                }
                if !section.has("concurrency") {
                    section.note(&written.at, "\"shared\" needs concurrency beside it");
                }
            }
        },
        |scope| YamlValue::plain(word_of(&SCOPES, *scope)),
    );
}

fn declare_rate(keys: &mut impl Keys, flow: &mut FlowControl) {
    let about = "Attempts per time, direct requests included: a number, a slash and s, m, h, d or a duration, such as \
                 60/m or 5/10s. All instances on one Redis share it.";
    optional_rate(keys, key("rateLimit", about).suggested("100/s"), &mut flow.rate_limit);
    let has_rate = flow.rate_limit.is_some();
    let about = "How many attempts may begin at once after a rest; 1 if it is not set. Needs rateLimit.";
    keys.optional(
        key("burst", about).suggested("10"),
        Form::Count(1),
        &mut flow.burst,
        |section, name| {
            let burst = section.count(name, 1)?;
            if !section.has("rateLimit") {
                section.note(&burst.at, "needs rateLimit beside it");
            }
            // Beside an empty rate it means nothing.
            NonZeroU32::new(burst.value).filter(|_| has_rate)
        },
        |burst| YamlValue::plain(burst),
    );
}

fn declare_retry_on(keys: &mut impl Keys, statuses: &mut Vec<StatusCode>) {
    let about = "Statuses of responses that count as failed attempts, such as [429, 502, 503, 504], and are retried within \
                 maxRetries. If a 429, 503 or 529 says when to come back (Retry-After), it is retried then and spends no \
                 retry.";
    keys.key(
        key("retryOn", about),
        Form::Numbers(FAILURES),
        statuses,
        |section, name, statuses| {
            let written = section.numbers(name, FAILURES).into_iter();
            for status in written.filter_map(|number| StatusCode::from_u16(number).ok()) {
                if !statuses.contains(&status) {
                    statuses.push(status);
                }
            }
        },
        |statuses| {
            let numbers: Vec<_> = statuses.iter().map(StatusCode::as_str).collect();
            YamlValue::plain(format!("[{}]", numbers.join(", ")))
        },
    );
}

fn declare_breaker(keys: &mut impl Keys, policy: &mut BreakerPolicy) {
    keys.count(key("failures", "Attempts stop after this many failures in a row."), &mut policy.failures, 1);
    let about = "Attempts also stop if this share of those within the window failed: above 0, at most 1.";
    keys.fraction(key("ratio", about), &mut policy.ratio);
    keys.count(key("minimum", "This many attempts within the window are needed for that."), &mut policy.minimum, 1);
    keys.duration(key("window", "How far back attempts count for the ratio."), &mut policy.window);
    let about = "How long attempts stop before one job is tried. It doubles with each failed try, up to 5m.";
    keys.duration(key("open", about), &mut policy.open);
}

fn declare_adaptive(keys: &mut impl Keys, range: &mut AdaptiveRange, concurrency: Option<NonZeroU32>) {
    keys.count(key("min", "The lowest number."), &mut range.min, 1);
    let min = range.min;
    let about = "The highest number. Without it, it is the upstream's concurrency, or else the global one.";
    keys.optional(
        key("max", about).suggested("10"),
        Form::Count(1),
        &mut range.max,
        |section, name| {
            let Some(max) = section.count(name, 1) else {
                if let Some(highest) = concurrency.filter(|highest| *highest < min && !section.has(name)) {
                    section
                        .note(&section.at_of("min"), format!("{min} must be at most concurrency, which is {highest}"));
                }
                return None;
            };
            let written = max.value;
            if written < min.get() {
                section.note(&max.at, format!("{written} must be at least min, which is {min}"));
            }
            if let Some(highest) = concurrency.filter(|highest| highest.get() < written) {
                section.note(&max.at, format!("{written} must be at most concurrency, which is {highest}"));
            }
            NonZeroU32::new(written)
        },
        |max| YamlValue::plain(max),
    );
}

fn declare_per_credential(keys: &mut impl Keys, limits: &mut PerCredential) {
    let about = "The number of attempts at once with one credential.";
    keys.optional_count(key("concurrency", about).suggested("2"), &mut limits.concurrency);
    let about = "Attempts per time with one credential, as in the upstream's rateLimit.";
    optional_rate(keys, key("rateLimit", about).suggested("60/m"), &mut limits.rate);
}

/// A rate, or none.
fn optional_rate(keys: &mut impl Keys, key: Key, field: &mut Option<Rate>) {
    let read = |section: &mut Section<'_>, name: &'static str| {
        let written = section.parsed(name, str::parse::<Rate>)?;
        Some(written.value)
    };
    keys.optional(key, Form::Text, field, read, |rate| YamlValue::plain(rate));
}
