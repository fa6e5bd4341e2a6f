//! Orders for many jobs.

use harness::{Client, Proxq, Store, Upstream, eventually, get, on_every_store};
use serde_json::{Value, json};

use super::{act, order, read, started};

/// A server whose upstream is away, with so many failed jobs.
async fn with_failed(store: Store, count: usize) -> (Proxq, Client, Upstream) {
    let upstream = Upstream::start().await;
    let dead = "http://127.0.0.1:1"; // nobody listens there
    let config =
        super::config(store, &upstream).route(harness::Route::new("/dead", dead)).set("routing", "longest-prefix");
    let (proxq, operators) = started(config).await;
    let mut last = None;
    for number in 0..count {
        last = Some(proxq.submit(get(&format!("/dead/{number}"))).await);
    }
    eventually("all have failed", async || {
        read(&operators, "/api/v1/queues/default").await["failed"].as_u64() == Some(count as u64)
    })
    .await;
    drop(last);
    (proxq, operators, upstream)
}

/// The order once it has ended.
async fn ended(operators: &Client, bulk: &Value) -> Value {
    let path = format!("/api/v1/bulk/{}", bulk["number"]);
    eventually("the bulk action ends", async || read(operators, &path).await["status"] != "running").await;
    read(operators, &path).await
}

on_every_store! {
    async fn failed_jobs_are_counted_then_retried_then_deleted(store: Store) {
        let (_proxq, operators, _upstream) = with_failed(store, 30).await;
        let retry = |filter: Value, dry_run: bool| json!({"action": "retry", "filter": filter, "dryRun": dry_run});
        let count = act(&operators, "/api/v1/bulk", retry(json!({"state": "failed"}), true)).await;
        assert_eq!((count.status, count.json()), (200, json!({"jobs": 30, "complete": true})));
        let count = act(&operators, "/api/v1/bulk", retry(json!({"path": "/dead/1"}), true)).await;
        assert_eq!(count.json(), json!({"jobs": 11, "complete": true}), "1 and 10 to 19");
        let bulk = act(&operators, "/api/v1/bulk", retry(json!({"error": "connect to"}), false)).await;
        assert_eq!(bulk.status, 202, "{bulk}");
        let bulk = ended(&operators, &bulk.json()).await;
        assert_eq!((&bulk["status"], bulk["done"].as_u64(), bulk["skipped"].as_u64()), (&"done".into(), Some(30), Some(0)), "each once, though they fail again: {bulk}");
        eventually("all have failed again", async || {
            read(&operators, "/api/v1/queues/default").await["failed"].as_u64() == Some(30)
        }).await;
        let groups = read(&operators, "/api/v1/failures").await;
        assert_eq!((groups["groups"].as_array().map(Vec::len), groups["groups"][0]["jobs"].as_u64()), (Some(1), Some(30)), "{groups}");
        let bulk = act(&operators, "/api/v1/bulk", json!({"action": "delete", "filter": {"upstream": "/dead"}})).await;
        assert_eq!(ended(&operators, &bulk.json()).await["done"].as_u64(), Some(30));
        assert_eq!(read(&operators, "/api/v1/queues/default").await["failed"].as_u64(), Some(0));
    }

    async fn waiting_jobs_are_cancelled_and_ended_ones_are_not(store: Store) {
        let upstream = Upstream::start().await;
        let (proxq, operators) = started(super::config(store, &upstream)).await;
        let done = proxq.submit(get("/done")).await;
        proxq.settled(&done).await;
        for _ in 0..5 {
            proxq.submit(get("/later").header("X-Proxq-Delay", "1h")).await;
        }
        act(&operators, "/api/v1/bulk", json!({"action": "cancel", "filter": {"state": "completed"}})).await.refused(400, "BAD_BODY");
        act(&operators, "/api/v1/bulk", json!({"action": "retry", "filter": {"state": "pending"}})).await.refused(400, "BAD_BODY");
        for action in ["cancel", "delete", "retry"] {
            let misspelt = json!({"action": action, "filter": {"state": "schedulde"}});
            act(&operators, "/api/v1/bulk", misspelt).await.refused(400, "BAD_QUERY");
        }
        let bulk = act(&operators, "/api/v1/bulk", json!({"action": "cancel", "filter": {}})).await;
        assert_eq!(ended(&operators, &bulk.json()).await["done"].as_u64(), Some(5));
        let queue = read(&operators, "/api/v1/queues/default").await;
        assert_eq!((queue["scheduled"].as_u64(), queue["completed"].as_u64()), (Some(0), Some(1)), "{queue}");
    }

    async fn one_order_runs_at_a_time_and_can_be_stopped(store: Store) {
        let (_proxq, operators, _upstream) = with_failed(store, 250).await;
        let one = json!({"action": "retry", "filter": {"state": "failed"}});
        let first = act(&operators, "/api/v1/bulk", one.clone()).await.json();
        let (same, other) = tokio::join!(
            act(&operators, "/api/v1/bulk", one.clone()),
            act(&operators, "/api/v1/bulk", json!({"action": "delete", "filter": {}})),
        );
        // Unless the first has ended already, it is the one that runs.
        if read(&operators, &format!("/api/v1/bulk/{}", first["number"])).await["status"] == "running" {
            assert_eq!(same.json()["number"], first["number"]);
            other.refused(409, "BULK_RUNNING");
        }
        let stop = order("DELETE", &format!("/api/v1/bulk/{}", first["number"]), &json!({}));
        assert_eq!(operators.send(stop).await.status, 200);
        let first = ended(&operators, &first).await;
        assert!(first["status"] == "stopped" || first["done"].as_u64() == Some(250), "{first}");
        operators.send(get("/api/v1/bulk/99")).await.refused(404, "NOT_FOUND");
    }
}
