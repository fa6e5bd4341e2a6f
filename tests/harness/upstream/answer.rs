//! What an upstream does with a request, step by step.

use std::time::Duration;

use bytes::Bytes;

use crate::body::Pattern;
use crate::gate::Gate;

/// What an upstream does with one request: a well-formed response, or any steps.
///
/// ```ignore
/// Answer::status(200).header("X-A", "1").body("hello").wait(&gate)
/// Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").wait(&gate).reset()
/// ```
///
/// After the last step the connection stays open for the next request.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) reading: Reading,
    /// Steps before the response.
    first: Vec<Step>,
    response: Option<Response>,
    /// Steps after it.
    then: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Response {
    status: u16,
    headers: Vec<u8>,
    says_length: bool,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    Bytes(Vec<u8>),
    Pattern(Pattern),
}

/// How much of a request is read before the first step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Head,
    Body,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Send(Bytes),
    Echo,
    Pattern(Pattern),
    Trickle { bytes: Bytes, pause: Duration },
    EndlessHeaders,
    Wait(Gate),
    Hang,
    Reset,
    Close,
}

impl Answer {
    /// A well-formed response with this status, and an empty body until it is given one.
    pub fn status(status: u16) -> Self {
        let response = Response { status, headers: Vec::new(), says_length: true, body: Body::Bytes(Vec::new()) };
        Self { response: Some(response), ..Self::nothing() }
    }

    /// Nothing yet.
    pub fn nothing() -> Self {
        Self { reading: Reading::Body, first: Vec::new(), response: None, then: Vec::new() }
    }

    /// These bytes.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::nothing().then(bytes)
    }

    /// A `200` with the request's body.
    pub fn echo() -> Self {
        Self::nothing().step(Step::Echo)
    }

    fn response(&mut self) -> &mut Response {
        self.response.as_mut().expect("begun with `Answer::status`")
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let line = [name.as_bytes(), b": ", value.as_ref(), b"\r\n"].concat();
        self.response().headers.extend_from_slice(&line);
        self
    }

    /// Sets the response's body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.response().body = Body::Bytes(body.into());
        self
    }

    /// Sets a large body of the response.
    #[must_use]
    pub fn pattern(mut self, pattern: Pattern) -> Self {
        self.response().body = Body::Pattern(pattern);
        self
    }

    /// Leaves the response's length out. The body then ends with the connection: add [`Answer::close`].
    #[must_use]
    pub fn without_length(mut self) -> Self {
        self.response().says_length = false;
        self
    }

    /// Begins as soon as the request's head is there, without reading the body.
    #[must_use]
    pub fn early(mut self) -> Self {
        self.reading = Reading::Head;
        self
    }

    /// Waits for the gate: before the whole response, or between raw steps.
    #[must_use]
    pub fn wait(mut self, gate: &Gate) -> Self {
        let steps = if self.response.is_some() { &mut self.first } else { &mut self.then };
        steps.push(Step::Wait(gate.clone()));
        self
    }

    /// Sends bytes.
    #[must_use]
    pub fn then(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.step(Step::Send(Bytes::from(bytes.into())))
    }

    /// Sends bytes one by one, with a pause before each.
    #[must_use]
    pub fn trickle(self, bytes: impl Into<Vec<u8>>, pause: Duration) -> Self {
        self.step(Step::Trickle { bytes: Bytes::from(bytes.into()), pause })
    }

    /// Sends header lines as long as anyone reads them.
    #[must_use]
    pub fn endless_headers(self) -> Self {
        self.step(Step::EndlessHeaders)
    }

    /// Does nothing until the other side goes away.
    #[must_use]
    pub fn hang(self) -> Self {
        self.step(Step::Hang)
    }

    /// Breaks the connection off.
    #[must_use]
    pub fn reset(self) -> Self {
        self.step(Step::Reset)
    }

    /// Closes the connection in an orderly way.
    #[must_use]
    pub fn close(self) -> Self {
        self.step(Step::Close)
    }

    fn step(mut self, step: Step) -> Self {
        self.then.push(step);
        self
    }

    /// All steps in their order. A response to `HEAD` promises its length and has no body.
    pub(super) fn steps(self, method: &str) -> Vec<Step> {
        let mut steps = self.first;
        if let Some(response) = self.response {
            let length = match &response.body {
                Body::Bytes(bytes) => bytes.len() as u64,
                Body::Pattern(pattern) => pattern.length(),
            };
            let mut head = format!("HTTP/1.1 {} Scripted\r\n", response.status).into_bytes();
            head.extend_from_slice(&response.headers);
            if response.says_length {
                head.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
            }
            head.extend_from_slice(b"\r\n");
            let bodiless = method == "HEAD";
            match response.body {
                Body::Bytes(bytes) if !bodiless => {
                    // In one piece: what is sent together arrives together.
                    head.extend_from_slice(&bytes);
                    steps.push(Step::Send(head.into()));
                }
                Body::Pattern(pattern) if !bodiless => steps.extend([Step::Send(head.into()), Step::Pattern(pattern)]),
                Body::Bytes(_) | Body::Pattern(_) => steps.push(Step::Send(head.into())),
            }
        }
        steps.extend(self.then);
        steps
    }
}
