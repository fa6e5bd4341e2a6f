//! A closed loop: the next request is sent when the last one was answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{CONNECTIONS, Load, Requests};
use crate::Problem;
use crate::latencies::Latencies;
use crate::messages::Messages;

/// When a closed loop ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    After(Duration),
    /// After exactly so many requests.
    Count(u32),
}

/// Sends on [`CONNECTIONS`] connections until the limit.
pub(crate) async fn closed(server: SocketAddr, requests: Requests<'_>, limit: Limit) -> Result<Load, Problem> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Messages::connect(server).await?);
    }
    let (status, requests) = (requests.status, Arc::new(requests.bytes.to_vec()));
    let sent_already = Arc::new(AtomicU32::new(0));
    let began = Instant::now();
    let mut running = JoinSet::new();
    for (first, mut client) in clients.into_iter().enumerate() {
        let (requests, sent_already) = (Arc::clone(&requests), Arc::clone(&sent_already));
        running.spawn(async move {
            let mut latencies = Latencies::new();
            let mut sent = Instant::now();
            for request in requests.iter().cycle().skip(first % requests.len()) {
                let is_over = match limit {
                    Limit::After(span) => sent.duration_since(began) >= span,
                    Limit::Count(count) => sent_already.fetch_add(1, Ordering::Relaxed) >= count,
                };
                if is_over {
                    break;
                }
                client.expect(request, status).await?;
                let answered = Instant::now();
                latencies.record(answered.duration_since(sent))?;
                sent = answered;
            }
            Ok(latencies)
        });
    }
    Load::sum(began, running).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::get;
    use crate::upstream::Upstream;

    #[tokio::test]
    async fn as_many_requests_are_sent_as_are_counted() {
        let upstream = Upstream::start().await.unwrap();
        let requests = [get("/a", ""), get("/b", "")];
        let requests = Requests { bytes: &requests, status: 200 };
        let load = closed(upstream.address(), requests, Limit::Count(1000)).await.unwrap();
        assert_eq!((load.requests, load.latencies.count(), upstream.answered()), (1000, 1000, 1000));
    }

    #[tokio::test]
    async fn a_wrong_status_ends_the_load() {
        let upstream = Upstream::start().await.unwrap();
        let requests = Requests { bytes: &[get("/", "")], status: 202 };
        let error = closed(upstream.address(), requests, Limit::Count(1)).await.unwrap_err();
        assert!(error.to_string().starts_with("status 200 in place of 202"), "{error}");
    }
}
