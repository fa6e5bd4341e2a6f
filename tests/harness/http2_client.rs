//! A client of HTTP/2 without TLS, which knows that the server speaks it (RFC 9113 §3.3).

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::waiting::within;

/// One connection.
#[derive(Debug)]
pub struct Http2Client {
    requests: SendRequest<Bytes>,
    connection: JoinSet<Result<(), h2::Error>>,
}

/// A response, read to its end.
#[derive(Debug)]
pub struct Http2Reply {
    /// The status code.
    pub status: u16,
    /// Its fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// What follows the body.
    pub trailers: Option<HeaderMap>,
}

impl Http2Client {
    /// Opens a connection.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &h2::client::Builder::new()).await
    }

    /// Opens a connection with settings of the test's own.
    pub async fn connect_with(address: SocketAddr, settings: &h2::client::Builder) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await.expect("the server listens");
        stream.set_nodelay(true).expect("a fresh socket takes options");
        let (requests, connection) =
            within("HTTP/2 is spoken", settings.handshake(stream)).await.expect("the server speaks HTTP/2");
        Self { requests, connection: JoinSet::from_iter([connection]) }
    }

    /// Begins a request. Gives what its body is written to, and its response.
    ///
    /// # Errors
    /// When the connection takes no more requests.
    pub async fn begin(
        &mut self,
        request: Request<()>,
        ends: bool,
    ) -> Result<(impl Future<Output = Result<Response<RecvStream>, h2::Error>> + use<>, SendStream<Bytes>), h2::Error>
    {
        let mut ready = within("a stream is free", self.requests.clone().ready()).await?;
        ready.send_request(request, ends)
    }

    /// Sends a request with a whole body and reads the response to its end.
    ///
    /// # Errors
    /// When the stream or the connection breaks.
    pub async fn try_send(&mut self, request: Request<&str>) -> Result<Http2Reply, h2::Error> {
        let (parts, body) = request.into_parts();
        let (response, mut sending) = self.begin(Request::from_parts(parts, ()), body.is_empty()).await?;
        if !body.is_empty() {
            sending.send_data(Bytes::copy_from_slice(body.as_bytes()), true)?;
        }
        let (head, mut coming) = within("a response", response).await?.into_parts();
        let mut body = Vec::new();
        while let Some(chunk) = within("a body goes on", coming.data()).await {
            let chunk = chunk?;
            coming.flow_control().release_capacity(chunk.len())?;
            body.extend_from_slice(&chunk);
        }
        let trailers = within("a body ends", coming.trailers()).await?;
        Ok(Http2Reply { status: head.status.as_u16(), headers: head.headers, body, trailers })
    }

    /// The same, where it must succeed.
    pub async fn send(&mut self, request: Request<&str>) -> Http2Reply {
        self.try_send(request).await.unwrap_or_else(|e| panic!("no reply: {e}"))
    }

    /// Returns when the server has ended the connection, although there may still be requests on it.
    ///
    /// # Errors
    /// How it ended, if not in good order.
    pub async fn ended(&mut self) -> Result<(), h2::Error> {
        let ended = within("the connection ends", self.connection.join_next()).await;
        ended.expect("it is asked for once").expect("the connection's task does not panic")
    }
}

impl Http2Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header that is there at most once.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("visible ASCII"))
    }
}
