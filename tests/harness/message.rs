//! HTTP/1.1 messages as they are on the wire: heads byte for byte, bodies by their framing (RFC 9112 §6).

mod head;
mod reply;

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use self::head::Framing;
pub use self::head::Head;
pub use self::reply::Reply;
use crate::body::Digest;

/// A longer head is a mistake of the test or of the server.
const HEAD_BYTES_MAX: usize = 1 << 20;
/// How much of a body is kept beside its digest.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// A body as it was received.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReceivedBody {
    /// Its first bytes; all of them unless it is very large.
    pub(crate) kept: Vec<u8>,
    /// Length and hash of all of it.
    pub(crate) digest: Digest,
    /// Trailer lines, as received.
    pub(crate) trailers: Vec<String>,
}

impl ReceivedBody {
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        let room = KEPT_BYTES_MAX.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// A connection that is read by messages.
#[derive(Debug)]
pub(crate) struct Framed<S> {
    pub(crate) stream: S,
    buffer: BytesMut,
}

impl<S: AsyncWrite + Unpin> Framed<S> {
    /// Writes all of it.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }
}

impl<S: AsyncRead + Unpin> Framed<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// Reads more. Gives whether there was more before the end.
    async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.reserve(64 << 10);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }

    /// Reads a head; `None` where the connection ended before it began.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.buffer[searched..].windows(4).position(|four| four == b"\r\n\r\n") {
                let raw = self.buffer.split_to(searched + at + 4).to_vec();
                return Head::parse(raw).map(Some).map_err(invalid);
            }
            searched = self.buffer.len().saturating_sub(3);
            if searched > HEAD_BYTES_MAX {
                return Err(invalid("a head without end".to_owned()));
            }
            if !self.fill().await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(cut_short("head")) };
            }
        }
    }

    /// The next chunk of a chunked body; empty for the last one, whose trailers are read with it.
    pub(crate) async fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.line().await?;
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
        let size = size.map_err(|_| invalid(format!("chunk size line {line:?}")))?;
        if size == 0 {
            while !self.line().await?.is_empty() {}
            return Ok(Vec::new());
        }
        let chunk = self.bytes(size).await?;
        if self.line().await?.is_empty() {
            Ok(chunk)
        } else {
            Err(invalid("a chunk is longer than it says".to_owned()))
        }
    }

    /// Reads a body. What was received of a broken one is in `body` all the same.
    pub(crate) async fn body(&mut self, framing: Framing, body: &mut ReceivedBody) -> io::Result<()> {
        match framing {
            Framing::Length(length) => self.exactly(length, body).await,
            Framing::UntilClose => loop {
                body.take(&self.buffer);
                self.buffer.clear();
                if !self.fill().await? {
                    return Ok(());
                }
            },
            Framing::Chunked => {
                loop {
                    let line = self.line().await?;
                    let size = line.split(';').next().unwrap_or_default().trim();
                    let size =
                        u64::from_str_radix(size, 16).map_err(|_| invalid(format!("chunk size line {line:?}")))?;
                    if size == 0 {
                        break;
                    }
                    self.exactly(size, body).await?;
                    if !self.line().await?.is_empty() {
                        return Err(invalid("no line end after a chunk".to_owned()));
                    }
                }
                loop {
                    let line = self.line().await?;
                    if line.is_empty() {
                        return Ok(());
                    }
                    body.trailers.push(line);
                }
            }
        }
    }

    async fn exactly(&mut self, length: u64, body: &mut ReceivedBody) -> io::Result<()> {
        let mut left = length;
        loop {
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            body.take(&self.buffer[..here]);
            self.buffer.advance(here);
            left -= here as u64;
            if left == 0 {
                return Ok(());
            }
            if !self.fill().await? {
                return Err(cut_short("body"));
            }
        }
    }

    /// Reads so many bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.fill().await? {
                return Err(invalid(format!("it ended after {:?}", String::from_utf8_lossy(&self.buffer))));
            }
        }
        Ok(self.buffer.split_to(count).to_vec())
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = self.buffer.split_to(end + 2);
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.fill().await? {
                return Err(cut_short("body"));
            }
        }
    }

    /// Reads a response to a request with this method. A `1xx` counts as one.
    pub(crate) async fn reply(&mut self, method: &str) -> io::Result<Reply> {
        let head = self.head().await?.ok_or_else(|| cut_short("connection"))?;
        let status = head.status().map_err(invalid)?;
        let framing = head.response_framing(method).map_err(invalid)?;
        let mut body = ReceivedBody::default();
        self.body(framing, &mut body).await?;
        Ok(Reply { status, head, body: body.kept, digest: body.digest, trailers: body.trailers })
    }

    /// Waits for the other side to go away. Gives what it sent before.
    pub(crate) async fn until_closed(&mut self) -> Vec<u8> {
        while let Ok(true) = self.fill().await {}
        self.buffer.split().to_vec()
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn cut_short(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the {what} ended early"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> io::Result<Reply> {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        far.write_all(bytes).await?;
        drop(far);
        Framed::new(near).reply("GET").await
    }

    #[tokio::test]
    async fn a_body_is_read_by_its_framing() {
        let fixed = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP").await.unwrap();
        assert_eq!(fixed.text(), "hi");
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n";
        let chunked = read(chunked).await.unwrap();
        assert_eq!((chunked.text().as_str(), chunked.trailers.as_slice()), ("hi!", ["A: b".to_owned()].as_slice()));
        let open = read(b"HTTP/1.1 200 OK\r\n\r\nto the end").await.unwrap();
        assert_eq!(open.text(), "to the end");
        let none = read(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        assert_eq!((none.status, none.text().as_str()), (204, ""));
    }

    #[tokio::test]
    async fn a_reply_that_is_cut_short_is_an_error() {
        for broken in [
            b"".as_slice(),
            b"HTTP/1.1 200 OK\r\nContent-Length",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        ] {
            let error = read(broken).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{}", String::from_utf8_lossy(broken));
        }
    }
}
