//! An HTTP/2 upstream that goes away, frame by frame: the library counts whatever it has received as processed.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The kinds of frame that matter here (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// The flag of a request's last frame.
const END_STREAM: u8 = 1;

/// Says goodbye, without an error, to the first request when all of it has come: streams after this one were not processed.
pub(super) async fn go_away(mut stream: TlsStream<TcpStream>, last_stream: u32) -> io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    stream.write_all(&frame(SETTINGS, &[])).await?;
    stream.flush().await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        tokio::io::copy(&mut (&mut stream).take(length.into()), &mut tokio::io::sink()).await?;
        if [DATA, HEADERS].contains(&head[3]) && head[4] & END_STREAM != 0 {
            break;
        }
    }
    let no_error = 0_u32;
    stream.write_all(&frame(GOAWAY, &[last_stream.to_be_bytes(), no_error.to_be_bytes()].concat())).await?;
    stream.shutdown().await?;
    // A connection that ends with unread bytes ends with a reset, which may overtake what was said.
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(|_read| ())
}

/// A frame of the whole connection, without flags.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, 0], &0_u32.to_be_bytes(), payload].concat()
}
