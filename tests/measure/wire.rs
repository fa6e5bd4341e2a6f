//! Clients and an upstream on raw sockets, cheap enough to leave the machine to what is measured.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::{BODY_BYTES, CONNECTIONS, Problem};

/// What a load of requests came to.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    /// Of each request, from its first byte to the answer's last; sorted.
    pub(crate) times_ms: Vec<f64>,
}

/// A request with a body, and with these further header lines.
pub(crate) fn post(path: &str, headers: &str) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: proxq\r\n{headers}Content-Length: {BODY_BYTES}\r\n\r\n");
    [head.as_bytes(), &[b'x'; BODY_BYTES]].concat()
}

/// Sends a request again and again on every connection, each time as soon as it was answered.
pub(crate) async fn load(server: SocketAddr, request: &[u8], status: u16, span: Duration) -> Result<Measured, Problem> {
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect(server).await?);
    }
    let began = Instant::now();
    let mut running = JoinSet::new();
    for mut client in clients {
        let request = request.to_vec();
        running.spawn(async move {
            let mut times_ms = Vec::new();
            let mut now = Instant::now();
            while now.duration_since(began) < span {
                client.exchange(&request, status).await?;
                let answered = Instant::now();
                times_ms.push(answered.duration_since(now).as_secs_f64() * 1e3);
                now = answered;
            }
            Ok::<_, Problem>(times_ms)
        });
    }
    let mut times_ms = Vec::new();
    while let Some(times) = running.join_next().await {
        times_ms.extend(times??);
    }
    let count = u32::try_from(times_ms.len())?;
    let per_second = f64::from(count) / began.elapsed().as_secs_f64();
    times_ms.sort_by(f64::total_cmp);
    Ok(Measured { per_second, times_ms })
}

/// One kept-alive connection.
pub(crate) struct Client {
    messages: Messages,
}

impl Client {
    pub(crate) async fn connect(server: SocketAddr) -> Result<Self, Problem> {
        Ok(Self { messages: Messages::on(TcpStream::connect(server).await?)? })
    }

    /// Sends a request, checks the status and gives the body.
    pub(crate) async fn exchange(&mut self, request: &[u8], status: u16) -> Result<&str, Problem> {
        self.messages.stream.write_all(request).await?;
        let (head, body) = self.messages.next().await?.ok_or("the connection ended")?;
        if head.split(' ').nth(1).and_then(|code| code.parse().ok()) == Some(status) {
            Ok(body)
        } else {
            Err(format!("not {status}: {head}{body}").into())
        }
    }
}

/// An upstream that answers at once.
pub(crate) async fn serve(listener: TcpListener) -> Result<(), Problem> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
    let answer = [head.as_bytes(), &[b'y'; BODY_BYTES]].concat();
    let mut connections: JoinSet<Result<(), Problem>> = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let answer = answer.clone();
        connections.spawn(async move {
            let mut messages = Messages::on(stream)?;
            while messages.next().await?.is_some() {
                messages.stream.write_all(&answer).await?;
            }
            Ok(())
        });
    }
}

/// A connection that is read by messages, whose lengths stand in their heads.
struct Messages {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Length of the last message, which is still at the beginning of the buffer.
    given: usize,
}

impl Messages {
    fn on(stream: TcpStream) -> Result<Self, Problem> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(8 * 1024), given: 0 })
    }

    /// The next message, head and body; `None` where the connection ends before it.
    async fn next(&mut self) -> Result<Option<(&str, &str)>, Problem> {
        self.buffer.drain(..self.given);
        self.given = 0;
        let (head_length, length) = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break (at + 4, at + 4 + body_length(&self.buffer[..at])?);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err("a head ended early".into()) };
            }
        };
        while self.buffer.len() < length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("a body ended early".into());
            }
        }
        self.given = length;
        let message = str::from_utf8(&self.buffer[..length])?;
        Ok(Some(message.split_at(head_length)))
    }
}

fn body_length(head: &[u8]) -> Result<usize, Problem> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let length = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(b"content-length:".len())?;
        name.eq_ignore_ascii_case(b"content-length:").then_some(value)
    });
    let Some(length) = length else { return Ok(0) };
    Ok(str::from_utf8(length)?.trim().parse()?)
}
