//! The working end of an upstream: connections, requests, and the steps of their answers.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::answer::{Reading, Step};
use super::tls::Tls;
use super::{Received, Shared};
use crate::body::Digest;
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
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                stream.set_nodelay(true).expect("a fresh socket takes options");
                let number = shared.change(|state| {
                    state.connections += 1;
                    state.open += 1;
                    state.connections - 1
                });
                let (tls, shared) = (tls.clone(), Arc::clone(&shared));
                connections.spawn(async move {
                    // How a connection ends is the script's business, and the test looks at what was received.
                    let _ = match tls {
                        None => converse(stream, number, &shared).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => converse(stream, number, &shared).await,
                            Err(refused) => Err(refused),
                        },
                    };
                    shared.change(|state| state.open -= 1);
                });
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// Takes requests from a connection and answers them, to the connection's end.
async fn converse(stream: impl Transport, connection: usize, shared: &Shared) -> io::Result<()> {
    let mut framed = Framed::new(stream);
    while let Some(head) = framed.head().await? {
        let framing = head.request_framing().map_err(io::Error::other)?;
        let received = Received {
            head: head.clone(),
            body: Vec::new(),
            digest: Digest::default(),
            complete: false,
            abandoned: false,
            connection,
        };
        let (index, answer) = shared.change(|state| {
            state.received.push(received);
            let answer = state.script.pop_front().unwrap_or_else(|| (state.otherwise)(&head));
            (state.received.len() - 1, answer)
        });
        if answer.reading == Reading::Body {
            let mut body = ReceivedBody::default();
            let end = framed.body(framing, &mut body).await;
            shared.change(|state| {
                let received = &mut state.received[index];
                received.body = body.kept;
                received.digest = body.digest;
                received.complete = end.is_ok();
                received.abandoned = end.is_err();
            });
            end?;
        }
        let abandon = || shared.change(|state| state.received[index].abandoned = true);
        for step in answer.steps(head.word(0)) {
            let body = || shared.state().received[index].body.clone();
            match perform(step, &mut framed, body).await {
                Ok(Next::Step) => {}
                Ok(Next::End) => return Ok(()),
                Err(error) => {
                    abandon();
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

async fn perform(step: Step, framed: &mut Framed<impl Transport>, body: impl Fn() -> Vec<u8>) -> io::Result<Next> {
    match step {
        Step::Send(bytes) => framed.send(&bytes).await?,
        Step::Echo => {
            let body = body();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            framed.send(head.as_bytes()).await?;
            framed.send(&body).await?;
        }
        Step::Pattern(pattern) => {
            for chunk in pattern.chunks() {
                framed.send(&chunk).await?;
            }
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
    }
    Ok(Next::Step)
}
