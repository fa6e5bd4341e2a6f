//! A request that bypasses the queue and goes through proxq: comes in with its target and fields settled and its body
//! unread, is answered with the upstream's response as it arrives. Why it bypasses is `admit`'s affair, and a redirect
//! in its place is intake's.

mod client_body;
mod resendable;
mod reverse;
mod stall_timeout;
mod tunnel;
mod upstream_body;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Uri};
use hyper::upgrade::OnUpgrade;
use tokio_util::sync::CancellationToken;

pub(crate) use self::client_body::{BegunBody, ClientBody};
use crate::flow::Gates;
use crate::forward::Forwarder;
use crate::job::CredentialHash;
use crate::tasks::Tasks;
use crate::traces::Traces;

/// A request as it goes to its upstream, its body aside.
#[derive(Debug)]
pub(crate) struct DirectRequest {
    /// Prefix of its upstream.
    pub(crate) upstream: String,
    /// Whose it is, for limits that hold for each credential; all zeros where the upstream has no flow control.
    pub(crate) credential: CredentialHash,
    pub(crate) method: Method,
    pub(crate) target: Uri,
    /// The fields that the upstream gets, of which a later part replaces those of an earlier one; `Host` only in the first,
    /// and only where it is not the target's own.
    pub(crate) headers: [HeaderMap; 3],
    /// Limit for the upstream to begin its response.
    pub(crate) timeout: Duration,
    /// Who is answered.
    pub(crate) client: DirectClient,
}

/// What matters of the client in the exchange.
#[derive(Debug)]
pub(crate) struct DirectClient {
    pub(crate) peer: SocketAddr,
    /// Whether it takes trailers after an answer (RFC 9110 §6.5.1).
    pub(crate) takes_trailers: bool,
    /// Its connection, where it asks to switch it to WebSocket.
    pub(crate) upgrade: Option<OnUpgrade>,
}

/// Sends requests on ([`Direct::handle`]).
#[derive(Debug)]
pub(crate) struct Direct {
    forwarder: Forwarder,
    gates: Arc<Gates>,
    traces: Option<Arc<Traces>>,
    /// What goes on after the answer: tunnels.
    tasks: Tasks,
    /// Tunnels are cut.
    cut: CancellationToken,
    /// How long an end of a tunnel may take nothing.
    stall_limit: Duration,
}

impl Direct {
    pub(crate) fn new(
        forwarder: Forwarder,
        gates: Arc<Gates>,
        traces: Option<Arc<Traces>>,
        tasks: Tasks,
        cut: CancellationToken,
        stall_limit: Duration,
    ) -> Self {
        Self { forwarder, gates, traces, tasks, cut, stall_limit }
    }

    /// What requests to upstreams with flow control pass.
    pub(crate) fn gates(&self) -> &Arc<Gates> {
        &self.gates
    }

    /// What begins spans; `None` where nobody collects them.
    pub(crate) fn traces(&self) -> Option<&Arc<Traces>> {
        self.traces.as_ref()
    }
}
