//! Tests of `adaptive`: as many attempts at once as the upstream bears.

use std::time::Duration;

use harness::{Client, Limited, Limits, Proxq, Store, count_for, on_every_store, post};
use serde_json::json;

use super::config_for_url;

/// How long the upstream takes for a request while the number at once is looked for: it rises by one in that time.
const TAKES: Duration = Duration::from_millis(150);
/// How long when it is found: long beside the time from the end of an attempt to the begin of the next, in which it is one less.
const TAKES_LONGER: Duration = Duration::from_secs(1);
/// How many jobs more than those that are done have been submitted at any time: enough for the highest limit.
const BACKLOG: usize = 220;
/// By how much of what the upstream bears the average may be above or below. The limit goes a tenth down and back up: that is a
/// twentieth on average. Between two attempts some 15 ms pass in which a place is not in use at the upstream, and more on a busy
/// machine.
const TOLERANCE: f64 = 0.1;

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

/// The average number at once when it has settled, at an upstream that bears so many.
async fn settles_at(upstream: &Limited, bears: usize) -> f64 {
    let limits = |takes| Limits::none(takes).at_once(bears).refusing_with(503);
    upstream.change(limits(TAKES));
    let refused = upstream.tally().refused();
    // It rises until it is refused some.
    upstream.counts("it is refused some", |tally| tally.refused() > refused).await;
    upstream.change(limits(TAKES_LONGER));
    count_for(TAKES_LONGER * 2).await;
    let settled = upstream.tally();
    count_for(TAKES_LONGER * 5).await;
    let tally = upstream.tally();
    let mean = tally.mean_at_once_since(&settled);
    let (requests, refused) = (tally.seen.len() - settled.seen.len(), tally.refused() - settled.refused());
    eprintln!("of {bears} at once {mean:.1} are used; {refused} of {requests} requests were refused");
    mean
}

on_every_store! {
    async fn the_number_at_once_follows_what_the_upstream_bears(store: Store) {
        let upstream = Limited::start(Limits::none(TAKES)).await;
        let config = config_for_url(store, &upstream.url()).upstream("adaptive", json!({"min": 1, "max": 200}));
        let config = config.upstream("retryOn", vec![503]).upstream("maxRetries", 1000).upstream("retryDelay", "1ms");
        let proxq = Proxq::start(config).await;
        let followed = async {
            for bears in [37, 12, 90] {
                let mean = settles_at(&upstream, bears).await;
                let bears = f64::from(u32::try_from(bears).expect("a small number"));
                assert!((mean - bears).abs() <= TOLERANCE * bears, "{mean} of {bears}");
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
