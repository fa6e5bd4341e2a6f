//! The connections of an upstream over HTTP/2: each stream is a request, answered by the same script.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

use super::Shared;
use super::answer::{Body, Http2Step, Reading, Response, Step};
use super::farewell::go_away;
use crate::gate::Gate;
use crate::message::{Head, ReceivedBody};

/// How an upstream behaves on its HTTP/2 connections.
pub(super) struct Manners {
    /// `SETTINGS_MAX_CONCURRENT_STREAMS`.
    pub(super) streams_max: u32,
    /// What holds the settings back.
    pub(super) settings: Option<Gate>,
    /// Connections to come on which no request is answered: the last stream that is said to be processed.
    pub(super) farewells: VecDeque<u32>,
}

impl Default for Manners {
    fn default() -> Self {
        Self { streams_max: 100, settings: None, farewells: VecDeque::new() }
    }
}

/// How the answer on a stream ended.
enum End {
    /// By itself, or because the other side went away.
    Stream,
    /// With a reset of the stream, which is still to be sent.
    Reset(Answering, Reason),
    /// With the connection.
    Connection,
}

/// Takes requests from a connection and answers them, to the connection's end.
pub(super) async fn converse(stream: TlsStream<TcpStream>, number: usize, shared: &Arc<Shared>) -> io::Result<()> {
    let (settings, streams_max) = {
        let manners = &shared.state().http2;
        (manners.settings.clone(), manners.streams_max)
    };
    if let Some(gate) = settings {
        gate.pass().await;
    }
    if let Some(last_stream) = shared.change(|state| state.http2.farewells.pop_front()) {
        return go_away(stream, last_stream).await;
    }
    let handshake = Builder::new().max_concurrent_streams(streams_max).handshake(stream);
    let mut connection = handshake.await.map_err(io::Error::other)?;
    let mut streams = JoinSet::new();
    let mut taken = 0;
    loop {
        let (idle_limit, answers_max) = shared.limits();
        let idle = taken > 0 && streams.is_empty();
        let begun = tokio::select! {
            begun = connection.accept() => begun,
            () = tokio::time::sleep(idle_limit), if idle => break,
            Some(Ok(end)) = streams.join_next() => {
                // What was said before goes out before: a reset takes along whatever still waits to be written.
                let begun = poll_fn(|cx| Poll::Ready(connection.poll_accept(cx))).await;
                match end {
                    End::Stream => {}
                    End::Reset(mut stream, reason) => stream.reset(reason),
                    End::Connection => break,
                }
                let Poll::Ready(begun) = begun else { continue };
                begun
            }
        };
        let Some(Ok((request, responder))) = begun else { break };
        if taken == answers_max {
            let index = shared.take(&Head::of_http2(&request.into_parts().0), number).0;
            shared.body(index, ReceivedBody::default(), false);
            break;
        }
        taken += 1;
        streams.spawn(answer(request, responder, number, Arc::clone(shared)));
    }
    drop(connection);
    // Each sees that the connection is gone.
    streams.join_all().await;
    Ok(())
}

async fn answer(
    request: Request<RecvStream>,
    responder: SendResponse<Bytes>,
    connection: usize,
    shared: Arc<Shared>,
) -> End {
    let (parts, mut incoming) = request.into_parts();
    let head = Head::of_http2(&parts);
    let (index, answer) = shared.take(&head, connection);
    if answer.reading == Reading::Body {
        let mut body = ReceivedBody::default();
        let end = receive(&mut incoming, &mut body).await;
        shared.body(index, body, end.is_ok());
        if end.is_err() {
            return End::Stream;
        }
    }
    let mut answering = Answering::Head(responder);
    let mut steps = answer.steps();
    while let Some(step) = steps.next() {
        let last = if steps.len() == 0 { Last::Yes } else { Last::No };
        let body = || shared.state().received[index].body.clone();
        match answering.perform(step, last, head.word(0), body).await {
            Ok(Next::Step) => {}
            Ok(Next::Reset(reason)) => return End::Reset(answering, reason),
            Ok(Next::End) => return End::Connection,
            Err(_gone) => {
                shared.abandon(index);
                return End::Stream;
            }
        }
    }
    End::Stream
}

async fn receive(incoming: &mut RecvStream, body: &mut ReceivedBody) -> Result<(), h2::Error> {
    while let Some(chunk) = incoming.data().await {
        let chunk = chunk?;
        body.take(&chunk);
        incoming.flow_control().release_capacity(chunk.len())?;
    }
    let trailers = incoming.trailers().await?.unwrap_or_default();
    body.trailers = trailers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?"))).collect();
    Ok(())
}

/// Whether a step is the last one, which ends the stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Yes,
    No,
}

enum Next {
    Step,
    Reset(Reason),
    End,
}

/// The answering side of a stream.
enum Answering {
    /// Before the response's head.
    Head(SendResponse<Bytes>),
    /// After it.
    Body(SendStream<Bytes>),
}

impl Answering {
    async fn perform(
        &mut self,
        step: Step,
        last: Last,
        method: &str,
        body: impl Fn() -> Vec<u8>,
    ) -> Result<Next, h2::Error> {
        match step {
            Step::Respond(response) => {
                self.respond(response, method, last).await?;
                return Ok(Next::Step);
            }
            Step::Echo => {
                self.respond(Response::with(200, body()), method, last).await?;
                return Ok(Next::Step);
            }
            Step::Send(bytes) => self.send(bytes).await?,
            Step::Trickle { bytes, pause } => {
                for byte in bytes {
                    tokio::time::sleep(pause).await;
                    self.send(Bytes::from(vec![byte])).await?;
                }
            }
            Step::Wait(gate) => tokio::select! {
                () = gate.pass() => {}
                gone = poll_fn(|cx| self.poll_reset(cx)) => return Err(gone?.into()),
            },
            Step::Hang => return Err(poll_fn(|cx| self.poll_reset(cx)).await?.into()),
            Step::Http2(Http2Step::Inform(status)) => self.head_of_response().send_informational(interim(status))?,
            Step::Http2(Http2Step::Trailer(name, value)) => {
                let trailer = (HeaderName::from_static(name), HeaderValue::from_static(value));
                self.body().send_trailers(HeaderMap::from_iter([trailer]))?;
                return Ok(Next::Step);
            }
            Step::Http2(Http2Step::ResetStream(reason)) => return Ok(Next::Reset(reason)),
            Step::Reset | Step::Close => return Ok(Next::End),
            Step::EndlessHeaders => panic!("HTTP/2 sends a head at once"),
        }
        if let (Self::Body(stream), Last::Yes) = (self, last) {
            stream.send_data(Bytes::new(), true)?;
        }
        Ok(Next::Step)
    }

    async fn respond(&mut self, response: Response, method: &str, last: Last) -> Result<(), h2::Error> {
        let mut head = http::Response::new(());
        *head.status_mut() = http::StatusCode::from_u16(response.status).expect("a status");
        for (name, value) in response.fields() {
            let value = HeaderValue::from_bytes(&value).expect("a field's value");
            head.headers_mut().append(HeaderName::try_from(name).expect("a field's name"), value);
        }
        let has_body = response.has_body(method);
        *self = Self::Body(self.head_of_response().send_response(head, !has_body && last == Last::Yes)?);
        if has_body {
            match response.body {
                Body::Bytes(bytes) => self.send(bytes.into()).await?,
                Body::Pattern(pattern) => self.send_all(pattern.chunks()).await?,
            }
            if last == Last::Yes {
                self.body().send_data(Bytes::new(), true)?;
            }
        }
        Ok(())
    }

    async fn send_all(&mut self, chunks: impl Iterator<Item = Vec<u8>>) -> Result<(), h2::Error> {
        for chunk in chunks {
            self.send(chunk.into()).await?;
        }
        Ok(())
    }

    /// Sends as the other side makes room.
    async fn send(&mut self, mut bytes: Bytes) -> Result<(), h2::Error> {
        let stream = self.body();
        while !bytes.is_empty() {
            stream.reserve_capacity(bytes.len());
            let Some(room) = poll_fn(|cx| stream.poll_capacity(cx)).await else { return Err(Reason::CANCEL.into()) };
            let room = room?.min(bytes.len());
            stream.send_data(bytes.split_to(room), false)?;
        }
        Ok(())
    }

    fn reset(&mut self, reason: Reason) {
        match self {
            Self::Head(responder) => responder.send_reset(reason),
            Self::Body(stream) => stream.send_reset(reason),
        }
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reason, h2::Error>> {
        match self {
            Self::Head(responder) => responder.poll_reset(cx),
            Self::Body(stream) => stream.poll_reset(cx),
        }
    }

    fn head_of_response(&mut self) -> &mut SendResponse<Bytes> {
        match self {
            Self::Head(responder) => responder,
            Self::Body(_) => panic!("there was a response before"),
        }
    }

    fn body(&mut self) -> &mut SendStream<Bytes> {
        match self {
            Self::Body(stream) => stream,
            Self::Head(_) => panic!("no response was begun with `Answer::status`"),
        }
    }
}

fn interim(status: u16) -> http::Response<()> {
    let mut interim = http::Response::new(());
    *interim.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    interim
}
