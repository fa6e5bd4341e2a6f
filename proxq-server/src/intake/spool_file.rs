//! The file of a spool: without a name, and gone with its owner. Where jobs are sealed, so is what is written here, with a key that
//! only this process has.
//!
//! Sealed, the file is a sequence of
//!
//! ```text
//! length of what follows (4 bytes, little-endian) · an appended piece, sealed
//! ```

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;

use crate::sealing::ChunkCipher;
use crate::tasks;

/// How much of a plain file is read at a time.
const READ_BYTES: usize = 64 * 1024;
const LENGTH_BYTES: usize = size_of::<u32>();

/// What has been written of a body.
#[derive(Debug)]
pub(super) struct SpoolFile {
    file: Arc<File>,
    cipher: Option<Arc<ChunkCipher>>,
    /// Pieces that were appended, and how long they are together.
    pieces: u64,
    length: u64,
    /// Why a piece was not written. Part of it may be at the end of the file.
    failure: Option<Arc<io::Error>>,
}

impl SpoolFile {
    /// An empty file, sealed or plain.
    pub(super) async fn new(is_sealed: bool) -> io::Result<Self> {
        let file = tasks::blocking(tempfile::tempfile).await.map_err(io::Error::other)??;
        let cipher = is_sealed.then(|| Arc::new(ChunkCipher::ephemeral()));
        Ok(Self { file: Arc::new(file), cipher, pieces: 0, length: 0, failure: None })
    }

    /// How long all that was appended is, in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Appends a piece. If this fails, the piece does not count, and all later ones are refused with the same error: they would
    /// come to stand behind a part of it, sealed with a number that was used.
    pub(super) async fn append(&mut self, piece: Bytes) -> io::Result<()> {
        let length = piece.len() as u64;
        if self.failure.is_none() {
            self.failure = self.write(piece).await.err().map(Arc::new);
        }
        if let Some(failure) = &self.failure {
            return Err(io::Error::new(failure.kind(), Arc::clone(failure)));
        }
        self.pieces += 1;
        self.length += length;
        Ok(())
    }

    /// Writes a piece at the end of the file.
    async fn write(&self, piece: Bytes) -> io::Result<()> {
        let (file, cipher, number) = (Arc::clone(&self.file), self.cipher.clone(), self.pieces);
        // Not by tokio's file, which would keep a buffer of this length.
        let write = move || match cipher {
            None => (&*file).write_all(&piece),
            Some(cipher) => {
                let mut sealed = piece.to_vec();
                cipher.seal(number, false, &mut sealed);
                let length = u32::try_from(sealed.len()).map_err(io::Error::other)?;
                (&*file).write_all(&length.to_le_bytes())?;
                (&*file).write_all(&sealed)
            }
        };
        tasks::blocking(write).await.map_err(io::Error::other)?
    }

    /// All that was appended, in order.
    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        let reading = Reading { at: 0, left: self.length, number: 0, file: self };
        try_unfold(reading, |reading| async move {
            if reading.left == 0 {
                return Ok(None);
            }
            let read = tasks::blocking(move || reading.next()).await.map_err(io::Error::other)??;
            Ok(Some(read))
        })
    }
}

/// Where reading is.
struct Reading {
    file: SpoolFile,
    at: u64,
    /// How much there is to come, and the number of the next piece.
    left: u64,
    number: u64,
}

impl Reading {
    /// The next bytes, and where reading goes on.
    fn next(mut self) -> io::Result<(Bytes, Self)> {
        let file = &*self.file.file;
        let mut bytes;
        if let Some(cipher) = &self.file.cipher {
            let mut length = [0; LENGTH_BYTES];
            file.read_exact_at(&mut length, self.at)?;
            bytes = vec![0; u32::from_le_bytes(length) as usize];
            file.read_exact_at(&mut bytes, self.at + LENGTH_BYTES as u64)?;
            self.at += (LENGTH_BYTES + bytes.len()) as u64;
            let opened = cipher.open(self.number, false, &mut bytes);
            opened.map_err(|_| io::Error::other("a temporary file is not as it was written"))?;
        } else {
            bytes = vec![0; usize::try_from(self.left).map_or(READ_BYTES, |left| left.min(READ_BYTES))];
            file.read_exact_at(&mut bytes, self.at)?;
            self.at += bytes.len() as u64;
        }
        self.number += 1;
        self.left = self.left.saturating_sub(bytes.len() as u64);
        Ok((bytes.into(), self))
    }
}

#[cfg(test)]
impl SpoolFile {
    /// Has its device be full, and gives the file that there was.
    pub(super) fn fill(&mut self) -> Arc<File> {
        let full = File::options().write(true).open("/dev/full").expect("every system has it");
        std::mem::replace(&mut self.file, Arc::new(full))
    }

    /// Has it be this file again, to which a part of a piece was written.
    pub(super) fn restore(&mut self, file: Arc<File>, part: &[u8]) {
        (&*file).write_all(part).expect("there is room");
        self.file = file;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn what_is_appended_is_read_again_and_sealed_where_it_is_to_be() {
        for is_sealed in [false, true] {
            let mut file = SpoolFile::new(is_sealed).await.unwrap();
            let pieces = [Bytes::from("a secret piece"), Bytes::from(vec![b'x'; 3 * READ_BYTES]), Bytes::from("end")];
            for piece in &pieces {
                file.append(piece.clone()).await.unwrap();
            }
            assert_eq!(file.length(), pieces.concat().len() as u64);
            let on_disk = Arc::clone(&file.file);
            let mut bytes = vec![0; usize::try_from(on_disk.metadata().unwrap().len()).unwrap()];
            on_disk.read_exact_at(&mut bytes, 0).unwrap();
            let shows = bytes.windows(6).any(|part| part == b"secret");
            assert_eq!(shows, !is_sealed);
            let read: Vec<Bytes> = file.into_stream().try_collect().await.unwrap();
            assert_eq!(read.concat(), pieces.concat(), "sealed: {is_sealed}");
        }
    }

    #[tokio::test]
    async fn nothing_is_appended_behind_a_part_of_a_piece() {
        for is_sealed in [false, true] {
            let mut file = SpoolFile::new(is_sealed).await.unwrap();
            file.append(Bytes::from("whole")).await.unwrap();
            let on_disk = file.fill();
            let error = file.append(Bytes::from("broken off")).await.unwrap_err();
            file.restore(on_disk, b"broken");
            let later = file.append(Bytes::from("later")).await.unwrap_err();
            assert_eq!((later.kind(), later.to_string()), (io::ErrorKind::StorageFull, error.to_string()));
            assert_eq!((file.pieces, file.length()), (1, 5));
            let read: Vec<Bytes> = file.into_stream().try_collect().await.unwrap();
            assert_eq!(read.concat(), b"whole", "sealed: {is_sealed}");
        }
    }
}
