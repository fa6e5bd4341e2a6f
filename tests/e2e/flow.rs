//! Tests of flow control: how fast and how wide an upstream is used, and what becomes of the jobs that have to wait.
//!
//! | promise | in |
//! |---|---|
//! | an upstream's limits are kept to, and used | `simulation.rs` |
//! | a slow upstream holds up nobody | `isolation.rs` |
//! | a dead upstream costs no job | `breaker.rs` |
//! | as many at once as the upstream bears | `adaptive.rs` |
//! | a status says why a job waits | `waiting.rs` |
//! | a full queue refuses | `full.rs` |
//! | direct requests count | `direct.rs` |
//! | responses that count as failures | `retry_on.rs` |
//! | credentials: turns, limits, parks | `credentials.rs` |
//! | what an upstream says of its limits | `parks.rs` |
//! | other settings while jobs wait | `reload.rs` |
//! | jobs that are held back end, are cancelled and outlive a crash as all others | `held_back.rs` |
//! | queues in Redis, Redis away, several instances | `redis.rs` |

mod adaptive;
mod breaker;
mod credentials;
mod direct;
mod full;
mod held_back;
mod isolation;
mod parks;
mod redis;
mod reload;
mod retry_on;
mod simulation;
mod waiting;

use harness::{Config, Job, Proxq, Request, Route, Store, eventually, post};
use proxq_protocol::{JobInfo, Waiting};

/// A configuration whose only upstream is at this URL.
fn config_for_url(store: Store, url: &str) -> Config {
    store.config().route(Route::new("/", url))
}

/// A job of a client with these credentials.
fn job_of(credential: &str) -> Request {
    post("/x").header("Authorization", credential)
}

/// Submits such jobs one after the other.
async fn submit(proxq: &Proxq, request: &Request, count: usize) -> Vec<Job> {
    let mut jobs = Vec::new();
    for _ in 0..count {
        jobs.push(proxq.submit(request.clone()).await);
    }
    jobs
}

/// Returns when a job's status says that it waits for this; fails the test if it never does.
async fn waits(proxq: &Proxq, job: &Job, why: Waiting) -> JobInfo {
    eventually(&format!("{} waits for {why:?}", job.id), async || proxq.status(job).await.waiting == Some(why)).await;
    proxq.status(job).await
}
