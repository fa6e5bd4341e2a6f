//! A client of proxq that keeps what it receives as it was: raw heads, no decompression, no redirects.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use proxq_protocol::{Accepted, JobInfo, header};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use crate::body::{Digest, Pattern};
use crate::message::{Framed, Reply};
use crate::proxq::Job;
use crate::reply::check_own;
use crate::runner::within;
use crate::wire::Wire;

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

    fn head_bytes(&self, address: SocketAddr) -> Vec<u8> {
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

/// Speaks to one server, usually a proxq, wherever it listens at the moment. Clones follow it, too.
#[derive(Clone, Debug)]
pub struct Client {
    address: Arc<Mutex<SocketAddr>>,
}

impl Client {
    /// Speaks to whatever listens there.
    pub fn at(address: SocketAddr) -> Self {
        Self { address: Arc::new(Mutex::new(address)) }
    }

    pub(crate) fn moved_to(&self, address: SocketAddr) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server's URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// A raw connection.
    pub async fn wire(&self) -> Wire {
        Wire::connect(self.address()).await
    }

    /// Sends bytes on a connection of their own and reads one reply.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> Reply {
        let mut wire = self.wire().await;
        wire.send(bytes).await;
        wire.reply().await
    }

    /// Sends a request and gives the reply, whatever it is.
    pub async fn send(&self, request: Request) -> Reply {
        let what = format!("a reply to {} {}", request.method, request.target);
        self.try_send(request).await.unwrap_or_else(|e| panic!("{what}: {e}"))
    }

    /// The same, where the server may go away.
    ///
    /// # Errors
    /// When no complete reply was received.
    pub async fn try_send(&self, request: Request) -> io::Result<Reply> {
        let what = format!("a reply to {} {}", request.method, request.target);
        let reply = within(&what, request.exchange(self.address())).await?;
        check_own(&reply, &request.method);
        Ok(reply)
    }

    /// Sends a request that proxq must queue.
    pub async fn submit(&self, request: Request) -> Job {
        accepted(&self.send(request).await)
    }

    /// Where a job stands.
    pub async fn status(&self, job: &Job) -> JobInfo {
        let reply = self.send(get(&job.location)).await;
        assert_eq!(reply.status, 200, "{reply}");
        serde_json::from_slice(&reply.body).unwrap_or_else(|e| panic!("{e}: {reply}"))
    }

    /// Where a job ended; waits for that.
    pub async fn settled(&self, job: &Job) -> JobInfo {
        within(&format!("job {} ends", job.id), async {
            loop {
                let reply = self.send(get(&format!("{}?wait=10s", job.location))).await;
                assert_eq!(reply.status, 200, "{reply}");
                let info: JobInfo = serde_json::from_slice(&reply.body).unwrap_or_else(|e| panic!("{e}: {reply}"));
                if info.status.is_final() {
                    return info;
                }
            }
        })
        .await
    }

    /// What there is at a job's content.
    pub async fn content(&self, job: &Job) -> Reply {
        self.send(get(&format!("{}/content", job.location))).await
    }

    /// The upstream's response to a job; waits for it.
    pub async fn response(&self, job: &Job) -> Reply {
        let info = self.settled(job).await;
        assert_eq!(info.status, proxq_protocol::JobStatus::Completed, "{info:?}");
        let reply = self.content(job).await;
        assert!(!reply.head.has(header::SOURCE), "an upstream's response bears no stamp of proxq: {reply}");
        reply
    }

    /// Sends a request through the queue and gives the upstream's response.
    pub async fn through_queue(&self, request: Request) -> Reply {
        let job = self.submit(request).await;
        self.response(&job).await
    }

    /// Length and hash of a completed job's content.
    pub async fn content_digest(&self, job: &Job) -> Digest {
        let reply = self.content(job).await;
        assert_eq!(reply.status, 200, "{}", reply.head.line());
        reply.digest
    }

    /// Cancels a job.
    pub async fn cancel(&self, job: &Job) -> Reply {
        self.send(delete(&job.location)).await
    }
}

/// The job that a `202` of proxq speaks of.
#[track_caller]
pub(crate) fn accepted(reply: &Reply) -> Job {
    assert_eq!(reply.status, 202, "{reply}");
    assert!(reply.head.has(header::SOURCE), "a 202 of proxq bears its stamp: {reply}");
    let named = reply.header(header::JOB_ID).unwrap_or_default();
    let id = named.parse().unwrap_or_else(|e| panic!("{named:?} is {e}"));
    if !reply.body.is_empty() {
        let body: Accepted = serde_json::from_slice(&reply.body).unwrap_or_else(|e| panic!("{e}: {reply}"));
        assert_eq!(body.job_id, id, "body and header name the same job");
    }
    let location = reply.header("location").unwrap_or_else(|| panic!("no Location: {reply}"));
    Job { id, location }
}
