//! An open loop: requests are due at fixed times.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{CONNECTIONS, Load, Requests, pacer};
use crate::Problem;
use crate::latencies::Latencies;
use crate::messages::Messages;

/// Sends so many requests per second on [`CONNECTIONS`] connections, each of which has every 64th of them.
///
/// A connection that is busy when its next request is due sends it later; the latency counts from when it was due.
pub(crate) async fn open(
    server: SocketAddr,
    requests: Requests<'_>,
    per_second: f64,
    span: Duration,
) -> Result<Load, Problem> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Messages::connect(server).await?);
    }
    let (status, requests) = (requests.status, Arc::new(requests.bytes.to_vec()));
    let gap = Duration::try_from_secs_f64(per_second.recip())?;
    let began = Instant::now();
    let mut running = JoinSet::new();
    let lanes = pacer::start(began, gap, CONNECTIONS, span);
    for ((mut client, mut lane), number) in clients.into_iter().zip(lanes).zip(0..) {
        let requests = Arc::clone(&requests);
        running.spawn(async move {
            let mut latencies = Latencies::new();
            for request in requests.iter().cycle().skip(number % requests.len()) {
                let Some(due) = lane.next().await? else { break };
                client.expect(request, status).await?;
                latencies.record(due.elapsed())?;
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
    async fn requests_come_at_their_rate() {
        let upstream = Upstream::start().await.unwrap();
        let requests = Requests { bytes: &[get("/", "")], status: 200 };
        let load = open(upstream.address(), requests, 1000.0, Duration::from_millis(200)).await.unwrap();
        assert_eq!(load.requests, 200);
    }

    #[tokio::test]
    async fn a_stop_of_the_server_shows_in_all_requests_that_were_due_meanwhile() {
        let upstream = Upstream::start().await.unwrap();
        let span = Duration::from_millis(400);
        let requests = [get("/", "")];
        let requests = Requests { bytes: &requests, status: 200 };
        let held = upstream.hold();
        let release = async {
            harness::outlast(span).await;
            drop(held);
        };
        let (load, ()) = tokio::join!(open(upstream.address(), requests, 1000.0, span), release);
        let load = load.unwrap();
        assert_eq!(load.requests, 400);
        // They were due evenly over the stop, and answered after it: half of them waited for more than half of it.
        assert!(load.latencies.quantile_ms(0.5) > 150.0, "{}", load.latencies.quantile_ms(0.5));
    }
}
