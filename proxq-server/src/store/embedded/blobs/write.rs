//! Writes a blob.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::super::folder::{new_file_options, sync_folder};
use super::super::outbox::Outbox;
use super::super::steps::Unreferred;
use super::{Blobs, CHUNK_BYTES, off_the_runtime, remove_file};
use crate::config::SyncMode;
use crate::job::BlobRef;
use crate::lock::lock;
use crate::store::{BlobWriter, StoreError};
use crate::tasks;

/// A blob while it is written.
///
/// Bytes go through `filling`, then `full`, then into the file; only what the file has counts in `written`. A write
/// that failed, or whose caller went away, is repeated at the same place, when the former one is over.
#[derive(Debug)]
pub(in super::super) struct FileWriter {
    id: Uuid,
    blobs: Arc<Blobs>,
    outbox: Outbox,
    held: Option<Held>,
    file: Arc<Mutex<File>>,
    written: Written,
    full: Bytes,
    filling: BytesMut,
    state: State,
}

/// How much is in the file, and its checksum.
#[derive(Clone, Debug, Default)]
struct Written {
    length: u64,
    checksum: crc32fast::Hasher,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Writing,
    /// What was written may not have reached the disk, though the operating system believes that it has.
    Doubtful,
    /// It has its final name, or nearly so: a job may come to refer to it.
    Named,
    Finished,
}

impl FileWriter {
    /// Begins a blob.
    pub(in super::super) async fn begin(blobs: Arc<Blobs>, outbox: Outbox) -> Result<Self, StoreError> {
        // Made whole where the file is: a writer that nobody is waiting for any more takes its file away again.
        off_the_runtime(move || {
            let id = Uuid::new_v4();
            let held = Held::new(id, Arc::clone(&blobs));
            let file = new_file_options().read(true).write(true).create_new(true).open(blobs.part_path(id))?;
            Ok(Self {
                id,
                blobs,
                outbox,
                held: Some(held),
                file: Arc::new(Mutex::new(file)),
                written: Written::default(),
                full: Bytes::new(),
                filling: BytesMut::new(),
                state: State::Writing,
            })
        })
        .await
    }

    /// Writes what is buffered, and then `chunk`.
    async fn flush(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        if self.full.is_empty() {
            self.full = self.filling.split().freeze();
        }
        let parts = [self.full.clone(), Bytes::copy_from_slice(&self.filling), chunk];
        let mut written = self.written.clone();
        let file = Arc::clone(&self.file).lock_owned().await;
        self.written = off_the_runtime(move || {
            for part in parts {
                file.write_all_at(&part, written.length)?;
                written.length += part.len() as u64;
                written.checksum.update(&part);
            }
            Ok(written)
        })
        .await?;
        self.full.clear();
        self.filling.clear();
        Ok(())
    }

    /// Makes the bytes durable, under their temporary name.
    async fn sync(&mut self, blob: BlobRef) -> Result<(), StoreError> {
        let doubtful = self.state == State::Doubtful;
        self.state = State::Doubtful; // until it is known that the sync succeeded
        let file = Arc::clone(&self.file).lock_owned().await;
        off_the_runtime(move || {
            if doubtful {
                rewrite(&file, blob)?;
            }
            file.sync_data()
        })
        .await
    }

    /// Gives the file its final name.
    async fn name(&self) -> Result<(), StoreError> {
        let (id, blobs) = (self.id, Arc::clone(&self.blobs));
        let file = Arc::clone(&self.file).lock_owned().await;
        off_the_runtime(move || {
            let path = blobs.path(id);
            match fs::rename(blobs.part_path(id), &path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && path.exists() => {} // done by a former call
                renamed => renamed?,
            }
            drop(file);
            match blobs.sync {
                SyncMode::Durable => sync_folder(&blobs.folder),
                SyncMode::OperatingSystem => Ok(()),
            }
        })
        .await
    }

    async fn trim(&self, length: u64) -> Result<(), StoreError> {
        let file = Arc::clone(&self.file).lock_owned().await;
        off_the_runtime(move || file.set_len(length)).await
    }

    fn reference(&self) -> BlobRef {
        BlobRef {
            id: self.id,
            length: self.written.length,
            checksum: self.written.checksum.clone().finalize(),
            seal: None,
        }
    }
}

#[async_trait]
impl BlobWriter for FileWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        if self.full.len() + self.filling.len() + chunk.len() >= CHUNK_BYTES {
            return self.flush(chunk).await;
        }
        self.filling.extend_from_slice(&chunk); // a copy: a short slice may keep a long buffer alive
        Ok(())
    }

    async fn finish(&mut self) -> Result<BlobRef, StoreError> {
        if matches!(self.state, State::Writing | State::Doubtful) {
            self.flush(Bytes::new()).await?;
            let blob = self.reference();
            self.trim(blob.length).await?; // a write that failed may have left bytes behind the last that count
            if self.blobs.sync == SyncMode::Durable {
                self.sync(blob).await?;
            }
            self.state = State::Named;
        }
        if self.state == State::Named {
            self.name().await?;
            self.state = State::Finished;
        }
        Ok(self.reference())
    }

    fn keep(mut self: Box<Self>) {
        self.held = None;
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        let outbox = matches!(self.state, State::Named | State::Finished).then(|| self.outbox.clone());
        // Without a runtime the files are left to the sweep.
        tasks::try_blocking(move || held.discard(outbox.as_ref()));
    }
}

/// Keeps the sweep from a blob that no job refers to yet.
#[derive(Debug)]
struct Held {
    id: Uuid,
    blobs: Arc<Blobs>,
}

impl Held {
    fn new(id: Uuid, blobs: Arc<Blobs>) -> Self {
        lock(&blobs.held).insert(id);
        Self { id, blobs }
    }

    /// Removes the files, unless a job refers to the blob.
    ///
    /// A submission whose caller went away may still be on its way and refer to it. The writer takes all in turn, so it
    /// is asked: a submission that was sent is done by then.
    fn discard(self, named: Option<&Outbox>) {
        remove_file(&self.blobs.part_path(self.id));
        let Some(outbox) = named else { return };
        let unreferred = outbox.run_blocking(Unreferred { blobs: vec![self.id] });
        if unreferred.is_ok_and(|blobs| blobs.contains(&self.id)) {
            remove_file(&self.blobs.path(self.id));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.blobs.held).remove(&self.id);
    }
}

/// Reads all of a file and writes it again.
///
/// After a failed sync the operating system may take pages for clean that never reached the disk: they must become
/// dirty again, or the next sync succeeds without writing them.
fn rewrite(file: &File, blob: BlobRef) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut checksum = crc32fast::Hasher::new();
    let mut at = 0;
    while at < blob.length {
        let left = usize::try_from(blob.length - at).unwrap_or(usize::MAX);
        let piece = &mut buffer[..left.min(CHUNK_BYTES)];
        file.read_exact_at(piece, at)?;
        checksum.update(piece);
        file.write_all_at(piece, at)?;
        at += piece.len() as u64;
    }
    if checksum.finalize() == blob.checksum {
        Ok(())
    } else {
        Err(io::Error::other("a failed sync lost what was written"))
    }
}
