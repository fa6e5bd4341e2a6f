//! The events of a job, as one client reads them.

use proxq_protocol::JobInfo;

use crate::client::Client;
use crate::wire::Wire;

/// A stream of events that is being read.
#[derive(Debug)]
pub struct Events {
    wire: Wire,
    buffer: String,
}

impl Events {
    /// Asks for the events of the job at this place.
    pub async fn of(client: &Client, location: &str) -> Self {
        let mut wire = client.wire().await;
        wire.send(format!("GET {location}/events HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        let head = wire.head().await;
        assert_eq!(head.word(1), "200", "{}", head.line());
        assert_eq!(head.value("content-type").as_deref(), Some("text/event-stream"));
        assert_eq!(head.value("cache-control").as_deref(), Some("no-store"));
        assert_eq!(head.value("x-accel-buffering").as_deref(), Some("no"));
        assert_eq!(head.value("x-proxq-source").as_deref(), Some("proxq"));
        assert_eq!(head.value("transfer-encoding").as_deref(), Some("chunked"));
        Self { wire, buffer: String::new() }
    }

    /// Asks for the events at this target.
    pub async fn at(client: &Client, target: &str) -> Self {
        let mut wire = client.wire().await;
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        let head = wire.head().await;
        assert_eq!(head.word(1), "200", "{}", head.line());
        assert_eq!(head.value("content-type").as_deref(), Some("text/event-stream"));
        Self { wire, buffer: String::new() }
    }

    /// The next event or comment, without its empty line; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.buffer = rest;
                return Some(event);
            }
            let chunk = self.wire.chunk().await;
            if chunk.is_empty() {
                assert!(self.buffer.is_empty(), "half an event: {}", self.buffer);
                return None;
            }
            self.buffer.push_str(std::str::from_utf8(&chunk).expect("events are UTF-8"));
        }
    }

    /// The next event, which must be a status; `None` at the end of the stream.
    pub async fn status(&mut self) -> Option<JobInfo> {
        let event = self.next().await?;
        let data = event.strip_prefix("event: status\ndata: ").unwrap_or_else(|| panic!("no status: {event}"));
        Some(serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}")))
    }
}
