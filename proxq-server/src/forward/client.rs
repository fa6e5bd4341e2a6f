//! The pools of connections to one upstream.

use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connection::Connector;
use super::error::ForwardError;
use super::tls::{self, TlsFileError, TlsMaterial};
use super::{Repeatable, RequestBody, framing};

/// Idle connections are dropped sooner than servers usually do it (5 s in Node.js, 75 s in nginx).
const IDLE_LIMIT: Duration = Duration::from_secs(4);
/// A request that must not be sent twice takes only a connection that was alive a moment ago: one that the upstream
/// closes at the same instant leaves in doubt whether it was received.
/// Half of the shortest limit that servers are known to have.
const IDLE_LIMIT_UNREPEATABLE: Duration = Duration::from_millis(500);
/// How long a connection is quiet before the operating system asks whether the upstream is still there, and how long
/// it waits before it asks again: a response may take hours, and an upstream that is gone would not be noticed.
const KEEPALIVE_IDLE: Duration = Duration::from_mins(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Kept connections per host; more are closed after use. As many clients as that can be served at a time without a new
/// connection for each of their requests.
const MAX_IDLE_PER_HOST: usize = 512;
/// The most header fields of a response that is read; the library's default of 100 would fail honest ones.
pub(super) const MAX_RESPONSE_HEADERS: usize = 512;
/// How many streams a new HTTP/2 connection carries before the upstream's settings say how many it allows: more than
/// it allows would be refused (RFC 9113 §5.1.2).
const INITIAL_STREAMS: usize = 1;
/// The largest response head, as the sum of its fields: far more than honest upstreams send, and what a connection may
/// cost in memory.
pub(super) const MAX_RESPONSE_HEAD_BYTES: usize = 256 * 1024;
/// The largest read buffer. The library refuses a head that does not fit, but lets a larger one pass if it comes fast.
/// So there is room for what a head is beside its fields, and these are measured.
const READ_BUFFER_BYTES: usize = MAX_RESPONSE_HEAD_BYTES + 64 * 1024;

type Pool = Client<HttpsConnector<Connector>, RequestBody>;

/// The connections to one upstream.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamClient {
    /// For requests that name their host: HTTP/2 takes its `:authority` from the URL, so only HTTP/1.1 can name another.
    http1: Pools,
    /// For all others.
    any_version: Pools,
}

/// The connections of one kind: one pool for requests that may be sent twice and one for those that may not.
#[derive(Clone, Debug)]
struct Pools {
    repeatable: Pool,
    unrepeatable: Pool,
}

impl UpstreamClient {
    /// Prepares the pools.
    pub(crate) fn new(tls: &TlsMaterial<'_>) -> Result<Self, TlsFileError> {
        let tls = tls::client_config(tls)?;
        let schemes = || HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE_IDLE));
        tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
        let tcp = Connector::new(tcp);
        Ok(Self {
            http1: Pools::new(schemes().enable_http1().wrap_connector(tcp.clone())),
            any_version: Pools::new(schemes().enable_all_versions().wrap_connector(tcp)),
        })
    }

    /// Sends a request and waits for the head of the response.
    pub(crate) async fn send(
        &self,
        request: Request<RequestBody>,
        repeatable: Repeatable,
    ) -> Result<Response<Incoming>, ForwardError> {
        let pools = if request.headers().contains_key(HOST) { &self.http1 } else { &self.any_version };
        let pool = match repeatable {
            Repeatable::Yes => &pools.repeatable,
            Repeatable::No => &pools.unrepeatable,
        };
        let (method, origin) = (request.method().clone(), super::target::origin(request.uri()));
        let mut response = match pool.request(request).await {
            Ok(response) => response,
            Err(error) => return Err(ForwardError::from_client(origin, error)),
        };
        if field_bytes(response.headers()) > MAX_RESPONSE_HEAD_BYTES {
            return Err(ForwardError::HeadTooLarge { origin });
        }
        match framing::settle(&mut response, &method) {
            Ok(()) => Ok(response),
            Err(source) => Err(ForwardError::Unreadable { origin, source }),
        }
    }
}

/// What fields take up in HTTP/1.1: `name: value`, and the end of the line.
fn field_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

impl Pools {
    fn new(connector: HttpsConnector<Connector>) -> Self {
        Self { repeatable: pool(connector.clone(), IDLE_LIMIT), unrepeatable: pool(connector, IDLE_LIMIT_UNREPEATABLE) }
    }
}

fn pool(connector: HttpsConnector<Connector>, idle_limit: Duration) -> Pool {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(idle_limit)
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
        .http1_title_case_headers(true)
        .http1_max_headers(MAX_RESPONSE_HEADERS)
        .http1_max_buf_size(READ_BUFFER_BYTES)
        .http2_initial_max_send_streams(INITIAL_STREAMS)
        .http2_max_header_list_size(u32::try_from(MAX_RESPONSE_HEAD_BYTES).expect("a small constant"))
        .build(connector)
}
