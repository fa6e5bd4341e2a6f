//! `upstreams[]`.

use std::time::Duration;

use super::tls;
use crate::config::section::{Reading, Section, Written, shown};
use crate::config::{
    ClientMode, DirectMode, FilterMode, HostHeader, KeyExclusions, PathFilter, Patterns, Prefix, StreamDetection,
    TlsVerification, Upstream, UpstreamTls, UpstreamUrl,
};
use crate::job::{Backoff, Delivery, RetryPolicy};

/// An upstream as it is read.
pub(super) struct ReadUpstream {
    /// Not to be used after a mistake: what is missing has a stand-in.
    pub(super) upstream: Upstream,
    /// Its prefix, if that is one.
    pub(super) prefix: Option<Written<Prefix>>,
}

/// Keys of an upstream whose features come later, and what to do without them.
const LATER: [(&str, &str); 8] = [
    ("concurrency", "remove it: the concurrency at the top of the file is for all upstreams"),
    ("queue", "remove it: the queue at the top of the file is for all upstreams"),
    ("rateLimit", "remove it"),
    ("burst", "remove it"),
    ("maxQueued", "remove it"),
    ("retryOn", "remove it: every complete response ends its job"),
    ("circuitBreaker", "remove it"),
    ("stream", "remove it"),
];

pub(super) fn read(root: &mut Section<'_>, reading: &Reading<'_>) -> Vec<ReadUpstream> {
    let missing = "at least one upstream is required, with a prefix and a url";
    let sections = root.required_sections("upstreams", missing);
    sections.into_iter().map(|section| read_one(section, reading)).collect()
}

fn read_one(mut section: Section<'_>, reading: &Reading<'_>) -> ReadUpstream {
    let prefix = section.required_text("prefix").and_then(|text| section.check(text, Prefix::new));
    let url = section.required_text("url").and_then(|text| section.check(text, UpstreamUrl::new));
    // Without them the rest is still read, for its mistakes.
    let url = url.map_or_else(|| UpstreamUrl::new("http://stand-in").expect("a scheme and a host"), |url| url.value);
    let default = Upstream::new(prefix.as_ref().map_or_else(Prefix::root, |prefix| prefix.value.clone()), url);

    let timeout = section.duration("timeout", default.timeout);
    let retries = read_retries(&mut section);
    // What a file with retries has always meant.
    let usual_delivery = if retries.max_retries > 0 { Delivery::AtLeastOnce } else { default.delivery };
    let upstream = Upstream {
        timeout,
        max_timeout: section.duration("maxTimeout", default.max_timeout.max(timeout)),
        retries,
        delivery: section.choice("delivery", &DELIVERIES).map_or(usual_delivery, |chosen| chosen.value),
        honours_idempotency_key: section.boolean("idempotentUpstream", default.honours_idempotency_key),
        max_body_size: section.size("maxBodySize", default.max_body_size),
        direct_proxy_threshold: match section.signed_size("directProxyThreshold") {
            Some(written) => u64::try_from(written.value).ok().filter(|bytes| *bytes > 0),
            None => default.direct_proxy_threshold,
        },
        direct_mode: section
            .choice("directProxyMode", &DIRECT_MODES)
            .map_or(default.direct_mode, |chosen| chosen.value),
        client_mode: if section.boolean("clientMode", true) { ClientMode::Heeded } else { ClientMode::Ignored },
        path_filter: read_path_filter(section.section("pathFilter"), reading),
        stream_detection: if section.boolean("streamDetection", true) {
            StreamDetection::Full
        } else {
            StreamDetection::HeadersOnly
        },
        stream_paths: read_patterns(&mut section, "streamPaths", reading),
        cache_key_exclusions: KeyExclusions::of(section.header_patterns("cacheKeyExcludeHeaders")),
        host_header: if section.boolean("preserveHost", false) { HostHeader::Client } else { HostHeader::Upstream },
        tls: read_tls(section.section("tls"), reading),
        ..default
    };
    for (key, hint) in LATER {
        section.later(key, hint);
    }
    section.finish();
    ReadUpstream { upstream, prefix }
}

const DIRECT_MODES: [(&str, DirectMode); 2] = [("proxy", DirectMode::Proxy), ("redirect", DirectMode::Redirect)];

const DELIVERIES: [(&str, Delivery); 3] =
    [("auto", Delivery::Auto), ("at-least-once", Delivery::AtLeastOnce), ("at-most-once", Delivery::AtMostOnce)];

fn read_retries(section: &mut Section<'_>) -> RetryPolicy {
    let max_retries = section.count("maxRetries", 0).map_or(0, |written| written.value);
    let backoff = match section.duration("retryDelay", Duration::ZERO) {
        Duration::ZERO => Backoff::Quartic, // the YAML's 0 ends its life here
        pause => Backoff::Fixed(pause),
    };
    RetryPolicy { max_retries, backoff }
}

fn read_path_filter(mut section: Section<'_>, reading: &Reading<'_>) -> PathFilter {
    let modes = [("blacklist", FilterMode::Blacklist), ("whitelist", FilterMode::Whitelist)];
    let mode = section.choice("mode", &modes).map_or(FilterMode::Blacklist, |chosen| chosen.value);
    let patterns = read_patterns(&mut section, "patterns", reading);
    section.finish();
    PathFilter::new(mode, patterns)
}

/// Notes every pattern that is none.
fn read_patterns(section: &mut Section<'_>, key: &'static str, reading: &Reading<'_>) -> Patterns {
    let mut texts = Vec::new();
    for Written { value, at } in section.texts(key).unwrap_or_default() {
        match Patterns::new(std::slice::from_ref(&value)) {
            Ok(_) => texts.push(value),
            Err(error) => reading.note(&at, format!("{} is not a pattern: {error}", shown(&value))),
        }
    }
    Patterns::new(&texts).unwrap_or_else(|error| {
        reading.note(&section.at_of(key), format!("the patterns are too much together: {error}"));
        Patterns::default()
    })
}

fn read_tls(mut section: Section<'_>, reading: &Reading<'_>) -> UpstreamTls {
    let (ca_file, identity) = (tls::ca_file(&mut section), tls::identity(&mut section, reading));
    let skips = section.boolean("insecureSkipVerify", false);
    let verification = if skips { TlsVerification::None } else { TlsVerification::Full };
    section.finish();
    UpstreamTls { ca_file, identity, verification }
}
