//! HTTP/1.1 messages as they are on the wire: heads byte for byte, bodies by their framing (RFC 9112 §6).

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::body::Digest;

/// A longer head is a mistake of the test or of the server.
const HEAD_BYTES_MAX: usize = 1 << 20;
/// How much of a body is kept beside its digest.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// The head of a request or a response, as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    raw: Vec<u8>,
    line: String,
    fields: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// Takes a head apart. `raw` ends with the empty line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(raw: Vec<u8>) -> Result<Self, String> {
        let text = raw.strip_suffix(b"\r\n\r\n").ok_or("no empty line at the end")?;
        let mut lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let line = lines.next().unwrap_or_default();
        let line = String::from_utf8(line.to_vec()).map_err(|_| "the first line is not UTF-8")?;
        let mut fields = Vec::new();
        for field in lines {
            let shown = String::from_utf8_lossy(field);
            let colon = field.iter().position(|byte| *byte == b':').ok_or(format!("no colon in {shown:?}"))?;
            let name = String::from_utf8(field[..colon].to_vec()).map_err(|_| format!("bad name in {shown:?}"))?;
            fields.push((name, field[colon + 1..].trim_ascii().to_vec()));
        }
        Ok(Self { raw, line, fields })
    }

    /// The head of an HTTP/2 request, as HTTP/1 would write it. `:scheme` and `:authority` are its first fields.
    pub(crate) fn of_http2(request: &http::request::Parts) -> Self {
        let uri = &request.uri;
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        let line = format!("{} {target} HTTP/2", request.method);
        let authority = uri.authority().map(|authority| (":authority", authority.as_str().as_bytes()));
        let pseudo = uri.scheme_str().map(|scheme| (":scheme", scheme.as_bytes())).into_iter().chain(authority);
        let regular = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let fields: Vec<_> = pseudo.chain(regular).map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        let lines = fields.iter().map(|(name, value)| [name.as_bytes(), b": ", value, b"\r\n"].concat());
        let raw = [line.as_bytes(), b"\r\n", &lines.collect::<Vec<_>>().concat(), b"\r\n"].concat();
        Self { raw, line, fields }
    }

    /// The bytes, the empty line included.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The request line or the status line.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The part of the first line with this number: of a request 0 is the method, 1 the target.
    pub fn word(&self, index: usize) -> &str {
        self.line.split(' ').nth(index).unwrap_or_default()
    }

    /// Every header in order: its name as it was spelled, and its value.
    pub fn fields(&self) -> &[(String, Vec<u8>)] {
        &self.fields
    }

    /// The names as they were spelled, in order.
    pub fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The bytes of every value of a header, in order.
    pub fn values_raw(&self, name: &str) -> Vec<&[u8]> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice()).collect()
    }

    /// Every value of a header, in order, as text.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.values_raw(name).into_iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The only value of a header; `None` where it is absent. A test that expects one must not overlook a second.
    pub fn value(&self, name: &str) -> Option<String> {
        let mut values = self.values(name);
        assert!(values.len() <= 1, "{name} is there {} times: {values:?}", values.len());
        values.pop()
    }

    /// Whether the header is there.
    pub fn has(&self, name: &str) -> bool {
        !self.values_raw(name).is_empty()
    }

    /// How a body follows this head, if one may.
    fn framing(&self) -> Result<Option<Framing>, String> {
        if let Some(codings) = self.values("transfer-encoding").last() {
            return if codings.eq_ignore_ascii_case("chunked") {
                Ok(Some(Framing::Chunked))
            } else {
                Err(format!("transfer coding {codings:?}"))
            };
        }
        let mut lengths = self.values("content-length");
        lengths.dedup();
        match lengths.as_slice() {
            [] => Ok(None),
            [length] => length.parse().map(|n| Some(Framing::Length(n))).map_err(|_| format!("length {length:?}")),
            _ => Err(format!("lengths {lengths:?}")),
        }
    }

    /// How the body of a request with this head follows.
    ///
    /// # Errors
    /// What is wrong with its framing.
    pub(crate) fn request_framing(&self) -> Result<Framing, String> {
        Ok(self.framing()?.unwrap_or(Framing::Length(0)))
    }

    /// How the body of a response with this head to a request with this method follows.
    fn response_framing(&self, method: &str) -> Result<Framing, String> {
        let status = self.status()?;
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(Framing::Length(0));
        }
        Ok(self.framing()?.unwrap_or(Framing::UntilClose))
    }

    /// The status code of a response.
    fn status(&self) -> Result<u16, String> {
        self.word(1).parse().map_err(|_| format!("status line {:?}", self.line))
    }
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// This many bytes.
    Length(u64),
    /// Up to the last chunk.
    Chunked,
    /// Up to the end of the connection.
    UntilClose,
}

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

/// A response as a client received it.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The head, byte for byte.
    pub head: Head,
    /// The body, without its transfer coding; for a very large one only its beginning.
    pub body: Vec<u8>,
    /// Length and hash of the whole body.
    pub digest: Digest,
    /// Trailer lines after a chunked body.
    pub trailers: Vec<String>,
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {self}"))
    }

    /// The `code` of an error that proxq made; empty for anything else.
    pub fn code(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        json["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The `detail` of an error that proxq made.
    pub fn detail(&self) -> String {
        self.json()["detail"].as_str().unwrap_or_default().to_owned()
    }

    /// The value of a header that is there at most once.
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.value(name)
    }

    /// Asserts that proxq refused with this status and code.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{self}");
    }

    /// Asserts that this is an upstream's response with this status, passed on.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "often the assertion is all that is wanted")]
    pub fn from_upstream(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        let stamped = self
            .head
            .names()
            .into_iter()
            .any(|name| name.to_ascii_lowercase().starts_with(proxq_protocol::header::PREFIX));
        assert!(!stamped, "an upstream's response bears nothing of proxq's: {self}");
        self
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = &self.body[..self.body.len().min(2_000)];
        write!(f, "{}{}", String::from_utf8_lossy(self.head.raw()), String::from_utf8_lossy(body))
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

    #[test]
    fn a_head_keeps_spelling_order_and_repetitions() {
        let raw = b"GET /a HTTP/1.1\r\nx-A: 1\r\nHost:h\r\nX-a: \xff \r\n\r\n".to_vec();
        let head = Head::parse(raw.clone()).unwrap();
        assert_eq!(head.raw(), raw);
        assert_eq!((head.word(0), head.word(1)), ("GET", "/a"));
        assert_eq!(head.names(), ["x-A", "Host", "X-a"]);
        assert_eq!(head.values_raw("X-A"), [b"1".as_slice(), b"\xff"]);
        assert!(Head::parse(b"GET / HTTP/1.1\r\nnonsense\r\n\r\n".to_vec()).is_err());
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
    async fn what_is_cut_short_is_no_reply() {
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
