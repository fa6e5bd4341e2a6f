//! Tests of streams, which bypass the queue: events come one by one, and either side may end them.

use std::time::Duration;

use async_openai::error::OpenAIError;
use futures_util::StreamExt;
use harness::{Proxq, RawUpstream, Route, Store, Wire, once, within};
use serde_json::json;
use tokio::time::Instant;

use super::bench::config;
use super::groups::{Chunks, ask_for_stream};

/// A stream that has begun, and the connection on which OpenAI serves it.
async fn begun(store: Store) -> (Proxq, Chunks, Wire) {
    let openai = RawUpstream::start().await;
    let proxq = Proxq::start(store.config().route(Route::new("/", &openai.url()))).await;
    let client = proxq_openai::client(proxq.url(), config(&openai.url())).expect("a good URL");
    let (stream, served) = tokio::join!(ask_for_stream(&client), async {
        let mut served = openai.accept().await;
        let head = served.head().await;
        served.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        assert!(!head.has("x-proxq-job-id"), "it is no job");
        served
    });
    (proxq, stream.expect("a response head"), served)
}

/// Sends one event that carries this text.
async fn send_event(served: &mut Wire, text: &str) {
    let choice = json!({"index": 0, "delta": {"content": text}, "finish_reason": null});
    let event = json!({"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]});
    let event = format!("data: {event}\n\n");
    served.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
}

async fn next(chunks: &mut Chunks) -> Option<Result<String, OpenAIError>> {
    let event = within("an event, or the end", chunks.next()).await?;
    Some(event.map(|chunk| chunk.choices[0].delta.content.clone().unwrap_or_default()))
}

/// How long each of 20 events took from OpenAI to the reader. The next is not sent before the last has come.
async fn events_took(chunks: &mut Chunks, served: &mut Wire) -> Vec<Duration> {
    let mut took = Vec::new();
    for number in 0..20 {
        let text = number.to_string();
        let sent = Instant::now();
        send_event(served, &text).await;
        assert_eq!(next(chunks).await.expect("it goes on").expect("an event"), text);
        took.push(sent.elapsed());
    }
    took
}

once! {
    async fn every_event_arrives_within_20_ms(store: Store) {
        const IN_TIME: Duration = Duration::from_millis(20);
        // A busy machine may hold one up for longer; no more than one round is to be late for that.
        const ROUNDS: usize = 5;
        let (_proxq, mut chunks, mut served) = begun(store).await;
        let mut slowest = Vec::new();
        while slowest.len() < ROUNDS && slowest.last().is_none_or(|last| *last > IN_TIME) {
            slowest.extend(events_took(&mut chunks, &mut served).await.into_iter().max());
        }
        eprintln!("the slowest of 20 events took {slowest:?}");
        assert!(slowest.last().is_some_and(|last| *last <= IN_TIME), "{slowest:?}");
        served.send("e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n").await;
        assert!(next(&mut chunks).await.is_none());
    }

    async fn a_stream_that_is_dropped_ends_the_upstreams(store: Store) {
        let (_proxq, mut chunks, mut served) = begun(store).await;
        send_event(&mut served, "Hello").await;
        assert_eq!(next(&mut chunks).await.expect("an event").expect("a chunk"), "Hello");
        drop(chunks);
        served.rest().await;
    }

    async fn a_stream_that_breaks_off_does_not_look_complete(store: Store) {
        let (_proxq, mut chunks, mut served) = begun(store).await;
        send_event(&mut served, "Hel").await;
        assert_eq!(next(&mut chunks).await.expect("an event").expect("a chunk"), "Hel");
        drop(served);
        let ended = next(&mut chunks).await.expect("an error");
        assert!(matches!(ended, Err(OpenAIError::StreamError(_))), "{ended:?}");
    }
}
