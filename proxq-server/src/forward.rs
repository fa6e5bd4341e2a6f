//! One HTTP exchange with one upstream. In: a request, ready to be sent. Out: the response's head with its unread body,
//! or why there is none and how far the exchange got. The caller decides what follows from that.

pub(crate) mod body_end;
mod client;
mod connection;
mod error;
pub(crate) mod forwarded;
mod framing;
mod head_limits;
pub(crate) mod headers;
mod observed;
pub(crate) mod target;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, Connected};

use self::client::UpstreamClient;
pub(crate) use self::error::{ForwardError, is_connect_timeout};
pub(crate) use self::tls::client_tls;
use self::tls::{TlsDigest, TlsMaterial};
use crate::config::{Upstream, UpstreamTls};
use crate::lock::lock;
use crate::tls::TlsFileError;

/// A request body on its way to an upstream.
pub(crate) type RequestBody = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body on its way to an upstream broke off.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The connections to all upstreams.
#[derive(Clone, Debug)]
pub(crate) struct Forwarder {
    by_prefix: Arc<HashMap<String, Connections>>,
    /// For jobs whose upstream is no longer configured.
    fallback: UpstreamClient,
}

/// The connections to one upstream, and what they were made from.
#[derive(Clone, Debug)]
struct Connections {
    client: UpstreamClient,
    settings: UpstreamTls,
    tls: TlsDigest,
}

impl Connections {
    /// Keeps the former connections if the settings and files behind them are unchanged.
    fn prepare(settings: &UpstreamTls, before: Option<&Self>) -> Result<Self, TlsFileError> {
        let material = TlsMaterial::read(settings)?;
        let tls = material.digest();
        match before {
            Some(before) if before.tls == tls => Ok(before.clone()),
            _ => Ok(Self { client: UpstreamClient::new(&material)?, settings: settings.clone(), tls }),
        }
    }
}

impl Forwarder {
    /// Prepares a pool of connections for each upstream. Connects to none. Reads files.
    pub(crate) fn new(upstreams: &[Upstream]) -> Result<Self, TlsFileError> {
        let fallback = UpstreamClient::new(&TlsMaterial::read(&UpstreamTls::default())?)?;
        Self { by_prefix: Arc::default(), fallback }.renewed(upstreams, &[])
    }

    /// The same for a new list of upstreams: unchanged ones, TLS files included, keep their connections. So do the
    /// `former` ones, whose files are not read again. Reads files.
    pub(crate) fn renewed(&self, upstreams: &[Upstream], former: &[Upstream]) -> Result<Self, TlsFileError> {
        let mut by_prefix = HashMap::new();
        for upstream in former {
            let prefix = upstream.prefix.as_str();
            by_prefix.extend(self.by_prefix.get(prefix).map(|kept| (prefix.to_owned(), kept.clone())));
        }
        for upstream in upstreams {
            let prefix = upstream.prefix.as_str();
            let prepared = Connections::prepare(&upstream.tls, self.by_prefix.get(prefix))?;
            by_prefix.insert(prefix.to_owned(), prepared);
        }
        Ok(Self { by_prefix: Arc::new(by_prefix), fallback: self.fallback.clone() })
    }

    /// The prefixes of upstreams whose TLS files have new contents under the same names.
    pub(crate) fn with_other_files(&self, before: &Self) -> Vec<String> {
        let changed = |(prefix, own): (&String, &Connections)| {
            let before = before.by_prefix.get(prefix)?;
            (own.settings == before.settings && own.tls != before.tls).then(|| prefix.clone())
        };
        let mut prefixes: Vec<_> = self.by_prefix.iter().filter_map(changed).collect();
        prefixes.sort();
        prefixes
    }

    /// Sends a request to the upstream with this prefix and waits for the head of its response. One with a `Host`
    /// goes over HTTP/1.1.
    ///
    /// If a kept connection ends under the request and the request may be sent once more, `again` gives its body a second
    /// time, if it can. `handed_over` tells meanwhile whether the request has a connection.
    ///
    /// Dropping the future ends the exchange: over HTTP/1 with its connection, over HTTP/2 with its stream.
    pub(crate) async fn send(
        &self,
        prefix: &str,
        head: Request<()>,
        body: RequestBody,
        reuse: Reuse,
        again: impl AsyncFnOnce() -> Option<RequestBody>,
        handed_over: &HandedOver,
    ) -> Result<Response<Incoming>, ForwardError> {
        self.client(prefix).send(head, body, reuse, again, handed_over).await
    }

    /// Makes a connection to an upstream, TLS included, and closes it.
    pub(crate) async fn try_to_connect(&self, upstream: &Upstream) -> Result<(), BodyError> {
        self.client(upstream.prefix.as_str()).try_to_connect(upstream.url.to_string().parse()?).await
    }

    fn client(&self, prefix: &str) -> &UpstreamClient {
        self.by_prefix.get(prefix).map_or(&self.fallback, |known| &known.client)
    }
}

/// Whether a request has been given a connection. Before that, its upstream has seen nothing of it.
#[derive(Debug, Default)]
pub(crate) struct HandedOver(Mutex<Option<CaptureConnection>>);

impl HandedOver {
    fn follow(&self, connection: CaptureConnection) {
        *lock(&self.0) = Some(connection);
    }

    fn look<T>(&self, look: impl FnOnce(&Connected) -> T) -> Option<T> {
        let request = lock(&self.0);
        request.as_ref()?.connection_metadata().as_ref().map(look)
    }

    /// Whether it has a connection by now.
    pub(crate) fn already(&self) -> bool {
        self.look(|_| ()).is_some()
    }

    /// Keeps later requests off the connection after a timeout. Over HTTP/2 the exchange leaves the connection open, and
    /// a dead one would take job after job until TCP notices, minutes later.
    pub(crate) fn avoid_after(&self, error: &ForwardError) {
        if matches!(error, ForwardError::Timeout { .. }) {
            self.avoid();
        }
    }

    /// Keeps later requests off the connection.
    pub(crate) fn avoid(&self) {
        self.look(Connected::poison);
    }
}

/// Which connections a request may take. An upstream may close a kept one at the moment when a request is sent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// Any: sending it twice is harmless, and it is sent again if a kept connection had ended.
    Any,
    /// A new one, or one that was in use a moment ago: sending it twice may be harmful.
    Recent,
    /// A new one: sending it twice would be harmless, but its body can be read only once.
    None,
}
