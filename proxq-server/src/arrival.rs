//! A request as a listener hands it over: its head, its unread body, and who sent it.

use std::net::SocketAddr;

use http::HeaderValue;
use http::request::Parts;

use crate::upload::Upload;

/// A request on arrival.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) head: Parts,
    pub(crate) body: Upload,
    pub(crate) peer: SocketAddr,
    /// How the client reached the listener: `http`, without TLS.
    pub(crate) scheme: &'static str,
    /// As the client chose it, or a fresh one.
    pub(crate) request_id: HeaderValue,
}
