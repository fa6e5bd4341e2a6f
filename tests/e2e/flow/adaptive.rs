//! Tests of `adaptive`: as many attempts at once as the upstream bears.

use std::time::Duration;

use harness::{Client, Limited, Limits, Proxq, Store, count_for, eventually, get, on_every_store, post};
use serde_json::json;
use tokio::time::Instant;

use super::config_for_url;

/// How long the upstream takes for a request while the number at once is looked for: it rises by one in that time.
const TAKES: Duration = Duration::from_millis(200);
/// How long when it is found: few requests, so that a busy machine keeps up, too.
const TAKES_LONGER: Duration = Duration::from_secs(1);
/// How many jobs more than those that are done have been submitted at any time: enough for the highest limit.
const BACKLOG: usize = 100;
/// By how much of what the upstream bears the average limit may be above or below. It goes a tenth down and back up.
const TOLERANCE: f64 = 0.1;
/// The lowest share of the limit that is in use on average. From the end of an attempt to the begin of the next some 15 ms pass,
/// and many times that on a busy machine.
const USED_MIN: f64 = 0.6;
/// How often the limit is read: many times between two changes.
const READ_EVERY: Duration = Duration::from_millis(50);

/// Keeps the queue filled, with four clients.
async fn keep_busy(client: &Client, upstream: &Limited) {
    let fill = async |first: usize| {
        for submitted in (first..).step_by(4) {
            upstream.counts("there is room", |tally| tally.taken() + BACKLOG > submitted).await;
            client.submit(post("/x")).await;
        }
    };
    tokio::join!(fill(0), fill(1), fill(2), fill(3));
}

/// How many attempts may run at once, as the metrics have it.
async fn limit(operators: &Client) -> f64 {
    let metrics = operators.send(get("/metrics")).await.text();
    let limit =
        metrics.lines().find_map(|line| line.strip_prefix(r#"proxq_attempts_limit{queue="adapts"} "#)?.parse().ok());
    limit.unwrap_or_else(|| panic!("no limit in: {metrics}"))
}

/// The average limit over a time.
async fn mean_limit(operators: &Client, span: Duration) -> f64 {
    let (until, mut sum, mut count) = (Instant::now() + span, 0.0, 0.0);
    while Instant::now() < until {
        sum += limit(operators).await;
        count += 1.0;
        count_for(READ_EVERY).await;
    }
    sum / count
}

/// Whether a number is as near to what the upstream bears as it has to be.
fn is_near(number: f64, bears: u32) -> bool {
    (number - f64::from(bears)).abs() <= TOLERANCE * f64::from(bears)
}

/// Asserts that the limit comes to what an upstream bears and stays there, and that it is in use.
async fn settles_at(operators: &Client, upstream: &Limited, bears: u32) {
    let limits = |takes| Limits::none(takes).at_once(bears as usize).refusing_with(503);
    upstream.change(limits(TAKES));
    // On the way up every step of ten has a deadline of its own: to 40 it takes some 800 requests.
    for step in (10..bears).step_by(10) {
        eventually(&format!("the limit is above {step}"), async || limit(operators).await > f64::from(step)).await;
    }
    eventually(&format!("the limit is near {bears}"), async || is_near(limit(operators).await, bears)).await;
    upstream.change(limits(TAKES_LONGER));
    count_for(TAKES_LONGER).await; // those that began before end
    let settled = upstream.tally();
    let mean = mean_limit(operators, TAKES_LONGER * 5).await;
    let tally = upstream.tally();
    let used = tally.mean_at_once_since(&settled);
    let (requests, refused) = (tally.seen.len() - settled.seen.len(), tally.refused() - settled.refused());
    eprintln!(
        "of {bears} at once {mean:.1} are allowed and {used:.1} used; {refused} of {requests} requests were refused"
    );
    assert!(is_near(mean, bears), "{mean} of {bears}");
    assert!(used >= USED_MIN * mean, "{used} of {mean}");
}

on_every_store! {
    async fn the_number_at_once_follows_what_the_upstream_bears(store: Store) {
        let upstream = Limited::start(Limits::none(TAKES)).await;
        let config = config_for_url(store, &upstream.url()).upstream("adaptive", json!({"min": 1, "max": 90}));
        let config = config.upstream("retryOn", vec![503]).upstream("maxRetries", 1000).upstream("retryDelay", "1ms");
        let config = config.upstream("queue", "adapts").set("admin.listenAddress", "127.0.0.1:0");
        let proxq = Proxq::start(config).await;
        let operators = proxq.operators().await;
        let followed = async {
            for bears in [20, 8, 40] {
                settles_at(&operators, &upstream, bears).await;
            }
        };
        tokio::select! {
            () = followed => {}
            () = keep_busy(&proxq, &upstream) => {}
        }
    }

    async fn it_does_not_rise_above_its_bounds(store: Store) {
        let upstream = Limited::start(Limits::none(TAKES)).await;
        let config = config_for_url(store, &upstream.url()).upstream("adaptive", json!({"min": 2, "max": 5}));
        let proxq = Proxq::start(config.set("concurrency", 1)).await;
        tokio::select! {
            () = upstream.counts("many are done", |tally| tally.taken() >= 60) => {}
            () = keep_busy(&proxq, &upstream) => {}
        }
        let tally = upstream.tally();
        assert_eq!(tally.most_at_once(), 5, "whatever the global concurrency");
        let first = tally.seen[0].at;
        let at_first = tally.seen.iter().take_while(|seen| seen.at < first + TAKES / 2).count();
        assert_eq!(at_first, 2, "it begins with the lowest");
    }
}
