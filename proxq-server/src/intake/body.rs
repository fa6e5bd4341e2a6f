//! A submission's body on its way into the store: in memory while it is small, to a blob while it arrives if large.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::config::Config;
use crate::job::Body;
use crate::store::{BlobWriter, JobStore, StoreError};

/// How much of a body is read after an answer was given without it, so that its client sees the answer.
pub(super) const DISCARD_LIMIT_BYTES: u64 = 1024 * 1024;
/// How long such reading may take.
const DISCARD_LIMIT: Duration = Duration::from_secs(5);
/// Room for a small body at first; the rest is made as it arrives, so that a promise of bytes costs nothing.
const FIRST_CAPACITY: u64 = 16 * 1024;

/// A complete body, and the blob that it went to where it was large.
#[derive(Debug)]
pub(crate) struct ReceivedBody {
    body: Body,
    blob: Option<Box<dyn BlobWriter>>,
}

impl ReceivedBody {
    /// The body, and the blob's writer, which takes the blob away with it unless it is told to keep it.
    pub(crate) fn into_parts(self) -> (Body, Option<Box<dyn BlobWriter>>) {
        (self.body, self.blob)
    }
}

/// Why a body was not received.
#[derive(Debug)]
pub(crate) enum ReceiveError {
    /// The client went away, fell silent, or sent less than it promised.
    Client(io::Error),
    /// There was no place to put it.
    Store { error: StoreError, unread: Incoming },
}

/// Receives a body of this length. Nothing is left of one that is not received whole.
pub(crate) async fn receive(
    mut body: Incoming,
    length: u64,
    config: &Config,
    store: &dyn JobStore,
) -> Result<ReceivedBody, ReceiveError> {
    let silence_limit = config.limits.idle_timeout;
    if length <= config.inline_body_limit {
        let capacity = usize::try_from(length.min(FIRST_CAPACITY)).expect("16 KiB fit");
        let mut bytes = BytesMut::with_capacity(capacity);
        while let Some(chunk) = next_chunk(&mut body, silence_limit).await? {
            bytes.extend_from_slice(&chunk);
        }
        check_length(bytes.len() as u64, length)?;
        return Ok(ReceivedBody { body: Body::Inline(bytes.freeze()), blob: None });
    }
    let mut blob = match store.new_blob().await {
        Ok(blob) => blob,
        Err(error) => return Err(ReceiveError::Store { error, unread: body }),
    };
    while let Some(chunk) = next_chunk(&mut body, silence_limit).await? {
        if let Err(error) = blob.write(chunk).await {
            return Err(ReceiveError::Store { error, unread: body });
        }
    }
    match blob.finish().await {
        Ok(reference) => {
            check_length(reference.length, length)?;
            Ok(ReceivedBody { body: Body::Blob(reference), blob: Some(blob) })
        }
        Err(error) => Err(ReceiveError::Store { error, unread: body }),
    }
}

/// The HTTP library enforces the length; this holds if it ever did not.
fn check_length(received: u64, promised: u64) -> Result<(), ReceiveError> {
    if received == promised {
        return Ok(());
    }
    Err(ReceiveError::Client(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("{received} bytes came of {promised} that were promised"),
    )))
}

/// The next piece of a body; `None` at its end.
async fn next_chunk(body: &mut Incoming, silence_limit: Duration) -> Result<Option<Bytes>, ReceiveError> {
    loop {
        let frame = tokio::time::timeout(silence_limit, body.frame()).await.map_err(|_elapsed| {
            ReceiveError::Client(io::Error::new(io::ErrorKind::TimedOut, "no byte of the body came for too long"))
        })?;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(ReceiveError::Client(io::Error::other(error))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Reads and forgets what is left of a body, within limits.
pub(crate) async fn discard(mut body: Incoming) {
    let all = async {
        let mut left = DISCARD_LIMIT_BYTES;
        while let Ok(Some(chunk)) = next_chunk(&mut body, DISCARD_LIMIT).await {
            left = left.saturating_sub(chunk.len() as u64);
            if left == 0 {
                return;
            }
        }
    };
    // Past the limit the connection is closed, whether or not the client has seen the answer.
    let _past_limit = tokio::time::timeout(DISCARD_LIMIT, all).await;
}
