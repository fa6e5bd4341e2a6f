//! Large bodies whose bytes are sealed before a store has them: chunk by chunk, around the blobs of either store.

use std::collections::VecDeque;
use std::fmt;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use futures_util::stream::try_unfold;

use super::{BlobStream, BlobWriter, StoreError};
use crate::job::BlobRef;
use crate::sealing::{CHUNK_BYTES, ChunkCipher, Keyring, StreamSeal, TAG_BYTES, Unopened};

/// A writer that seals what it is given, where there is a key to seal with.
pub(super) fn sealing(inner: Box<dyn BlobWriter>, keys: &Keyring) -> Box<dyn BlobWriter> {
    match keys.new_stream() {
        None => inner,
        Some((seal, cipher)) => Box::new(SealingWriter {
            inner,
            seal,
            cipher,
            filling: BytesMut::new(),
            number: 0,
            length: 0,
            is_whole: false,
        }),
    }
}

/// The blob as the store knows it: what is stored, sealed or not.
pub(super) fn stored(blob: &BlobRef) -> BlobRef {
    let tags = blob.seal.map_or(0, |_| chunks(blob.length) * TAG_BYTES as u64);
    BlobRef { length: blob.length.saturating_add(tags), seal: None, ..*blob }
}

/// The bytes of a blob, given those that are stored.
pub(super) fn opened(stored: BlobStream, blob: &BlobRef, keys: &Keyring) -> Result<BlobStream, StoreError> {
    let Some(seal) = blob.seal else { return Ok(stored) };
    let cipher = keys.stream(seal).map_err(|error| not_opened(blob, &error))?;
    let opening = Opening { stored, cipher, blob: *blob, pieces: VecDeque::new(), gathered: 0, number: 0 };
    Ok(Box::pin(try_unfold(opening, |mut opening| async move {
        let chunk = opening.next().await?;
        Ok(chunk.map(|chunk| (chunk, opening)))
    })))
}

/// How many chunks a body has: one at least, so that there is a last one.
fn chunks(length: u64) -> u64 {
    length.div_ceil(CHUNK_BYTES as u64).max(1)
}

fn not_opened(blob: &BlobRef, error: &Unopened) -> StoreError {
    match *error {
        Unopened::UnknownKey(key) => StoreError::BlobKeyUnknown { blob: blob.id, key },
        Unopened::Broken => StoreError::CorruptBlob { blob: blob.id, what: "it is not what was sealed".to_owned() },
    }
}

/// Seals what is written. A chunk goes on when more follows, for the last one is sealed as such.
struct SealingWriter {
    inner: Box<dyn BlobWriter>,
    seal: StreamSeal,
    cipher: ChunkCipher,
    /// What is not sealed yet, a chunk at most.
    filling: BytesMut,
    /// The number of that chunk.
    number: u64,
    /// How much was written altogether.
    length: u64,
    /// Whether the last chunk was handed on.
    is_whole: bool,
}

impl fmt::Debug for SealingWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingWriter")
            .field("inner", &self.inner)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl BlobWriter for SealingWriter {
    /// Everything that can be sealed goes on in one piece, so that all of it counts as written or nothing.
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        let length = self.filling.len() + chunk.len();
        let sealable = length.saturating_sub(1) / CHUNK_BYTES;
        if sealable == 0 {
            self.filling.extend_from_slice(&chunk);
        } else {
            let mut sealed = Vec::with_capacity(sealable * (CHUNK_BYTES + TAG_BYTES));
            let (mut begun, mut rest) = (&self.filling[..], &chunk[..]);
            let mut piece = Vec::with_capacity(CHUNK_BYTES + TAG_BYTES);
            for number in (self.number..).take(sealable) {
                let (now, later) = rest.split_at(CHUNK_BYTES - begun.len());
                piece.clear();
                piece.extend_from_slice(begun);
                piece.extend_from_slice(now);
                self.cipher.seal(number, false, &mut piece);
                sealed.extend_from_slice(&piece);
                (begun, rest) = (&[], later);
            }
            self.inner.write(sealed.into()).await?;
            self.number += sealable as u64;
            self.filling = BytesMut::from(rest);
        }
        self.length += chunk.len() as u64;
        Ok(())
    }

    async fn finish(&mut self) -> Result<BlobRef, StoreError> {
        if !self.is_whole {
            let mut last = self.filling.to_vec();
            self.cipher.seal(self.number, true, &mut last);
            self.inner.write(last.into()).await?;
            self.filling = BytesMut::new();
            self.is_whole = true;
        }
        let stored = self.inner.finish().await?;
        Ok(BlobRef { length: self.length, seal: Some(self.seal), ..stored })
    }

    fn keep(self: Box<Self>) {
        self.inner.keep();
    }
}

/// Opens what is read.
struct Opening {
    stored: BlobStream,
    cipher: ChunkCipher,
    blob: BlobRef,
    /// What has come of the next chunk, and of those after it.
    pieces: VecDeque<Bytes>,
    gathered: usize,
    /// The number of the next chunk.
    number: u64,
}

impl Opening {
    /// The next chunk, if there is one.
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let chunks = chunks(self.blob.length);
        if self.number == chunks {
            return Ok(None);
        }
        let is_last = self.number + 1 == chunks;
        let before = self.number * CHUNK_BYTES as u64;
        let length = usize::try_from(self.blob.length - before).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let mut chunk = self.take(length + TAG_BYTES).await?;
        self.cipher.open(self.number, is_last, &mut chunk).map_err(|error| not_opened(&self.blob, &error))?;
        self.number += 1;
        Ok(Some(chunk.into()))
    }

    /// So many of the stored bytes.
    async fn take(&mut self, length: usize) -> Result<Vec<u8>, StoreError> {
        while self.gathered < length {
            let piece = self.stored.try_next().await?;
            let piece = piece.ok_or_else(|| not_opened(&self.blob, &Unopened::Broken))?;
            self.gathered += piece.len();
            self.pieces.push_back(piece);
        }
        self.gathered -= length;
        let mut taken = Vec::with_capacity(length);
        while let Some(mut piece) = self.pieces.pop_front() {
            let part = piece.split_to(piece.len().min(length - taken.len()));
            taken.extend_from_slice(&part);
            if !piece.is_empty() {
                self.pieces.push_front(piece);
                break;
            }
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests;
