//! An upstream of which the test plays every byte.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::waiting::within;
use crate::wire::Wire;

/// Listens on a free port; each connection is the test's.
#[derive(Debug)]
pub struct RawUpstream {
    listener: TcpListener,
}

impl RawUpstream {
    /// Starts to listen.
    pub async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port of loopback") }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a bound socket has an address")
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The next connection; waits for it.
    pub async fn accept(&self) -> Wire {
        let connected = within("a connection reaches the upstream", self.listener.accept()).await;
        Wire::over(connected.expect("a listening socket accepts").0)
    }
}
