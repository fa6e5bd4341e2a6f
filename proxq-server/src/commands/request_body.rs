//! The body of a submission. Its length is known before it is sent: proxq takes bodies of unknown length for streams and queues
//! none of them.

use std::fs::File;
use std::io::{self, Seek};
use std::path::Path;

use bytes::{Bytes, BytesMut};
use futures_util::stream::try_unfold;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use tokio::io::AsyncReadExt;

use super::connection::Outgoing;
use super::error::CommandError;
use crate::cli::Data;
use crate::tasks;

/// How much of a file is in memory at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// A body and its length.
pub(super) struct RequestBody {
    pub(super) bytes: u64,
    pub(super) body: Outgoing,
}

/// Opens what the flag names. Standard input is read to its end first, into a temporary file.
pub(super) async fn open(data: Option<&Data>) -> Result<Option<RequestBody>, CommandError> {
    match data {
        None => Ok(None),
        Some(Data::Given(text)) => {
            let text = Bytes::from(text.clone());
            let bytes = text.len() as u64;
            Ok(Some(RequestBody { bytes, body: Full::new(text).map_err(|never| match never {}).boxed_unsync() }))
        }
        Some(Data::File(path)) => {
            let of_file = |source| CommandError::Read { file: path.clone(), source };
            let file = File::open(path).map_err(of_file)?;
            if file.metadata().map_err(of_file)?.is_file() {
                return from_file(file, path).map(Some);
            }
            copied(file, path).await.map(Some)
        }
        Some(Data::Input) => copied(io::stdin(), Path::new("standard input")).await.map(Some),
    }
}

/// No body.
pub(super) fn none() -> Outgoing {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// What a reader gives until its end, by way of a temporary file.
async fn copied(mut reader: impl io::Read + Send + 'static, path: &Path) -> Result<RequestBody, CommandError> {
    let copy = tasks::blocking(move || {
        let mut file = tempfile::tempfile()?;
        io::copy(&mut reader, &mut file)?;
        file.rewind()?;
        Ok(file)
    });
    let copy = copy.await.expect("copying does not panic");
    from_file(copy.map_err(|source| CommandError::Read { file: path.to_owned(), source })?, path)
}

fn from_file(file: File, path: &Path) -> Result<RequestBody, CommandError> {
    let metadata = file.metadata().map_err(|source| CommandError::Read { file: path.to_owned(), source })?;
    let bytes = metadata.len();
    // Whatever is added to it meanwhile does not belong to it.
    let file = tokio::fs::File::from_std(file).take(bytes);
    let chunks = try_unfold(file, |mut file| async move {
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        let read = file.read_buf(&mut chunk).await?;
        Ok((read > 0).then(|| (Frame::data(chunk.freeze()), file)))
    });
    Ok(RequestBody { bytes, body: StreamBody::new(chunks).boxed_unsync() })
}
