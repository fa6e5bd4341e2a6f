//! The beginning of a body while it is not clear yet where it goes: in memory while it is small, then in a temporary file,
//! which has no name and goes with its owner.

use std::io;

use bytes::BytesMut;
use futures_util::stream;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::direct::BegunBody;
use crate::tasks;

/// How much of a file is read at a time.
const READ_BYTES: usize = 64 * 1024;

/// The beginning of a body.
#[derive(Debug)]
pub(crate) struct Spool {
    /// What is not in the file: all of it while it is small, after that what the file had no room for.
    memory: BytesMut,
    memory_limit: u64,
    file: Option<File>,
    in_file: u64,
}

impl Spool {
    /// An empty one that keeps up to `memory_limit` bytes in memory.
    pub(crate) fn new(memory_limit: u64) -> Self {
        Self { memory: BytesMut::new(), memory_limit, file: None, in_file: 0 }
    }

    /// Appends a chunk. It is kept even if this fails, for want of room or the like; then nothing more should be appended.
    pub(super) async fn append(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.memory.extend_from_slice(chunk);
        if self.file.is_none() && self.memory.len() as u64 <= self.memory_limit {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(File::from_std(temporary_file().await?)),
        };
        file.write_all(&self.memory).await?;
        file.flush().await?;
        self.in_file += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }

    /// All of it, where it stayed in memory.
    pub(super) fn into_memory(self) -> BytesMut {
        debug_assert!(self.file.is_none(), "it has outgrown memory");
        self.memory
    }

    /// All of it, in order.
    pub(super) fn into_stream(self) -> BegunBody {
        let Self { memory, file, in_file, .. } = self;
        let from_file = stream::try_unfold((file, 0_u64), move |(file, at)| async move {
            let Some(mut file) = file.filter(|_| at < in_file) else { return Ok(None) };
            if at == 0 {
                file.rewind().await?;
            }
            let mut chunk = BytesMut::with_capacity(READ_BYTES);
            file.read_buf(&mut chunk).await?;
            // After a failed write the file may end with part of a chunk. Memory has that chunk whole, so cut it off
            // here.
            chunk.truncate(usize::try_from(in_file - at).unwrap_or(usize::MAX));
            if chunk.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let next = at + chunk.len() as u64;
            Ok(Some((chunk.freeze(), (Some(file), next))))
        });
        let rest = (!memory.is_empty()).then(|| Ok(memory.freeze()));
        Box::pin(stream::StreamExt::chain(from_file, stream::iter(rest)))
    }
}

async fn temporary_file() -> io::Result<std::fs::File> {
    tasks::blocking(tempfile::tempfile).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::TryStreamExt;

    use super::*;

    async fn read(spool: Spool) -> Vec<u8> {
        spool.into_stream().try_collect::<Vec<Bytes>>().await.unwrap().concat()
    }

    #[tokio::test]
    async fn what_is_appended_comes_back_wherever_it_was_kept() {
        for memory_limit in [0, 10, 100_000, 10_000_000] {
            let mut spool = Spool::new(memory_limit);
            let mut all = Vec::new();
            for byte in 0..30_u8 {
                let chunk = vec![byte; usize::from(byte) * 1000];
                spool.append(&chunk).await.unwrap();
                all.extend(chunk);
            }
            assert_eq!(spool.file.is_some(), memory_limit < all.len() as u64);
            assert!(read(spool).await == all, "{memory_limit}");
        }
        assert_eq!(read(Spool::new(0)).await, b"");
    }

    #[tokio::test]
    async fn a_chunk_that_the_file_does_not_take_is_kept() {
        let mut spool = Spool::new(3);
        spool.append(b"in the file, ").await.unwrap();
        spool.file = Some(File::from_std(std::fs::File::open("/dev/full").unwrap()));
        spool.append(b"not in it").await.unwrap_err();
        assert_eq!(spool.in_file, 13);
        assert_eq!(&spool.memory[..], b"not in it");
    }
}
