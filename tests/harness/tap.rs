//! A TCP proxy between a client and a server that keeps every request of the client.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::message::{Framed, Head, ReceivedBody};
use crate::waiting::within;

/// A TCP proxy in front of one address. Ends when dropped, with every connection.
#[derive(Debug)]
pub struct Tap {
    address: SocketAddr,
    sent: Arc<Sent>,
    /// The accept loop, which owns the connections.
    _serving: JoinSet<()>,
}

/// What clients have sent, a connection each.
type Sent = watch::Sender<Vec<Vec<u8>>>;

impl Tap {
    /// Leads from a free port of loopback to this address.
    pub async fn to(far: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port of loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let sent = Arc::new(Sent::default());
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, far, Arc::clone(&sent)));
        Self { address, sent, _serving: serving }
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns when a client has sent this text.
    pub async fn sees(&self, text: &str) {
        let is_in = |bytes: &Vec<u8>| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        let mut sent = self.sent.subscribe();
        let seen = within(&format!("a client sends {text}"), sent.wait_for(|all| all.iter().any(is_in))).await;
        seen.expect("the sender is in `self`");
    }

    /// The heads of all requests so far, a connection after the other.
    pub async fn requests(&self) -> Vec<Head> {
        let sent = self.sent.borrow().clone();
        let mut heads = Vec::new();
        for bytes in sent {
            let mut framed = Framed::new(&bytes[..]);
            while let Ok(Some(head)) = framed.head().await {
                let framing = head.request_framing().expect("a client says how its body follows");
                heads.push(head);
                // A body that is cut short is the last thing on its connection.
                let _ = framed.body(framing, &mut ReceivedBody::default()).await;
            }
        }
        heads
    }
}

async fn accept(listener: TcpListener, far: SocketAddr, sent: Arc<Sent>) {
    let mut carrying = JoinSet::new();
    // What fails here fails for the client, too, which is what the test looks at.
    while let Ok((near, _)) = listener.accept().await {
        let Ok(far) = TcpStream::connect(far).await else { continue };
        carrying.spawn(carry(near, far, Arc::clone(&sent)));
    }
}

/// Carries one connection to its end. What the client sends is kept before it is passed on.
async fn carry(near: TcpStream, far: TcpStream, sent: Arc<Sent>) {
    let _both = [near.set_nodelay(true), far.set_nodelay(true)];
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
    let mut number = 0;
    sent.send_modify(|all| {
        number = all.len();
        all.push(Vec::new());
    });
    let there = async {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from_near.read(&mut bytes).await {
            sent.send_modify(|all| all[number].extend_from_slice(&bytes[..read]));
            if to_far.write_all(&bytes[..read]).await.is_err() {
                break;
            }
        }
        drop(to_far);
    };
    let back = async {
        // How it ends is the client's affair.
        let _ = tokio::io::copy(&mut from_far, &mut to_near).await;
        drop(to_near);
    };
    tokio::join!(there, back);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, Upstream, Wire};

    #[test]
    fn it_keeps_every_request_of_every_connection() {
        crate::run(async {
            let upstream = Upstream::start().await;
            upstream.always(Answer::status(200).body("hi"));
            let tap = Tap::to(upstream.address()).await;
            let address = tap.url().trim_start_matches("http://").parse().unwrap();
            let mut wires = [Wire::connect(address).await, Wire::connect(address).await];
            for target in ["/a", "/b"] {
                for wire in &mut wires {
                    wire.send(format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nGET ")).await;
                    assert_eq!(wire.reply().await.text(), "hi");
                }
            }
            tap.sees("/b").await;
            let requests = tap.requests().await;
            assert_eq!(requests.iter().map(|head| head.word(1)).collect::<Vec<_>>(), ["/a", "/b", "/a", "/b"]);
        });
    }
}
