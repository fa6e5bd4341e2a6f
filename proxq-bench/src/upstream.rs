//! The bench's own upstream: answers at once, counts its answers, and can hold them back.
//!
//! A request for `/bytes/N` is answered with N bytes, one for `/events` with one event of a stream that goes on until its
//! client goes away, every other one with [`BODY_BYTES`]. Bodies of requests are read and
//! forgotten.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::messages::Messages;
use crate::{BODY_BYTES, Problem};

/// Far beyond what any number of requests takes that is waited for.
const PATIENCE: Duration = Duration::from_mins(5);

/// The beginning of a stream, and its first event.
const FIRST_EVENT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
    c\r\ndata: first\n\r\n";

/// What an answer has as its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Usual,
    Bytes(u64),
    FirstEvent,
}

/// A running upstream. Stopped when dropped.
#[derive(Debug)]
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    is_open: watch::Sender<bool>,
    answered: AtomicU64,
    /// The number of answers that somebody waits for.
    mark: AtomicU64,
    reached: Notify,
}

/// As long as this lives, no request is answered.
#[derive(Debug)]
pub(crate) struct Held<'a>(&'a Upstream);

impl Upstream {
    pub(crate) async fn start() -> Result<Self, Problem> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            is_open: watch::Sender::new(true),
            answered: AtomicU64::new(0),
            mark: AtomicU64::new(u64::MAX),
            reached: Notify::new(),
        });
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _serving: serving })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds all answers back from now on.
    pub(crate) fn hold(&self) -> Held<'_> {
        self.shared.is_open.send_replace(false);
        Held(self)
    }

    /// How many requests were answered since the start.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::SeqCst)
    }

    /// Waits until so many requests were answered since the start. Only one caller may wait at a time.
    pub(crate) async fn has_answered(&self, count: u64) -> Result<(), Problem> {
        self.shared.mark.store(count, Ordering::SeqCst);
        let reached = async {
            while self.answered() < count {
                self.shared.reached.notified().await;
            }
        };
        timeout(PATIENCE, reached)
            .await
            .map_err(|_elapsed| format!("{} of {count} requests came within {PATIENCE:?}", self.answered()).into())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.shared.is_open.send_replace(true);
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
    let usual: Arc<[u8]> = [head.as_bytes(), &[b'y'; BODY_BYTES]].concat().into();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // All connections end as well, and with them the measure.
                let Ok((stream, _)) = accepted else { return };
                let (usual, shared) = (Arc::clone(&usual), Arc::clone(&shared));
                connections.spawn(async move {
                    // A connection that breaks off does so for its client as well.
                    let _broken = answer_all(stream, &usual, &shared).await;
                });
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn answer_all(stream: TcpStream, usual: &[u8], shared: &Shared) -> Result<(), Problem> {
    let mut messages = Messages::on(stream)?;
    let mut is_open = shared.is_open.subscribe();
    while let Some(head) = messages.head().await? {
        let answer = answer(messages.text(head)?);
        messages.discard(head).await?;
        is_open.wait_for(|is_open| *is_open).await?;
        match answer {
            Answer::Usual => messages.send(usual).await?,
            Answer::Bytes(bytes) => {
                messages.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").as_bytes()).await?;
                messages.send_body(bytes).await?;
            }
            Answer::FirstEvent => messages.send(FIRST_EVENT).await?,
        }
        let answers = shared.answered.fetch_add(1, Ordering::SeqCst) + 1;
        if answers == shared.mark.load(Ordering::SeqCst) {
            shared.reached.notify_one();
        }
    }
    Ok(())
}

/// What a request asks for.
fn answer(head: &str) -> Answer {
    match head.split(' ').nth(1).unwrap_or_default() {
        "/events" => Answer::FirstEvent,
        path => path.strip_prefix("/bytes/").and_then(|bytes| bytes.parse().ok()).map_or(Answer::Usual, Answer::Bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests;

    #[tokio::test]
    async fn answers_are_counted_and_can_be_held_back() {
        let upstream = Upstream::start().await.unwrap();
        let mut client = Messages::connect(upstream.address()).await.unwrap();
        let request = requests::post("/", "");
        assert_eq!(client.expect(&request, 200).await.unwrap().len(), BODY_BYTES);
        let held = upstream.hold();
        client.send(&request).await.unwrap();
        assert_eq!(upstream.answered(), 1);
        drop(held);
        upstream.has_answered(2).await.unwrap();
        let answer = client.head().await.unwrap().unwrap();
        client.discard(answer).await.unwrap();
    }

    #[tokio::test]
    async fn large_bodies_have_the_length_that_was_asked_for() {
        let upstream = Upstream::start().await.unwrap();
        let mut client = Messages::connect(upstream.address()).await.unwrap();
        client.send(&requests::get("/bytes/1000001", "")).await.unwrap();
        let head = client.head().await.unwrap().unwrap();
        assert_eq!(head.body_bytes, 1_000_001);
        client.discard(head).await.unwrap();
        assert_eq!(client.expect(&requests::get("/", ""), 200).await.unwrap().len(), BODY_BYTES);
    }
}
