//! Tests of the response cache: of equal requests the upstream answers one, and `X-Cache-Status` tells which.

use std::time::Duration;

use harness::{
    Answer, Config, Pattern, Proxq, Reply, Request, Store, Upstream, get, head, on_every_store, outlast, post, put,
};

/// Where responses can be cached on this store.
fn modes(store: Store) -> &'static [&'static str] {
    match store {
        Store::Embedded => &["memory"],
        Store::Redis => &["memory", "redis"],
    }
}

/// A cache of each kind before one upstream.
fn cached(store: Store, upstream: &Upstream) -> Vec<Config> {
    modes(store).iter().map(|mode| store.config_for(upstream).set("cache.mode", *mode)).collect()
}

fn verdict(reply: &Reply) -> String {
    reply.header("x-cache-status").unwrap_or_else(|| panic!("content says where it is from: {reply}"))
}

/// Whether a request is answered from the cache.
async fn hits(proxq: &Proxq, request: Request) -> bool {
    match verdict(&proxq.through_queue(request).await).as_str() {
        "HIT" => true,
        "MISS" => false,
        other => panic!("{other} is no verdict"),
    }
}

on_every_store! {
    async fn an_equal_request_is_answered_byte_for_byte_without_the_upstream(store: Store) {
        let upstream = Upstream::start().await;
        let answer = Answer::status(201).header("X-A", "1").header("X-A", b"\xe9").header("ETag", "\"x\"").body("made");
        upstream.always(answer);
        for (number, config) in cached(store, &upstream).into_iter().enumerate() {
            let proxq = Proxq::start(config).await;
            let ask = || post("/report?year=2026").header("X-Tag", "a").body("{}");
            let first = proxq.through_queue(ask()).await;
            let job = proxq.submit(ask()).await;
            let second = proxq.response(&job).await;
            assert_eq!((verdict(&first).as_str(), verdict(&second).as_str()), ("MISS", "HIT"));
            assert_eq!((second.status, second.text().as_str()), (201, "made"));
            let others = |reply: &Reply| {
                let mut fields = reply.head.fields().to_vec();
                let own = ["x-cache-status", "cache-status", "age"];
                fields.retain(|(name, _)| !own.iter().any(|own| name.eq_ignore_ascii_case(own)));
                fields.sort_by_key(|(name, _)| name.to_ascii_lowercase());
                fields
            };
            assert_eq!(others(&first), others(&second));
            assert_eq!(upstream.received().len(), number + 1);
            assert_eq!(proxq.status(&job).await.attempts, Some(1));
        }
    }

    async fn every_method_is_cached(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(200, "same");
        for config in cached(store, &upstream) {
            let proxq = Proxq::start(config).await;
            for request in [get("/x"), head("/x"), post("/x"), put("/x"), harness::request("PROPFIND", "/x")] {
                assert!(!hits(&proxq, request.clone()).await, "{request:?}");
                assert!(hits(&proxq, request.clone()).await, "{request:?}");
            }
        }
    }

    async fn only_successes_that_are_not_private_are_kept(store: Store) {
        let upstream = Upstream::start().await;
        upstream.plan(|head| {
            let (name, value) = match head.word(1) {
                "/no-store" => ("Cache-Control", "max-age=9, No-Store"),
                "/private" => ("Cache-Control", "private"),
                "/cookie" => ("Set-Cookie", "a=b"),
                "/no-cache" => ("Cache-Control", "no-cache"),
                "/stale" => ("Cache-Control", "max-age=0"),
                "/stale-shared" => ("Cache-Control", "s-maxage=0, max-age=60"),
                "/expired" => ("Expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
                _ => ("Cache-Control", "public"),
            };
            let status = head.word(1).trim_start_matches('/').parse().unwrap_or(200);
            Answer::status(status).header(name, value).body("x")
        });
        for config in cached(store, &upstream) {
            let proxq = Proxq::start(config).await;
            for path in [
                "/206", "/302", "/404", "/429", "/500", "/no-store", "/private", "/cookie", "/no-cache", "/stale",
                "/stale-shared", "/expired",
            ] {
                for _ in 0..2 {
                    assert!(!hits(&proxq, get(path)).await, "{path}");
                }
            }
            for path in ["/200", "/203"] {
                assert!(!hits(&proxq, get(path)).await, "{path}");
                assert!(hits(&proxq, get(path)).await, "{path}");
            }
        }
    }

    async fn a_request_may_skip_the_cache(store: Store) {
        let upstream = Upstream::start().await;
        for config in cached(store, &upstream) {
            let proxq = Proxq::start(config).await;
            for directive in ["no-store", "max-age=0, no-cache"] {
                for _ in 0..2 {
                    assert!(!hits(&proxq, get("/x").header("Cache-Control", directive)).await, "{directive}");
                }
            }
        }
    }

    async fn range_and_conditional_requests_neither_read_nor_fill_the_cache(store: Store) {
        let upstream = Upstream::start().await;
        for config in cached(store, &upstream) {
            let proxq = Proxq::start(config).await;
            assert!(!hits(&proxq, get("/x")).await);
            for name in ["Range", "If-None-Match", "If-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"] {
                for _ in 0..2 {
                    let reply = proxq.through_queue(get("/x").header(name, "bytes=0-1")).await;
                    assert_eq!((verdict(&reply).as_str(), reply.header("cache-status").as_deref()), ("MISS", Some("proxq; fwd=bypass")));
                }
            }
            assert!(hits(&proxq, get("/x")).await);
        }
    }

    async fn a_response_that_varies_by_a_header_outside_the_key_is_not_shared(store: Store) {
        let upstream = Upstream::start().await;
        upstream.plan(|head| {
            let zipped = head.value("accept-encoding").is_some_and(|value| value.contains("gzip"));
            let vary = if head.word(1) == "/scheme" { "X-Forwarded-Proto" } else { "Accept-Encoding" };
            Answer::status(200).header("Vary", vary).body(if zipped { "zipped" } else { "plain" })
        });
        for config in cached(store, &upstream) {
            let excluding = vec!["accept-encoding", "x-request-id"];
            let mut proxq = Proxq::start(config.clone().upstream("cacheKeyExcludeHeaders", excluding)).await;
            assert_eq!(proxq.through_queue(get("/x").header("Accept-Encoding", "gzip")).await.text(), "zipped");
            assert_eq!(proxq.through_queue(get("/x")).await.text(), "plain");
            proxq.stop().await; // it would take jobs from the same queue
            let proxq = Proxq::start(config).await;
            let gzip = || get("/y").header("Accept-Encoding", "gzip");
            assert!(!hits(&proxq, gzip()).await && hits(&proxq, gzip()).await && !hits(&proxq, get("/y")).await);
            for scheme in ["http", "https", "https"] {
                assert!(!hits(&proxq, get("/scheme").header("X-Forwarded-Proto", scheme)).await);
            }
        }
    }

    async fn a_response_is_kept_no_longer_than_its_upstream_says(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::status(200).header("Cache-Control", "max-age=3600, s-maxage=21, must-revalidate").header("Age", "20"));
        for config in cached(store, &upstream) {
            let proxq = Proxq::start(config).await;
            assert!(!hits(&proxq, get("/x")).await);
            outlast(Duration::from_millis(1100)).await;
            assert!(!hits(&proxq, get("/x")).await);
        }
    }

    async fn content_has_the_cache_status_and_the_age(store: Store) {
        let upstream = Upstream::start().await;
        let limits = ["RateLimit", "RateLimit-Policy", "X-RateLimit-Remaining-Tokens", "anthropic-ratelimit-tokens-reset"];
        let answer = || limits.iter().fold(Answer::status(200), |answer, name| answer.header(name, "1"));
        for config in cached(store, &upstream) {
            upstream.always(answer().header("Age", "10").header("Cache-Status", "edge; hit").header("Cache-Control", "max-age=40"));
            let proxq = Proxq::start(config).await;
            let first = proxq.through_queue(get("/x")).await;
            assert_eq!(first.head.values("cache-status"), ["edge; hit", "proxq; fwd=uri-miss; stored"]);
            assert_eq!(first.head.values("age"), ["10"]);
            assert!(limits.iter().all(|name| first.head.has(name)), "the first answer is as it came: {first}");
            let second = proxq.through_queue(get("/x")).await;
            let statuses = second.head.values("cache-status");
            let [edge, own] = &statuses[..] else { panic!("{second}") };
            let ttl: u64 = own.strip_prefix("proxq; hit; ttl=").and_then(|ttl| ttl.parse().ok()).unwrap_or_else(|| panic!("{own}"));
            let age: u64 = second.header("age").and_then(|age| age.parse().ok()).expect("an age in seconds");
            assert_eq!(edge, "edge; hit");
            assert!((1..=30).contains(&ttl) && (10..=39).contains(&age), "{second}");
            assert!(!limits.iter().any(|name| second.head.has(name)), "limits are of no meaning later: {second}");
            upstream.always(answer().header("Cache-Control", "no-store"));
            let unkept = proxq.through_queue(get("/y")).await;
            assert_eq!(unkept.head.values("cache-status"), ["proxq; fwd=uri-miss"]);
        }
    }

    async fn an_upload_hits_whatever_its_boundary(store: Store) {
        let upstream = Upstream::start().await;
        for config in cached(store, &upstream) {
            let proxq = Proxq::start(config.set("inlineBodyLimit", 1000)).await;
            for content in ["small".to_owned(), "large".repeat(10_000)] {
                let form = |boundary: &str, content: &str| {
                    let body = format!("--{boundary}\r\nContent-Disposition: form-data; name=a\r\n\r\n{content}\r\n--{boundary}--\r\n");
                    post("/x").header("Content-Type", format!("multipart/form-data; boundary={boundary}")).body(body)
                };
                assert!(!hits(&proxq, form("one", &content)).await);
                assert!(hits(&proxq, form("another", &content)).await);
                assert!(!hits(&proxq, form("one", &format!("{content}!"))).await);
            }
        }
    }

    async fn retries_and_other_versions_of_an_sdk_hit(store: Store) {
        let upstream = Upstream::start().await;
        for config in cached(store, &upstream) {
            let proxq = Proxq::start(config.upstream("cacheKeyExcludeHeaders", vec!["user-agent", "x-datadog-*"])).await;
            let ask = |version: &str, retry: &str| {
                let ask = post("/v1/embeddings").header("Authorization", "Bearer k").header("User-Agent", format!("OpenAI/Python {version}"));
                let ask = ask.header("X-Stainless-Package-Version", version).header("x-stainless-retry-count", retry);
                ask.header("x-datadog-trace-id", format!("{version}{retry}")).body("{}")
            };
            assert!(!hits(&proxq, ask("3.3", "0")).await);
            assert!(hits(&proxq, ask("3.3", "1")).await);
            assert!(hits(&proxq, ask("2.0", "0").header("baggage", "a=b")).await);
        }
    }

    async fn a_response_is_gone_after_its_time_to_live(store: Store) {
        let upstream = Upstream::start().await;
        for config in cached(store, &upstream) {
            let proxq = Proxq::start(config.set("cache.ttl", "1s")).await;
            assert!(!hits(&proxq, get("/x")).await);
            assert!(hits(&proxq, get("/x")).await);
            outlast(Duration::from_millis(1100)).await;
            assert!(!hits(&proxq, get("/x")).await);
        }
    }

    async fn requests_differ_by_whatever_the_answer_may_depend_on(store: Store) {
        let upstream = Upstream::start().await;
        for config in cached(store, &upstream) {
            let proxq = Proxq::start(config).await;
            let same_host = |request: Request| request.header("Host", "front");
            let ask = || same_host(post("/x?a=1").header("Authorization", "one").header("X-A", "1").header("X-A", "2"));
            assert!(!hits(&proxq, ask()).await);
            for other in [
                same_host(put("/x?a=1").header("Authorization", "one").header("X-A", "1").header("X-A", "2")),
                same_host(post("/x?a=2").header("Authorization", "one").header("X-A", "1").header("X-A", "2")),
                same_host(post("/x?a=1").header("Authorization", "two").header("X-A", "1").header("X-A", "2")),
                same_host(post("/x?a=1").header("Authorization", "one").header("X-A", "2").header("X-A", "1")),
                post("/x?a=1").header("Host", "back").header("Authorization", "one").header("X-A", "1").header("X-A", "2"),
                ask().body("x"),
                ask().header("X-Forwarded-Host", "front2"),
                ask().header("X-B", ""),
            ] {
                assert!(!hits(&proxq, other.clone()).await, "{other:?}");
                assert!(hits(&proxq, other.clone()).await, "{other:?}");
            }
            let reordered = post("/x?a=1").header("x-a", "1").header("Host", "front").header("x-a", "2");
            assert!(hits(&proxq, reordered.header("authorization", "one")).await);
        }
    }

    async fn headers_that_only_identify_a_sending_do_not_count(store: Store) {
        let upstream = Upstream::start().await;
        for config in cached(store, &upstream) {
            let proxq = Proxq::start(config).await;
            assert!(!hits(&proxq, get("/x")).await);
            for (name, value) in [
                ("X-Request-ID", "1"),
                ("X-Forwarded-For", "198.51.100.7"),
                ("X-Real-IP", "198.51.100.7"),
                ("X-Forwarded-Proto", "https"),
                ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
                ("tracestate", "a=b"),
                ("Idempotency-Key", "\"1\""),
                ("X-Proxq-Timeout", "10s"),
            ] {
                assert!(hits(&proxq, get("/x").header(name, value)).await, "{name}");
            }
        }
    }

    async fn an_upstreams_list_of_excluded_headers_replaces_the_default(store: Store) {
        let upstream = Upstream::start().await;
        for config in cached(store, &upstream) {
            let proxq = Proxq::start(config.upstream("cacheKeyExcludeHeaders", vec!["x-noise"])).await;
            assert!(!hits(&proxq, get("/x")).await);
            for (name, value) in [("X-Noise", "1"), ("tracestate", "a=b"), ("Idempotency-Key", "\"1\"")] {
                assert!(hits(&proxq, get("/x").header(name, value)).await, "{name}");
            }
            for name in ["X-Request-ID", "X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto"] {
                for expected in [false, true] {
                    assert_eq!(hits(&proxq, get("/x").header(name, "198.51.100.7")).await, expected, "{name}");
                }
            }
        }
    }

    async fn the_clients_host_is_part_of_the_key_where_it_is_preserved(store: Store) {
        let upstream = Upstream::start().await;
        for config in cached(store, &upstream) {
            let proxq = Proxq::start(config.upstream("preserveHost", true)).await;
            let ask = |host: &str| get("/x").header("Host", host).header("X-Forwarded-Host", "public");
            assert!(!hits(&proxq, ask("one")).await);
            assert!(!hits(&proxq, ask("two")).await);
            assert!(hits(&proxq, ask("one")).await);
        }
    }

    async fn without_a_cache_content_has_only_the_upstreams_cache_status(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::status(200));
        upstream.always(Answer::status(200).header("X-Cache-Status", "STALE").header("X-Cache-Status", "EVEN"));
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        assert!(!proxq.through_queue(get("/x")).await.head.has("x-cache-status"));
        let reply = proxq.through_queue(get("/x")).await;
        assert_eq!(reply.head.values("x-cache-status"), ["STALE", "EVEN"]);
        for config in cached(store, &upstream) {
            let proxq = Proxq::start(config).await;
            for expected in ["MISS", "HIT"] {
                assert_eq!(proxq.through_queue(get("/x")).await.head.values("x-cache-status"), [expected]);
            }
        }
    }

    async fn direct_requests_skip_the_cache(store: Store) {
        let upstream = Upstream::start().await;
        for config in cached(store, &upstream) {
            let proxq = Proxq::start(config).await;
            assert!(!hits(&proxq, get("/x")).await);
            let direct = proxq.send(get("/x").header("X-Proxq-Mode", "direct")).await;
            assert!(!direct.head.has("x-cache-status"), "{direct}");
            assert!(!hits(&proxq, get("/y").header("X-Proxq-Mode", "queue")).await);
        }
    }

    async fn large_bodies_are_cached_both_ways(store: Store) {
        const LENGTH: u64 = 3 << 20;
        let upstream = Upstream::start().await;
        upstream.always(Answer::status(200).pattern(Pattern::new(1, LENGTH)));
        for config in cached(store, &upstream) {
            let proxq = Proxq::start(config.set("inlineBodyLimit", 1000)).await;
            let ask = |seed| post("/x").pattern(Pattern::new(seed, LENGTH));
            assert!(!hits(&proxq, ask(2)).await);
            let before = proxq.large_bodies();
            let job = proxq.submit(ask(2)).await;
            assert_eq!(verdict(&proxq.response(&job).await), "HIT");
            assert_eq!(proxq.content_digest(&job).await, Pattern::new(1, LENGTH).digest());
            assert_eq!(proxq.large_bodies(), before + 2, "a hit has a body of its own");
            proxq.cancel(&job).await;
            assert!(hits(&proxq, ask(2)).await, "which goes with its job and not with the cache");
            assert!(!hits(&proxq, ask(3)).await);
        }
    }

    async fn memory_is_bounded_by_entries_and_by_bytes(store: Store) {
        let upstream = Upstream::start().await;
        upstream.plan(|head| Answer::status(200).body(vec![b'x'; head.word(1).len() * 1000]));
        let config = store.config_for(&upstream).set("cache.mode", "memory");
        let mut proxq = Proxq::start(config.clone().set("cache.maxEntries", 2)).await;
        for path in ["/a", "/b"] {
            assert!(!hits(&proxq, get(path)).await);
        }
        assert!(hits(&proxq, get("/a")).await);
        assert!(!hits(&proxq, get("/c")).await);
        assert!(hits(&proxq, get("/a")).await, "it was asked for last");
        assert!(!hits(&proxq, get("/b")).await, "it was not asked for the longest");
        proxq.stop().await; // it would take jobs from the same queue, with a cache of its own
        let proxq = Proxq::start(config.set("cache.maxBytes", 100_000)).await;
        let (large, too_large) = ("/large789", "/too/large");
        for path in [large, too_large] {
            assert!(!hits(&proxq, get(path)).await);
        }
        assert!(hits(&proxq, get(large)).await);
        assert!(!hits(&proxq, get(too_large)).await, "more than a tenth");
        for number in 0..12 {
            assert!(!hits(&proxq, get(&format!("/number{number:02}"))).await);
        }
        assert!(!hits(&proxq, get(large)).await, "there were too many after it");
    }
}
