//! The dashboard in a real browser. `tests/clients/node/dashboard.mjs` has the steps; here are the servers and their jobs.

use std::fs;
use std::process::Stdio;

use harness::{Answer, Proxq, Route, Store, Upstream, checkout, post};
use serde_json::json;

/// How many jobs fail, each under a path that begins as no other.
const FAILED: usize = 6;

#[tokio::test]
async fn the_dashboard_in_a_browser() {
    let upstream = Upstream::start().await;
    let answer = Answer::status(200).header("Content-Type", "text/html").body("<script>alert('answer')</script>");
    upstream.always(answer);
    let config = Store::Embedded
        .config()
        .set("admin.listenAddress", "127.0.0.1:0")
        .route(Route::new("/api", &upstream.url()).set("concurrency", 3).set("rateLimit", "500/s"))
        .route(Route::new("/dead", "http://127.0.0.1:1")); // nobody listens there
    let busy = Proxq::start(config).await;
    let operators = busy.operators().await;
    let mut failed = None;
    for number in 0..FAILED {
        let job = busy.submit(post(&format!("/dead/{number}")).body("x")).await;
        busy.settled(&job).await;
        failed = Some(job.id);
    }
    let hostile = post("/api/%3Cscript%3E?key=hush-query")
        .header("Authorization", "Bearer hush-token")
        .header("X-Note", "<script>alert('header')</script>")
        .header("Content-Type", "text/plain")
        .body("</pre><script>alert('body')</script>");
    let hostile = busy.submit(hostile).await;
    busy.settled(&hostile).await;
    let waiting = busy.submit(post("/api/later").header("X-Proxq-Delay", "1h").body("x")).await;
    let empty = Proxq::start(super::config(Store::Embedded, &upstream)).await;
    let empty_operators = empty.operators().await;

    let screenshots = checkout().join("target/screenshots");
    fs::create_dir_all(&screenshots).unwrap();
    let setting = json!({
        "busy": operators.url(),
        "empty": empty_operators.url(),
        "clients": busy.url(),
        "screenshots": screenshots,
        "hostile": hostile.id.to_string(),
        "failed": failed.unwrap().to_string(),
        "waiting": waiting.id.to_string(),
    });
    let ran = tokio::process::Command::new("node")
        .arg(checkout().join("tests/clients/node/dashboard.mjs"))
        .env("DASHBOARD", setting.to_string())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("Node.js is there: `make dep` installs it");
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success(), "{said}");
}
