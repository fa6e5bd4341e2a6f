//! Tests of `Idempotency-Key`: the same request again makes no second job.

use std::time::Duration;

use harness::{Answer, Gate, Proxq, Reply, Request, Store, Upstream, get, on_every_store, once, post, put};
use tokio::task::JoinSet;

const REPLAYED: &str = "idempotency-replayed";

fn keyed(key: &str) -> Request {
    post("/x").header("Idempotency-Key", key).body("the same")
}

/// The job of a submission, and whether that made it.
async fn submit(proxq: &Proxq, request: Request) -> (String, bool) {
    let reply = proxq.send(request).await;
    assert_eq!(reply.status, 202, "{reply}");
    let replayed = reply.header(REPLAYED);
    assert!(replayed.as_deref().is_none_or(|value| value == "true"), "{replayed:?}");
    let id = reply.json()["jobId"].as_str().expect("an id").to_owned();
    assert_eq!(reply.header("x-proxq-job-id").as_ref(), Some(&id));
    assert_eq!(reply.header("location"), Some(format!("/__jobs/{id}")));
    (id, replayed.is_none())
}

/// Submits what must be the job of an earlier submission.
async fn replayed(proxq: &Proxq, request: Request, id: &str) {
    assert_eq!(submit(proxq, request).await, (id.to_owned(), false));
}

/// Submits what must be a new job.
async fn fresh(proxq: &Proxq, request: Request) -> String {
    let (id, is_new) = submit(proxq, request).await;
    assert!(is_new, "{id} was there before");
    id
}

async fn ended(proxq: &Proxq, id: &str) -> Reply {
    let reply = proxq.send(get(&format!("/__jobs/{id}?wait=30s"))).await;
    assert!(["completed", "failed"].contains(&reply.json()["status"].as_str().unwrap()), "{reply}");
    reply
}

on_every_store! {
    async fn sixty_four_submissions_at_once_make_one_job(proxq: Proxq, upstream: Upstream) {
        let mut submissions = JoinSet::new();
        for _ in 0..64 {
            let client = proxq.clone();
            submissions.spawn(async move { client.send(keyed("\"k\"")).await });
        }
        let replies = submissions.join_all().await;
        let ids: Vec<_> = replies.iter().map(|reply| reply.json()["jobId"].clone()).collect();
        assert!(replies.iter().all(|reply| reply.status == 202) && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(replies.iter().filter(|reply| !reply.head.has(REPLAYED)).count(), 1);
        ended(&proxq, ids[0].as_str().unwrap()).await;
        assert_eq!(upstream.received().len(), 1);
        assert_eq!(upstream.request().await.header("Idempotency-Key").as_deref(), Some("\"k\""), "it is forwarded");
    }

    async fn a_key_is_for_one_request(proxq: Proxq, _upstream: Upstream) {
        let key = |request: Request| request.header("Idempotency-Key", "k");
        let typed = |value| keyed("k").header("Content-Type", value);
        let first = fresh(&proxq, typed("text/plain").header("X-Other", "1")).await;
        for other in [
            key(put("/x")).body("the same").header("Content-Type", "text/plain"),
            key(post("/y")).body("the same").header("Content-Type", "text/plain"),
            key(post("/x?q")).body("the same").header("Content-Type", "text/plain"),
            key(post("/x")).body("another").header("Content-Type", "text/plain"),
            typed("text/html"),
            keyed("k"),
            typed("text/plain").header("Content-Encoding", "br"),
        ] {
            let reply = proxq.send(other).await;
            reply.refused(422, "IDEMPOTENCY_MISMATCH");
            assert!(reply.detail().contains("Idempotency-Key"), "{}", reply.detail());
        }
        replayed(&proxq, typed("text/plain").header("X-Other", "2"), &first).await;
        fresh(&proxq, keyed("another key")).await;
    }

    async fn an_upload_is_the_same_whatever_its_boundary(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("inlineBodyLimit", 1000)).await;
        let form = |key: &str, boundary: &str, name: &str, content: &str| {
            let head = format!("Content-Disposition: form-data; name={name}; filename=f");
            let body = format!("--{boundary}\r\n{head}\r\n\r\n{content}\r\n--{boundary}--\r\n");
            let content_type = format!("multipart/form-data; boundary={boundary}");
            post("/x").header("Idempotency-Key", key).header("Content-Type", content_type).body(body)
        };
        for (key, content) in [("small", "audio\r\n--two".to_owned()), ("large", "audio\r\n".repeat(50_000))] {
            let first = fresh(&proxq, form(key, "one", "file", &content)).await;
            replayed(&proxq, form(key, "two-and-longer", "file", &content), &first).await;
            for other in [
                form(key, "one", "file", &format!("{content}!")),
                form(key, "one", "other", &content),
                form(key, "one", "file", &content).header("Content-Encoding", "identity"),
                post("/x").header("Idempotency-Key", key).header("Content-Type", "text/plain").body(content.clone()),
            ] {
                proxq.send(other).await.refused(422, "IDEMPOTENCY_MISMATCH");
            }
        }
        let broken = |boundary: &str| {
            let content_type = format!("multipart/form-data; boundary={boundary}");
            let body = format!("--{boundary}\r\n\r\nno end");
            post("/x").header("Idempotency-Key", "broken").header("Content-Type", content_type).body(body)
        };
        let first = fresh(&proxq, broken("one")).await;
        replayed(&proxq, broken("one"), &first).await;
        proxq.send(broken("two")).await.refused(422, "IDEMPOTENCY_MISMATCH");
    }

    async fn a_key_belongs_to_every_header_that_names_a_credential(proxq: Proxq, _upstream: Upstream) {
        for name in ["X-Api-Token", "X_Api_Key", "X-Client-Secret", "X-Session-Id", "Cookie", "X-User-Password"] {
            let keyed = |value: &str| keyed(name).header(name, value);
            let first = fresh(&proxq, keyed("a")).await;
            let other = fresh(&proxq, keyed("b")).await;
            assert_ne!(first, other, "{name}");
            replayed(&proxq, keyed("a"), &first).await;
        }
        for name in ["X-Author", "X-Max-Tokens"] {
            let first = fresh(&proxq, keyed(name).header(name, "a")).await;
            replayed(&proxq, keyed(name).header(name, "b"), &first).await;
        }
    }

    async fn large_bodies_of_one_length_are_different_requests(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("inlineBodyLimit", 1000)).await;
        let before = proxq.large_bodies();
        let body = |last: u8| [vec![b'x'; 300_000], vec![last]].concat();
        let large = |last| post("/x").header("Idempotency-Key", "k").body(body(last));
        let first = fresh(&proxq, large(b'a')).await;
        replayed(&proxq, large(b'a'), &first).await;
        proxq.send(large(b'b')).await.refused(422, "IDEMPOTENCY_MISMATCH");
        ended(&proxq, &first).await;
        assert_eq!(upstream.request().await.text().len(), 300_001);
        proxq.keeps_large_bodies(before + 1).await;
    }

    async fn a_key_belongs_to_its_credential_and_its_upstream(store: Store) {
        let (one, two) = (Upstream::start().await, Upstream::start().await);
        let config = store.config();
        let config = config.route(harness::Route::new("/one", &one.url())).route(harness::Route::new("/two", &two.url()));
        let proxq = Proxq::start(config).await;
        let keyed = |path: &str, token: &str| {
            post(path).header("Idempotency-Key", "k").header("Authorization", token).body("the same")
        };
        let first = fresh(&proxq, keyed("/one", "Bearer a")).await;
        let other = fresh(&proxq, keyed("/one", "Bearer b")).await;
        let elsewhere = fresh(&proxq, keyed("/two", "Bearer a")).await;
        assert!(first != other && first != elsewhere);
        replayed(&proxq, keyed("/one", "Bearer a"), &first).await;
        replayed(&proxq, keyed("/one", "Bearer b"), &other).await;
    }

    async fn a_key_is_free_again_when_another_try_is_due(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        for status in [408, 425, 429, 500, 502, 503, 504] {
            upstream.once(Answer::status(status));
            let id = fresh(&proxq, keyed("k")).await;
            ended(&proxq, &id).await;
        }
        let cancelled = fresh(&proxq, keyed("k")).await;
        proxq.send(harness::delete(&format!("/__jobs/{cancelled}"))).await;
        upstream.answers(404, "an answer like any other");
        let last = fresh(&proxq, keyed("k")).await;
        ended(&proxq, &last).await;
        replayed(&proxq, keyed("k"), &last).await;
    }

    async fn a_key_is_free_again_when_nothing_was_sent_and_kept_in_doubt(store: Store) {
        let refusing = harness::Refusing::new();
        let upstream = Upstream::start().await;
        upstream.always(Answer::nothing().reset());
        let routes = [("/refusing", refusing.url()), ("/breaking", upstream.url())];
        let config = routes.iter().fold(store.config(), |config, (prefix, url)| config.route(harness::Route::new(prefix, url)));
        let proxq = Proxq::start(config).await;
        let keyed = |path: &str| post(path).header("Idempotency-Key", "k");
        let first = fresh(&proxq, keyed("/refusing")).await;
        assert_eq!(ended(&proxq, &first).await.json()["outcome"], "not_sent");
        fresh(&proxq, keyed("/refusing")).await;
        let doubtful = fresh(&proxq, keyed("/breaking")).await;
        assert_eq!(ended(&proxq, &doubtful).await.json()["outcome"], "indeterminate");
        replayed(&proxq, keyed("/breaking"), &doubtful).await;
        assert_eq!(upstream.received().len(), 1, "nothing is sent twice");
    }

    async fn a_key_expires(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("idempotency", serde_json::json!({"ttl": "500ms"}))).await;
        let first = fresh(&proxq, keyed("k")).await;
        harness::outlast(Duration::from_millis(501)).await;
        let second = fresh(&proxq, keyed("k")).await;
        assert_ne!(first, second);
    }

    async fn a_key_outlives_a_crash(store: Store) {
        let (mut proxq, _upstream) = store.pair().await;
        let first = fresh(&proxq, keyed("k")).await;
        proxq.kill();
        proxq.start_again().await;
        replayed(&proxq, keyed("k"), &first).await;
    }

    async fn a_replay_can_be_waited_for(proxq: Proxq, upstream: Upstream) {
        let gate = Gate::new();
        upstream.once(Answer::status(200).body("once").wait(&gate));
        let first = fresh(&proxq, keyed("k")).await;
        upstream.arrivals(1).await;
        gate.open();
        let reply = proxq.send(keyed("k").header("X-Proxq-Wait", "30s")).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "once"));
        assert_eq!(reply.header("x-proxq-job-id"), Some(first));
        assert_eq!(reply.header(REPLAYED).as_deref(), Some("true"));
        assert_eq!(upstream.received().len(), 1);
    }

    async fn the_same_id_and_key_are_the_same_job(proxq: Proxq, _upstream: Upstream) {
        let id = proxq_protocol::JobId::new();
        let both = || keyed("k").header("X-Proxq-Job-Id", id.to_string());
        assert_eq!(fresh(&proxq, both()).await, id.to_string());
        replayed(&proxq, both(), &id.to_string()).await;
        replayed(&proxq, keyed("k"), &id.to_string()).await;
    }
}

once! {
    async fn a_bad_key_is_refused(proxq: Proxq, upstream: Upstream) {
        for request in [keyed(""), keyed("a").header("Idempotency-Key", "b")] {
            let reply = proxq.send(request).await;
            reply.refused(400, "BAD_HEADER");
            assert!(reply.detail().contains("Idempotency-Key"), "{}", reply.detail());
        }
        let direct = proxq.send(keyed("").header("X-Proxq-Mode", "direct")).await;
        assert_eq!(direct.status, 200, "of no matter to a request that is not queued");
        assert_eq!(upstream.received().len(), 1);
    }
}
