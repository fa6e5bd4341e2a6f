//! One connection, bytes in and bytes out.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::message::{Framed, Head, Reply};
use crate::reply::check_own;
use crate::waiting::within;

/// A raw connection to a server.
#[derive(Debug)]
pub struct Wire {
    framed: Framed<TcpStream>,
}

impl Wire {
    /// Opens a connection.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await;
        Self::over(stream.unwrap_or_else(|e| panic!("connect to {address}: {e}")))
    }

    /// Takes a connection over.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a fresh socket takes options");
        Self { framed: Framed::new(stream) }
    }

    /// Writes bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("bytes are sent", self.framed.send(bytes.as_ref())).await.expect("the server reads");
    }

    /// Writes bytes to a server that may have stopped reading.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("bytes are sent", self.framed.send(bytes.as_ref())).await
    }

    /// Reads one reply, by its framing; interim ones count.
    pub async fn reply(&mut self) -> Reply {
        self.reply_to("GET").await
    }

    /// Reads one reply to a request with this method.
    pub async fn reply_to(&mut self, method: &str) -> Reply {
        self.try_reply(method).await.unwrap_or_else(|e| panic!("no reply: {e}"))
    }

    /// Reads one reply, if one comes.
    ///
    /// # Errors
    /// When the connection ended or broke before it was complete.
    pub async fn try_reply(&mut self, method: &str) -> io::Result<Reply> {
        let reply = within("a reply", self.framed.reply(method)).await?;
        check_own(&reply, method);
        Ok(reply)
    }

    /// Asserts, over this connection, that the server's process lives and answers.
    pub async fn assert_healthy(&mut self) {
        self.send("GET /__jobs/healthz HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let reply = self.reply().await;
        assert_eq!(reply.status, 200, "{reply}");
    }

    /// Reads a head, of a request or a reply, and nothing of what follows it.
    pub async fn head(&mut self) -> Head {
        let head = within("a head", self.framed.head()).await.unwrap_or_else(|e| panic!("no head: {e}"));
        head.expect("the connection goes on")
    }

    /// Asserts that these bytes come next.
    pub async fn comes(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let what = format!("{:?} comes", String::from_utf8_lossy(bytes));
        let came = within(&what, self.framed.bytes(bytes.len())).await;
        let came = came.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(came == bytes, "{what}, not {:?}", String::from_utf8_lossy(&came));
    }

    /// Reads the next chunk of a chunked body; empty for the last one.
    pub async fn chunk(&mut self) -> Vec<u8> {
        within("a chunk", self.framed.chunk()).await.unwrap_or_else(|e| panic!("no chunk: {e}"))
    }

    /// What comes before the connection ends, whichever way it ends.
    pub async fn rest(&mut self) -> Vec<u8> {
        within("the connection ends", self.framed.until_closed()).await
    }

    /// Asserts that the server closes the connection without another byte.
    pub async fn closed(&mut self) {
        let rest = within("the server closes the connection", self.framed.until_closed()).await;
        assert!(rest.is_empty(), "more came: {}", String::from_utf8_lossy(&rest));
    }

    /// Tells the server that nothing more will be sent.
    pub async fn finish(&mut self) {
        self.framed.stream.shutdown().await.expect("the connection is open");
    }

    /// Breaks the connection off, as a crashed client would.
    pub fn reset(self) {
        self.framed.stream.set_zero_linger().expect("a socket takes options");
    }
}
