//! Metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use harness::{Answer, Client, Document, Store, Upstream, get, on_every_store, post};
use serde_json::json;

use super::{act, start, started};

async fn scrape(operators: &Client) -> String {
    let reply = operators.send(get("/metrics")).await;
    assert_eq!(reply.header("content-type").as_deref(), Some("text/plain; version=0.0.4; charset=utf-8"), "{reply}");
    reply.text()
}

/// The value of a sample, by its name and labels.
fn value(text: &str, sample: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

/// Each metric's samples, without their values.
fn series(text: &str) -> BTreeSet<&str> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| Some(line.rsplit_once(' ')?.0)).collect()
}

on_every_store! {
    async fn what_happens_is_counted(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::nothing().close());
        upstream.answers(200, "yes");
        let config = super::config(store, &upstream).upstream("maxRetries", 1).upstream("retryDelay", "10ms");
        let (proxq, operators) = started(config).await;
        for _ in 0..2 {
            let job = proxq.submit(get("/x")).await;
            proxq.settled(&job).await;
        }
        proxq.send(get("/ws").header("X-Proxq-Mode", "direct")).await;
        proxq.submit(get("/later").header("X-Proxq-Delay", "1h")).await;
        let text = scrape(&operators).await;
        for (sample, expected) in [
            (r#"proxq_jobs_submitted_total{upstream="/"}"#, 3.0),
            (r#"proxq_jobs_total{outcome="responded",state="completed",upstream="/"}"#, 2.0),
            (r#"proxq_jobs_total{outcome="not_sent",state="failed",upstream="/"}"#, 0.0),
            (r#"proxq_jobs_retried_total{upstream="/"}"#, 1.0),
            (r#"proxq_attempts_total{reach="responded",upstream="/"}"#, 2.0),
            (r#"proxq_attempts_total{reach="unknown",upstream="/"}"#, 1.0),
            (r#"proxq_attempt_duration_seconds_count{upstream="/"}"#, 3.0),
            (r#"proxq_time_in_queue_seconds_count{upstream="/"}"#, 3.0),
            (r#"proxq_bypassed_total{reason="mode",upstream="/"}"#, 1.0),
            (r#"proxq_held_total{reason="delayed",upstream="/"}"#, 1.0),
            (r#"proxq_held_total{reason="backoff",upstream="/"}"#, 1.0),
            (r#"proxq_queue_jobs{queue="default",state="completed"}"#, 2.0),
            (r#"proxq_queue_jobs{queue="default",state="scheduled"}"#, 1.0),
            (r#"proxq_queue_oldest_waiting_seconds{queue="default"}"#, 0.0),
            (r#"proxq_queue_paused{queue="default"}"#, 0.0),
            (r#"proxq_attempts_limit{queue="default"}"#, 10.0),
            ("proxq_store_readable", 1.0),
        ] {
            assert_eq!(value(&text, sample), Some(expected), "{sample} in:\n{text}");
        }
        assert!(value(&text, r#"proxq_http_requests_total{code="202",listener="clients"}"#) >= Some(3.0), "{text}");
        assert!(value(&text, r#"proxq_http_sent_bytes_total{listener="clients"}"#) > Some(500.0), "{text}");
        let store_answers: f64 = text
            .lines()
            .filter_map(|line| line.strip_prefix("proxq_store_operation_duration_seconds_count{")?.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum();
        assert!(store_answers > 5.0, "the store was asked: {text}");
        act(&operators, "/api/v1/queues/default/pause", json!({})).await;
        assert_eq!(value(&scrape(&operators).await, r#"proxq_queue_paused{queue="default"}"#), Some(1.0));
    }
}

#[tokio::test]
async fn promtool_finds_nothing_to_say() {
    let upstream = Upstream::start().await;
    upstream.answers(200, "yes");
    let (proxq, operators) = start(Store::Embedded, &upstream).await;
    let job = proxq.submit(get("/x")).await;
    proxq.settled(&job).await;
    let text = scrape(&operators).await;
    let checked = tokio::task::spawn_blocking(move || {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool is installed by tests/dep.sh");
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        promtool.wait_with_output().unwrap()
    });
    let checked = checked.await.unwrap();
    let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    assert!(checked.status.success() && said.trim().is_empty(), "{said}");
}

#[tokio::test]
async fn clients_cannot_make_more_series_than_there_are_kinds() {
    let upstream = Upstream::start().await;
    upstream.answers(200, "yes");
    let (proxq, operators) = start(Store::Embedded, &upstream).await;
    upstream.always(Answer::status(200));
    proxq.send(get("/path/0").header("X-Proxq-Mode", "direct")).await;
    proxq.send(get("/%2e%2e/x")).await;
    let before = scrape(&operators).await;
    let some_of_them = async |first: usize| {
        let mut wire = proxq.wire().await;
        for number in (first..=10_000).step_by(4) {
            let head = format!(
                "M{number} /path/{number} HTTP/1.1\r\nHost: h{number}\r\nX-Proxq-Mode: direct\r\nX-Request-Id: id-{number}\r\n\r\n"
            );
            wire.send(head).await;
            assert_eq!(wire.reply().await.status, 200);
        }
    };
    tokio::join!(some_of_them(1), some_of_them(2), some_of_them(3), some_of_them(4));
    for number in 0..50 {
        operators.send(get(&format!("/nowhere/{number}"))).await;
    }
    let after = scrape(&operators).await;
    let new: Vec<_> = series(&after).difference(&series(&before)).copied().map(str::to_owned).collect();
    assert_eq!(new, [r#"proxq_http_requests_total{code="404",listener="operators"}"#], "only the new status code");
    assert!(!after.contains("/path/"), "no path is a label");
}

/// Codes that no standard knows come from upstreams, hundreds of them.
#[tokio::test]
async fn unknown_status_codes_count_as_their_class() {
    let upstream = Upstream::start().await;
    let (proxq, operators) = start(Store::Embedded, &upstream).await;
    for code in [299, 456, 457, 599] {
        upstream.once(Answer::status(code));
        proxq.send(post("/x").header("X-Proxq-Mode", "direct").body("x")).await;
    }
    let text = scrape(&operators).await;
    let count =
        |code: &str| value(&text, &format!("proxq_http_requests_total{{code=\"{code}\",listener=\"clients\"}}"));
    assert_eq!(
        (count("2xx"), count("4xx"), count("5xx"), count("456")),
        (Some(1.0), Some(2.0), Some(1.0), None),
        "{text}"
    );
}

/// `docs/operations.md` has a table of all metrics.
#[tokio::test]
async fn every_metric_is_documented_and_every_documented_metric_is_there() {
    let upstream = Upstream::start().await;
    let (proxq, operators) = start(Store::Embedded, &upstream).await;
    let job = proxq.submit(get("/x")).await;
    proxq.settled(&job).await; // the store has been asked something
    let text = scrape(&operators).await;
    let there: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let page = Document::named("docs/operations.md");
    let rows = page.prose().map(|(_, line)| line).filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<&str> = rows
        .map(|(name, _)| name.split('{').next().unwrap_or(name))
        .filter(|name| name.starts_with("proxq_"))
        .collect();
    let own: BTreeSet<&str> = there.keys().copied().filter(|name| name.starts_with("proxq_")).collect();
    assert_eq!(documented, own);
}
