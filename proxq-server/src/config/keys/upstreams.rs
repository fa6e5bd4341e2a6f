//! The keys of one of the `upstreams`.

use std::time::Duration;

use proxq_protocol::GoDuration;

use super::{Key, Keys, choice_of, flow, key, tls, word_of};
use crate::config::form::Form;
use crate::config::section::{At, Section, Written, shown};
use crate::config::upstream::FOLLOW_WAITS;
use crate::config::yaml_value::YamlValue;
use crate::config::{
    AnswerMode, ClientMode, DirectMode, FilterMode, HostHeader, JoinRetries, KeyExclusions, OnAbandon, PathFilter,
    Patterns, Prefix, StreamDetection, TlsVerification, Upstream, UpstreamTls, UpstreamUrl, size,
};
use crate::job::{Backoff, Delivery, RetryPolicy};

/// An upstream as it is read.
pub(in crate::config) struct ReadUpstream {
    /// Not to be used after a mistake: stand-ins fill what is missing.
    pub(in crate::config) upstream: Upstream,
    /// Its prefix, if one was read.
    pub(in crate::config) prefix: Option<Written<Prefix>>,
    /// Where its queue is named, if it is.
    pub(in crate::config) queue_at: Option<At>,
    /// Where `directProxyMode` is written, if it is.
    pub(in crate::config) direct_mode_at: Option<At>,
}

impl From<Upstream> for ReadUpstream {
    fn from(upstream: Upstream) -> Self {
        Self { upstream, prefix: None, queue_at: None, direct_mode_at: None }
    }
}

impl ReadUpstream {
    /// An upstream before it is read: every default, and stand-ins where there is none.
    pub(super) fn empty() -> Self {
        let url = UpstreamUrl::new("http://stand-in").expect("a scheme and a host");
        Upstream::new(Prefix::root(), url).into()
    }
}

/// Keys of an upstream whose features come later, and what to do without them.
const LATER: [(&str, &str); 1] = [("stream", "remove it")];

const DELIVERIES: [(&str, Delivery); 3] =
    [("auto", Delivery::Auto), ("at-least-once", Delivery::AtLeastOnce), ("at-most-once", Delivery::AtMostOnce)];

const DIRECT_MODES: [(&str, DirectMode); 2] = [("proxy", DirectMode::Proxy), ("redirect", DirectMode::Redirect)];

const ON_ABANDON: [(&str, OnAbandon); 2] = [("keep", OnAbandon::Keep), ("cancel", OnAbandon::Cancel)];

const FILTER_MODES: [(&str, FilterMode); 2] =
    [("blacklist", FilterMode::Blacklist), ("whitelist", FilterMode::Whitelist)];

/// `has_redis` says whether jobs are kept in Redis.
pub(super) fn declare(keys: &mut impl Keys, read: &mut ReadUpstream, has_redis: bool) {
    declare_place(keys, read);
    let upstream = &mut read.upstream;
    declare_timeouts(keys, upstream);
    declare_retries(keys, &mut upstream.retries);
    declare_delivery(keys, upstream);
    flow::declare(keys, &mut upstream.flow, &mut read.queue_at, has_redis);
    declare_bodies(keys, upstream);
    declare_direct_mode(keys, upstream, &mut read.direct_mode_at);
    declare_streams(keys, upstream);
    declare_answers(keys, upstream);
    keys.section(key("pathFilter", ""), |keys| declare_path_filter(keys, &mut upstream.path_filter));
    declare_cache_key(keys, &mut upstream.cache_key_exclusions);
    let host = key("preserveHost", "Send the client's Host instead of the upstream's.");
    keys.switch(host, &mut upstream.host_header, HostHeader::Upstream, HostHeader::Client);
    let tls = key("tls", "TLS to the upstream, from PEM files.");
    keys.section(tls, |keys| declare_tls(keys, &mut upstream.tls));
    keys.later(&LATER);
}

fn declare_place(keys: &mut impl Keys, read: &mut ReadUpstream) {
    keys.key(
        key("prefix", "Paths that go here, compared by whole segments; the prefix is removed. `/` takes all paths."),
        Form::RequiredText,
        read,
        |section, name, read| {
            read.prefix = section.required_text(name).and_then(|text| section.check(text, Prefix::new));
            if let Some(prefix) = &read.prefix {
                read.upstream.prefix = prefix.value.clone();
            }
        },
        |read| YamlValue::quoted(read.upstream.prefix.as_str()),
    );
    keys.key(
        key("url", "http or https, with a path if needed."),
        Form::RequiredText,
        &mut read.upstream.url,
        |section, name, url| {
            let text = section.required_text(name);
            if let Some(written) = text.and_then(|text| section.check(text, UpstreamUrl::new)) {
                *url = written.value;
            }
        },
        |url| YamlValue::quoted(&url.to_string()),
    );
}

fn declare_timeouts(keys: &mut impl Keys, upstream: &mut Upstream) {
    keys.duration(key("timeout", "Limit for one attempt, until its response is complete."), &mut upstream.timeout);
    let longest = upstream.max_timeout.max(upstream.timeout);
    let about = "The longest limit that a client may ask for instead, with X-Proxq-Timeout.";
    keys.duration_or(key("maxTimeout", about), &mut upstream.max_timeout, longest);
}

fn declare_retries(keys: &mut impl Keys, retries: &mut RetryPolicy) {
    let about = "How many failed attempts are followed by another. A response is not a failure, unless its status is in retryOn.";
    keys.count(key("maxRetries", about), &mut retries.max_retries, 0);
    let about = "The delay before a retry. 0: 1 s, 16 s, 81 s, … (the number of the retry to the fourth power).";
    keys.key(
        key("retryDelay", about).example("0"),
        Form::Duration,
        &mut retries.backoff,
        |section, name, backoff| {
            *backoff = match section.duration(name, Duration::ZERO) {
                Duration::ZERO => Backoff::Quartic, // the YAML's 0 ends its life here
                pause => Backoff::Fixed(pause),
            };
        },
        |backoff| match backoff {
            Backoff::Fixed(pause) => YamlValue::plain(GoDuration::from(*pause)),
            Backoff::Quartic => YamlValue::plain("0s").with_remark("n⁴ seconds before retry n"),
        },
    );
}

fn declare_delivery(keys: &mut impl Keys, upstream: &mut Upstream) {
    let has_retries = upstream.retries.max_retries > 0;
    keys.key(
        key(
            "delivery",
            "What may be sent twice. `auto`: what the upstream has not seen, and what is harmless to repeat; \
             `at-most-once`: only what the upstream has not seen; `at-least-once`: everything, and the default if \
             maxRetries is above 0.",
        ),
        choice_of(&DELIVERIES),
        &mut upstream.delivery,
        |section, name, delivery| match section.choice(name, &DELIVERIES) {
            Some(written) => *delivery = written.value,
            None if has_retries => *delivery = Delivery::AtLeastOnce, // a file with retries has always meant this
            None => {}
        },
        |delivery| YamlValue::plain(word_of(&DELIVERIES, *delivery)),
    );
    let about = "The upstream recognises repeated requests by their Idempotency-Key.";
    keys.switch(key("idempotentUpstream", about), &mut upstream.honours_idempotency_key, false, true);
}

fn declare_bodies(keys: &mut impl Keys, upstream: &mut Upstream) {
    keys.size(key("maxBodySize", "The queue refuses larger bodies."), &mut upstream.max_body_size);
    keys.key(
        key("directProxyThreshold", "Larger bodies bypass the queue. 0: no body does because of its size."),
        Form::SignedSize,
        &mut upstream.direct_proxy_threshold,
        |section, name, threshold| {
            if let Some(written) = section.signed_size(name) {
                *threshold = u64::try_from(written.value).ok().filter(|bytes| *bytes > 0);
            }
        },
        |threshold| match threshold {
            Some(bytes) => YamlValue::plain(size::display(*bytes)),
            None => YamlValue::plain("0").with_remark("disabled"),
        },
    );
}

/// `at` is filled with the place where the mode is written.
fn declare_direct_mode(keys: &mut impl Keys, upstream: &mut Upstream, at: &mut Option<At>) {
    let mode = key(
        "directProxyMode",
        "How requests that bypass the queue reach the upstream: `proxy`, streamed through proxq; `redirect`, by a 307 \
         to the client, which must be able to reach the upstream itself. WebSockets, streams and CORS preflights \
         always go through proxq.",
    );
    keys.key(
        mode,
        choice_of(&DIRECT_MODES),
        &mut upstream.direct_mode,
        |section, name, mode| {
            if let Some(written) = section.choice(name, &DIRECT_MODES) {
                (*mode, *at) = (written.value, Some(written.at));
            }
        },
        |mode| YamlValue::plain(word_of(&DIRECT_MODES, *mode)),
    );
}

fn declare_streams(keys: &mut impl Keys, upstream: &mut Upstream) {
    let detection = key(
        "streamDetection",
        "Requests for event streams bypass the queue; header, path, query or body shows them. `false`: only the \
         header counts.",
    );
    keys.switch(detection, &mut upstream.stream_detection, StreamDetection::HeadersOnly, StreamDetection::Full);
    let paths = key(
        "streamPaths",
        "Regular expressions for paths, with their queries, whose responses are streams, unless a JSON body has \
         \"stream\": false. For Gemini: ':streamGenerateContent'. For Bedrock: '-stream(\\?|$)'. For Ollama: \
         '/api/(chat|generate)$'.",
    );
    declare_patterns(keys, paths, &mut upstream.stream_paths);
    let about =
        "Clients can choose with X-Proxq-Mode: direct, queue, wait or follow. `false`: proxq ignores this header.";
    keys.switch(key("clientMode", about), &mut upstream.client_mode, ClientMode::Ignored, ClientMode::Heeded);
}

fn declare_answers(keys: &mut impl Keys, upstream: &mut Upstream) {
    let mode = key(
        "mode",
        "How queued requests are answered: `queue`, with 202 at once; `wait`, with the response if it comes within \
         maxWait, else with 202; `follow`, with the response, by redirects that HTTP clients follow until it is there.",
    );
    keys.choice(mode, &mut upstream.answer_mode, &AnswerMode::WORDS);
    let about = "How long one request of a follower is held, 1s to 280s. Gateways often cut requests after 60s.";
    keys.key(
        key("followWait", about),
        Form::Duration,
        &mut upstream.follow_wait,
        |section, name, wait| *wait = section.duration_within(name, *wait, FOLLOW_WAITS),
        |wait| YamlValue::plain(GoDuration::from(*wait)),
    );
    let about = "How many redirects a follower gets at most. Most HTTP clients follow 20.";
    keys.count(key("followHops", about), &mut upstream.follow_hops, 1);
    let about = "In wait and follow, an SDK that tries again (X-Stainless-Retry-Count) after its request was cut gets the job \
                 of its earlier try instead of another one.";
    keys.switch(key("joinRetries", about), &mut upstream.join_retries, JoinRetries::Separate, JoinRetries::Joined);
    let about = "What becomes of a job in wait and follow whose client goes away: `keep`, it goes on; `cancel`, it is \
                 cancelled after 30s, unless the client has come back.";
    keys.choice(key("onAbandon", about), &mut upstream.on_abandon, &ON_ABANDON);
}

fn declare_path_filter(keys: &mut impl Keys, filter: &mut PathFilter) {
    let mode =
        "`blacklist`: paths that match a pattern bypass the queue. `whitelist`: only paths that match are queued.";
    keys.choice(key("mode", mode), &mut filter.mode, &FILTER_MODES);
    let patterns = "Regular expressions (RE2) for the percent-decoded path, prefix included, such as \"^/api/health\".";
    declare_patterns(keys, key("patterns", patterns), &mut filter.patterns);
}

fn declare_cache_key(keys: &mut impl Keys, exclusions: &mut KeyExclusions) {
    let exclude = key(
        "cacheKeyExcludeHeaders",
        "Headers that do not count when the cache compares requests, in place of X-Request-ID, X-Forwarded-For, \
         X-Real-IP and X-Forwarded-Proto. If Authorization is one of them, a response for one caller is given to \
         other callers. x-datadog-* means all headers that begin with x-datadog-. For LLM APIs, add to the four: \
         User-Agent, X-Client-Request-Id, Priority, sentry-trace, x-datadog-*, b3, x-b3-*, x-amzn-trace-id, \
         x-cloud-trace-context, cf-ray, x-request-start.",
    );
    keys.key(
        exclude.example("[]"),
        Form::Texts,
        exclusions,
        |section, name, exclusions| *exclusions = KeyExclusions::of(section.header_patterns(name)),
        |exclusions| YamlValue::list(exclusions.patterns()),
    );
}

fn declare_tls(keys: &mut impl Keys, tls: &mut UpstreamTls) {
    let authorities =
        "Authorities to trust instead of the system's, or the upstream's own certificate if it is self-signed.";
    tls::declare_files(keys, authorities, &mut tls.ca_file, &mut tls.identity);
    let skip = key("insecureSkipVerify", "Do not check the upstream's certificate. For tests.");
    keys.switch(skip, &mut tls.verification, TlsVerification::Full, TlsVerification::None);
}

/// A list of patterns.
fn declare_patterns(keys: &mut impl Keys, key: Key, patterns: &mut Patterns) {
    let read = |section: &mut Section<'_>, name: &'static str, patterns: &mut Patterns| {
        *patterns = read_patterns(section, name);
    };
    keys.key(key, Form::Texts, patterns, read, |patterns| YamlValue::list(patterns.written()));
}

/// Notes every pattern that is none.
fn read_patterns(section: &mut Section<'_>, key: &'static str) -> Patterns {
    let mut texts = Vec::new();
    for Written { value, at } in section.texts(key).unwrap_or_default() {
        match Patterns::new(std::slice::from_ref(&value)) {
            Ok(_) => texts.push(value),
            Err(error) => section.note(&at, format!("{} is not a pattern: {error}", shown(&value))),
        }
    }
    Patterns::new(&texts).unwrap_or_else(|error| {
        section.note(&section.at_of(key), format!("the patterns are too much together: {error}"));
        Patterns::default()
    })
}
