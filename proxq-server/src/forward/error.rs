//! Why an exchange with an upstream brought no response, and how far it got.

use hyper_util::client::legacy;

use crate::failure::causes;
use crate::job::Reach;

/// An exchange that brought no complete response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// No connection, or none that took the request.
    #[error("connect to {origin}")]
    Connect { origin: String, source: legacy::Error },
    /// The connection broke, or what came was not HTTP, before there was a response head.
    #[error("send to {origin}")]
    Exchange { origin: String, source: legacy::Error },
    /// The response was cut short.
    #[error("read the response of {origin}")]
    Body { origin: String, source: hyper::Error },
    /// The upstream switched protocols although it was not asked to.
    #[error("{origin} answered 101 Switching Protocols to a request for none")]
    UnexpectedUpgrade { origin: String },
    /// The attempt's limit was reached before there was a connection, its TLS handshake included.
    #[error("connect to {origin}: no connection within {limit:?}")]
    ConnectTimeout { origin: String, limit: std::time::Duration },
    /// The attempt's limit was reached.
    #[error("no complete response of {origin} within {limit:?}")]
    Timeout { origin: String, limit: std::time::Duration },
}

impl ForwardError {
    /// Tells a request that was never handed to a connection from one that may have been received.
    pub(crate) fn from_client(origin: String, source: legacy::Error) -> Self {
        let handed_over = source.connect_info().is_some();
        if source.is_connect() || !handed_over || came_back_unsent(&source) {
            Self::Connect { origin, source }
        } else {
            Self::Exchange { origin, source }
        }
    }

    /// How far the attempt got.
    pub(crate) fn reach(&self) -> Reach {
        match self {
            Self::Connect { .. } | Self::ConnectTimeout { .. } => Reach::NotSent,
            Self::Exchange { .. } | Self::Body { .. } | Self::UnexpectedUpgrade { .. } | Self::Timeout { .. } => {
                Reach::Unknown
            }
        }
    }
}

/// Whether the connection gave the request back before its first byte left, or the upstream refused it unprocessed
/// (RFC 9113 §8.7).
fn came_back_unsent(error: &legacy::Error) -> bool {
    causes(error).any(|cause| {
        cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
            || cause.downcast_ref::<h2::Error>().is_some_and(|h2| h2.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}
