//! A body while it arrives: in memory while it is small and memory is not short, else in a temporary file, which has no name
//! and goes with its owner.

use std::io;
use std::mem;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::body_memory::{Arriving, BodyMemory};
use super::spool_file::SpoolFile;
use crate::direct::BegunBody;

/// What has arrived of a body.
#[derive(Debug)]
pub(crate) struct Spool {
    /// What is not in the file: all of it while it is small, after that what the file had no room for.
    memory: BytesMut,
    memory_limit: u64,
    /// What it takes of the memory for all bodies.
    share: Arriving,
    file: Option<SpoolFile>,
    /// Whether a file is sealed.
    seals: bool,
}

impl Spool {
    /// An empty one that keeps up to `memory_limit` bytes in memory, as long as there is some. `seals`: what goes into a file is
    /// sealed.
    pub(super) fn new(memory_limit: u64, seals: bool, memory: &'static BodyMemory) -> Self {
        Self { memory: BytesMut::new(), memory_limit, share: memory.arriving(), file: None, seals }
    }

    /// Makes room for so many bytes, all of them.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.memory.reserve(bytes.saturating_sub(self.memory.len()));
    }

    /// How many bytes it has.
    pub(super) fn length(&self) -> u64 {
        self.file.as_ref().map_or(0, SpoolFile::length) + self.memory.len() as u64
    }

    /// Appends a chunk. It is kept even if this fails, for want of room or the like. Once the file has failed, all later
    /// ones do too, with the same error.
    pub(super) async fn append(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.memory.extend_from_slice(chunk);
        let length = self.memory.len();
        if self.file.is_none() && length as u64 <= self.memory_limit && self.share.grow_to(length) {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(SpoolFile::new(self.seals).await?),
        };
        let bytes = mem::take(&mut self.memory).freeze();
        if let Err(error) = file.append(bytes.clone()).await {
            self.memory = bytes.into();
            return Err(error);
        }
        self.share.clear();
        Ok(())
    }

    /// All of it, in memory.
    pub(super) async fn into_memory(self) -> io::Result<Bytes> {
        if self.file.is_none() {
            return Ok(self.memory.freeze());
        }
        let mut all = BytesMut::with_capacity(usize::try_from(self.length()).map_err(io::Error::other)?);
        let mut chunks = self.into_stream();
        while let Some(chunk) = chunks.try_next().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// All of it, in order.
    pub(super) fn into_stream(self) -> BegunBody {
        let Self { memory, share, file, .. } = self;
        // After a failed write the file may end with part of a chunk. Memory has that chunk whole, so it is not read here.
        let from_file = stream::iter(file).flat_map(SpoolFile::into_stream);
        let rest = (!memory.is_empty()).then(|| Ok(memory.freeze()));
        let rest = stream::iter(rest).inspect(move |_rest| {
            let _until_it_is_dropped = &share;
        });
        Box::pin(from_file.chain(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::super::body_memory::tests::memory;
    use super::*;

    /// More than any test needs.
    fn enough() -> &'static BodyMemory {
        memory(10_000_000, 0)
    }

    async fn read(spool: Spool) -> Vec<u8> {
        spool.into_stream().try_collect::<Vec<Bytes>>().await.unwrap().concat()
    }

    #[tokio::test]
    async fn what_is_appended_comes_back_wherever_it_was_kept() {
        for (memory_limit, seals) in [(0, false), (0, true), (10, false), (100_000, true), (10_000_000, false)] {
            let mut spool = Spool::new(memory_limit, seals, enough());
            let mut all = Vec::new();
            for byte in 0..30_u8 {
                let chunk = vec![byte; usize::from(byte) * 1000];
                spool.append(&chunk).await.unwrap();
                all.extend(chunk);
            }
            assert_eq!(spool.file.is_some(), memory_limit < all.len() as u64);
            assert!(read(spool).await == all, "{memory_limit}");
        }
        assert_eq!(read(Spool::new(0, false, enough())).await, b"");
    }

    #[tokio::test]
    async fn a_chunk_that_the_file_does_not_take_is_kept_and_none_is_taken_after_it() {
        for seals in [false, true] {
            let mut spool = Spool::new(3, seals, enough());
            spool.append(b"in the file, ").await.unwrap();
            let file = spool.file.as_mut().unwrap().fill();
            spool.append(b"not in it, ").await.unwrap_err();
            spool.file.as_mut().unwrap().restore(file, b"not");
            assert_eq!(spool.length(), 13 + 11);
            assert_eq!(&spool.memory[..], b"not in it, ");
            let error = spool.append(b"after it").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            assert_eq!(read(spool).await, b"in the file, not in it, after it", "sealed: {seals}");
        }
    }

    #[tokio::test]
    async fn a_small_body_goes_through_a_file_while_memory_is_short() {
        let memory = memory(100_000, 0);
        let mut other = memory.arriving();
        assert!(other.grow_to(100_000));
        let mut spool = Spool::new(1_000_000, false, memory);
        for byte in 0..5_u8 {
            spool.append(&[byte; 15_000]).await.unwrap();
            assert_eq!(spool.file.is_some(), byte > 1, "what every body may have, and what the other has left");
        }
        assert_eq!(spool.length(), 75_000);
        assert!(other.grow_to(110_000), "what is in the file takes no memory");
        let expected = (0..5_u8).flat_map(|byte| [byte; 15_000]).collect::<Vec<_>>();
        assert!(spool.into_memory().await.unwrap() == expected);
    }
}
