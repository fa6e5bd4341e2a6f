//! A connection that was switched to another protocol: bytes in both directions, until both ends have closed.

use http::{HeaderMap, HeaderValue, Response, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;

use super::Direct;
use super::stall_timeout::StallTimeout;
use crate::flow::Pass;

/// What waits in memory of a tunnel, each way.
const BUFFER_BYTES: usize = 16 * 1024;

/// Asks the upstream to switch to WebSocket (RFC 6455 §4.1): the client's wish, in fields of the new connection.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

impl Direct {
    /// Joins the connections of a `101` response once both have switched. A close of one direction is passed on and leaves
    /// the other open. The attempt lasts as long as the tunnel.
    pub(super) fn join(&self, client: OnUpgrade, response: &mut Response<Incoming>, pass: Option<Pass>) {
        let upstream = hyper::upgrade::on(response);
        let (cut, stall_limit) = (self.cut.clone(), self.stall_limit);
        let carry = async move {
            let (client, upstream) = tokio::try_join!(client, upstream)?;
            let mut client = StallTimeout::new(TokioIo::new(client), stall_limit);
            let mut upstream = StallTimeout::new(TokioIo::new(upstream), stall_limit);
            let (sent, received) =
                copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER_BYTES, BUFFER_BYTES).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((sent, received))
        };
        self.tasks.spawn(async move {
            let _pass = pass;
            tokio::select! {
                ended = carry => match ended {
                    Ok((sent, received)) => tracing::debug!(sent, received, "tunnel closed"),
                    Err(error) => tracing::debug!(%error, "tunnel broke"),
                },
                () = cut.cancelled() => tracing::debug!("cut a tunnel at the end of the drain"),
            }
        });
    }
}
