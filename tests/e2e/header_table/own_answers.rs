//! One of each kind of answer that proxq itself makes.

use harness::{Answer, Gate, Proxq, Reply, Route, Store, Upstream, delete, get, post};
use proxq_protocol::header;

use super::sample::TOKEN;

/// Brings them all about.
pub(super) async fn all(store: Store) -> Vec<Reply> {
    let upstream = Upstream::start().await;
    let away = Route::new("/away", &upstream.url()).set("pathFilter.patterns", vec![".*"]);
    let small = Route::new("/small", &upstream.url()).set("directProxyThreshold", 0).set("maxBodySize", 10);
    let config = store.config().route(Route::new("/x", &upstream.url()));
    let config = config.route(Route::new("/full", &upstream.url()).set("maxQueued", 1));
    let config = config.route(away.set("directProxyMode", "redirect")).route(small);
    let mut proxq = Proxq::start(config).await;
    let keyed = || post("/x").header("Idempotency-Key", "k");
    let first = proxq.submit(keyed()).await;
    proxq.response(&first).await;
    let mut replies = vec![
        proxq.send(post("/x")).await,
        proxq.send(keyed()).await,
        proxq.send(get(&first.location)).await,
        proxq.send(get(&format!("{}/events", first.location))).await,
        proxq.send(post(&first.location)).await,
        proxq.send(get("/__jobs/healthz")).await,
        proxq.send(get("/__jobs/unknown")).await,
        proxq.send(post("/x").header("X-Proxq-Timeout", "soon")).await,
        proxq.send(get("/away")).await,
        proxq.raw("POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n").await,
        proxq.send(delete(&first.location)).await,
        proxq.send(post("/x").header(header::PREFER, "respond-async").header(header::DELAY, "1h")).await,
    ];
    proxq.submit(post("/full").header(header::DELAY, "1h")).await;
    replies.push(proxq.send(post("/full")).await);
    let waiting = || post("/x").header(header::MODE, "wait").header(header::WAIT, "0").header(header::DELAY, "1h");
    for count in ["0", "1"] {
        replies.push(proxq.send(waiting().header(header::RETRY_COUNT, count)).await);
    }
    upstream.once(Answer::status(307).header("Location", "/x"));
    replies.push(proxq.send(post("/x").header(header::WAIT, "30s").header(header::REDIRECTS, "report")).await);
    let auth = serde_json::json!({ "tokens": [{ "name": "a", "token": TOKEN }], "resultUrls": true });
    let asking = Proxq::start(store.config_for(&upstream).set("auth", auth)).await;
    replies.push(asking.send(post("/x")).await);
    replies.push(asking.send(post("/x").header(header::TOKEN, TOKEN).header(header::RESULT_URL, "1h")).await);
    // And the one at its end: a job and a connection outlast the order to stop.
    let gate = Gate::new();
    upstream.always(Answer::status(200).wait(&gate));
    let last = proxq.submit(post("/x")).await;
    let mut wire = proxq.wire().await;
    wire.send(format!("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", last.location)).await;
    replies.push(wire.reply().await);
    proxq.terminate();
    proxq.log().record("it drains", |record| record.message().starts_with("draining")).await;
    wire.send("GET /__jobs/readyz HTTP/1.1\r\nHost: h\r\n\r\n").await;
    replies.push(wire.reply().await);
    gate.open();
    assert_eq!(proxq.exit_code().await, Some(0));
    let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(
        statuses,
        [202, 202, 200, 200, 405, 200, 404, 400, 307, 413, 200, 202, 429, 202, 202, 409, 401, 202, 200, 503]
    );
    assert!(replies.iter().all(|reply| reply.head.has(header::SOURCE)), "all are proxq's own");
    replies
}
