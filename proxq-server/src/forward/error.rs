//! Why an exchange with an upstream brought no response, and how far it got.

use std::error::Error as StdError;
use std::io;

use hyper_util::client::legacy;

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
    /// Tells a request that was never handed to a connection, or was not processed, from one that may have been.
    pub(crate) fn from_client(origin: String, source: legacy::Error) -> Self {
        let handed_over = source.connect_info().is_some();
        if source.is_connect() || !handed_over || came_back_unsent(&source) {
            Self::Connect { origin, source }
        } else if causes(&source).any(says_unprocessed) {
            Self::Unprocessed { origin, source }
        } else {
            Self::Exchange { origin, source }
        }
    }

    /// How far the attempt got.
    pub(crate) fn reach(&self) -> Reach {
        match self {
            Self::Connect { .. } | Self::ConnectTimeout { .. } | Self::Unprocessed { .. } => Reach::NotSent,
            Self::Exchange { .. } | Self::Body { .. } | Self::UnexpectedUpgrade { .. } | Self::Timeout { .. } => {
                Reach::Unknown
            }
        }
    }
}

/// Whether the connection gave the request back before its first byte left.
fn came_back_unsent(error: &legacy::Error) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled))
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

/// Whether the upstream went away in good order.
fn went_away(cause: &(dyn StdError + 'static)) -> bool {
    let went = |cause: &h2::Error| cause.is_remote() && cause.is_go_away();
    cause.downcast_ref().is_some_and(|cause| went(cause) && cause.reason() == Some(h2::Reason::NO_ERROR))
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// An error and its causes in one line, each said once, joined by `: `.
#[must_use]
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut line = String::new();
    for cause in causes(error) {
        let text = in_words(cause);
        if text.is_empty() || line.ends_with(&text) || NOISE.contains(&text.as_str()) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line
}

/// A single cause, in words that tell users something.
fn in_words(cause: &(dyn StdError + 'static)) -> String {
    if let Some(code) = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
        // The operating system's own words end in «(os error 111)».
        let text = io::Error::from_raw_os_error(code).to_string();
        return text.split(" (os error").next().unwrap_or_default().to_lowercase();
    }
    if went_away(cause) {
        // The library calls it an error that is «not a result of an error».
        return "the upstream went away".to_owned();
    }
    match cause.to_string() {
        text if text == "dispatch task is gone" => "the connection ended".to_owned(),
        text => text,
    }
}

/// What the HTTP library says between the step and its cause.
const NOISE: [&str; 6] = [
    "client error (Connect)",
    "client error (SendRequest)",
    "client error (Canceled)",
    "tcp connect error",
    "connection error",
    "runtime dropped the dispatch task",
];
