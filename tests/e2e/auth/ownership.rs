//! Tests of whose a job is: to all others it does not exist.

use std::fs;
use std::time::Duration;

use harness::{
    Answer, Gate, Job, Proxq, Request, Route, Store, Upstream, delete, eventually, get, head, on_every_store,
    on_the_store, post,
};
use proxq_protocol::JobId;
use serde_json::json;
use tokio::time::Instant;

use super::{OTHER, OWN, TOKEN, completed, is_refused, other, own, tokens, with_owners};

on_every_store! {
    async fn what_belongs_to_another_does_not_exist(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(with_owners(store.config_for(&upstream))).await;
        let theirs = completed(&proxq).await.id;
        let nobodys = JobId::new();
        let questions: [fn(&str) -> Request; 14] = [
            |job| get(job),
            |job| head(job),
            |job| get(&format!("{job}?wait=30s")),
            |job| get(&format!("{job}/content")),
            |job| head(&format!("{job}/content")),
            |job| get(&format!("{job}/content?wait=30s")),
            |job| get(&format!("{job}/content?hop=1")),
            |job| get(&format!("{job}/content?hop=99")),
            |job| get(&format!("{job}/content?pending=202")),
            |job| delete(&format!("{job}/content?pending=202")),
            |job| get(&format!("{job}/events")),
            |job| delete(job),
            |job| post(&format!("{job}/retry")),
            |job| post(&format!("{job}/retry?confirm=may-duplicate")),
        ];
        for question in questions {
            let mut raw = Vec::new();
            for id in [theirs, nobodys] {
                let request = other(question(&format!("/__jobs/{id}"))).header("X-Request-Id", "one");
                let what = format!("{request:?}");
                let reply = proxq.send(request).await;
                assert!([404, 410].contains(&reply.status), "{what}: {reply}");
                let fields = reply.head.fields().iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date"));
                let fields: Vec<String> = fields.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect();
                let all = format!("{}\n{}\n\n{}", reply.head.line(), fields.join("\n"), reply.text());
                raw.push(all.replace(&id.to_string(), "THE-ID"));
            }
            assert_eq!(raw[0], raw[1]);
        }
        assert_eq!(proxq.send(own(get(&format!("/__jobs/{theirs}")))).await.status, 200, "nothing has become of it");
    }

    async fn a_stranger_is_answered_at_once_while_the_owner_waits(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).body("late").wait(&gate));
        let proxq = Proxq::start(with_owners(store.config_for(&upstream)).set("maxWait", "10m")).await;
        let job = proxq.submit(own(post("/x"))).await;
        let mut wire = proxq.begin(own(get(&format!("{}/content?wait=10m", job.location)))).await;
        upstream.arrivals(1).await;
        for path in ["?wait=10m", "/content?wait=10m", "/events"] {
            proxq.send(other(get(&format!("{}{path}", job.location)))).await.refused(404, "NOT_FOUND");
        }
        proxq.send(other(get(&format!("{}/content?hop=1", job.location)))).await.refused(410, "GONE");
        proxq.send(other(delete(&job.location))).await.refused(404, "NOT_FOUND");
        gate.open();
        assert_eq!(wire.reply().await.text(), "late");
    }

    async fn an_id_is_its_owners_whatever_upstream_it_is_proposed_for(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).body("own").wait(&gate));
        let limited = Route::new("/limited", &upstream.url()).set("concurrency", 1);
        let config = store.config().route(Route::new("/plain", &upstream.url())).route(limited);
        let proxq = Proxq::start(with_owners(config)).await;
        for (first, second) in [("/plain/x", "/limited/x"), ("/limited/y", "/plain/y")] {
            let id = JobId::new();
            let under = |path: &str| post(path).header("X-Proxq-Job-Id", id.to_string());
            assert_eq!(proxq.submit(own(under(first))).await.id, id);
            for path in [first, second] {
                proxq.send(other(under(path).header("X-Proxq-Wait", "30s"))).await.refused(409, "JOB_ID_TAKEN");
            }
            proxq.send(own(under(second))).await.refused(409, "JOB_ID_TAKEN");
            assert_eq!(proxq.submit(own(under(first))).await.id, id);
        }
        gate.open();
    }

    async fn nobody_else_follows_a_redirect(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::status(307).header("Location", "/on"));
        upstream.answers(200, "there");
        let proxq = Proxq::start(with_owners(store.config_for(&upstream))).await;
        let id = JobId::new();
        let under = |path: &str| post(path).header("X-Proxq-Job-Id", id.to_string());
        assert_eq!(proxq.send(own(under("/x").header("X-Proxq-Wait", "30s"))).await.status, 307);
        for path in ["/on", "/x", "/z"] {
            proxq.send(other(under(path))).await.refused(409, "JOB_ID_TAKEN");
        }
        let reply = proxq.send(own(under("/on").header("X-Proxq-Wait", "30s"))).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "there"), "{reply}");
    }

    async fn an_operator_who_looks_on_is_not_the_client(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).body("late").wait(&gate));
        let roles = json!([{ "name": "a", "token": OWN }, { "name": "b", "token": OTHER, "admin": "read" }]);
        let config = with_owners(store.config_for(&upstream)).set("auth.tokens", roles).upstream("mode", "follow");
        let proxq = Proxq::start(config.set("admin.listenAddress", "127.0.0.1:0")).await;
        let operators = proxq.operators().await;
        let nth_try = |number: &str| own(post("/x").header("X-Stainless-Retry-Count", number));

        let client = proxq.begin(nth_try("0")).await;
        upstream.arrivals(1).await;
        let id = upstream.request().await.job_id().unwrap();
        let onlooker = proxq.begin(other(get(&format!("/__jobs/{id}/content?hop=1")))).await;
        eventually("both wait", async || {
            operators.send(other(get("/metrics"))).await.text().contains("\nproxq_wait_subscribers 2\n")
        })
        .await;
        drop(client);
        proxq.log().line("client went away before its answer").await.expect("the client's end is noted");
        let (reply, ()) = tokio::join!(proxq.send(nth_try("1")), async {
            proxq.log().line("joined the job of an earlier try").await.expect("nobody holds the call");
            gate.open();
        });
        assert_eq!((reply.status, reply.text().as_str()), (200, "late"), "{reply}");
        assert_eq!(upstream.deliveries(id), 1);
        drop(onlooker);
    }

    async fn without_tokens_a_job_belongs_to_its_api_key(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("auth.owner", "credential")).await;
        let key = |request: Request, key: &str| request.header("Authorization", key).header("Cookie", "changes=1");
        let job = proxq.submit(key(post("/x"), "Bearer a").header("X-Api-Key", "k")).await;
        for (authorization, api_key, status) in
            [("Bearer a", "k", 200), ("Bearer b", "k", 404), ("Bearer a", "other", 404), ("bearer a", "k", 404)]
        {
            let reply = proxq.send(key(get(&job.location), authorization).header("X-Api-Key", api_key)).await;
            assert_eq!(reply.status, status, "{authorization} {api_key}: {reply}");
        }
        assert_eq!(proxq.send(get(&job.location).header("Authorization", "Bearer a")).await.status, 404);
        let nobodys = proxq.submit(post("/x").header("Cookie", "a=1")).await;
        for request in [get(&nobodys.location), key(get(&nobodys.location), "Bearer whoever")] {
            assert_eq!(proxq.send(request).await.status, 200, "its id is all it takes");
        }
    }

    async fn the_token_counts_wherever_credentials_do(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("auth.tokens", tokens())).await;
        let id = JobId::new().to_string();
        let proposed = || post("/x").header("X-Proxq-Job-Id", &id);
        assert_eq!(proxq.submit(own(proposed())).await.id.to_string(), id);
        assert_eq!(proxq.submit(own(proposed()).header("Authorization", "Bearer refreshed")).await.id.to_string(), id);
        proxq.send(other(proposed())).await.refused(409, "JOB_ID_TAKEN");
        let keyed = || post("/x").header("Idempotency-Key", "k");
        let first = proxq.submit(own(keyed())).await;
        assert_eq!(proxq.submit(own(keyed())).await, first);
        assert_ne!(proxq.submit(other(keyed())).await.id, first.id);
    }

    async fn another_try_joins_only_a_job_of_its_own_token(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(with_owners(store.config_for(&upstream))).await;
        let held = |count: &str| {
            let request = post("/x").header("X-Proxq-Mode", "wait").header("X-Proxq-Wait", "0");
            request.header("X-Proxq-Delay", "1h").header("X-Stainless-Retry-Count", count)
        };
        let first = proxq.submit(own(held("0"))).await;
        assert_ne!(proxq.submit(other(held("1"))).await.id, first.id);
        assert_eq!(proxq.submit(own(held("1"))).await.id, first.id);
    }

    async fn a_follower_is_led_to_its_own_job_alone(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).body("late").wait(&gate));
        let config = with_owners(store.config_for(&upstream)).upstream("mode", "follow").upstream("followWait", "1s");
        let proxq = Proxq::start(config).await;
        let first = proxq.send(own(post("/x").header("X-Proxq-Wait", "0"))).await;
        assert_eq!(first.status, 303, "{first}");
        let hop = format!("/__jobs/{}/content?hop=1", first.header("X-Proxq-Job-Id").unwrap());
        assert_eq!(proxq.send(own(get(&hop))).await.status, 303);
        proxq.send(other(get(&hop))).await.refused(410, "GONE");
        is_refused(&proxq.send(get(&hop)).await);
        gate.open();
        assert_eq!(proxq.send(own(get(&hop))).await.text(), "late");
    }

    async fn a_reload_changes_who_is_let_in(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream);
        let proxq = Proxq::start(config.clone()).await;
        let before = proxq.submit(post("/x").header("Authorization", "Bearer a")).await;
        let file = proxq.folder().join("token");
        fs::write(&file, OWN).unwrap();
        let with_file = config.clone().set("auth.tokens", json!([{ "name": "a", "tokenFile": file.display().to_string() }]));
        assert_eq!(proxq.reload(with_file.clone()).await, "auth.tokens[a] (added)");
        is_refused(&proxq.send(post("/x")).await);
        assert_eq!(proxq.send(own(get(&before.location))).await.status, 200);
        fs::write(&file, OTHER).unwrap();
        assert_eq!(proxq.reload(with_file.clone()).await, "auth.tokens[a].tokenFile");
        is_refused(&proxq.send(own(post("/x"))).await);
        assert_eq!(proxq.send(other(post("/x"))).await.status, 202);
        let owned = with_file.set("auth.owner", "credential").set("auth.resultUrls", true);
        assert_eq!(proxq.reload(owned).await, "auth.owner, auth.resultUrls");
        proxq.send(other(get(&before.location))).await.refused(404, "NOT_FOUND");
        assert!(proxq.send(other(post("/x").header("X-Proxq-Result-Url", "1h"))).await.head.has("x-proxq-result-url"));
        proxq.reload(config).await;
        assert_eq!(proxq.send(get(&before.location)).await.status, 200);
    }

    async fn a_restart_keeps_jobs_with_their_owners(store: Store) {
        let upstream = Upstream::start().await;
        let config = with_owners(store.config_for(&upstream)).set("auth.resultUrls", true);
        let mut proxq = Proxq::start(config).await;
        let accepted = proxq.send(own(post("/x").header("X-Proxq-Result-Url", "24h"))).await;
        let (job, url) = (Job::of(&accepted), accepted.header("X-Proxq-Result-Url").unwrap());
        assert_eq!(proxq.send(own(get(&format!("{}/content?wait=30s", job.location)))).await.status, 200);
        proxq.stop().await;
        proxq.start_again().await;
        assert_eq!(proxq.send(own(get(&job.location))).await.status, 200);
        proxq.send(other(get(&job.location))).await.refused(404, "NOT_FOUND");
        assert_eq!(proxq.send(get(&url)).await.status, 200);
    }
}

/// How many questions about each of two jobs are timed.
const TIMED: usize = 10_000;
/// By how much the typical times may differ, in percent. What there is to see of a second question to the store is more than this.
const DIFFERENCE_MAX: u32 = 10;

on_every_store! {
    async fn what_belongs_to_another_takes_no_longer_than_what_does_not_exist(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(with_owners(store.config_for(&upstream))).await;
        let theirs = completed(&proxq).await.id;
        let mut wire = proxq.wire().await;
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..TIMED {
            // Each time another unknown id, and each kind as often first as second.
            let ids = [theirs, JobId::new()];
            for kind in [round % 2, 1 - round % 2] {
                let question = format!("GET /__jobs/{} HTTP/1.1\r\nHost: h\r\n{TOKEN}: {OTHER}\r\n\r\n", ids[kind]);
                let began = Instant::now();
                wire.send(question).await;
                let reply = wire.reply().await;
                times[kind].push(began.elapsed());
                assert_eq!(reply.status, 404);
            }
        }
        let [theirs, nobodys] = times.map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2]
        });
        println!("{}: medians of {TIMED}: {theirs:?} of another's job, {nobodys:?} of none", store.name());
        let (less, more) = (theirs.min(nobodys), theirs.max(nobodys));
        assert!(more <= less + less * DIFFERENCE_MAX / 100, "{theirs:?} and {nobodys:?}");
        assert!(more < Duration::from_millis(10));
    }
}

on_the_store! { Redis:
    async fn a_job_of_another_program_belongs_to_whoever_has_its_id(store: Store) {
        let upstream = Upstream::start().await;
        let config = with_owners(store.config_for(&upstream)).set("concurrency", 0);
        let proxq = Proxq::start(config).await;
        let job = proxq.submit(own(post("/x"))).await;
        proxq.send(other(get(&job.location))).await.refused(404, "NOT_FOUND");
        let key = proxq.redis().keys("asynq:{*}:t:*").remove(0);
        proxq.redis().run(&["HDEL", &key, "x_cred"]);
        assert_eq!(proxq.send(other(get(&job.location))).await.status, 200);
    }
}
