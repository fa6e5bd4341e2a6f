//! Who is let in.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use harness::{Launch, Proxq, Request, Store, Upstream, get, request};
use serde_json::{Value, json};

use super::{act, config, order, start, started};

const TOKEN: &str = "an-operator-of-proxq";

#[tokio::test]
async fn without_the_section_there_is_no_listener_and_the_paths_are_the_upstreams() {
    let upstream = Upstream::start().await;
    let proxq = Proxq::start(Store::Embedded.config_for(&upstream)).await;
    let job = proxq.submit(get("/metrics")).await;
    proxq.settled(&job).await;
    assert_eq!(upstream.received()[0].target(), "/metrics");
    assert!(!proxq.log().text().contains("listening for operators"));
}

#[tokio::test]
async fn a_request_for_another_host_is_refused() {
    let upstream = Upstream::start().await;
    let (_proxq, operators) = start(Store::Embedded, &upstream).await;
    for host in ["evil.example", "localhost.evil.example:9090", "192.0.2.1"] {
        let raw = format!("GET /api/v1/overview HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        operators.raw(raw).await.refused(421, "FORBIDDEN");
    }
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:9090"] {
        let raw = format!("GET /api/v1/overview HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(operators.raw(raw).await.status, 200, "{host}");
    }
    // The target names the host, too.
    let absolute = "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    operators.raw(absolute).await.refused(421, "FORBIDDEN");
}

#[tokio::test]
async fn what_a_form_on_another_page_can_send_changes_nothing() {
    let upstream = Upstream::start().await;
    let (proxq, operators) = start(Store::Embedded, &upstream).await;
    let path = "/api/v1/queues/default/pause";
    for content_type in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain"] {
        let form = request("POST", path).header("Content-Type", content_type).body("{}");
        operators.send(form.clone()).await.refused(403, "FORBIDDEN");
        operators.send(form.header("X-Proxq-Admin", "1")).await.refused(403, "FORBIDDEN");
    }
    operators
        .send(request("POST", path).header("Content-Type", "application/json").body("{}"))
        .await
        .refused(403, "FORBIDDEN");
    operators.send(request("DELETE", "/api/v1/bulk/1")).await.refused(403, "FORBIDDEN");
    let job = proxq.submit(get("/x")).await;
    proxq.settled(&job).await; // nothing was paused
    assert_eq!(act(&operators, path, json!({})).await.status, 200);
}

#[tokio::test]
async fn a_token_is_asked_for_and_never_told() {
    let upstream = Upstream::start().await;
    let (proxq, operators) = started(config(Store::Embedded, &upstream).set("admin.token", TOKEN)).await;
    let with = |value: &str| get("/api/v1/overview").header("Authorization", value);
    for wrong in ["Bearer another-operator-of-p", "Bearer", "Basic x", TOKEN] {
        let reply = operators.send(with(wrong)).await;
        reply.refused(401, "UNAUTHORIZED");
        let challenges = reply.head.values("www-authenticate");
        assert!(challenges.iter().any(|value| value.starts_with("Basic ")), "a browser asks: {challenges:?}");
    }
    for path in ["/", "/metrics", "/assets/script.js", "/openapi.json", "/live?page=/", "/nowhere"] {
        operators.send(get(path)).await.refused(401, "UNAUTHORIZED");
    }
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("anybody:{TOKEN}")));
    for right in [format!("Bearer {TOKEN}"), basic] {
        assert_eq!(operators.send(with(&right)).await.status, 200, "{right}");
    }
    let settings = operators.send(get("/api/v1/settings").header("Authorization", format!("Bearer {TOKEN}"))).await;
    assert!(settings.text().contains("admin") && !settings.text().contains(TOKEN), "{settings}");
    assert!(!proxq.log().text().contains(TOKEN));
}

#[tokio::test]
async fn an_address_that_others_reach_needs_a_token_that_is_long_enough() {
    let upstream = Upstream::start().await;
    let open = config(Store::Embedded, &upstream).set("admin.listenAddress", "0.0.0.0:0");
    for (config, message) in [
        (
            open.clone(),
            "admin.listenAddress: \"0.0.0.0:0\" may be reached from other machines, so admin.token or admin.tokenFile",
        ),
        (open.clone().set("admin.token", "short"), "admin.token: has 5 characters, too few: a token has at least 16"),
        (open.clone().set("admin.token", "sixteen characters"), "admin.token: has a character that cannot be sent"),
        (open.clone().set("admin.tokenFile", "/nowhere/token"), "admin.tokenFile: \"/nowhere/token\" cannot be read"),
        (
            open.clone().set("admin.token", TOKEN).set("admin.hosts", json!(["a:80"])),
            "admin.hosts[0]: \"a:80\" is not the name",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, config.text()).unwrap();
        let exit = Launch::new(folder.path()).args(["check", file.to_str().unwrap()]).to_exit().await;
        assert_eq!(exit.code, Some(2), "{exit:?}");
        assert!(exit.log.contains(message), "{message} is not in {}", exit.log);
    }
    let (_proxq, operators) = started(open.set("admin.token", TOKEN)).await;
    assert_eq!(operators.send(get("/metrics")).await.status, 401);
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_so() {
    let upstream = Upstream::start().await;
    let (_proxq, operators) = start(Store::Embedded, &upstream).await;
    operators.send(get("/nowhere")).await.refused(404, "NOT_FOUND");
    operators.send(get("/api/v1/queues/nowhere")).await.refused(404, "NOT_FOUND");
    operators.send(order("POST", "/api/v1/queues/nowhere/pause", &json!({}))).await.refused(404, "NOT_FOUND");
    operators.send(order("POST", "/metrics", &json!({}))).await.refused(405, "METHOD_NOT_ALLOWED");
    let bad = |body: &str| -> Request { order("POST", "/api/v1/bulk", &json!({})).body(body.to_owned()) };
    for body in
        ["", "{", "[]", "{}", r#"{"action":"dance","filter":{}}"#, r#"{"action":"retry","filter":{"sate":"x"}}"#]
    {
        operators.send(bad(body)).await.refused(400, "BAD_BODY");
    }
    operators.send(bad(&" ".repeat(70_000))).await.refused(400, "BAD_BODY");
}

#[tokio::test]
async fn a_reload_changes_what_a_token_may_do() {
    let upstream = Upstream::start().await;
    let open = config(Store::Embedded, &upstream);
    let token = |role: Value| json!([{ "name": "operator", "token": TOKEN, "admin": role }]);
    let (proxq, operators) = started(open.clone().set("auth.tokens", token(json!("read")))).await;
    let shown = |request: Request| operators.send(request.header("X-Proxq-Token", TOKEN));
    let pause = || order("POST", "/api/v1/queues/default/pause", &json!({}));
    assert_eq!(shown(get("/api/v1/overview")).await.status, 200);
    shown(pause()).await.refused(403, "FORBIDDEN");
    proxq.reload(open.clone().set("auth.tokens", token(json!("write")))).await;
    assert_eq!(shown(pause()).await.status, 200);
    proxq.reload(open.clone().set("auth.tokens", token(json!(false)))).await;
    // The last role is gone, and with it the question; whoever reaches a loopback address is let in.
    assert_eq!(operators.send(get("/api/v1/overview")).await.status, 200);
    let both = json!([
        { "name": "operator", "token": TOKEN, "admin": false },
        { "name": "another", "token": "another-operator", "admin": "read" },
    ]);
    proxq.reload(open.set("auth.tokens", both)).await;
    shown(get("/api/v1/overview")).await.refused(401, "UNAUTHORIZED");
}
