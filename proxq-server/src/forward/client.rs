//! The connection pools of one upstream.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, HttpConnector, capture_connection};
use hyper_util::rt::TokioTimer;
use rustls::ClientConfig;
use tokio::time::Instant;
use tower_service::Service;

use super::connection::Connector;
use super::error::ForwardError;
use super::head_limits::{MAX_RESPONSE_HEAD_BYTES, MAX_RESPONSE_HEADERS};
use super::observed::{Observing, Usage};
use super::tls::{self, TlsMaterial};
use super::{BodyError, HandedOver, RequestBody, Reuse, framing};
use crate::failure::chain;
use crate::job::Reach;
use crate::lock::lock;
use crate::tasks::{PerCore, Tasks};
use crate::tls::TlsFileError;

/// Idle connections are dropped earlier than servers usually drop them (5 s in Node.js, 75 s in nginx).
const IDLE_LIMIT: Duration = Duration::from_secs(4);
/// A request that must not be sent twice takes only a kept connection that was in use this recently. If the upstream
/// closes a connection at the moment of a request, nobody knows whether it received the request. Half of the shortest
/// idle limit that servers are known to have.
const RECENT_LIMIT: Duration = Duration::from_millis(500);
/// For how long such requests take only new connections after the upstream closed a recently used one. Long enough that
/// hardly any request fails at an upstream that always closes early; short enough for one that merely restarted.
const DISTRUST: Duration = Duration::from_mins(1);
/// TCP keep-alive: after this much silence the operating system probes whether the upstream is still there, and how often
/// it repeats that. A response may take hours, and a lost upstream would go unnoticed.
const KEEPALIVE_IDLE: Duration = Duration::from_mins(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// How long a result may take to reach its caller after the connection has ended. The tasks that deliver it are ready to
/// run, but on a busy machine they wait for their turn.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// Kept connections per host, of each core; further ones are closed after use. This many concurrent clients are served without a new
/// connection for each request.
const MAX_IDLE_PER_HOST: usize = 512;
/// How many streams a new HTTP/2 connection carries before the upstream's settings tell its limit: streams above the
/// limit would be refused (RFC 9113 §5.1.2).
const INITIAL_STREAMS: usize = 1;
/// The largest read buffer. The library refuses a head that does not fit, but lets a larger one pass if it arrives fast.
/// So the buffer has room for more than the fields, and the fields are measured separately.
const READ_BUFFER_BYTES: usize = MAX_RESPONSE_HEAD_BYTES + 64 * 1024;

/// How long a connection may take that is only tried.
const TRIAL_LIMIT: Duration = Duration::from_secs(5);

type Tls = Observing<HttpsConnector<Connector>>;
type Pool = Client<Tls, RequestBody>;

/// The connections to one upstream.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamClient {
    tls: ClientConfig,
    tcp: Connector,
    /// A connection is read on the core that made it. A request of another core would wake that one, and be woken by it.
    connections: Arc<PerCore<Connections>>,
    /// When the upstream last closed a recently used connection.
    distrusted_at: Arc<Mutex<Option<Instant>>>,
}

/// The connections of one core.
#[derive(Debug)]
struct Connections {
    /// For requests that set their own host: HTTP/2 takes `:authority` from the URL, so only HTTP/1.1 can set another.
    http1: Pools,
    /// For all other requests.
    any_version: Pools,
}

/// The connections of one kind, by which requests may take them.
#[derive(Debug)]
struct Pools {
    any: Pool,
    recent: Pool,
    /// Never keeps a connection.
    new: Pool,
}

impl UpstreamClient {
    /// Prepares the pools.
    pub(crate) fn new(tls: &TlsMaterial<'_>) -> Result<Self, TlsFileError> {
        let tls = tls::client_config(tls)?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE_IDLE));
        tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
        let tcp = Connector::new(tcp);
        Ok(Self { tls, tcp, connections: Arc::new(PerCore::new()), distrusted_at: Arc::default() })
    }

    fn connections(&self) -> &Connections {
        self.connections.get_or_init(|| {
            let schemes = || HttpsConnectorBuilder::new().with_tls_config(self.tls.clone()).https_or_http();
            Connections {
                http1: Pools::new(&Observing(schemes().enable_http1().wrap_connector(self.tcp.clone()))),
                any_version: Pools::new(&Observing(schemes().enable_all_versions().wrap_connector(self.tcp.clone()))),
            }
        })
    }

    /// Sends a request and waits for the head of the response.
    ///
    /// If a kept connection ended under the request, and sending it twice is harmless or the upstream certainly did not
    /// process it, it is sent once more: on a new connection, since other kept ones may be just as old.
    pub(crate) async fn send(
        &self,
        head: Request<()>,
        body: RequestBody,
        reuse: Reuse,
        again: impl AsyncFnOnce() -> Option<RequestBody>,
        handed_over: &HandedOver,
    ) -> Result<Response<Incoming>, ForwardError> {
        let connections = self.connections();
        let pools = if head.headers().contains_key(HOST) { &connections.http1 } else { &connections.any_version };
        let pool = match reuse {
            Reuse::Any => &pools.any,
            Reuse::Recent if !self.is_distrusted() => &pools.recent,
            Reuse::Recent | Reuse::None => &pools.new,
        };
        let began = Instant::now();
        let error = match exchange(pool, head.clone().map(|()| body), handed_over).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let Some(connection) = error.kept_connection_that_ended(began) else { return Err(error) };
        let sent_before = error.reach();
        if sent_before != Reach::NotSent {
            if connection.idle(began) <= RECENT_LIMIT {
                self.distrust();
            }
            if reuse != Reuse::Any {
                return Err(error);
            }
        }
        let Some(body) = again().await else { return Err(error) };
        tracing::debug!(error = chain(&error), "a kept connection had ended: sending again");
        // A request that was handed over earlier and may have been sent stays handed over.
        let beside = HandedOver::default();
        let handed_over = if sent_before == Reach::NotSent { handed_over } else { &beside };
        match exchange(&pools.new, head.map(|()| body), handed_over).await {
            Err(error) if error.reach() < sent_before => Err(ForwardError::NotResent { source: Box::new(error) }),
            ended => ended,
        }
    }

    /// Makes a connection, TLS included, and closes it.
    pub(crate) async fn try_to_connect(&self, url: Uri) -> Result<(), BodyError> {
        let schemes = HttpsConnectorBuilder::new().with_tls_config(self.tls.clone()).https_or_http();
        let mut connector = schemes.enable_all_versions().wrap_connector(self.tcp.clone());
        let connected = tokio::time::timeout(TRIAL_LIMIT, connector.call(url)).await?;
        connected.map(drop)
    }

    fn is_distrusted(&self) -> bool {
        let since = *lock(&self.distrusted_at);
        since.is_some_and(|since| since.elapsed() < DISTRUST)
    }

    fn distrust(&self) {
        *lock(&self.distrusted_at) = Some(Instant::now());
    }
}

/// One exchange with connections of one pool.
async fn exchange(
    pool: &Pool,
    mut request: Request<RequestBody>,
    handed_over: &HandedOver,
) -> Result<Response<Incoming>, ForwardError> {
    let (method, origin) = (request.method().clone(), super::target::origin(request.uri()));
    let connection = capture_connection(&mut request);
    handed_over.follow(connection.clone());
    let answered = tokio::select! {
        biased;
        answered = pool.request(request) => Ok(answered),
        connection = gone(connection) => Err(connection),
    };
    let mut response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(ForwardError::from_client(origin, error)),
        Err(connection) => return Err(ForwardError::Lost { origin, connection }),
    };
    if let Some(connection) = response.extensions_mut().remove::<Usage>() {
        connection.answered();
    }
    if field_bytes(response.headers()) > MAX_RESPONSE_HEAD_BYTES {
        return Err(ForwardError::HeadTooLarge { origin });
    }
    match framing::settle(&mut response, &method) {
        Ok(()) => Ok(response),
        Err(source) => Err(ForwardError::Unreadable { origin, source }),
    }
}

/// Returns when a request's connection ended so long ago that its response or failure should have arrived.
///
/// The library hands requests to a connection's task through a channel. A request that arrives at the very end of that
/// task stays in the channel (see `tokio::sync::mpsc`, "Clean shutdown") and would be waited for until its timeout.
async fn gone(mut connection: CaptureConnection) -> Usage {
    let usage = connection.wait_for_connection_metadata().await.as_ref().and_then(Usage::of);
    let Some(usage) = usage else { return std::future::pending().await };
    usage.ended().await;
    tokio::time::sleep(LAST_WORDS).await;
    usage
}

/// The size of header fields in HTTP/1.1, in bytes: `name: value` and the line break.
fn field_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

impl Pools {
    fn new(connector: &Tls) -> Self {
        let pool = |idle_limit, kept_max| pool(connector.clone(), idle_limit, kept_max);
        Self {
            any: pool(IDLE_LIMIT, MAX_IDLE_PER_HOST),
            recent: pool(RECENT_LIMIT, MAX_IDLE_PER_HOST),
            new: pool(Duration::ZERO, 0),
        }
    }
}

fn pool(connector: Tls, idle_limit: Duration, kept_max: usize) -> Pool {
    // Nobody waits for the tasks of its connections: they end with the pool.
    Client::builder(Tasks::default())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(idle_limit)
        .pool_max_idle_per_host(kept_max)
        // That is done by `send`, on a new connection.
        .retry_canceled_requests(false)
        .http1_title_case_headers(true)
        // A proxy removes both (RFC 9112 §5.1 and §5.2).
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http1_max_headers(MAX_RESPONSE_HEADERS)
        .http1_max_buf_size(READ_BUFFER_BYTES)
        .http2_initial_max_send_streams(INITIAL_STREAMS)
        .http2_max_header_list_size(u32::try_from(MAX_RESPONSE_HEAD_BYTES).expect("a small constant"))
        .build(connector)
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn who_waits_for_an_answer_learns_of_the_end_of_its_connection() {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::builder(Tasks::default()).build(Observing(HttpConnector::new()));
        let uri = format!("http://{}/", upstream.local_addr().unwrap());
        let mut request = Request::get(uri).body(Empty::<bytes::Bytes>::new()).unwrap();
        let connection = capture_connection(&mut request);
        let hangs_up = async { upstream.accept().await.unwrap().0.read_u8().await.unwrap() };
        let (answer, _) = tokio::join!(client.request(request), hangs_up);
        answer.unwrap_err();
        let began = Instant::now();
        gone(connection).await;
        assert!(began.elapsed() >= LAST_WORDS, "it would have come by then");
    }
}
