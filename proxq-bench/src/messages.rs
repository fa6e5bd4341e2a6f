//! HTTP/1.1 messages on a raw socket, for the bench's own clients and upstream.
//!
//! A message has a head and a body of `Content-Length` bytes; nothing that the bench reads has another form. It costs so
//! little that the machine is left to what is measured.

use std::net::SocketAddr;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Problem;

/// Where a connection's buffer starts: room for a head and the bench's usual body.
const BUFFER_BYTES: usize = 8 * 1024;
/// The largest head, and the largest body that is read as a whole. Larger bodies are discarded piece by piece.
const KEPT_BYTES: usize = 1 << 20;
/// What large bodies are sent in.
static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// One connection, read message by message.
#[derive(Debug)]
pub(crate) struct Messages {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// How many bytes at the beginning of the buffer belong to messages that were read.
    taken: usize,
}

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its length, with the empty line.
    length: usize,
    /// The length of the body after it.
    pub(crate) body_bytes: u64,
}

impl Messages {
    /// Connects to a server.
    pub(crate) async fn connect(server: SocketAddr) -> Result<Self, Problem> {
        Self::on(TcpStream::connect(server).await?)
    }

    pub(crate) fn on(stream: TcpStream) -> Result<Self, Problem> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(BUFFER_BYTES), taken: 0 })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Sends a body of so many bytes, or the rest of one.
    pub(crate) async fn send_body(&mut self, bytes: u64) -> Result<(), Problem> {
        let mut missing = bytes;
        while missing > 0 {
            let piece = usize::try_from(missing).map_or(PIECE.len(), |missing| missing.min(PIECE.len()));
            self.send(&PIECE[..piece]).await?;
            missing -= u64::try_from(piece)?;
        }
        Ok(())
    }

    /// Reads the next head; `None` where the connection ends before it. Its body must be taken before the next head.
    pub(crate) async fn head(&mut self) -> Result<Option<Head>, Problem> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        loop {
            if let Some(head) = Head::parse(&self.buffer)? {
                return Ok(Some(head));
            }
            if self.buffer.len() > KEPT_BYTES {
                return Err("a head does not end".into());
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err("the connection ended in a head".into()) };
            }
        }
    }

    /// Reads until some bytes have come that contain these, whatever form the message has. Nothing can be read after that.
    pub(crate) async fn until(mut self, awaited: &[u8]) -> Result<(), Problem> {
        self.buffer.clear();
        while memmem::find(&self.buffer, awaited).is_none() {
            if self.buffer.len() > KEPT_BYTES || self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("what was awaited did not come".into());
            }
        }
        Ok(())
    }

    /// The head that was read last, as text.
    pub(crate) fn text(&self, head: Head) -> Result<&str, Problem> {
        Ok(str::from_utf8(&self.buffer[..head.length])?)
    }

    /// Reads the body after a head, and gives it.
    pub(crate) async fn body(&mut self, head: Head) -> Result<&[u8], Problem> {
        let body_bytes = usize::try_from(head.body_bytes)?;
        if body_bytes > KEPT_BYTES {
            return Err(format!("a body of {body_bytes} bytes is too large to be kept").into());
        }
        self.taken = head.length + body_bytes;
        while self.buffer.len() < self.taken {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection ended in a body".into());
            }
        }
        Ok(&self.buffer[head.length..self.taken])
    }

    /// Reads the body after a head, and forgets it as it comes.
    pub(crate) async fn discard(&mut self, head: Head) -> Result<(), Problem> {
        let buffered = u64::try_from(self.buffer.len() - head.length)?;
        let Some(mut missing) = head.body_bytes.checked_sub(buffered).filter(|missing| *missing > 0) else {
            self.taken = head.length + usize::try_from(head.body_bytes)?;
            return Ok(());
        };
        self.buffer.clear();
        self.taken = 0;
        let mut piece = vec![0; 64 * 1024];
        while missing > 0 {
            let room = usize::try_from(missing).map_or(piece.len(), |missing| missing.min(piece.len()));
            let read = self.stream.read(&mut piece[..room]).await?;
            if read == 0 {
                return Err("the connection ended in a body".into());
            }
            missing -= u64::try_from(read)?;
        }
        Ok(())
    }

    /// Sends a request that must be answered with so many bytes, and forgets them as they come.
    pub(crate) async fn fetch(&mut self, request: &[u8], bytes: u64) -> Result<(), Problem> {
        self.send(request).await?;
        let head = self.head().await?.ok_or("the connection ended before the answer")?;
        if head.body_bytes != bytes {
            return Err(format!("a body of {} bytes in place of {bytes}", head.body_bytes).into());
        }
        self.discard(head).await
    }

    /// Sends a request, and gives the status and the body of the answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8]), Problem> {
        self.send(request).await?;
        let head = self.head().await?.ok_or("the connection ended before the answer")?;
        let status = status(self.text(head)?)?;
        Ok((status, self.body(head).await?))
    }

    /// Sends a request that must be answered with this status, and gives the body of the answer.
    pub(crate) async fn expect(&mut self, request: &[u8], expected: u16) -> Result<&[u8], Problem> {
        let (status, body) = self.exchange(request).await?;
        if status == expected {
            Ok(body)
        } else {
            Err(format!("status {status} in place of {expected}: {}", String::from_utf8_lossy(body)).into())
        }
    }
}

impl Head {
    /// Finds the head at the beginning; `None` if it is not complete.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Problem> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let mut body_bytes = 0;
        for line in bytes[..end].split(|byte| *byte == b'\n').skip(1) {
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            if name.eq_ignore_ascii_case(b"content-length") {
                body_bytes = str::from_utf8(value)?.trim().parse()?;
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                return Err("the message is chunked, and the bench reads messages with a Content-Length only".into());
            }
        }
        Ok(Some(Self { length: end + 4, body_bytes }))
    }
}

/// The status of an answer's head.
fn status(head: &str) -> Result<u16, Problem> {
    let code = head.split(' ').nth(1).ok_or("the answer has no status line")?;
    Ok(code.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_with_the_length_of_its_body() {
        let answer = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH: 12\r\n\r\nrest";
        assert_eq!(Head::parse(answer).unwrap(), Some(Head { length: answer.len() - 4, body_bytes: 12 }));
        let without = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(Head::parse(without).unwrap(), Some(Head { length: without.len(), body_bytes: 0 }));
        assert_eq!(Head::parse(&without[..without.len() - 1]).unwrap(), None);
        assert_eq!(status("HTTP/1.1 202 Accepted\r\n").unwrap(), 202);
    }

    #[test]
    fn other_messages_are_refused() {
        for head in
            ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
        {
            assert!(Head::parse(head.as_bytes()).is_err(), "{head}");
        }
        assert!(status("nonsense").is_err());
    }
}
