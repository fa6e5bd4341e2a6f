//! Tests of a reload by SIGHUP: the new configuration counts, and whatever is under way goes on undisturbed.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::{
    Answer, Gate, Proxq, RawUpstream, Route, Store, Upstream, eventually, get, never_within, on_every_store, once, post,
};
use proxq_protocol::JobStatus;
use tokio::task::JoinSet;

fn to(upstream: &Upstream) -> Route {
    Route::new("/", &upstream.url())
}

fn under(prefix: &str, upstream: &Upstream) -> Route {
    Route::new(prefix, &upstream.url())
}

on_every_store! {
    async fn a_new_upstream_is_served_and_a_removed_one_is_gone(store: Store) {
        let (old, new) = (Upstream::start().await, Upstream::start().await);
        let base = store.config();
        let proxq = Proxq::start(base.clone().route(under("/old", &old))).await;
        proxq.send(post("/new/x")).await.refused(502, "NO_UPSTREAM");
        let changed = proxq.reload(base.clone().route(under("/new", &new))).await;
        assert_eq!(changed, "upstreams[/new] (added), upstreams[/old] (removed)");
        proxq.through_queue(post("/new/x")).await;
        assert_eq!(new.request().await.target(), "/x");
        proxq.send(post("/old/x")).await.refused(502, "NO_UPSTREAM");
        assert!(old.received().is_empty());
    }

    async fn a_job_of_a_removed_upstream_is_worked_on_as_before(store: Store) {
        let (old, new) = (Upstream::start_tls().await, Upstream::start().await);
        old.once(Answer::nothing().close());
        let route = under("/old", &old).set("tls.caFile", old.ca_file()).set("maxRetries", 1).set("retryDelay", "1ms");
        let base = store.config().set("concurrency", 0);
        let proxq = Proxq::start(base.clone().route(route.set("idempotentUpstream", true))).await;
        let job = proxq.submit(post("/old/x").header("Idempotency-Key", "k")).await;
        proxq.reload(base.clone().route(under("/new", &new))).await;
        proxq.reload(base.route(under("/new", &new)).set("concurrency", 1)).await;
        assert_eq!(proxq.response(&job).await.status, 200);
        assert_eq!(old.deliveries(job.id), 2, "its retries and its authority are known as well");
    }

    async fn an_upstream_that_moves_keeps_the_jobs_that_it_was_given(store: Store) {
        let (old, new) = (Upstream::start().await, Upstream::start().await);
        let base = store.config().set("concurrency", 0);
        let proxq = Proxq::start(base.clone().route(to(&old))).await;
        let job = proxq.submit(post("/x")).await;
        assert_eq!(proxq.reload(base.clone().route(to(&new))).await, "upstreams[/].url");
        assert_eq!(proxq.reload(base.route(to(&new)).set("concurrency", 1)).await, "concurrency");
        proxq.response(&job).await;
        assert_eq!(old.deliveries(job.id), 1);
        proxq.through_queue(post("/y")).await;
        assert_eq!(new.received().len(), 1);
    }

    async fn retries_count_for_the_next_verdict_and_a_timeout_for_the_next_job(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.once(Answer::nothing().wait(&gate).close());
        let config = store.config_for(&upstream).upstream("delivery", "at-least-once");
        let proxq = Proxq::start(config.clone()).await;
        let job = proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        let config = config.upstream("maxRetries", 1).upstream("retryDelay", "1ms");
        assert_eq!(proxq.reload(config.clone()).await, "upstreams[/].maxRetries, upstreams[/].retryDelay");
        gate.open();
        proxq.response(&job).await;
        assert_eq!(upstream.deliveries(job.id), 2, "it was retried, as it would not have been when it began");
        upstream.always(Answer::nothing().hang());
        proxq.reload(config.upstream("maxRetries", 0).upstream("timeout", "50ms")).await;
        let late = proxq.submit(post("/x")).await;
        assert!(proxq.settled(&late).await.error.unwrap().contains("50ms"));
    }

    async fn a_cache_is_put_in_kept_and_taken_out(store: Store) {
        let upstream = Upstream::start().await;
        let base = store.config().route(to(&upstream));
        let memory = base.clone().set("cache.mode", "memory");
        let proxq = Proxq::start(base.clone()).await;
        let status = async || proxq.through_queue(post("/x")).await.header("x-cache-status");
        assert_eq!(status().await, None);
        proxq.reload(memory.clone()).await;
        assert_eq!(status().await.as_deref(), Some("MISS"));
        assert_eq!(status().await.as_deref(), Some("HIT"));
        proxq.reload(memory.clone().set("maxWait", "59s")).await;
        assert_eq!(status().await.as_deref(), Some("HIT"), "a change of something else empties no cache");
        proxq.reload(memory.set("cache.maxEntries", 5)).await;
        assert_eq!(status().await.as_deref(), Some("MISS"), "another cache is an empty one");
        proxq.reload(base).await;
        assert_eq!(status().await, None);
    }

    async fn a_running_attempt_is_not_disturbed(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.once(Answer::status(200).body("long ").wait(&gate).then(""));
        let base = store.config();
        let proxq = Proxq::start(base.clone().route(under("/a", &upstream))).await;
        let job = proxq.submit(post("/a/x")).await;
        upstream.arrivals(1).await;
        proxq.reload(base.route(under("/b", &upstream)).set("maxResponseSize", 1).set("concurrency", 1)).await;
        gate.open();
        assert_eq!(proxq.response(&job).await.text(), "long ");
        assert_eq!(upstream.deliveries(job.id), 1);
        let next = proxq.submit(post("/b/x")).await;
        upstream.always(Answer::status(200).body("more than one byte"));
        let _ended = proxq.settled(&next).await;
        let too_large = proxq.submit(post("/b/x")).await;
        assert!(proxq.settled(&too_large).await.error.unwrap().contains("maxResponseSize"));
    }

    async fn a_request_whose_body_is_on_its_way_ends_as_it_began(store: Store) {
        let upstream = Upstream::start().await;
        let base = store.config();
        let proxq = Proxq::start(base.clone().route(under("/a", &upstream))).await;
        let mut wire = proxq.wire().await;
        wire.send("POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 8\r\n\r\n").await;
        wire.comes("HTTP/1.1 100 Continue\r\n\r\n").await; // it has been routed
        wire.send("half").await;
        let changed = proxq.reload(base.route(under("/b", &upstream).set("maxBodySize", 1))).await;
        assert!(changed.contains("[/a] (removed)"), "{changed}");
        wire.send("half").await;
        assert_eq!(wire.reply().await.status, 202);
        assert_eq!(upstream.request().await.text(), "halfhalf");
    }

    async fn connections_to_a_removed_upstream_end(store: Store) {
        let (old, new) = (Upstream::start().await, Upstream::start().await);
        let base = store.config();
        let proxq = Proxq::start(base.clone().route(under("/a", &old)).route(under("/b", &new))).await;
        proxq.through_queue(get("/a")).await;
        proxq.reload(base.route(under("/b", &new))).await;
        old.quiet().await;
    }

    async fn attempts_at_once_can_be_more_fewer_and_none(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).wait(&gate));
        let config = store.config_for(&upstream);
        let proxq = Proxq::start(config.clone().set("concurrency", 1)).await;
        let mut jobs = Vec::new();
        for _ in 0..6 {
            jobs.push(proxq.submit(post("/x")).await);
        }
        upstream.arrivals(1).await;
        assert_eq!(proxq.reload(config.clone().set("concurrency", 3)).await, "concurrency");
        upstream.arrivals(3).await;
        proxq.reload(config.clone().set("concurrency", 1)).await;
        gate.let_through(2);
        let ended = async || completed(&proxq, &jobs).await == 2;
        eventually("two of three have ended", ended).await;
        assert_eq!(upstream.received().len(), 3, "the third holds the only place");
        proxq.reload(config.clone().set("concurrency", 0)).await;
        gate.let_through(1);
        eventually("the third has ended", async || completed(&proxq, &jobs).await == 3).await;
        gate.open();
        jobs.push(proxq.submit(post("/x")).await);
        never_within(Duration::from_millis(300), "a front sends something", upstream.arrivals(4)).await;
        proxq.reload(config.set("concurrency", 2)).await;
        for job in &jobs {
            proxq.response(job).await;
        }
        assert_eq!(upstream.received().len(), 7);
    }

    async fn another_certificate_under_the_same_name_is_read(store: Store) {
        let (upstream, other) = (Upstream::start_tls().await, Upstream::start_tls().await);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let file = folder.path().join("ca.pem");
        fs::copy(other.ca_file(), &file).expect("the folder is ours");
        let config = store.config_for(&upstream).upstream("tls.caFile", file.display().to_string());
        let proxq = Proxq::start(config.clone()).await;
        let job = proxq.submit(post("/x")).await;
        assert_eq!(proxq.settled(&job).await.status, JobStatus::Failed);
        fs::copy(upstream.ca_file(), &file).expect("the folder is ours");
        assert_eq!(proxq.reload(config).await, "upstreams[/].tls (contents of files)");
        proxq.through_queue(post("/x")).await;
    }

    async fn a_hundred_reloads_under_load_lose_nothing_and_leave_nothing(store: Store) {
        const CLIENTS: usize = 8;
        /// Connections to a store are opened as needed, and more may have been needed at once. Far below one a reload.
        const FILES_MARGIN: usize = 12;
        let (upstream, extra) = (Upstream::start().await, Upstream::start().await);
        upstream.always(Answer::echo());
        let config = store.config().route(under("/a", &upstream));
        let proxq = Proxq::start(config.clone()).await;
        let load = |over: &Arc<AtomicBool>| {
            let mut clients = JoinSet::new();
            for number in 0..CLIENTS {
                let (client, over) = ((*proxq).clone(), Arc::clone(over));
                clients.spawn(async move {
                    let mut sent = 0;
                    while sent < 10 || !over.load(Ordering::Relaxed) {
                        let text = format!("{number}-{sent}");
                        assert_eq!(client.through_queue(post("/a").body(text.as_str())).await.text(), text);
                        let direct = post("/a").header("X-Proxq-Mode", "direct").body(text.as_str());
                        assert_eq!(client.send(direct).await.from_upstream(200).text(), text);
                        sent += 1;
                    }
                    sent
                });
            }
            clients
        };
        // Files that are opened at their first use are open from now on.
        let warmed: usize = load(&Arc::new(AtomicBool::new(true))).join_all().await.into_iter().sum();
        upstream.quiet().await;
        let idle = proxq.open_files();
        let over = Arc::new(AtomicBool::new(false));
        let clients = load(&over);
        for turn in 0..100_u32 {
            let other = under(&format!("/extra{turn}"), &extra).set("maxRetries", turn);
            proxq.reload(config.clone().route(other).set("concurrency", 1 + turn % 7)).await;
        }
        over.store(true, Ordering::Relaxed);
        let sent: usize = clients.join_all().await.into_iter().sum();
        assert_eq!(upstream.received().len(), 2 * (warmed + sent), "each request once");
        upstream.quiet().await;
        let what = format!("about {idle} files are open again");
        eventually(&what, async || proxq.open_files() <= idle + FILES_MARGIN).await;
    }
}

once! {
    async fn a_kept_connection_sees_the_new_routes(store: Store) {
        let upstream = Upstream::start().await;
        let base = store.config();
        let proxq = Proxq::start(base.clone().route(under("/a", &upstream))).await;
        let mut wire = proxq.wire().await;
        let request = "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
        wire.send(request).await;
        wire.reply().await.refused(502, "NO_UPSTREAM");
        proxq.reload(base.route(under("/b", &upstream))).await;
        wire.send(request).await;
        assert_eq!(wire.reply().await.status, 202);
    }

    async fn a_stream_goes_on(store: Store) {
        let (old, new) = (RawUpstream::start().await, Upstream::start().await);
        let base = store.config();
        let proxq = Proxq::start(base.clone().route(Route::new("/a", &old.url()))).await;
        let mut client = proxq.wire().await;
        client.send("GET /a HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n").await;
        let mut served = old.accept().await;
        served.head().await;
        served.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
        client.head().await;
        client.comes("3\r\none\r\n").await;
        for turn in ["/b", "/c"] {
            proxq.reload(base.clone().route(under(turn, &new))).await;
            served.send("4\r\nmore\r\n").await;
            client.comes("4\r\nmore\r\n").await;
        }
        served.send("0\r\n\r\n").await;
        client.comes("0\r\n\r\n").await;
    }

    async fn connections_to_an_upstream_that_stays_are_kept(store: Store) {
        let (stays, goes) = (Upstream::start().await, Upstream::start().await);
        let base = store.config().route(under("/a", &stays));
        let proxq = Proxq::start(base.clone().route(under("/b", &goes))).await;
        let direct = || get("/a").header("X-Proxq-Mode", "direct");
        for turn in 0..10 {
            proxq.send(direct()).await.from_upstream(200);
            proxq.reload(base.clone().route(under("/b", &goes).set("maxRetries", turn + 1))).await;
        }
        assert!(stays.connections() < 5, "{} connections for 10 requests", stays.connections());
    }

    async fn connections_at_once_can_be_more_and_fewer(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream);
        let proxq = Proxq::start(config.clone().set("limits.maxConnections", 1)).await;
        let probe = "GET /__jobs/healthz HTTP/1.1\r\nHost: h\r\n\r\n";
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let (mut first, mut second) = (proxq.wire().await, proxq.wire().await);
        first.send("GET /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Mode: direct\r\n\r\n").await;
        upstream.request().await; // a connection without a request would give way
        second.send(probe).await;
        proxq.reload(config.clone().set("limits.maxConnections", 2)).await;
        assert_eq!(second.reply().await.status, 200, "it waited for a place");
        proxq.reload(config.set("limits.maxConnections", 1)).await;
        gate.open();
        first.reply().await.from_upstream(200);
        for wire in [&mut first, &mut second] {
            wire.send(probe).await;
            assert_eq!(wire.reply().await.status, 200, "who is there may stay");
        }
    }

    async fn of_two_requests_in_quick_succession_the_last_file_counts(store: Store) {
        let upstream = Upstream::start().await;
        let base = store.config();
        let proxq = Proxq::start(base.clone().route(under("/a", &upstream))).await;
        for turn in 0..20 {
            for prefix in ["/b", "/c"] {
                proxq.rewrite(base.clone().route(under(&format!("{prefix}{turn}"), &upstream)));
                proxq.hang_up();
            }
            let path = format!("/c{turn}");
            eventually("the last file counts", async || proxq.send(post(&path)).await.status == 202).await;
            proxq.send(post(&format!("/b{turn}"))).await.refused(502, "NO_UPSTREAM");
        }
    }
}

/// How many of these jobs are completed.
async fn completed(proxq: &Proxq, jobs: &[harness::Job]) -> usize {
    let mut done = 0;
    for job in jobs {
        done += usize::from(proxq.status(job).await.status == JobStatus::Completed);
    }
    done
}
