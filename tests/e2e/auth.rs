//! Tests of access tokens, of ownership and of the URLs of results. Who may ask for what is in `auth_matrix.rs`.

mod clients;

use std::fs;
use std::time::Duration;

use harness::{
    Answer, Config, Gate, Job, Launch, Proxq, RawUpstream, Reply, Request, Route, Store, Upstream, delete, eventually,
    get, head, on_every_store, on_the_store, once, post, request,
};
use proxq_protocol::JobId;
use serde_json::{Value, json};
use tokio::time::Instant;

const OWN: &str = "the-token-of-client-a";
const OTHER: &str = "the-token-of-client-b";
const TOKEN: &str = "X-Proxq-Token";

fn tokens() -> Value {
    json!([{ "name": "a", "token": OWN }, { "name": "b", "token": OTHER }])
}

/// Two clients with tokens, to whom only their own jobs exist.
fn with_owners(config: Config) -> Config {
    config.set("auth.tokens", tokens()).set("auth.owner", "credential")
}

fn own(request: Request) -> Request {
    request.header(TOKEN, OWN)
}

fn other(request: Request) -> Request {
    request.header(TOKEN, OTHER)
}

#[track_caller]
fn is_refused(reply: &Reply) {
    reply.refused(401, "UNAUTHORIZED");
    assert_eq!(reply.head.values("www-authenticate"), ["Proxq realm=\"jobs\""]);
}

/// A job of the first client's that has ended.
async fn completed(proxq: &Proxq) -> Job {
    let job = proxq.submit(own(post("/x"))).await;
    let reply = proxq.send(own(get(&format!("{}/content?wait=30s", job.location)))).await;
    assert!(!reply.head.has("x-proxq-source"), "{reply}");
    job
}

once! {
    async fn a_token_never_reaches_the_upstream(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("auth.tokens", tokens())).await;
        for request in [get("/x").header("X-Proxq-Mode", "direct"), get("/x").header("X-Proxq-Wait", "30s")] {
            let request = request.header("Authorization", "Bearer of the upstream");
            assert_eq!(proxq.send(own(request)).await.status, 200);
            let received = upstream.request().await;
            assert_eq!(received.header(TOKEN), None);
            assert_eq!(received.header("authorization").as_deref(), Some("Bearer of the upstream"));
        }
        assert!(!proxq.log().text().contains(OWN));
        proxq.log().record("the log has the token's name", |record| record.field("token").as_deref() == Some("a")).await;
    }

    async fn a_token_never_reaches_a_websocket(store: Store) {
        let upstream = RawUpstream::start().await;
        let config = store.config().route(Route::new("/chat", &upstream.url())).set("auth.tokens", tokens());
        let proxq = Proxq::start(config).await;
        let handshake = |token: &str| {
            format!(
                "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{token}\r\n"
            )
        };
        let mut client = proxq.wire().await;
        client.send(handshake(&format!("X-Proxq-Token: {OWN}\r\n"))).await;
        let mut served = upstream.accept().await;
        assert!(!served.head().await.has(TOKEN));
        is_refused(&proxq.raw(handshake("")).await);
        is_refused(&proxq.raw(handshake("X-Proxq-Token: another-token-than-that\r\n")).await);
    }

    async fn without_a_token_nobody_learns_anything(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config().route(Route::new("/x", &upstream.url())).set("auth.tokens", tokens());
        let proxq = Proxq::start(config).await;
        for request in [
            post("/x"),
            post("/nowhere"),
            get("/__jobs"),
            get("/__jobs/nonsense"),
            get("/__jobs/nonsense?wait=soon"),
            post("/__jobs/nonsense"),
            get(&format!("/__jobs/{}", JobId::new())),
            get(&format!("/__jobs/{}/content?hop=0", JobId::new())),
            get("/__jobs/healthz/x"),
            request("TRACE", "/x"),
            request("OPTIONS", "/x").header("Access-Control-Request-Method", "POST").header("Origin", "http://a"),
            post("/x").header("X-Proxq-Delay", "soon"),
            post("/x").header("X-Proxq-Mode", "direct"),
            post("/x").header("Authorization", format!("Bearer {OWN}")),
            post("/x").header(TOKEN, "").header(TOKEN, OWN),
            own(own(post("/x"))),
            own(other(post("/x"))),
            post("/x").header(TOKEN, ""),
            post("/x").header(TOKEN, &OWN[1..]),
            post("/x").header(TOKEN, OWN.to_uppercase()),
            post("/x").header(TOKEN, format!("{OWN}, {OTHER}")),
        ] {
            is_refused(&proxq.send(request).await);
        }
        let head = proxq.send(head("/x")).await;
        assert_eq!((head.status, head.text().as_str()), (401, ""));
        proxq.send(post("/x/..%2Fy")).await.refused(400, "BAD_PATH");
        for probe in ["/__jobs/healthz", "/__jobs/readyz"] {
            assert_eq!(proxq.send(get(probe)).await.status, 200);
        }
        assert_eq!(proxq.send(own(post("/nowhere"))).await.code(), "NO_UPSTREAM");
        assert!(upstream.received().is_empty());
    }

    async fn a_body_is_not_asked_for_before_the_token_is_seen(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("auth.tokens", tokens())).await;
        let reply = proxq.raw("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
        is_refused(&reply);
        let mut wire = proxq.wire().await;
        wire.send(format!("POST /x HTTP/1.1\r\nHost: h\r\n{TOKEN}: {OWN}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")).await;
        wire.comes("HTTP/1.1 100 Continue\r\n\r\n").await;
        wire.send("hello").await;
        assert_eq!(wire.reply().await.status, 202);
    }

    async fn a_token_is_for_its_upstreams_alone(store: Store) {
        let upstream = Upstream::start().await;
        let config = store
            .config()
            .route(Route::new("/a", &upstream.url()))
            .route(Route::new("/b", &upstream.url()))
            .set("auth.tokens", json!([{ "name": "a", "token": OWN, "upstreams": ["/b"] }]));
        let proxq = Proxq::start(config).await;
        assert_eq!(proxq.send(own(post("/b/x"))).await.status, 202);
        for request in [post("/a/x"), post("/a/x").header("X-Proxq-Mode", "direct"), post("/a/x").header("X-Proxq-Delay", "soon")] {
            let reply = proxq.send(own(request)).await;
            reply.refused(403, "FORBIDDEN");
            assert!(reply.text().contains("this access token is not for /a; it is for /b"), "{reply}");
        }
        assert_eq!(proxq.send(own(post("/c/x"))).await.code(), "NO_UPSTREAM");
    }

    async fn without_tokens_the_header_means_nothing(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let job = proxq.submit(own(post("/x"))).await;
        assert_eq!(proxq.send(other(get(&job.location))).await.status, 200);
        assert_eq!(upstream.request().await.header(TOKEN), None);
        proxq.send(post("/x").header("X-Proxq-Result-Url", "1h")).await.refused(400, "BAD_HEADER");
    }

    async fn a_server_with_tokens_is_asked_by_the_commands(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(200, "hello");
        let writer = json!({ "name": "writer", "token": "the-token-of-a-writer", "admin": true });
        let config = with_owners(store.config_for(&upstream)).set("admin.listenAddress", "127.0.0.1:0");
        let tokens = json!([{ "name": "a", "token": OWN }, writer]);
        let proxq = Proxq::start(config.set("auth.tokens", tokens)).await;
        let admin = proxq.operators().await.url();
        let launch = |args: &[&str]| {
            let args: Vec<_> = args.iter().map(ToString::to_string).collect();
            Launch::new(proxq.folder()).args(args).env("PROXQ_URL", proxq.url()).env("PROXQ_ADMIN_URL", &admin)
        };
        let submit = ["submit", "/x", "-d", "x"];
        let exit = launch(&submit).env("PROXQ_TOKEN", OWN).to_exit().await;
        assert_eq!((exit.code, exit.output.as_str()), (Some(0), "hello"), "{}", exit.log);
        fs::write(proxq.folder().join("token"), format!("{OWN}\n")).unwrap();
        let exit = launch(&[&submit[..], &["--token-file", "token"]].concat()).to_exit().await;
        assert_eq!((exit.code, exit.output.as_str()), (Some(0), "hello"), "{}", exit.log);
        let exit = launch(&submit).to_exit().await;
        assert_eq!(exit.code, Some(1));
        assert!(exit.log.contains("needs an access token") && exit.log.contains("PROXQ_TOKEN or --token-file"), "{}", exit.log);
        let exit = launch(&["jobs", "list"]).env("PROXQ_ADMIN_TOKEN", "the-token-of-a-writer").to_exit().await;
        assert_eq!(exit.code, Some(0), "{}", exit.log);
        assert!(launch(&["jobs", "list"]).env("PROXQ_ADMIN_TOKEN", OWN).to_exit().await.code == Some(1));
        let address = proxq.address().to_string();
        let healthcheck = launch(&["healthcheck", "--listen", &address, "--config", "config.yaml"]).to_exit().await;
        assert_eq!(healthcheck.code, Some(0), "{}", healthcheck.log);
    }

    async fn a_token_that_was_made_is_taken_by_its_hash(store: Store) {
        let folder = tempfile::tempdir().unwrap();
        let made = Launch::new(folder.path()).args(["token", "new", "--json"]).to_exit().await;
        let made: Value = serde_json::from_str(&made.output).unwrap();
        let (token, hash) = (made["token"].as_str().unwrap(), made["tokenHash"].as_str().unwrap());
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream).set("auth.tokens", json!([{ "name": "made", "tokenHash": hash }]));
        let proxq = Proxq::start(config).await;
        assert_eq!(proxq.send(post("/x").header(TOKEN, token)).await.status, 202);
        is_refused(&proxq.send(post("/x").header(TOKEN, hash)).await);
        let file = proxq.config_file().display().to_string();
        let check = Launch::new(folder.path()).args(["check", &file]).to_exit().await;
        assert!(check.output.contains("tokenHash: \"***\"") && !check.output.contains(&hash[10..]), "{}", check.output);
        let lines = Launch::new(folder.path()).args(["token", "new"]).to_exit().await.output;
        let lines: Vec<_> = lines.lines().collect();
        assert!(lines[0].starts_with("token: proxq_") && lines[1].starts_with("tokenHash: sha256:"), "{lines:?}");
    }
}

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

    async fn a_url_leads_to_the_result_without_a_credential(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(201).body("late").wait(&gate));
        let proxq = Proxq::start(with_owners(store.config_for(&upstream)).set("auth.resultUrls", true)).await;
        let signed = |request: Request| own(request.header("X-Proxq-Result-Url", "1h"));
        let accepted = proxq.send(signed(post("/x"))).await;
        let (job, url) = (Job::of(&accepted), accepted.header("X-Proxq-Result-Url").unwrap());
        let (content, parameters) = url.split_once('?').unwrap();
        assert_eq!(content, format!("{}/content", job.location));
        assert_eq!(accepted.json(), json!({ "jobId": job.id.to_string(), "resultUrl": url }));
        proxq.send(get(&url)).await.refused(404, "NOT_READY");
        let mut waiting = proxq.begin(get(&format!("{url}&wait=30s"))).await;
        upstream.arrivals(1).await;
        gate.open();
        let reply = waiting.reply().await;
        assert_eq!((reply.status, reply.text().as_str()), (201, "late"));
        assert_eq!(proxq.send(head(&url)).await.status, 201);
        assert_eq!(proxq.send(get(&format!("{url}&utm_source=mail"))).await.status, 201);
        // For nothing else, and in no other form.
        for path in ["", "/events", "/retry"] {
            is_refused(&proxq.send(get(&format!("{}{path}?{parameters}", job.location))).await);
        }
        for wrong in [post(&url), request("PUT", &url)] {
            proxq.send(wrong).await.refused(405, "METHOD_NOT_ALLOWED");
        }
        let unknown = url.replace(&job.id.to_string(), &JobId::new().to_string());
        let mut refusals = Vec::new();
        for url in [
            url.replace("expires=1", "expires=2"),
            url.replace("expires=", "expires=0"),
            url[..url.len() - 1].to_owned(),
            url.replace("signature=", "signature=x"),
            format!("{content}?signature="),
            format!("{content}?signature"),
            format!("{content}?{}", parameters.split('&').nth(1).unwrap()),
            unknown,
            url.replace(&job.id.to_string(), "nonsense"),
        ] {
            let reply = proxq.send(own(get(&url))).await;
            reply.refused(403, "FORBIDDEN");
            refusals.push(reply.text());
        }
        refusals.dedup();
        assert_eq!(refusals.len(), 1, "whether there is such a job or not: {refusals:?}");
        is_refused(&proxq.send(get(&format!("{content}?{}", parameters.split('&').next().unwrap()))).await);
        for twice in ["&signature=x", "&expires=1", "&hop=1", "&pending=202"] {
            proxq.send(get(&format!("{url}{twice}"))).await.refused(400, "BAD_QUERY");
        }
        let reply = proxq.send(delete(&url)).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"status":"cancelled"}"#));
        proxq.send(get(&url)).await.refused(404, "NOT_FOUND");
        proxq.send(own(get(&job.location))).await.refused(404, "NOT_FOUND");
    }

    async fn a_url_is_over_when_its_time_is(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("auth.resultUrls", true)).await;
        let accepted = proxq.send(post("/x").header("X-Proxq-Result-Url", "1ms")).await;
        let url = accepted.header("X-Proxq-Result-Url").unwrap();
        eventually("its time is over", async || proxq.send(get(&url)).await.status == 403).await;
        let reply = proxq.send(get(&url)).await;
        reply.refused(403, "FORBIDDEN");
        assert!(reply.text().contains("the URL was valid until 20"), "{reply}");
        proxq.send(delete(&url)).await.refused(403, "FORBIDDEN");
        let job = Job::of(&accepted);
        assert_eq!(proxq.send(get(&job.location)).await.status, 200, "the job is there as before");
    }

    async fn every_answer_before_the_end_has_the_url_and_no_final_one(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("auth.resultUrls", true)).await;
        let signed = |name: &str, value: &str| post("/x").header("X-Proxq-Result-Url", "1h").header(name, value);
        for (request, status) in [
            (signed("Prefer", "respond-async"), 202),
            (signed("X-Proxq-Mode", "wait").header("X-Proxq-Wait", "0").header("X-Proxq-Delay", "1h"), 202),
            (signed("X-Proxq-Mode", "follow").header("X-Proxq-Wait", "0").header("X-Proxq-Delay", "1h"), 303),
            (signed("Idempotency-Key", "k"), 202),
            (signed("Idempotency-Key", "k"), 202),
        ] {
            let reply = proxq.send(request).await;
            assert_eq!(reply.status, status, "{reply}");
            let url = reply.header("X-Proxq-Result-Url").unwrap_or_else(|| panic!("{reply}"));
            assert!([200, 404].contains(&proxq.send(get(&url)).await.status), "{url}");
            if status == 202 {
                assert_eq!(reply.json()["resultUrl"], url);
            }
        }
        let reply = proxq.send(signed("X-Proxq-Wait", "30s")).await;
        assert!(reply.status == 200 && !reply.head.has("x-proxq-result-url"), "{reply}");
        for (value, problem) in [
            ("0", "more than zero"),
            ("-1s", "must not be negative"),
            ("3600", "has no unit"),
            ("24h1ns", "24 hours"),
            ("", "duration is missing"),
        ] {
            let reply = proxq.send(post("/x").header("X-Proxq-Result-Url", value)).await;
            reply.refused(400, "BAD_HEADER");
            assert!(reply.text().contains(problem), "{value}: {reply}");
        }
        assert_eq!(proxq.send(post("/x").header("X-Proxq-Result-Url", "24h")).await.status, 202);
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
