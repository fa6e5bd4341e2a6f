//! An address that refuses connections, until an upstream comes there.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

use crate::limited::{Limited, Limits};
use crate::upstream::Upstream;

/// An address at which nobody listens, and nobody else can while this lives.
#[derive(Debug)]
pub struct Refusing {
    socket: TcpSocket,
}

impl Refusing {
    /// Takes a free port and does not listen on it.
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port of loopback");
        Self { socket }
    }

    /// Begins to listen, as an upstream that has come back.
    pub fn listen(self) -> Upstream {
        Upstream::on(self.socket.listen(1024).expect("a bound socket listens"))
    }

    /// The same as one with limits.
    pub fn listen_with(self, limits: Limits) -> Limited {
        Limited::on(self.socket.listen(1024).expect("a bound socket listens"), limits)
    }

    /// The URL that cannot be reached.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The address that cannot be reached.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket has an address")
    }
}

impl Default for Refusing {
    fn default() -> Self {
        Self::new()
    }
}
