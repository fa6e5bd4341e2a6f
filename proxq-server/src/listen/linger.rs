//! How an HTTP/1 connection ends: the sending half first, the other when the client has closed, too.
//!
//! Closing a socket on which more arrives resets the connection, and a reset takes an answer away that the client has
//! not read yet (RFC 9112 §9.6). So what arrives is read and forgotten for a while.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

/// How long a client that sends nothing has to close its half: Apache's limit. Most close at once.
const SILENCE_LIMIT: Duration = Duration::from_secs(2);
/// How long a client may go on sending: nginx's `lingering_time` and Apache's limit. Long uploads that could be read as
/// bodies have ended before.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// How much is read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// Reads and forgets what a client sends until it closes its half, has had its time, or has sent so much. The sending half
/// is closed.
pub(super) async fn until_closed(stream: &TcpStream, bytes_max: u64) {
    let closed = async {
        let mut left = bytes_max;
        while let Ok(Ok(())) = tokio::time::timeout(SILENCE_LIMIT, stream.readable()).await {
            match stream.try_read(&mut [0; CHUNK_BYTES]) {
                Ok(0) => return,
                Ok(count) => {
                    left = left.saturating_sub(count as u64);
                    if left == 0 {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_reset) => return,
            }
        }
    };
    let _past_limit = tokio::time::timeout(TIME_LIMIT, closed).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_client_is_read_until_it_closes_or_has_sent_so_much() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for (sent, bytes_max, ends_by_itself) in [(100_000, 1 << 30, false), (100_000, 50_000, true)] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let began = Instant::now();
            let send = async {
                client.write_all(&vec![b'x'; sent]).await.unwrap();
                if !ends_by_itself {
                    client.shutdown().await.unwrap();
                }
            };
            tokio::join!(until_closed(&stream, bytes_max), send);
            assert!(began.elapsed() < SILENCE_LIMIT, "{sent} bytes of {bytes_max}");
        }
    }

    #[tokio::test]
    async fn a_client_that_sends_nothing_and_does_not_close_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let began = Instant::now();
        until_closed(&stream, 1).await;
        assert!(began.elapsed() >= SILENCE_LIMIT);
    }
}
