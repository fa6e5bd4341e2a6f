//! What files mean.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::access_token::TokenDigest;
use crate::config::{
    AccessToken, AdminRole, AnswerMode, CacheConfig, CacheMode, ClientMode, CollectorHeader, DirectMode, FilterMode,
    HostHeader, JobTrace, JoinRetries, OnAbandon, OtlpConfig, Ownership, Password, Prefix, RedisAddress, RedisConfig,
    ResultUrls, Routing, Secret, StoreConfig, StreamDetection, SyncMode, TlsVerification, TokenScope,
};
use crate::job::{Backoff, Delivery, RetryPolicy};
use crate::trust::TrustedProxies;

const MIB: u64 = 1024 * 1024;

fn url(text: &str) -> UpstreamUrl {
    UpstreamUrl::new(text).unwrap()
}

#[test]
fn a_prefix_and_a_url_are_enough() {
    same(UPSTREAM, &Config::for_upstream(url("http://api:3000")));
    let default = config(UPSTREAM);
    assert_eq!(default.listen_address, "127.0.0.1:8080");
    assert_eq!(default.concurrency, 10);
    assert_eq!(default.jobs_path.as_str(), "/__jobs");
    assert_eq!(default.task_retention, Duration::from_hours(1));
    assert_eq!(default.upstreams[0].timeout, Duration::from_mins(5));
    assert_eq!(default.upstreams[0].delivery, Delivery::Auto);
}

#[test]
fn zero_null_and_empty_mean_the_default() {
    let keys = "listenAddress: ''\ndataDir: ''\nqueue:\njobsPath: ~\ntaskRetention: 0\nmaxWait: 0s\nshutdownTimeout: '0'\n\
                inlineBodyLimit: 0\nmaxResponseSize: 0KiB\nviaName: ''\nembedded:\ntrustedProxies:\nsecretHeaders: []\n\
                limits: {maxHeaderBytes: 0, headerReadTimeout: 0, idleTimeout: 0, maxConnections: ~}";
    same(&top(keys), &config(UPSTREAM));
    let keys = "timeout: 0\nmaxTimeout: 0\nmaxRetries: 0\nretryDelay: 0\ndelivery: ''\nmaxBodySize: 0\ndirectProxyThreshold:\n\
                directProxyMode: ''\nconcurrency:\nconcurrencyScope: ''\nqueue: ''\nrateLimit: ''\nburst:\nmaxQueued: ~\nretryOn: []\n\
                circuitBreaker: ~\nadaptive:\nfairness: ''\nperCredential: {concurrency: ~, rateLimit: ''}\npathFilter: {mode: '', patterns: []}\ntls: {caFile: ''}";
    same(&upstream(keys), &config(UPSTREAM));
}

#[test]
fn every_key_at_the_top_is_taken() {
    let read = config(&top(
        "listenAddress: ':9000'\nstore: embedded\ndataDir: /var/lib/proxq\nembedded: {fsync: false}\nqueue: a.b_c:d-1\n\
         concurrency: 3\njobsPath: /jobs/\ntaskRetention: 1h30m\nmaxWait: 5s\nshutdownTimeout: 1m\ninlineBodyLimit: 1kB\n\
         streamPeekLimit: 5MiB\n\
         maxResponseSize: 2GiB\ntrustedProxies: []\nviaName: edge-1\nmaxHops: 0\nmaxLeaseLosses: 9\n\
         secretHeaders: [X-Session]\n\
         limits: {maxHeaderBytes: 16KiB, headerReadTimeout: 1s, idleTimeout: 2s, maxConnections: 3}",
    ));
    assert_eq!(read.listen_address, "[::]:9000");
    let store = StoreConfig::Embedded { data_dir: PathBuf::from("/var/lib/proxq"), sync: SyncMode::OperatingSystem };
    assert_eq!(read.store, store);
    assert_eq!(read.queue.as_str(), "a.b_c:d-1");
    assert_eq!(read.concurrency, 3);
    assert_eq!(read.jobs_path.as_str(), "/jobs");
    assert_eq!(read.task_retention, Duration::from_mins(90));
    assert_eq!(read.max_wait, Duration::from_secs(5));
    assert_eq!(read.shutdown_timeout, Duration::from_mins(1));
    assert_eq!((read.inline_body_limit, read.max_response_size), (1000, 2048 * MIB));
    assert_eq!(read.stream_peek_limit, 5 * MIB);
    assert_eq!(read.trusted_proxies, TrustedProxies::default());
    assert_eq!(read.via_name.as_deref(), Some("edge-1"));
    assert_eq!((read.max_hops, read.max_lease_losses), (0, 9));
    assert!(read.secret_headers.names().iter().any(|name| name == "x-session"));
    assert!(read.secret_headers.names().iter().any(|name| name == "authorization"));
    assert_eq!((read.limits.max_header_bytes, read.limits.max_connections), (16 * 1024, 3));
    assert_eq!(read.limits.header_read_timeout, Duration::from_secs(1));
    assert_eq!(read.limits.idle_timeout, Duration::from_secs(2));
}

#[test]
fn every_key_of_an_upstream_is_taken() {
    let read = only_upstream(
        "upstreams:\n- prefix: /api/\n  url: https://host:8443/base/\n  timeout: 2h\n  maxRetries: 3\n  retryDelay: 10s\n  \
         delivery: at-most-once\n  idempotentUpstream: true\n  maxBodySize: 20MiB\n  directProxyThreshold: 5MiB\n  \
         directProxyMode: redirect\n  streamDetection: false\n  clientMode: false\n  preserveHost: true\n  \
         streamPaths: ['-stream$']\n  mode: follow\n  followWait: 280s\n  followHops: 1\n  \
         joinRetries: false\n  onAbandon: cancel\n  \
         pathFilter: {mode: whitelist, patterns: ['^/api/reports$']}\n  tls: {insecureSkipVerify: true}\n",
    );
    assert_eq!(read.prefix.as_str(), "/api");
    assert_eq!(read.url.to_string(), "https://host:8443/base");
    assert_eq!(read.timeout, Duration::from_hours(2));
    assert_eq!(read.max_timeout, read.timeout, "the greater of timeout and 1h");
    let backoff = Backoff::Fixed(Duration::from_secs(10));
    assert_eq!(read.retries, RetryPolicy { max_retries: 3, backoff });
    assert_eq!(read.delivery, Delivery::AtMostOnce);
    assert!(read.honours_idempotency_key);
    assert_eq!((read.max_body_size, read.direct_proxy_threshold), (20 * MIB, Some(5 * MIB)));
    assert_eq!(read.stream_detection, StreamDetection::HeadersOnly);
    assert_eq!((read.direct_mode, read.client_mode), (DirectMode::Redirect, ClientMode::Ignored));
    assert_eq!(read.host_header, HostHeader::Client);
    let longest = Duration::from_secs(280);
    assert_eq!((read.answer_mode, read.follow_wait, read.follow_hops), (AnswerMode::Follow, longest, 1));
    assert_eq!((read.join_retries, read.on_abandon), (JoinRetries::Separate, OnAbandon::Cancel));
    assert!(read.stream_paths.match_path(b"/x-stream") && !read.stream_paths.match_path(b"/x-streams"));
    assert_eq!(read.path_filter.mode, FilterMode::Whitelist);
    assert!(read.path_filter.bypasses("/api/x") && !read.path_filter.bypasses("/api/reports"));
    assert_eq!(read.tls.verification, TlsVerification::None);
    assert_eq!(only_upstream(&upstream("maxTimeout: 7m")).max_timeout, Duration::from_mins(7));
}

#[test]
fn delivery_is_at_least_once_where_retries_are_set_and_it_is_not() {
    for (keys, delivery) in [
        ("maxRetries: 1", Delivery::AtLeastOnce),
        ("maxRetries: 0", Delivery::Auto),
        ("maxRetries: 1\ndelivery: auto", Delivery::Auto),
        ("delivery: at-least-once", Delivery::AtLeastOnce),
    ] {
        assert_eq!(only_upstream(&upstream(keys)).delivery, delivery, "{keys}");
    }
}

#[test]
fn an_explicit_zero_differs_from_absence_where_the_table_says_so() {
    for disabled in ["0", "-1", "-5MiB", "'0'"] {
        let read = only_upstream(&upstream(&format!("directProxyThreshold: {disabled}")));
        assert_eq!(read.direct_proxy_threshold, None, "{disabled}");
    }
    assert_eq!(config(&top("concurrency: 0")).concurrency, 0);
}

#[test]
fn variables_of_the_environment_are_replaced_in_values_of_every_type() {
    let read = config(
        "concurrency: ${WORKERS}\nqueue: '${QUEUE:-jobs}'\nembedded: {fsync: '${OFF}'}\ninlineBodyLimit: ${WORKERS}MiB\n\
         maxWait: ${WAIT:-3s}\ntrustedProxies: ['10.${WORKERS}.0.0/16']\nviaName: 'a$b'\n\
         upstreams:\n- prefix: /\n  url: http://${HOST}:3000\n  pathFilter: {patterns: ['^/[$${]HOST$']}\n",
    );
    assert_eq!(read.concurrency, 7);
    assert_eq!(read.queue.as_str(), "jobs");
    assert!(matches!(read.store, StoreConfig::Embedded { sync: SyncMode::OperatingSystem, .. }));
    assert_eq!(read.inline_body_limit, 7 * MIB);
    assert_eq!(read.max_wait, Duration::from_secs(3));
    assert!(read.trusted_proxies.contains("10.7.0.1".parse().unwrap()));
    assert_eq!(read.via_name.as_deref(), Some("a$b"));
    assert_eq!(read.upstreams[0].url.to_string(), "http://api:3000");
    assert_eq!(read.upstreams[0].path_filter.patterns().collect::<Vec<_>>(), ["^/[${]HOST$"]);
}

#[test]
fn texts_may_look_like_numbers_and_anchors_may_be_used() {
    assert_eq!(config(&top("queue: 007")).queue.as_str(), "007");
    assert_eq!(config(&top("viaName: 1.50")).via_name.as_deref(), Some("1.50"));
    let read = config(
        "upstreams:\n- &base {prefix: /a, url: 'http://a', maxRetries: 2}\n- <<: *base\n  prefix: /b\n  timeout: 1s\n",
    );
    assert_eq!(read.upstreams[1].prefix.as_str(), "/b");
    assert_eq!(read.upstreams[1].retries.max_retries, 2);
    assert_eq!(read.upstreams[1].timeout, Duration::from_secs(1));
}

#[test]
fn keys_at_the_top_that_begin_with_x_hold_anchors_and_mean_nothing() {
    let read = config(
        "x-base: &base {maxRetries: 2, retryDelay: 1s}\nx-list: [1, {a: '${NOWHERE}'}]\nx-y: ~\n\
         upstreams:\n- {<<: *base, prefix: /a, url: 'http://a'}\n- {<<: *base, prefix: /b, url: 'http://b', maxRetries: 3}\n",
    );
    let retries: Vec<_> = read.upstreams.iter().map(|upstream| upstream.retries.max_retries).collect();
    assert_eq!(retries, [2, 3]);
    assert_eq!(mistakes(&top("limits: {x-a: 1}")).len(), 1, "at the top only");
    assert_eq!(mistakes(&top("x: 1")).len(), 1, "with the hyphen only");
    assert_eq!(mistakes(&top("x-a: 1\nx-a: 2")), ["x-a: is written twice; the first is in line 1"]);
}

#[test]
fn an_idempotency_key_lives_as_long_as_its_job_unless_it_is_said_otherwise() {
    assert_eq!(config(&top("taskRetention: 30m")).idempotency_ttl, Duration::from_mins(30));
    assert_eq!(config(&top("idempotency: {ttl: 10m}")).idempotency_ttl, Duration::from_mins(10));
    same(&top("idempotency: {ttl: 60m}\nmaxDelay: 720h"), &config(UPSTREAM));
}

#[test]
fn traces_are_sent_where_their_section_says() {
    let read = config(&top(
        "telemetry: {otlp: {endpoint: 'https://host:4318/base/', headers: {X-Team: '${HOST}', Authorization: Bearer a}, \
         jobTrace: link, serviceName: edge, sampleRatio: 0.25}}",
    ));
    let header = |name, value| CollectorHeader::new(name, value).unwrap();
    let expected = OtlpConfig {
        endpoint: Some(url("https://host:4318/base")),
        headers: vec![header("x-team", "api"), header("authorization", "Bearer a")],
        job_trace: JobTrace::Link,
        service_name: "edge".to_owned(),
        sample_ratio: 0.25,
    };
    assert_eq!(read.otlp, expected);
    assert!(!format!("{:?}", read.otlp).contains("Bearer"), "{:?}", read.otlp);
    same(&top("telemetry: {otlp: {endpoint: '', headers: ~, jobTrace: '', sampleRatio: 1}}"), &config(UPSTREAM));
    same(&top("telemetry:"), &config(UPSTREAM));
}

#[test]
fn access_tokens_are_read_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "a-token-in-a-file\n").unwrap();
    let hash = "9F9F5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f"; // of 0123456789abcdef
    let read = config(&top(&format!(
        "auth:\n  owner: credential\n  resultUrls: true\n  tokens:\n  - {{name: a.b_c-1, token: '${{HOST}}-0123456789abcdef'}}\n  \
         - {{name: b, tokenFile: '{}', admin: read}}\n  - {{name: c, tokenHash: {hash}, admin: true, upstreams: [/]}}\n  \
         - {{name: d, token: a-token-of-d-itself, admin: write}}\n  - {{name: e, token: a-token-of-e-itself, admin: false}}",
        file.display()
    )))
    .auth;
    assert_eq!((read.owner, read.result_urls), (Ownership::Credential, ResultUrls::On));
    let known = |token: &str| read.token_with(&TokenDigest::of(token)).map(AccessToken::name);
    assert_eq!(known("api-0123456789abcdef"), Some("a.b_c-1"));
    assert_eq!(known("a-token-in-a-file"), Some("b"), "without the end of its line");
    assert_eq!(known("0123456789abcdef"), Some("c"));
    let roles: Vec<_> = read.tokens.iter().map(AccessToken::admin).collect();
    let expected = [AdminRole::None, AdminRole::Read, AdminRole::Write, AdminRole::Write, AdminRole::None];
    assert_eq!(roles, expected);
    assert_eq!(*read.tokens[2].scope(), TokenScope::Only(vec![Prefix::root()]));
    assert_eq!(*read.tokens[0].scope(), TokenScope::All);
    assert!(!format!("{read:?}").contains("0123"), "{read:?}");
    same(&top("auth:"), &config(UPSTREAM));
    same(&top("auth: {tokens: [], owner: open, resultUrls: false}"), &config(UPSTREAM));
    same(&top("auth: {tokens: ~, owner: ''}"), &config(UPSTREAM));
}

#[test]
fn keys_of_later_steps_are_taken_where_they_ask_for_nothing() {
    same(&top("schedules:"), &config(UPSTREAM));
    same(&upstream("clientMode: true\nstream:"), &config(UPSTREAM));
}

#[test]
fn a_cache_is_what_its_section_says() {
    let read = config(&top("redis: {}\ncache: {mode: redis, ttl: 90s, redisKeyPrefix: 'x:'}"));
    let expected = CacheConfig {
        mode: CacheMode::Redis,
        ttl: Duration::from_secs(90),
        redis_key_prefix: "x:".to_owned(),
        ..CacheConfig::default()
    };
    assert_eq!(read.cache, expected);
    let read = config(&top("cache: {mode: memory, maxEntries: 5, maxBytes: 1MiB}")).cache;
    assert_eq!((read.mode, read.max_entries, read.max_bytes), (CacheMode::Memory, 5, 1 << 20));
    same(&top("cache: {mode: none, ttl: 0, maxEntries: 0, maxBytes: 0, redisKeyPrefix: ''}"), &config(UPSTREAM));
}

#[test]
fn headers_that_do_not_count_for_the_cache_replace_the_usual_ones() {
    let excluded = |text: &str| {
        let read = config(&upstream(text)).upstreams.remove(0).cache_key_exclusions;
        read.patterns().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let usual = "x-forwarded-for x-forwarded-proto x-real-ip x-request-id";
    assert_eq!(excluded("timeout: 1s"), usual);
    assert_eq!(excluded("cacheKeyExcludeHeaders: []"), usual);
    assert_eq!(excluded("cacheKeyExcludeHeaders: [X-B, x-a, X-A, X-Datadog-*]"), "x-a x-b x-datadog-*");
}

#[test]
fn prefixes_are_told_apart_by_segments() {
    assert_eq!(config(&prefixes(&["/api", "/api2", "/apis/v1", "/__jobs2"])).upstreams.len(), 4);
}

#[test]
fn with_longest_prefix_one_prefix_may_lie_inside_another() {
    let all = config(&format!("routing: longest-prefix\n{}", prefixes(&["/", "/api", "/api/v2", "/__jobs2"])));
    assert_eq!((all.upstreams.len(), all.routing), (4, Routing::LongestPrefix));
    assert_eq!(config(UPSTREAM).routing, Routing::Strict);
    same(&top("routing: strict"), &config(UPSTREAM));
}

#[test]
fn the_store_and_why_it_was_chosen_are_named() {
    assert_eq!(load("x", UPSTREAM, &env).unwrap().store_reason, "no redis: section");
    assert_eq!(load("x", &top("store: embedded"), &env).unwrap().store_reason, "store: embedded");
    for (keys, reason) in [
        ("redis:", "there is a redis: section"),
        ("redis: {}", "there is a redis: section"),
        ("store: redis", "store: redis"),
        ("store: redis\nredis: {addr: '127.0.0.1:6379', db: 0, password: '', durability: store}", "store: redis"),
    ] {
        let loaded = load("x", &top(keys), &env).unwrap();
        assert_eq!(loaded.config.store, StoreConfig::Redis(RedisConfig::default()), "{keys}");
        assert_eq!(loaded.store_reason, reason);
    }
    let embedded = load("x", &top("store: embedded\nredis: {}"), &env).unwrap();
    assert!(matches!(embedded.config.store, StoreConfig::Embedded { .. }), "the word counts");
    assert_eq!(embedded.store_reason, "store: embedded; the redis: section is not used");
}

#[test]
fn a_redis_server_is_named_by_keys_or_by_a_url() {
    let redis = |keys: &str| match config(&top(&format!("redis: {{{keys}}}"))).store {
        StoreConfig::Redis(redis) => redis,
        StoreConfig::Embedded { .. } => panic!("embedded"),
    };
    let by_keys = redis("addr: '${HOST}:6380', username: me, password: hush, db: 2");
    let by_url = redis("url: 'redis://me:hush@${HOST}:6380/2'");
    assert_eq!(by_keys, by_url);
    assert_eq!(by_url.address, RedisAddress::Tcp { host: "api".to_owned(), port: 6380 });
    assert_eq!(by_url.password, Password::Given(Secret::new("hush".to_owned())));
    assert_eq!(redis("url: 'redis://me@api:6380/2', password: hush"), by_url);
    assert_eq!(redis("addr: /run/redis.sock").address, RedisAddress::Unix { path: "/run/redis.sock".into() });
}

#[test]
fn files_for_the_original_mean_the_same() {
    let default = |prefix: &str, at: &str| Upstream::new(Prefix::new(prefix).unwrap(), url(at));
    let quick_start =
        "listenAddress: \"0.0.0.0:8080\"\nupstreams:\n  - prefix: \"/\"\n    url: \"http://your-api:3000\"\n";
    let mut expected = Config::for_upstream(url("http://your-api:3000"));
    expected.listen_address = "0.0.0.0:8080".to_owned();
    same(quick_start, &expected);

    let media = "upstreams:\n  - prefix: \"/process\"\n    url: \"http://media-worker:9000\"\n    timeout: \"30m\"\n    \
                 maxBodySize: 1073741824\n    directProxyThreshold: 0\n";
    let expected = Upstream {
        timeout: Duration::from_mins(30),
        max_body_size: 1024 * MIB,
        direct_proxy_threshold: None,
        ..default("/process", "http://media-worker:9000")
    };
    assert_eq!(format!("{:?}", only_upstream(media)), format!("{expected:?}"));

    let retries = "upstreams:\n  - prefix: \"/\"\n    url: \"http://flaky-backend:8080\"\n    maxRetries: 5\n    retryDelay: \"30s\"\n";
    let expected = Upstream {
        retries: RetryPolicy { max_retries: 5, backoff: Backoff::Fixed(Duration::from_secs(30)) },
        delivery: Delivery::AtLeastOnce,
        ..default("/", "http://flaky-backend:8080")
    };
    assert_eq!(format!("{:?}", only_upstream(retries)), format!("{expected:?}"));

    let filter = "upstreams:\n  - prefix: \"/api\"\n    url: \"http://backend:3000\"\n    timeout: \"5m\"\n    pathFilter:\n      \
                  mode: \"blacklist\"\n      patterns:\n        - \"^/api/auth\"\n        - \"^/api/health\"\n";
    let read = only_upstream(filter).path_filter;
    assert!(read.bypasses("/api/auth/x") && read.bypasses("/api/health") && !read.bypasses("/api/reports"));

    let gateway = "upstreams:\n  - prefix: \"/api\"\n    url: \"http://api:3000\"\n    timeout: \"5m\"\n    maxRetries: 3\n\n  \
                   - prefix: \"/ml\"\n    url: \"http://ml-service:8080\"\n    timeout: \"15m\"\n\n  \
                   - prefix: \"/uploads\"\n    url: \"http://file-server:9000/storage\"\n    timeout: \"10m\"\n    \
                   maxBodySize: 1073741824\n";
    let read = config(gateway).upstreams;
    let expected = [
        Upstream {
            retries: RetryPolicy { max_retries: 3, backoff: Backoff::Quartic },
            delivery: Delivery::AtLeastOnce,
            ..default("/api", "http://api:3000")
        },
        Upstream { timeout: Duration::from_mins(15), ..default("/ml", "http://ml-service:8080") },
        Upstream {
            timeout: Duration::from_mins(10),
            max_body_size: 1024 * MIB,
            ..default("/uploads", "http://file-server:9000/storage")
        },
    ];
    assert_eq!(format!("{read:?}"), format!("{expected:?}"));
}
