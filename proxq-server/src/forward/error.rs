//! Why an exchange with an upstream brought no response, and how far it got.

use std::error::Error as StdError;
use std::io;

use hyper_util::client::legacy;
use tokio::time::Instant;

use super::body_end::CutShort;
use super::framing::UnknownCoding;
use super::head_limits::{MAX_RESPONSE_HEAD_BYTES, MAX_RESPONSE_HEADERS};
use super::observed::Usage;
use crate::failure::causes;
use crate::job::Reach;
use crate::shortage::Shortage;

/// An exchange that brought no complete response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// No connection, or none that took the request.
    #[error("connect to {origin}")]
    Connect { origin: String, source: legacy::Error },
    /// The same, because this process is short of something.
    #[error("connect to {origin}")]
    Shortage { origin: String, source: legacy::Error },
    /// The upstream said that it did not process the request.
    #[error("send to {origin}")]
    Unprocessed { origin: String, source: legacy::Error },
    /// The connection broke, or what came was not HTTP, before there was a response head.
    #[error("send to {origin}")]
    Exchange { origin: String, source: legacy::Error },
    /// The connection ended, and nobody said what became of the request.
    #[error("send to {origin}: the connection ended without an answer")]
    Lost { origin: String, connection: Usage },
    /// The request met the end of a kept connection, and could not be sent on another one either.
    #[error("send again, as the upstream had closed a kept connection")]
    NotResent { source: Box<ForwardError> },
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

/// How the message of [`ForwardError::ConnectTimeout`] goes on behind the upstream's origin.
const NO_CONNECTION_WITHIN: &str = ": no connection within ";

/// Whether a failed job's error says that its last attempt timed out while connecting. A job keeps the message alone.
pub(crate) fn is_connect_timeout(error: &str) -> bool {
    error.contains(NO_CONNECTION_WITHIN)
}

impl ForwardError {
    /// Tells a request that was never handed to a connection, or was not processed, from one that may have been.
    pub(crate) fn from_client(origin: String, source: legacy::Error) -> Self {
        let handed_over = source.connect_info().is_some();
        if !handed_over && Shortage::behind(&source).is_some() {
            Self::Shortage { origin, source }
        } else if source.is_connect() || !handed_over || came_back_unsent(&source) {
            Self::Connect { origin, source }
        } else if causes(&source).any(says_unprocessed) {
            Self::Unprocessed { origin, source }
        } else if causes(&source).any(says_too_large) {
            Self::HeadTooLarge { origin }
        } else {
            Self::Exchange { origin, source }
        }
    }

    /// The kept connection whose end the request met before anything of its answer came, so that the upstream may have
    /// closed it before the request reached it; or a connection that gave it back. `began` is when the request was sent.
    pub(super) fn kept_connection_that_ended(&self, began: Instant) -> Option<Usage> {
        let (usage, ended) = match self {
            Self::Lost { connection, .. } => (connection.clone(), connection.is_kept(began)),
            Self::Connect { source, .. } | Self::Unprocessed { source, .. } | Self::Exchange { source, .. } => {
                let connection = source.connect_info()?;
                let usage = Usage::of(connection)?;
                let answering = usage.has_heard() && !connection.is_negotiated_h2();
                let broke = !answering && causes(source).any(broke) && !causes(source).any(failed_by_its_own_body);
                let ended = usage.is_kept(began) && (broke || causes(source).any(went_away));
                (usage, ended || came_back_unsent(source))
            }
            Self::NotResent { .. }
            | Self::Shortage { .. }
            | Self::HeadTooLarge { .. }
            | Self::Body { .. }
            | Self::CutShort { .. }
            | Self::Unreadable { .. }
            | Self::UnexpectedUpgrade { .. }
            | Self::ConnectTimeout { .. }
            | Self::Timeout { .. } => return None,
        };
        ended.then_some(usage)
    }

    /// How far the attempt got.
    pub(crate) fn reach(&self) -> Reach {
        match self {
            Self::Connect { .. } | Self::Shortage { .. } | Self::ConnectTimeout { .. } | Self::Unprocessed { .. } => {
                Reach::NotSent
            }
            Self::Exchange { .. }
            | Self::Lost { .. }
            | Self::NotResent { .. }
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

/// Whether a connection ended without the answer that was due. Many servers end TLS without saying so.
fn broke(cause: &(dyn StdError + 'static)) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    let incomplete = cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message);
    // HTTP/2's error has no source.
    let broken = cause.downcast_ref::<io::Error>().or_else(|| cause.downcast_ref().and_then(h2::Error::get_io));
    let kind = broken.map(io::Error::kind);
    let ends = [BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof];
    incomplete || kind.is_some_and(|kind| ends.contains(&kind))
}

/// Whether the upstream went away from the connection without having processed the request.
fn went_away(cause: &(dyn StdError + 'static)) -> bool {
    cause.downcast_ref::<h2::Error>().is_some_and(|cause| cause.is_remote() && cause.is_go_away())
}

/// Whether the request's body could not be had.
fn failed_by_its_own_body(cause: &(dyn StdError + 'static)) -> bool {
    cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user)
}

/// Whether the upstream refused the stream, or went away and named an earlier one as the last that it may process
/// (RFC 9113 §8.7). Streams up to the last one never end with its `GOAWAY`, only with the connection.
///
/// Of a `GOAWAY` that comes while the library is still opening the stream it does not tell which streams are meant; that
/// is no `h2::Error`, and stays in doubt.
fn says_unprocessed(cause: &(dyn StdError + 'static)) -> bool {
    let refused = |cause: &h2::Error| cause.is_remote() && cause.reason() == Some(h2::Reason::REFUSED_STREAM);
    went_away(cause) || cause.downcast_ref().is_some_and(refused)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_a_timeout_while_connecting_says_so() {
        let (origin, limit) = ("http://api".to_owned(), Duration::from_secs(5));
        let connecting = ForwardError::ConnectTimeout { origin: origin.clone(), limit }.to_string();
        let responding = ForwardError::Timeout { origin, limit }.to_string();
        assert!(is_connect_timeout(&connecting) && !is_connect_timeout(&responding));
    }
}
