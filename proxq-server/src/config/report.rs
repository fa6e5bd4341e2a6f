//! What `proxq check` prints about a configuration without mistakes.

use super::StoreConfig;
use super::load::Loaded;
use super::{advice, effective};

/// The effective configuration, then the warnings as comments. The whole is a YAML file that means the same.
#[must_use]
pub fn report(loaded: &Loaded) -> String {
    let Loaded { config, file, store_reason, variables_from, .. } = loaded;
    let source = file.as_deref().unwrap_or("--upstream");
    let variables = variables_from.as_ref().map_or_else(String::new, |file| format!(" with variables of {file}"));
    let store = match &config.store {
        StoreConfig::Embedded { .. } => "embedded store",
        StoreConfig::Redis(_) => "jobs in Redis",
    };
    let mut report = format!("# {source}{variables}: valid; {store} ({store_reason})\n{}", effective::write(config));
    report += &comment("Warnings", &advice::warnings(config));
    report
}

/// Where the same file means something else to the original, the Go proxq, as comments of YAML.
#[must_use]
pub fn differences_report(loaded: &Loaded) -> String {
    comment("Differences from the original that apply to this file", &advice::differences(loaded))
}

fn comment(title: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    format!("\n# {title}:\n# - {}\n", lines.join("\n# - "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{UpstreamUrl, load};

    fn reloaded(loaded: &Loaded) -> Loaded {
        load("report", &report(loaded), &|_| None).unwrap_or_else(|errors| panic!("{errors}\n{}", report(loaded)))
    }

    #[test]
    fn a_report_is_a_file_that_means_the_same() {
        let text = r#"
listenAddress: ":9000"
dataDir: 'a "b" \ c'
viaName: edge
trustedProxies: [192.0.2.7, private]
secretHeaders: [X-Session]
inlineBodyLimit: 1000
concurrency: 0
telemetry: {otlp: {endpoint: "https://collector/base", jobTrace: parent, serviceName: "a\"b", sampleRatio: 0.5}}
auth: {owner: credential, resultUrls: true}
cache: {mode: memory, ttl: 90s, maxEntries: 7, maxBytes: 1MiB, redisKeyPrefix: "a\"b:"}
upstreams:
  - prefix: /a
    url: https://a/base
    maxRetries: 2
    retryDelay: 1500ms
    directProxyThreshold: 0
    pathFilter: {mode: whitelist, patterns: ["^/a/\\d+$", "\t\x85[$${]'ä"]}
  - prefix: /flow
    url: http://flow
    queue: flow
    concurrency: 20
    rateLimit: 7/1m30s
    burst: 3
    maxQueued: 9
    retryOn: [503, 429]
    circuitBreaker: {ratio: 0.25, window: 1m}
    adaptive: {max: 12}
    fairness: credential
    perCredential: {rateLimit: 1/d}
  - {prefix: /on, url: 'http://on', circuitBreaker: {}, adaptive: {}, perCredential: {concurrency: 2}}
  - {prefix: /b, url: 'http://b:1', delivery: at-most-once, streamDetection: false, preserveHost: true, cacheKeyExcludeHeaders: [X-A]}
"#;
        let loaded = load("config.yaml", text, &|_| None).unwrap();
        assert_eq!(format!("{:#?}", reloaded(&loaded).config), format!("{:#?}", loaded.config));
        let bare = Loaded::for_upstream(UpstreamUrl::new("http://127.0.0.1:3000").unwrap());
        assert_eq!(format!("{:#?}", reloaded(&bare).config), format!("{:#?}", bare.config));
    }

    #[test]
    fn a_report_of_redis_means_the_same_and_shows_no_password() {
        let text =
            "redis: {url: 'redis://me@[::1]:7000/3', password: hush}\nupstreams: [{prefix: /, url: 'http://api'}]";
        let loaded = load("config.yaml", text, &|_| None).unwrap();
        let report = report(&loaded);
        assert!(report.starts_with("# config.yaml: valid; jobs in Redis (there is a redis: section)\n"), "{report}");
        assert!(!report.contains("hush"), "{report}");
        assert_eq!(format!("{:#?}", reloaded(&loaded).config), format!("{:#?}", loaded.config));
    }

    #[test]
    fn a_report_shows_neither_tokens_nor_their_hashes() {
        let hash = "sha256:9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f";
        let text = format!(
            "auth: {{tokens: [{{name: a, token: hush-hush-hush-hush, admin: read}}, {{name: b, tokenHash: '{hash}', upstreams: \
             [/x]}}]}}\nupstreams: [{{prefix: /x, url: 'http://api'}}]"
        );
        let report = report(&load("config.yaml", &text, &|_| None).unwrap());
        assert!(!report.contains("hush") && !report.contains("9f9f5111"), "{report}");
        let tokens = "  tokens:\n    - name: \"a\"\n      token: \"***\" # not shown\n      admin: read\n    - name: \"b\"\n      \
                      tokenHash: \"***\" # not shown\n      upstreams: [\"/x\"]\n      admin: false\n";
        assert!(report.contains(tokens), "{report}");
    }

    #[test]
    fn a_report_names_warnings_and_what_was_chosen_for_what_reason() {
        let text = "upstreams: [{prefix: /, url: 'http://api'}]";
        let plain = report(&load("etc/config.yaml", text, &|_| None).unwrap());
        assert!(plain.starts_with("# etc/config.yaml: valid; embedded store (no redis: section)\nlistenAddress: "));
        assert!(!plain.contains("Warnings") && !plain.contains("original"), "{plain}");
        let slow = report(&load("x", "upstreams: [{prefix: /, url: 'http://api', timeout: 10m}]", &|_| None).unwrap());
        let warning = "\n# Warnings:\n# - upstreams[0].timeout: 10m0s is longer than shutdownTimeout (30s): ";
        assert!(slow.contains(warning), "{slow}");
        let both = report(&load("x", &format!("store: embedded\nredis: {{}}\n{text}"), &|_| None).unwrap());
        let reason = "embedded store (store: embedded; the redis: section is not used)";
        assert!(both.starts_with(&format!("# x: valid; {reason}\n")), "{both}");
        let without = report(&Loaded::for_upstream(UpstreamUrl::new("http://api").unwrap()));
        assert!(without.starts_with("# --upstream: valid; "));
    }

    #[test]
    fn differences_are_reported_as_comments() {
        let text = "upstreams: [{prefix: /, url: 'http://api'}]";
        let loaded = load("config.yaml", text, &|_| None).unwrap();
        let report = differences_report(&loaded);
        assert!(
            report.starts_with("\n# Differences from the original that apply to this file:\n# - no redis: section: "),
            "{report}"
        );
        assert!(report.lines().all(|line| line.is_empty() || line.starts_with('#')), "{report}");
    }
}
