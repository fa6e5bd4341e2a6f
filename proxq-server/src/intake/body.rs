//! A request's body on its way into the store. First it is searched for a wish for a stream, if it can hold one. Then it is
//! received: into a blob while it arrives if it is large, else in memory, by way of a temporary file if memory is short.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::HeaderMap;
use http_body_util::BodyExt;

use super::body_memory::{MEMORY, Submitting};
use super::spool::Spool;
use crate::admit::peek::{BodyPeek, Wanted};
use crate::config::Config;
use crate::job::{BlobRef, Body};
use crate::multipart::{BodyDigest, digest};
use crate::store::{BlobWriter, JobStore, StoreError};
use crate::upload::Upload;

/// Room for a small body at first; the rest is made as it arrives, so that a promise of bytes costs nothing.
const FIRST_CAPACITY: usize = 16 * 1024;

/// A complete body, and the blob that it went to where it was large.
#[derive(Debug)]
pub(crate) struct ReceivedBody {
    body: Body,
    blob: Option<Box<dyn BlobWriter>>,
    /// The digest of a body that is not in memory, where it is wanted.
    digest: Option<[u8; 32]>,
    /// Its part of the memory for bodies that are submitted.
    memory: Submitting,
}

impl From<Bytes> for ReceivedBody {
    /// A body that is in memory.
    fn from(bytes: Bytes) -> Self {
        Self { body: Body::Inline(bytes), blob: None, digest: None, memory: None }
    }
}

impl ReceivedBody {
    /// The digest of the body, which came with these fields and must have been wanted.
    pub(crate) fn digest(&self, headers: &HeaderMap) -> [u8; 32] {
        match (&self.body, self.digest) {
            (Body::Inline(bytes), _) => digest(headers, bytes),
            (Body::Blob(_), digest) => digest.expect("it was wanted when the body was received"),
        }
    }

    /// A body that was copied into a blob.
    pub(crate) fn in_blob(blob: BlobRef, writer: Box<dyn BlobWriter>) -> Self {
        Self { body: Body::Blob(blob), blob: Some(writer), digest: None, memory: None }
    }

    /// What is to be held until the body is submitted, so that no more bodies are in memory than may be.
    pub(super) fn take_memory(&mut self) -> Submitting {
        self.memory.take()
    }

    /// The body, the blob's writer, which takes the blob away with it unless it is told to keep it, and the digest.
    pub(crate) fn into_parts(self) -> (Body, Option<Box<dyn BlobWriter>>, Option<[u8; 32]>) {
        (self.body, self.blob, self.digest)
    }
}

/// Why a body was not received.
#[derive(Debug)]
pub(crate) enum ReceiveError {
    /// The client went away, fell silent, or sent less than it promised.
    Client(io::Error),
    /// There was no place to put it.
    Store { error: StoreError, unread: Box<Upload> },
}

/// What a peek at a body has found: which answer the body asks for, and the part of it that has arrived meanwhile.
pub(super) struct Peeked {
    pub(super) wanted: Wanted,
    pub(super) begun: Spool,
}

impl Peeked {
    /// The body was not read: it cannot change the decision.
    pub(super) fn skipped(config: &Config) -> Self {
        Self { wanted: Wanted::Unsaid, begun: Spool::new(config.inline_body_limit, config.seals(), &MEMORY) }
    }
}

/// Reads a body while it arrives, until it is clear which answer it asks for.
pub(super) async fn peek_at_body(
    body: &mut Upload,
    mut peek: BodyPeek,
    config: &Config,
) -> Result<Peeked, ReceiveError> {
    let mut begun = Spool::new(config.inline_body_limit, config.seals(), &MEMORY);
    while let Some(chunk) = next_chunk(body, config.limits.idle_timeout).await? {
        let wanted = peek.feed(&chunk);
        let kept = begun.append(&chunk).await;
        if let Some(wanted) = wanted {
            return Ok(Peeked { wanted, begun });
        }
        if let Err(error) = kept {
            // Without room to read more of it, the body is as undecided as one that is too long.
            tracing::warn!(%error, "keep the beginning of a body in a temporary file");
            return Ok(Peeked { wanted: Wanted::Unsaid, begun });
        }
    }
    Ok(Peeked { wanted: peek.finish(), begun })
}

/// Receives a body of this length, which has `begun` to come. Nothing is left of one that is not received whole. A large
/// one is digested meanwhile, where that is wanted.
pub(super) async fn receive(
    begun: Spool,
    mut body: Upload,
    length: u64,
    mut digest: Option<BodyDigest>,
    config: &Config,
    store: &dyn JobStore,
) -> Result<ReceivedBody, ReceiveError> {
    let silence_limit = config.limits.idle_timeout;
    if length <= config.inline_body_limit {
        return receive_small(begun, body, length, silence_limit).await;
    }
    let mut blob = match store.new_blob(&config.queue).await {
        Ok(blob) => blob,
        Err(error) => return Err(ReceiveError::Store { error, unread: Box::new(body) }),
    };
    let mut begun = begun.into_stream();
    loop {
        let chunk = match begun.try_next().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => match next_chunk(&mut body, silence_limit).await? {
                Some(chunk) => chunk,
                None => break,
            },
            Err(error) => {
                return Err(ReceiveError::Store { error: StoreError::from_io(error), unread: Box::new(body) });
            }
        };
        if let Some(digest) = &mut digest {
            digest.update(&chunk);
        }
        if let Err(error) = blob.write(chunk).await {
            return Err(ReceiveError::Store { error, unread: Box::new(body) });
        }
    }
    match blob.finish().await {
        Ok(reference) => {
            check_length(reference.length, length)?;
            let digest = digest.map(BodyDigest::finish);
            Ok(ReceivedBody { body: Body::Blob(reference), blob: Some(blob), digest, memory: None })
        }
        Err(error) => Err(ReceiveError::Store { error, unread: Box::new(body) }),
    }
}

/// Receives a body that goes to the store with its job. Waits until it may be submitted.
async fn receive_small(
    mut begun: Spool,
    mut body: Upload,
    length: u64,
    silence_limit: Duration,
) -> Result<ReceivedBody, ReceiveError> {
    begun.reserve(usize::try_from(length).map_or(FIRST_CAPACITY, |length| length.min(FIRST_CAPACITY)));
    while let Some(chunk) = next_chunk(&mut body, silence_limit).await? {
        if let Err(error) = begun.append(&chunk).await {
            return Err(ReceiveError::Store { error: StoreError::from_io(error), unread: Box::new(body) });
        }
    }
    check_length(begun.length(), length)?;
    let in_memory = async {
        let memory = MEMORY.submitting(length).await?;
        let bytes = begun.into_memory().await.map_err(StoreError::from_io)?;
        Ok(ReceivedBody { memory, ..bytes.into() })
    };
    in_memory.await.map_err(|error| ReceiveError::Store { error, unread: Box::new(body) })
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
async fn next_chunk(body: &mut Upload, silence_limit: Duration) -> Result<Option<Bytes>, ReceiveError> {
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
