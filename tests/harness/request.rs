//! A request to proxq or an upstream, made step by step and sent byte for byte as it was made.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use crate::body::Pattern;
use crate::message::{Framed, Reply};

/// A request to proxq. `Host` and, where a body is meant, `Content-Length` are added when it is sent.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<RequestBody>,
    in_chunks: bool,
}

#[derive(Clone, Debug)]
enum RequestBody {
    Bytes(Vec<u8>),
    Pattern(Pattern),
}

/// A request with any method. The target is sent as it stands.
pub fn request(method: &str, target: &str) -> Request {
    Request { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: None, in_chunks: false }
}

/// A `GET` request.
pub fn get(target: &str) -> Request {
    request("GET", target)
}

/// A `HEAD` request.
pub fn head(target: &str) -> Request {
    request("HEAD", target)
}

/// A `DELETE` request.
pub fn delete(target: &str) -> Request {
    request("DELETE", target)
}

/// A `POST` request, with an empty body until it is given one.
pub fn post(target: &str) -> Request {
    request("POST", target).body("")
}

/// A `PUT` request, with an empty body until it is given one.
pub fn put(target: &str) -> Request {
    request("PUT", target).body("")
}

impl Request {
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(RequestBody::Bytes(body.into()));
        self
    }

    /// Sets a large body.
    #[must_use]
    pub fn pattern(mut self, pattern: Pattern) -> Self {
        self.body = Some(RequestBody::Pattern(pattern));
        self
    }

    /// Sends the body in chunks, without saying its length before.
    #[must_use]
    pub fn in_chunks(mut self) -> Self {
        self.in_chunks = true;
        self
    }

    /// The method.
    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    /// The target, as it is sent.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// The head, as it is sent to this address.
    pub(crate) fn head_bytes(&self, address: SocketAddr) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            bytes.extend_from_slice(format!("Host: {address}\r\n").as_bytes());
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        let length = match &self.body {
            None => None,
            Some(RequestBody::Bytes(bytes)) => Some(bytes.len() as u64),
            Some(RequestBody::Pattern(pattern)) => Some(pattern.length()),
        };
        if self.in_chunks {
            bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        } else if let Some(length) = length {
            bytes.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// The whole request, as it is sent to this address. Its body has to be in memory and of known length.
    pub(crate) fn bytes(&self, address: SocketAddr) -> Vec<u8> {
        let mut bytes = self.head_bytes(address);
        match &self.body {
            None => {}
            Some(RequestBody::Bytes(body)) if !self.in_chunks => bytes.extend_from_slice(body),
            Some(body) => panic!("send it: {body:?}"),
        }
        bytes
    }

    async fn write(&self, head: Vec<u8>, mut stream: OwnedWriteHalf) -> io::Result<OwnedWriteHalf> {
        stream.write_all(&head).await?;
        match &self.body {
            None => {}
            Some(RequestBody::Bytes(bytes)) => self.write_piece(bytes, &mut stream).await?,
            Some(RequestBody::Pattern(pattern)) => {
                for piece in pattern.chunks() {
                    self.write_piece(&piece, &mut stream).await?;
                }
            }
        }
        if self.in_chunks {
            stream.write_all(b"0\r\n\r\n").await?;
        }
        Ok(stream)
    }

    async fn write_piece(&self, piece: &[u8], stream: &mut OwnedWriteHalf) -> io::Result<()> {
        if !self.in_chunks {
            return stream.write_all(piece).await;
        }
        if piece.is_empty() {
            return Ok(()); // an empty chunk would be the last one
        }
        stream.write_all(&[format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()).await
    }

    /// Sends it on a connection of its own and reads the reply, which may come before the body is sent.
    pub(crate) async fn exchange(&self, address: SocketAddr) -> io::Result<Reply> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (reading, writing) = stream.into_split();
        let mut reading = Framed::new(reading);
        let reply = async {
            loop {
                let reply = reading.reply(&self.method).await?;
                if reply.status >= 200 {
                    return Ok(reply);
                }
            }
        };
        let mut reply = std::pin::pin!(reply);
        tokio::select! {
            biased;
            reply = &mut reply => reply,
            // Whether or not all could be written, what counts is the reply. The connection is left open for it.
            _still_open = self.write(self.head_bytes(address), writing) => reply.await,
        }
    }
}
