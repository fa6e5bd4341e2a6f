//! A store that is away.

use std::sync::Arc;

use harness::{Proxq, Redis, Store, Upstream, eventually, get};
use rustix::process::Signal;

use super::{config, read};

#[tokio::test]
async fn a_redis_that_is_away_is_said_to_be_and_seen_when_it_is_back() {
    let upstream = Upstream::start().await;
    let config = config(Store::Redis, &upstream);
    let redis: Arc<Redis> = Arc::clone(config.redis().unwrap());
    let mut proxq = Proxq::start(config).await;
    let operators = proxq.operators().await;
    proxq.expect_error("");
    assert_eq!(read(&operators, "/api/v1/overview").await["ready"], true);
    redis.signal(Signal::STOP);
    eventually("the overview says so", async || {
        let overview = read(&operators, "/api/v1/overview").await;
        overview["ready"] == false && overview["store"]["problem"].is_string()
    })
    .await;
    let page = operators.send(get("/")).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("The job store does not answer"), "{}", page.text());
    let metrics = operators.send(get("/metrics")).await.text();
    assert!(metrics.contains("proxq_store_readable 0"), "{metrics}");
    operators.send(get("/api/v1/queues")).await.refused(503, "STORE_UNAVAILABLE");
    redis.signal(Signal::CONT);
    eventually("it is back", async || read(&operators, "/api/v1/overview").await["ready"] == true).await;
}
