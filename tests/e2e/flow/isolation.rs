//! Tests of an upstream beside a slow one: its jobs take what they take alone.

use std::time::Duration;

use harness::{Limited, Limits, Proxq, Route, Store, on_every_store, post};
use tokio::time::Instant;

use super::submit;

/// How much longer the jobs of the fast upstream may take beside a slow one: what a busy machine adds.
const MARGIN: Duration = Duration::from_millis(10);

/// What a job takes from its submission to its response.
async fn job_takes(proxq: &Proxq) -> Duration {
    let began = Instant::now();
    proxq.send(post("/fast/x").header("X-Proxq-Wait", "30s")).await;
    began.elapsed()
}

fn median(mut spans: Vec<Duration>) -> Duration {
    spans.sort_unstable();
    spans[spans.len() / 2]
}

on_every_store! {
    async fn a_slow_upstream_does_not_hold_up_a_fast_one(store: Store) {
        const AT_ONCE: usize = 4;
        let slow = Limited::start(Limits::none(Duration::from_mins(1))).await;
        let fast = Limited::start(Limits::none(Duration::from_millis(5))).await;
        let config = || {
            let config = store.config().set("concurrency", AT_ONCE);
            let config = config.route(Route::new("/slow", &slow.url()).set("concurrency", AT_ONCE));
            config.route(Route::new("/fast", &fast.url()).set("concurrency", AT_ONCE))
        };
        let (alone, beside) = (Proxq::start(config()).await, Proxq::start(config()).await);
        submit(&beside, &post("/slow/x"), 10 * AT_ONCE).await;
        slow.counts("as many run as may", |tally| tally.at_once() == AT_ONCE).await;
        let (mut spans_alone, mut spans_beside) = (Vec::new(), Vec::new());
        for _ in 0..41 {
            spans_alone.push(job_takes(&alone).await);
            spans_beside.push(job_takes(&beside).await);
        }
        let [alone, beside] = [spans_alone, spans_beside].map(median);
        eprintln!("on {store:?}: {alone:?} alone, {beside:?} beside a slow one");
        assert!(beside < alone + MARGIN, "{alone:?} alone, {beside:?} beside a slow one");
        assert_eq!(fast.tally().taken(), 2 * 41, "each was done");
        assert_eq!(slow.tally().seen.len(), AT_ONCE, "the slow one is still at its first");
    }
}
