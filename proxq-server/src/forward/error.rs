//! Why an exchange with an upstream brought no response, and how far it got.

use std::error::Error as StdError;
use std::io;

use hyper_util::client::legacy;
use tokio::time::Instant;

use super::body_end::CutShort;
use super::client::{MAX_RESPONSE_HEAD_BYTES, MAX_RESPONSE_HEADERS};
use super::connection::OpenedAt;
use super::framing::UnknownCoding;
use crate::failure::causes;
use crate::job::Reach;

/// An exchange that brought no complete response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// No connection, or none that took the request.
    #[error("connect to {origin}")]
    Connect { origin: String, source: legacy::Error },
    /// The upstream said that it did not process the request.
    #[error("send to {origin}")]
    Unprocessed { origin: String, source: legacy::Error },
    /// The connection broke, or what came was not HTTP, before there was a response head.
    #[error("send to {origin}")]
    Exchange { origin: String, source: legacy::Error },
    /// The response's head is larger than what is read of one, or has more fields.
    #[error(
        "the response head of {origin} is too large: it may have {MAX_RESPONSE_HEAD_BYTES} bytes and {MAX_RESPONSE_HEADERS} fields"
    )]
    HeadTooLarge { origin: String },
    /// The response was cut short.
    #[error("read the response of {origin}")]
    Body { origin: String, source: hyper::Error },
    /// The same, and the connection did not say so.
    #[error("read the response of {origin}")]
    CutShort { origin: String, source: CutShort },
    /// There is a response, which nobody could read.
    #[error("read the response of {origin}")]
    Unreadable { origin: String, source: UnknownCoding },
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
    /// Tells a request that was never handed to a connection, or was not processed, from one that may have been.
    pub(crate) fn from_client(origin: String, source: legacy::Error) -> Self {
        let handed_over = source.connect_info().is_some();
        if source.is_connect() || !handed_over || came_back_unsent(&source) {
            Self::Connect { origin, source }
        } else if causes(&source).any(says_unprocessed) {
            Self::Unprocessed { origin, source }
        } else if causes(&source).any(says_too_large) {
            Self::HeadTooLarge { origin }
        } else {
            Self::Exchange { origin, source }
        }
    }

    /// Whether the request met the end of a connection that had been opened for an earlier one: the upstream may have
    /// closed it before the request came. `began` is when the request was sent.
    pub(crate) fn ended_a_kept_connection(&self, began: Instant) -> bool {
        let Self::Exchange { source, .. } = self else { return false };
        let mut extensions = http::Extensions::new();
        if let Some(connection) = source.connect_info() {
            connection.get_extras(&mut extensions);
        }
        let kept = extensions.get::<OpenedAt>().is_some_and(|opened| opened.0 < began);
        kept && causes(source).any(ended)
    }

    /// How far the attempt got.
    pub(crate) fn reach(&self) -> Reach {
        match self {
            Self::Connect { .. } | Self::ConnectTimeout { .. } | Self::Unprocessed { .. } => Reach::NotSent,
            Self::Exchange { .. }
            | Self::HeadTooLarge { .. }
            | Self::Body { .. }
            | Self::CutShort { .. }
            | Self::Unreadable { .. }
            | Self::UnexpectedUpgrade { .. }
            | Self::Timeout { .. } => Reach::Unknown,
        }
    }
}

/// Whether the connection gave the request back before its first byte left.
fn came_back_unsent(error: &legacy::Error) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled))
}

/// Whether a response head did not fit the library's limits.
fn says_too_large(cause: &(dyn StdError + 'static)) -> bool {
    cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large)
}

/// Whether a connection ended without the answer that was due.
fn ended(cause: &(dyn StdError + 'static)) -> bool {
    let incomplete = cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message);
    let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
    incomplete || matches!(kind, Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe))
}

/// Whether the upstream refused the stream, or went away and named an earlier one as the last that it may process
/// (RFC 9113 §8.7). Streams up to the last one never end with its `GOAWAY`, only with the connection.
///
/// Of a `GOAWAY` that comes while the library is still opening the stream it does not tell which streams are meant; that
/// is no `h2::Error`, and stays in doubt.
fn says_unprocessed(cause: &(dyn StdError + 'static)) -> bool {
    let Some(cause) = cause.downcast_ref::<h2::Error>() else { return false };
    cause.is_remote() && (cause.is_go_away() || cause.reason() == Some(h2::Reason::REFUSED_STREAM))
}
