//! Tests of access to Redis: addresses, passwords, users, TLS, databases, and what happens when it is refused.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use harness::{
    Answer, Config, Document, Proxq, Record, Redis, Route, Store, Upstream, Value, Visitors, get, on_the_store,
    outlast, post,
};
use tokio::time::Instant;

/// The password of these tests. It must not be found in any log.
const PASSWORD: &str = "correct-horse-battery";

/// Texts of the log for a refused login, and for a failed TLS handshake.
const LOGIN: &str = "Redis refuses the login; check redis.username and redis.password";
const TLS: &str = "no encrypted connection to Redis can be made; check redis.tls";

/// Forwards everything to the upstream.
fn to(upstream: &Upstream) -> Config {
    Config::new().route(Route::new("/", &upstream.url()))
}

fn with_password() -> Arc<Redis> {
    let redis = Redis::start_tcp();
    redis.run(&["CONFIG", "SET", "requirepass", PASSWORD]);
    redis
}

/// Asserts that a job goes through a server with this configuration, and that its log does not have the password.
async fn works(config: Config) {
    let proxq = Proxq::start(config).await;
    assert_eq!(proxq.through_queue(post("/x")).await.status, 200);
    assert_ne!(proxq.redis().keys("asynq:*"), Vec::<String>::new(), "the job is in that Redis");
    assert!(!proxq.log().text().contains(PASSWORD), "{}", proxq.log().text());
}

/// Starts a server that Redis refuses: it logs the cause, and serves what needs no store. Gives it.
async fn is_refused_by_redis(config: Config, says: &str, causes: &[&str]) -> Proxq {
    let mut proxq = Proxq::start(config).await;
    proxq.expect_error("store a job");
    let warns = |record: &Record| {
        let error = record.field("error").unwrap_or_default();
        record.level() == "WARN" && record.message().contains(says) && causes.iter().any(|cause| error.contains(cause))
    };
    proxq.log().record("a warning that names the cause", warns).await;
    assert_eq!(proxq.send(get("/__jobs/readyz")).await.status, 503);
    proxq.assert_healthy().await;
    proxq.send(post("/x")).await.refused(503, "STORE_UNAVAILABLE");
    let direct = proxq.send(get("/x").header("X-Proxq-Mode", "direct")).await;
    assert_eq!(direct.status, 200, "what needs no store works");
    assert!(!proxq.log().text().contains(PASSWORD), "{}", proxq.log().text());
    proxq
}

/// Asserts that a server becomes ready by itself, and that a job goes through.
async fn becomes_ready(proxq: &Proxq) {
    proxq.ready().await;
    assert_eq!(proxq.through_queue(post("/x")).await.status, 200);
}

/// The commands of the documented line for a user, with this password.
fn documented_user(password: &str) -> Vec<String> {
    let blocks = Document::named("docs/operations.md").blocks_below("Redis", "redis");
    let line = blocks[0].text.trim();
    assert!(line.starts_with("ACL SETUSER proxq ") && line.contains(" >password "), "{line}");
    line.split_whitespace()
        .map(|word| if word == ">password" { format!(">{password}") } else { word.to_owned() })
        .collect()
}

fn run(redis: &Redis, words: &[String]) {
    redis.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
}

on_the_store! {
    Redis:

    async fn redis_is_reached_over_tcp(_store: Store) {
        let upstream = Upstream::start().await;
        let redis = Redis::start_tcp();
        let address = redis.host_and_port();
        works(to(&upstream).in_redis_at(redis, &address)).await;
    }

    async fn redis_is_reached_by_the_url_of_its_socket(_store: Store) {
        let upstream = Upstream::start().await;
        let redis = Redis::start();
        let url = format!("unix://{}", redis.socket().display());
        works(to(&upstream).in_redis_by(redis, &url)).await;
    }

    async fn a_password_is_used(_store: Store) {
        let upstream = Upstream::start().await;
        let redis = with_password();
        let address = redis.host_and_port();
        works(to(&upstream).in_redis_at(redis, &address).set("redis.password", PASSWORD)).await;
    }

    async fn a_password_in_the_url_is_used(_store: Store) {
        let upstream = Upstream::start().await;
        let redis = with_password();
        let url = format!("redis://:{PASSWORD}@{}/0", redis.host_and_port());
        works(to(&upstream).in_redis_by(redis, &url)).await;
    }

    async fn a_password_from_a_file_is_used(_store: Store) {
        let upstream = Upstream::start().await;
        let redis = with_password();
        let address = redis.host_and_port();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        fs::write(&file, format!("{PASSWORD}\n")).unwrap();
        let file = file.display().to_string();
        works(to(&upstream).in_redis_at(redis, &address).set("redis.passwordFile", file)).await;
    }

    async fn the_documented_user_has_just_the_permissions_that_proxq_needs(_store: Store) {
        let upstream = Upstream::start().await;
        let redis = Redis::start_tcp();
        run(&redis, &documented_user(PASSWORD));
        redis.run(&["ACL", "SETUSER", "default", "off"]);
        let address = redis.host_and_port();
        let config = to(&upstream).in_redis_at(Arc::clone(&redis), &address);
        let config = config.set("redis.username", "proxq").set("redis.password", PASSWORD);
        let config = config.set("redis.db", 1).upstream("maxRetries", 1).upstream("retryDelay", "10ms");
        let front = Proxq::start(config.clone().set("concurrency", 0)).await;
        let mut worker = Proxq::start(config.clone()).await;

        let large = front.submit(post("/x").body(vec![b'a'; 1 << 20])).await;
        assert_eq!(front.send(get(&format!("{}?wait=30s", large.location))).await.status, 200);
        assert_eq!(front.response(&large).await.status, 200);
        upstream.request().await;
        upstream.once(Answer::nothing().reset());
        let again = front.submit(harness::put("/x")).await;
        assert_eq!(front.response(&again).await.status, 200, "it was tried again");
        upstream.once(Answer::nothing().hang());
        let cancelled = front.submit(post("/x")).await;
        upstream.arrivals(4).await;
        assert_eq!(front.cancel(&cancelled).await.status, 200);
        let began = Instant::now();
        upstream.abandoned(cancelled.id).await;
        assert!(began.elapsed() < Duration::from_secs(2), "told at once, not with a renewal: {:?}", began.elapsed());
        outlast(Duration::from_secs(6)).await; // a round of upkeep, renewals and heartbeats
        worker.stop().await;
        assert_eq!(redis.run(&["ACL", "LOG"]), Value::List(Vec::new()), "Redis refused something");
        for words in [&["GET", "other"][..], &["FLUSHALL"], &["KEYS", "*"], &["CONFIG", "SET", "save", ""]] {
            let refused = redis.run_as("proxq", PASSWORD, words).unwrap_err().to_string();
            assert!(refused.starts_with("NOPERM"), "{words:?}: {refused}");
        }
    }

    async fn redis_is_reached_over_tls_with_a_private_authority(_store: Store) {
        let upstream = Upstream::start().await;
        let redis = Redis::start_tls(Visitors::Any);
        let (url, ca) = (format!("rediss://{}/0", redis.host_and_port()), redis.tls_file("ca.pem"));
        works(to(&upstream).in_redis_by(redis, &url).set("redis.tls.caFile", ca)).await;
    }

    async fn a_client_certificate_is_used(_store: Store) {
        let upstream = Upstream::start().await;
        let redis = Redis::start_tls(Visitors::Known);
        let file = |name| redis.tls_file(name);
        let config = to(&upstream).set("redis.tls.caFile", file("ca.pem"));
        let config = config.set("redis.tls.certFile", file("client.pem")).set("redis.tls.keyFile", file("client-key.pem"));
        let url = format!("rediss://{}/0", redis.host_and_port());
        works(config.in_redis_by(redis, &url)).await;
    }

    async fn databases_do_not_see_each_others_jobs(_store: Store) {
        let upstream = Upstream::start().await;
        let redis = Redis::start_tcp();
        let address = redis.host_and_port();
        let config = to(&upstream).in_redis_at(Arc::clone(&redis), &address);
        let zero = Proxq::start(config.clone().set("concurrency", 0)).await;
        let three = Proxq::start(config.set("redis.db", 3)).await;
        let waiting = zero.submit(post("/zero")).await;
        three.send(get(&waiting.location)).await.refused(404, "NOT_FOUND");
        let done = three.submit(post("/three")).await;
        assert_eq!(three.response(&done).await.status, 200);
        zero.send(get(&done.location)).await.refused(404, "NOT_FOUND");
        assert_eq!(upstream.received().iter().filter(|request| request.target() == "/zero").count(), 0);
        assert!(redis.run(&["INFO", "keyspace"]).text().contains("db3:"), "it is in that database");
    }

    async fn a_wrong_password_is_reported_and_recovered_from(_store: Store) {
        let upstream = Upstream::start().await;
        let redis = Redis::start_tcp();
        redis.run(&["CONFIG", "SET", "requirepass", "another"]);
        let address = redis.host_and_port();
        let config = to(&upstream).in_redis_at(Arc::clone(&redis), &address).set("redis.password", PASSWORD);
        let proxq = is_refused_by_redis(config, LOGIN, &["WRONGPASS", "invalid username-password", "AuthenticationFailed"]).await;
        redis.run(&["CONFIG", "SET", "requirepass", PASSWORD]);
        becomes_ready(&proxq).await;
    }

    async fn a_missing_password_is_reported_and_recovered_from(_store: Store) {
        let upstream = Upstream::start().await;
        let redis = with_password();
        let address = redis.host_and_port();
        let config = to(&upstream).in_redis_at(Arc::clone(&redis), &address);
        let proxq = is_refused_by_redis(config, LOGIN, &["NOAUTH", "Authentication required"]).await;
        redis.run(&["CONFIG", "SET", "requirepass", ""]);
        becomes_ready(&proxq).await;
    }

    async fn a_users_wrong_password_is_reported_and_recovered_from(_store: Store) {
        let upstream = Upstream::start().await;
        let redis = Redis::start_tcp();
        run(&redis, &documented_user("another"));
        let address = redis.host_and_port();
        let config = to(&upstream).in_redis_at(Arc::clone(&redis), &address);
        let config = config.set("redis.username", "proxq").set("redis.password", PASSWORD);
        let proxq = is_refused_by_redis(config, LOGIN, &["WRONGPASS", "invalid username-password", "AuthenticationFailed"]).await;
        run(&redis, &documented_user(PASSWORD));
        becomes_ready(&proxq).await;
    }

    async fn a_certificate_of_another_authority_is_not_trusted(_store: Store) {
        let upstream = Upstream::start().await;
        let (redis, other) = (Redis::start_tls(Visitors::Any), Redis::start_tls(Visitors::Any));
        let url = format!("rediss://{}/0", redis.host_and_port());
        let config = to(&upstream).in_redis_by(redis, &url).set("redis.tls.caFile", other.tls_file("ca.pem"));
        is_refused_by_redis(config, TLS, &["certificate"]).await;
    }

    async fn a_missing_client_certificate_is_reported(_store: Store) {
        let upstream = Upstream::start().await;
        let redis = Redis::start_tls(Visitors::Known);
        let (url, ca) = (format!("rediss://{}/0", redis.host_and_port()), redis.tls_file("ca.pem"));
        let config = to(&upstream).in_redis_by(redis, &url).set("redis.tls.caFile", ca);
        is_refused_by_redis(config, TLS, &["ertificate"]).await;
    }
}
