//! Warnings about a valid configuration, and where the Go proxq reads it differently.

mod scopes;

use std::cmp::Ordering;

use proxq_protocol::GoDuration;

use super::listen_address::is_loopback;
use super::load::Loaded;
use super::{
    AdminTls, Config, DirectMode, EncryptionConfig, FilterMode, HeaderPattern, HostHeader, Ownership, RedisAddress,
    RedisTls, StoreConfig, StreamDetection, SyncMode, TlsVerification, Upstream, UpstreamTls, size,
};
use crate::clock::Clock;
use crate::job::{Backoff, Delivery};
use crate::key_file;
use crate::tls;

/// Settings that are probably not intended: a line each, which begins with the key.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if !is_loopback(&config.listen_address) {
        let open = open_doors(config);
        if !open.is_empty() {
            let (address, open) = (&config.listen_address, open.join("; "));
            warnings.push(format!("listenAddress: {address} may be reached from other machines, and {open}"));
        }
    }
    warnings.extend(scopes::warnings(config));
    warnings.extend(tls_warnings(config));
    warnings.extend(store_warnings(config));
    let key_files = config.encryption.iter().flat_map(EncryptionConfig::files);
    warnings.extend(key_files.filter_map(key_file::warning).map(|warning| format!("encryption: {warning}")));
    for (index, upstream) in config.upstreams.iter().enumerate() {
        let about = upstream_warnings(upstream, config);
        warnings.extend(about.into_iter().map(|warning| format!("upstreams[{index}].{warning}")));
    }
    warnings
}

/// What a server lets whoever reaches it do, a fragment each, with the key that would change it.
fn open_doors(config: &Config) -> Vec<&'static str> {
    let mut open = Vec::new();
    if !config.auth.asks_for_tokens() {
        open.push("no token is asked for (auth.tokens)");
    }
    if config.auth.owner == Ownership::Open {
        open.push("a job's id is all it takes to read it (auth.owner)");
    }
    if open.is_empty() {
        return open; // clients are known; what else is on the way is the operator's choice
    }
    if config.tls_of_clients().is_none() {
        open.push("everybody on the way can read along (tls)");
    }
    if !config.seals() {
        open.push("jobs are stored as they are (encryption)");
    }
    open
}

fn tls_warnings(config: &Config) -> Vec<String> {
    let (clients, operators) = (config.tls_of_clients(), config.tls_of_operators());
    let now = Clock::new().wall();
    let listeners = clients.into_iter().chain(operators.filter(|operators| Some(*operators) != clients));
    let mut warnings: Vec<_> = listeners.flat_map(|(files, section)| tls::warnings(files, section, now)).collect();
    if let Some(admin) = config.admin.as_ref().filter(|admin| admin.tls == AdminTls::Off && clients.is_some())
        && !is_loopback(&admin.listen_address)
    {
        warnings.push(format!(
            "admin.tls.enabled: false: the token for operators is sent in the clear to {}",
            admin.listen_address
        ));
    }
    warnings
}

fn store_warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    match &config.store {
        StoreConfig::Embedded { sync, .. } => {
            if *sync == SyncMode::OperatingSystem {
                warnings
                    .push("embedded.fsync: false: jobs accepted shortly before a power failure may be lost".to_owned());
            }
            if config.concurrency == 0 {
                warnings.push(
                    "concurrency: 0 makes a front without workers, but no other process can work on an embedded store: \
                     jobs will stay queued"
                        .to_owned(),
                );
            }
        }
        StoreConfig::Redis(redis) => {
            let speaks_tls = matches!(redis.address, RedisAddress::Tls { .. });
            if !speaks_tls && redis.tls != RedisTls::default() {
                warnings.push("redis.tls: has no effect without a rediss:// url".to_owned());
            }
        }
    }
    warnings
}

fn upstream_warnings(upstream: &Upstream, config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let (timeout, shutdown) = (GoDuration::from(upstream.timeout), GoDuration::from(config.shutdown_timeout));
    // The defaults alone are no reason to warn: nobody wrote them.
    let default = Config::for_upstream(upstream.url.clone());
    let is_written =
        (upstream.timeout, config.shutdown_timeout) != (default.upstreams[0].timeout, default.shutdown_timeout);
    if timeout > shutdown && is_written {
        warnings.push(format!(
            "timeout: {timeout} is longer than shutdownTimeout ({shutdown}): a shutdown aborts attempts that take longer"
        ));
    }
    if upstream.max_timeout < upstream.timeout {
        let max = GoDuration::from(upstream.max_timeout);
        warnings.push(format!("maxTimeout: {max} is shorter than timeout ({timeout}): clients may only ask for less"));
    }
    if upstream.retries.max_retries == 0 && upstream.retries.backoff != Backoff::Quartic {
        warnings.push("retryDelay: has no effect while maxRetries is 0".to_owned());
    }
    warnings.extend(flow_warnings(upstream));
    warnings.extend(body_limit_warning(upstream));
    if upstream.path_filter.mode == FilterMode::Whitelist && upstream.path_filter.patterns().next().is_none() {
        warnings.push("pathFilter: a whitelist without patterns queues nothing".to_owned());
    }
    if upstream.stream_detection == StreamDetection::HeadersOnly && !upstream.stream_paths.is_empty() {
        warnings.push("streamPaths: has no effect while streamDetection is false".to_owned());
    }
    let shares = |pattern: &&HeaderPattern| config.secret_headers.may_match(pattern);
    for pattern in upstream.cache_key_exclusions.patterns().iter().filter(shares) {
        warnings.push(format!(
            "cacheKeyExcludeHeaders: {pattern} tells callers apart: without it, what one of them was answered is given to others"
        ));
    }
    if upstream.tls.verification == TlsVerification::None {
        warnings.push("tls.insecureSkipVerify: anyone on the way can read and change what is sent".to_owned());
    }
    if *upstream.url.scheme() == http::uri::Scheme::HTTP && upstream.tls != UpstreamTls::default() {
        warnings.push("tls: has no effect on an http:// url".to_owned());
    }
    warnings
}

fn flow_warnings(upstream: &Upstream) -> Vec<String> {
    let (flow, mut warnings) = (&upstream.flow, Vec::new());
    if upstream.retries.max_retries == 0 && !flow.retry_on.is_empty() {
        warnings.push(
            "retryOn: while maxRetries is 0, only a 429, 503 or 529 that says when (Retry-After) is retried".to_owned(),
        );
    }
    if let (Some(each), Some(all)) = (flow.per_credential.concurrency, flow.concurrency)
        && each > all
    {
        warnings.push(format!("perCredential.concurrency: {each} is never reached: concurrency is {all}"));
    }
    if upstream.direct_mode == DirectMode::Redirect && (flow.concurrency.is_some() || flow.rate_limit.is_some()) {
        warnings.push("directProxyMode: redirected requests do not count for concurrency and rateLimit".to_owned());
    }
    warnings
}

fn body_limit_warning(upstream: &Upstream) -> Option<String> {
    let threshold = upstream.direct_proxy_threshold?;
    let (limit, from) = (size::display(upstream.max_body_size), size::display(threshold));
    match upstream.max_body_size.cmp(&threshold) {
        Ordering::Greater => Some(format!(
            "maxBodySize: {limit} is never reached: bodies above directProxyThreshold ({from}) are not queued"
        )),
        Ordering::Less => {
            Some(format!("maxBodySize: bodies above {limit} and up to directProxyThreshold ({from}) are refused"))
        }
        Ordering::Equal => None,
    }
}

/// Where the same file means something else to the original, the Go proxq; a line each.
pub(super) fn differences(loaded: &Loaded) -> Vec<String> {
    let Loaded { config, store_reason, .. } = loaded;
    let retention = GoDuration::from(config.task_retention);
    let mut lines = Vec::new();
    if matches!(config.store, StoreConfig::Embedded { .. }) {
        lines.push(format!("{store_reason}: jobs are kept in the embedded store, not in Redis"));
    }
    lines.extend([
        format!("failed jobs stay for taskRetention ({retention}), not for 90 days"),
        "X-Forwarded-* from clients is believed where trustedProxies says so, queued or direct; \
         it was believed from anyone when queued, and removed when direct"
            .to_owned(),
        "responses are kept as they came: no redirect is followed, no gzip decoded, no body cut at maxBodySize"
            .to_owned(),
    ]);
    if config.concurrency == 0 {
        lines.push("concurrency: 0 makes a front without workers; it meant 10".to_owned());
    }
    let upstreams = &config.upstreams;
    let mut about = |applies: &dyn Fn(&Upstream) -> bool, difference: &str| {
        let whose: Vec<_> =
            upstreams.iter().filter(|upstream| applies(upstream)).map(|own| own.prefix.as_str()).collect();
        if !whose.is_empty() {
            lines.push(format!("{difference} (upstreams: {})", whose.join(", ")));
        }
    };
    about(
        &|upstream| upstream.direct_proxy_threshold.is_none(),
        "directProxyThreshold: 0 disables this bypass, as documented; it meant the default",
    );
    about(
        &|upstream| upstream.host_header == HostHeader::Upstream,
        "Host is the upstream's own, queued or direct; preserveHost: true sends the client's",
    );
    about(
        &|upstream| upstream.stream_detection == StreamDetection::Full,
        "requests for streams and CORS preflights go direct instead of into the queue; \
         streamDetection: false queues those that only their body or query tells",
    );
    about(
        &|upstream| upstream.delivery == Delivery::AtLeastOnce,
        "a crash spends no retry: an attempt that it cut short is made again, delivery at-least-once",
    );
    about(
        &|upstream| upstream.delivery != Delivery::AtLeastOnce,
        "a crash spends no retry and sends nothing twice that must not be: such a job fails as indeterminate, see delivery",
    );
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    fn loaded(text: &str) -> Loaded {
        load("config.yaml", text, &|_| None).unwrap()
    }

    fn config(text: &str) -> Config {
        loaded(text).config
    }

    /// The keys that are warned of.
    fn warned(top: &str, upstream: &str) -> Vec<String> {
        let text = format!("{top}\nupstreams:\n- prefix: /\n  url: https://api\n  {upstream}\n");
        let keys = warnings(&config(&text)).into_iter().filter_map(|line| Some(line.split_once(": ")?.0.to_owned()));
        keys.collect()
    }

    #[test]
    fn what_is_likely_not_meant_is_warned_of() {
        assert_eq!(warned("", ""), Vec::<String>::new());
        assert_eq!(warned("listenAddress: ':80'", ""), ["listenAddress"]);
        let token = "tokens: [{name: a, token: 0123456789abcdef}]";
        let open = |auth: &str| {
            let text = format!("listenAddress: ':80'\nauth: {{{auth}}}\nupstreams: [{{prefix: /, url: 'http://a'}}]");
            let all = warnings(&config(&text)).join("\n");
            ["auth.tokens", "auth.owner"].map(|key| all.contains(key))
        };
        assert_eq!(open(""), [true, true]);
        assert_eq!(open(token), [false, true]);
        assert_eq!(open("owner: credential"), [true, false]);
        assert_eq!(
            warned(&format!("listenAddress: ':80'\nauth: {{owner: credential, {token}}}"), ""),
            Vec::<String>::new()
        );
        assert_eq!(warned("concurrency: 0", ""), ["concurrency"]);
        assert_eq!(warned("shutdownTimeout: 10s", ""), ["upstreams[0].timeout"]);
        assert_eq!(warned("shutdownTimeout: 10m", ""), Vec::<String>::new());
        assert_eq!(warned("shutdownTimeout: 10m", "timeout: 10m"), Vec::<String>::new());
        assert_eq!(warned("embedded: {fsync: false}", ""), ["embedded.fsync"]);
        for (upstream, key) in [
            ("timeout: 31s", "upstreams[0].timeout"),
            ("timeout: 2h", "upstreams[0].timeout"),
            ("maxTimeout: 1s", "upstreams[0].maxTimeout"),
            ("cacheKeyExcludeHeaders: [X-Request-ID, authorization]", "upstreams[0].cacheKeyExcludeHeaders"),
            ("cacheKeyExcludeHeaders: ['x-api-*']", "upstreams[0].cacheKeyExcludeHeaders"),
            ("cacheKeyExcludeHeaders: [X-Session-Id, x-datadog-*]", "upstreams[0].cacheKeyExcludeHeaders"),
            ("retryDelay: 1s", "upstreams[0].retryDelay"),
            ("retryOn: [503]", "upstreams[0].retryOn"),
            ("concurrency: 2\n  perCredential: {concurrency: 3}", "upstreams[0].perCredential.concurrency"),
            ("rateLimit: 1/s\n  directProxyMode: redirect", "upstreams[0].directProxyMode"),
            ("maxBodySize: 1GiB", "upstreams[0].maxBodySize"),
            ("maxBodySize: 1MiB", "upstreams[0].maxBodySize"),
            ("pathFilter: {mode: whitelist}", "upstreams[0].pathFilter"),
            ("streamDetection: false\n  streamPaths: [x]", "upstreams[0].streamPaths"),
            ("tls: {insecureSkipVerify: true}", "upstreams[0].tls.insecureSkipVerify"),
        ] {
            assert_eq!(warned("", upstream), [key]);
        }
        let on_http = warnings(&config("upstreams: [{prefix: /, url: 'http://api', tls: {insecureSkipVerify: true}}]"));
        assert!(on_http.iter().any(|line| line.starts_with("upstreams[0].tls: has no effect")), "{on_http:?}");
    }

    #[test]
    fn only_differences_that_apply_are_named() {
        let plain = differences(&loaded("upstreams: [{prefix: /, url: 'http://api'}]")).join("\n");
        assert!(plain.contains("no redis: section") && plain.contains("taskRetention (1h0m0s)"));
        assert!(!plain.contains("concurrency") && !plain.contains("directProxyThreshold"));
        let text = "concurrency: 0\nupstreams:\n- {prefix: /a, url: 'http://a', directProxyThreshold: 0, preserveHost: true}\n\
                    - {prefix: /b, url: 'http://b', maxRetries: 1, streamDetection: false}\n";
        let lines = differences(&loaded(text));
        for part in [
            "concurrency: 0 makes",
            "directProxyThreshold: 0 disables this bypass, as documented; it meant the default (upstreams: /a)",
            "preserveHost: true sends the client's (upstreams: /b)",
            "queues those that only their body or query tells (upstreams: /a)",
            "delivery at-least-once (upstreams: /b)",
            "see delivery (upstreams: /a)",
        ] {
            assert!(lines.iter().any(|line| line.contains(part)), "{part} in {lines:#?}");
        }
        assert!(lines.iter().all(|line| !line.contains('\n')));
    }
}
