//! A WebSocket server that echoes, and a client, of a library that is neither ours nor proxq's.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
pub use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, accept_hdr_async, connect_async};

use crate::waiting::within;

/// The only subprotocol that the echo server speaks.
pub const SUBPROTOCOL: &str = "echo.v2";

/// Echoes every message; closes with 4321 when it is told `close me`. Ends when dropped, with every connection.
#[derive(Debug)]
pub struct EchoServer {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl EchoServer {
    /// Starts it on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port of loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut conversations = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                conversations.spawn(echo(stream));
            }
        });
        Self { address, _serving: serving }
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn echo(stream: TcpStream) {
    #[expect(clippy::result_large_err, reason = "the library's signature")]
    let choose = |request: &Request, mut response: Response| {
        let offered = request.headers().get("sec-websocket-protocol").and_then(|value| value.to_str().ok());
        if offered.is_some_and(|offered| offered.split(',').any(|name| name.trim() == SUBPROTOCOL)) {
            response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
        }
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr_async(stream, choose).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        let sent = match message {
            Message::Text(text) if text.as_str() == "close me" => {
                let farewell = CloseFrame { code: CloseCode::from(4321), reason: "as you wish".into() };
                socket.close(Some(farewell)).await
            }
            Message::Text(_) | Message::Binary(_) => socket.send(message).await,
            // The library answers pings and closes itself.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// A client's end.
#[derive(Debug)]
pub struct WebSocket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The subprotocol that the server has chosen.
    pub subprotocol: Option<String>,
}

impl WebSocket {
    /// Connects to a path at an address, and offers [`SUBPROTOCOL`] among others.
    pub async fn connect(address: SocketAddr, path: &str) -> Self {
        let mut request = format!("ws://{address}{path}").into_client_request().expect("a URL");
        let headers = request.headers_mut();
        headers.insert("connection", HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert("sec-websocket-protocol", HeaderValue::from_static("echo.v1, echo.v2"));
        let (stream, response) = within("a handshake", connect_async(request)).await.expect("the handshake succeeds");
        let chosen = response.headers().get("sec-websocket-protocol");
        let subprotocol = chosen.map(|value| value.to_str().expect("visible ASCII").to_owned());
        Self { stream, subprotocol }
    }

    /// Sends a message.
    pub async fn send(&mut self, message: Message) {
        within("a message is sent", self.stream.send(message)).await.expect("the connection is open");
    }

    /// The next message; `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Message> {
        within("a message comes", self.stream.next()).await.and_then(Result::ok)
    }

    /// Closes with a code and a reason.
    pub async fn close(&mut self, code: u16, reason: &str) {
        let farewell = CloseFrame { code: CloseCode::from(code), reason: reason.to_owned().into() };
        within("a close is sent", self.stream.close(Some(farewell))).await.expect("the connection is open");
    }

    /// Reads until the other end has closed; gives its code and reason.
    pub async fn farewell(&mut self) -> Option<(u16, String)> {
        while let Some(message) = self.next().await {
            if let Message::Close(farewell) = message {
                return farewell.map(|frame| (frame.code.into(), frame.reason.to_string()));
            }
        }
        None
    }
}
