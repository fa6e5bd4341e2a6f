//! A job's changes, read from its Server-Sent Events (WHATWG HTML §9.2).

use proxq_protocol::{JobId, JobInfo};
use reqwest::Response;

use crate::error::Error;

/// The most that one event may have; those of proxq have a few hundred bytes.
const EVENT_BYTES_MAX: usize = 64 * 1024;

/// The changes of a job. From [`Job::events`](crate::Job::events).
///
/// ```no_run
/// # async fn follow(job: proxq_client::Job) -> Result<(), proxq_client::Error> {
/// let mut events = job.events().await?;
/// while let Some(info) = events.next().await? {
///     println!("{:?} after {} attempts", info.status, info.attempts.unwrap_or(0));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct JobEvents {
    id: JobId,
    response: Response,
    parser: Parser,
}

impl JobEvents {
    pub(crate) fn new(id: JobId, response: Response) -> Self {
        Self { id, response, parser: Parser::default() }
    }

    /// The next change; the first is how the job stood when it was asked for. `None` after the end of the job, and when
    /// the server ends the stream, as it does when it shuts down.
    ///
    /// Cancel safe: nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// [`Error::Poll`] if the connection breaks, [`Error::Protocol`] if an event cannot be read.
    pub async fn next(&mut self) -> Result<Option<JobInfo>, Error> {
        let protocol = |detail| Error::Protocol { id: Some(self.id), detail };
        loop {
            if let Some(data) = self.parser.event() {
                let info = serde_json::from_str(&data);
                return info.map(Some).map_err(|error| protocol(format!("an event cannot be read: {error}")));
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.parser.push(&chunk),
                Ok(None) => return Ok(None),
                Err(error) => return Err(Error::Poll { id: self.id, source: error.into() }),
            }
            if self.parser.pending.len() > EVENT_BYTES_MAX {
                return Err(protocol(format!("an event has more than {EVENT_BYTES_MAX} bytes")));
            }
        }
    }
}

/// Takes bytes as they come, gives events. proxq writes lines that end with a line feed.
#[derive(Debug, Default)]
struct Parser {
    pending: Vec<u8>,
}

impl Parser {
    fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The data of the next complete event. Comments and events without data are passed over.
    fn event(&mut self) -> Option<String> {
        loop {
            let end = self.pending.windows(2).position(|two| two == b"\n\n")?;
            let block: Vec<u8> = self.pending.drain(..end + 2).collect();
            let block = String::from_utf8_lossy(&block);
            let data = block.lines().filter_map(|line| line.strip_prefix("data:"));
            let data: Vec<_> = data.map(|data| data.strip_prefix(' ').unwrap_or(data)).collect();
            if !data.is_empty() {
                return Some(data.join("\n"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_wherever_chunks_are_split() {
        let stream = b"event: status\ndata: {\"a\":1}\n\n: nothing\n\nevent: status\ndata: x\ndata:y\n\n";
        for size in 1..stream.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for piece in stream.chunks(size) {
                parser.push(piece);
                events.extend(std::iter::from_fn(|| parser.event()));
            }
            assert_eq!(events, ["{\"a\":1}", "x\ny"], "pieces of {size}");
        }
    }
}
