//! Tests of the listener for operators.
//!
//! | promise | in |
//! |---|---|
//! | who is let in | `guard.rs` |
//! | what is shown of queues and jobs | `shown.rs` |
//! | what is ordered | `orders.rs` |
//! | orders for many jobs | `bulk.rs` |
//! | metrics | `metrics.rs` |
//! | the description of the API | `openapi.rs` |
//! | pages that stay up to date | `live.rs` |
//! | the dashboard in a browser | `browser.rs` |
//! | a store that is away | `away.rs` |

mod away;
mod browser;
mod bulk;
mod guard;
mod live;
mod metrics;
mod openapi;
mod orders;
mod shown;

use harness::{Client, Config, Proxq, Reply, Request, Store, Upstream, get, post, request};
use serde_json::Value;

/// A server with a listener for operators, whose only upstream this is.
fn config(store: Store, upstream: &Upstream) -> Config {
    store.config_for(upstream).set("admin.listenAddress", "127.0.0.1:0")
}

/// Such a server, and a client of its listener for operators.
async fn start(store: Store, upstream: &Upstream) -> (Proxq, Client) {
    started(config(store, upstream)).await
}

async fn started(config: Config) -> (Proxq, Client) {
    let proxq = Proxq::start(config).await;
    let operators = proxq.operators().await;
    (proxq, operators)
}

/// Asks for JSON, which must be there.
async fn read(operators: &Client, path: &str) -> Value {
    let reply = operators.send(get(path)).await;
    assert_eq!(reply.status, 200, "{path}: {reply}");
    reply.json()
}

/// An order as the dashboard sends it.
fn order(method: &str, path: &str, body: &Value) -> Request {
    let order = request(method, path).header("Content-Type", "application/json").header("X-Proxq-Admin", "1");
    order.body(body.to_string())
}

/// Sends an order.
async fn act(operators: &Client, path: &str, body: Value) -> Reply {
    operators.send(order("POST", path, &body)).await
}

/// The ids in a page of jobs.
fn ids(page: &Value) -> Vec<String> {
    let jobs = page["jobs"].as_array().expect("a page has jobs");
    jobs.iter().map(|job| job["id"].as_str().expect("a job has an id").to_owned()).collect()
}

/// A request that becomes a job.
fn plain() -> Request {
    post("/x").body("x")
}
