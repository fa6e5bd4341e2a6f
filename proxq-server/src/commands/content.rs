//! The upstream's response, as it goes to standard output or into a file: byte for byte, piece by piece.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use bytes::{BufMut, Bytes, BytesMut};
use http::Response;
use http::response::Parts;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;

use super::connection::Connection;
use super::error::{CommandError, End};
use crate::spelling::canonical;
use crate::tasks;

/// Where a response goes.
struct Output {
    to: Box<dyn Write + Send>,
    name: String,
}

impl Output {
    fn open(file: Option<&Path>) -> Result<Self, CommandError> {
        let Some(file) = file else {
            return Ok(Self { to: Box::new(io::stdout()), name: "standard output".to_owned() });
        };
        let name = file.display().to_string();
        match File::create(file) {
            Ok(to) => Ok(Self { to: Box::new(to), name }),
            Err(source) => Err(CommandError::Write { what: name, source }),
        }
    }

    /// Writes on a thread that may block: whoever reads a pipe may be slow, and Ctrl-C is to be heard all the same.
    async fn write(mut self, bytes: Bytes) -> Result<Self, CommandError> {
        let written = tasks::blocking(move || {
            let written = self.to.write_all(&bytes).and_then(|()| self.to.flush());
            (self, written)
        });
        let (output, written) = written.await.expect("writing does not panic");
        match written {
            Ok(()) => Ok(output),
            Err(source) => Err(CommandError::Write { what: output.name, source }),
        }
    }
}

/// Writes a response out.
pub(super) async fn deliver(
    connection: &Connection,
    response: Response<Incoming>,
    file: Option<&Path>,
    with_head: bool,
) -> Result<End, CommandError> {
    let (head, mut body) = response.into_parts();
    let mut output = Output::open(file)?;
    if with_head {
        output = output.write(shown(&head)).await?;
    }
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.map_err(|error| connection.broken(error))?.into_data() {
            output = output.write(bytes).await?;
        }
    }
    let is_error = head.status.is_client_error() || head.status.is_server_error() || head.status.as_u16() >= 600;
    Ok(if is_error { End::ErrorStatus } else { End::Done })
}

/// A head as HTTP/1.1 writes it.
fn shown(head: &Parts) -> Bytes {
    let mut text = BytesMut::new();
    let usual = || head.status.canonical_reason().unwrap_or_default().as_bytes();
    let reason = head.extensions.get::<ReasonPhrase>().map_or_else(usual, ReasonPhrase::as_bytes);
    text.put_slice(format!("HTTP/1.1 {} ", head.status.as_u16()).as_bytes());
    text.put_slice(reason);
    text.put_slice(b"\r\n");
    for (name, value) in &head.headers {
        text.put_slice(canonical(name).as_bytes());
        text.put_slice(b": ");
        text.put_slice(value.as_bytes());
        text.put_slice(b"\r\n");
    }
    text.put_slice(b"\r\n");
    text.freeze()
}
