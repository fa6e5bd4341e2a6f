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

/// Reads and forgets what a client sends until it closes its half, or has had its time. The sending half is closed.
pub(super) async fn until_closed(stream: &TcpStream) {
    let closed = async {
        while let Ok(Ok(())) = tokio::time::timeout(SILENCE_LIMIT, stream.readable()).await {
            match stream.try_read(&mut [0; CHUNK_BYTES]) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_reset) => return,
            }
        }
    };
    let _past_limit = tokio::time::timeout(TIME_LIMIT, closed).await;
}
