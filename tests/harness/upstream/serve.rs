//! The connections of an upstream: their requests, and the steps of the answers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::answer::{Body, Reading, Response, Step};
use super::http2;
use super::state::Shared;
use super::tls::{Tls, is_http2};
use crate::connections::serve_each;
use crate::message::{Framed, ReceivedBody};

/// A connection of either kind.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes the connection end with a reset instead of an orderly close.
    fn end_with_reset(&self);
}

impl Transport for TcpStream {
    fn end_with_reset(&self) {
        self.set_zero_linger().expect("a socket takes options");
    }
}

/// Takes connections, and answers what comes on them, until it is dropped.
pub(super) async fn accept(listener: TcpListener, tls: Option<Tls>, shared: Arc<Shared>) {
    let serve = |stream| {
        let number = shared.change(|state| {
            state.connections += 1;
            state.open += 1;
            state.connections - 1
        });
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        async move {
            // How a connection ends is the script's business, and the test looks at what was received.
            let _ = match tls {
                None => converse(stream, number, &shared).await,
                Some(tls) => converse_in_tls(&tls, stream, number, &shared).await,
            };
            shared.change(|state| state.open -= 1);
        }
    };
    serve_each(listener, serve).await;
}

/// Agrees on TLS and on a version of HTTP, and converses in it.
async fn converse_in_tls(tls: &Tls, stream: TcpStream, connection: usize, shared: &Arc<Shared>) -> io::Result<()> {
    let stream = tls.accept(stream).await?;
    shared.change(|state| state.secured += 1);
    if is_http2(&stream) {
        http2::converse(stream, connection, shared).await
    } else {
        converse(stream, connection, shared).await
    }
}

/// Takes requests from a connection and answers them, to the connection's end.
async fn converse(stream: impl Transport, connection: usize, shared: &Shared) -> io::Result<()> {
    let mut framed = Framed::new(stream);
    for number in 0.. {
        let (idle_limit, answers_max) = shared.limits();
        let idle_limit = if number == 0 { Duration::MAX } else { idle_limit };
        let Ok(head) = tokio::time::timeout(idle_limit, framed.head()).await else { return Ok(()) };
        let Some(head) = head? else { return Ok(()) };
        let framing = head.request_framing().map_err(io::Error::other)?;
        let (index, answer) = shared.take(&head, connection);
        if answer.reading == Reading::Body {
            let mut body = ReceivedBody::default();
            let end = framed.body(framing, &mut body).await;
            shared.body(index, body, end.is_ok());
            end?;
        }
        if number == answers_max {
            return Ok(());
        }
        for step in answer.steps() {
            let body = || shared.state().received[index].body.clone();
            match perform(step, &mut framed, head.word(0), body).await {
                Ok(Next::Step) => {}
                Ok(Next::End) => return Ok(()),
                Err(error) => {
                    shared.abandon(index);
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

enum Next {
    Step,
    End,
}

async fn perform(
    step: Step,
    framed: &mut Framed<impl Transport>,
    method: &str,
    body: impl Fn() -> Vec<u8>,
) -> io::Result<Next> {
    match step {
        Step::Respond(response) => respond(framed, response, method).await?,
        Step::Send(bytes) => framed.send(&bytes).await?,
        Step::Echo => {
            let body = body();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            framed.send(head.as_bytes()).await?;
            framed.send(&body).await?;
        }
        Step::Trickle { bytes, pause } => {
            for byte in bytes {
                tokio::time::sleep(pause).await;
                framed.send(&[byte]).await?;
            }
        }
        Step::EndlessHeaders => loop {
            framed.send(b"X-Filler: and another one, and another one, and another one\r\n").await?;
        },
        Step::Wait(gate) => tokio::select! {
            () = gate.pass() => {}
            _ = framed.until_closed() => return Err(io::ErrorKind::ConnectionAborted.into()),
        },
        Step::Hang => {
            framed.until_closed().await;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Step::Reset => {
            framed.stream.end_with_reset();
            return Ok(Next::End);
        }
        Step::Close => {
            framed.stream.shutdown().await?;
            return Ok(Next::End);
        }
        Step::Http2(step) => panic!("HTTP/1 has nothing like {step:?}"),
    }
    Ok(Next::Step)
}

async fn respond(framed: &mut Framed<impl Transport>, response: Response, method: &str) -> io::Result<()> {
    let reason = http::StatusCode::from_u16(response.status).ok().and_then(|status| status.canonical_reason());
    let mut bytes = format!("HTTP/1.1 {} {}\r\n", response.status, reason.unwrap_or_default()).into_bytes();
    for (name, value) in response.fields() {
        bytes.extend_from_slice(&[name.as_bytes(), b": ", &value, b"\r\n"].concat());
    }
    bytes.extend_from_slice(b"\r\n");
    let has_body = response.has_body(method);
    match response.body {
        Body::Bytes(body) if has_body => {
            // In one piece: what is sent together arrives together.
            bytes.extend_from_slice(&body);
            framed.send(&bytes).await
        }
        Body::Pattern(pattern) if has_body => {
            framed.send(&bytes).await?;
            for chunk in pattern.chunks() {
                framed.send(&chunk).await?;
            }
            Ok(())
        }
        Body::Bytes(_) | Body::Pattern(_) => framed.send(&bytes).await,
    }
}
