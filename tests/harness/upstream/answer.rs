//! The script of an upstream's answer: what it does with a request, step by step.

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

/// A well-formed response, to be written as the connection's version wants it.
#[derive(Clone, Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    headers: Vec<(String, Vec<u8>)>,
    says_length: bool,
    pub(super) body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
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
    Respond(Response),
    Send(Bytes),
    Echo,
    Trickle { bytes: Bytes, pause: Duration },
    EndlessHeaders,
    Wait(Gate),
    Hang,
    Reset,
    Close,
    Http2(Http2Step),
}

/// What only HTTP/2 can say.
#[derive(Clone, Copy, Debug)]
pub(super) enum Http2Step {
    Inform(u16),
    Trailer(&'static str, &'static str),
    ResetStream(h2::Reason),
}

impl Answer {
    /// A well-formed response with this status, and an empty body until it is given one.
    pub fn status(status: u16) -> Self {
        Self { response: Some(Response::with(status, Vec::new())), ..Self::nothing() }
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
        self.response().headers.push((name.to_owned(), value.as_ref().to_vec()));
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

    /// Sends an interim response with this status before the response, over HTTP/2.
    #[must_use]
    pub fn inform(mut self, status: u16) -> Self {
        self.first.push(Step::Http2(Http2Step::Inform(status)));
        self
    }

    /// Ends the response with a trailer field, over HTTP/2.
    #[must_use]
    pub fn trailer(self, name: &'static str, value: &'static str) -> Self {
        self.step(Step::Http2(Http2Step::Trailer(name, value)))
    }

    /// Ends the stream, over HTTP/2, with `REFUSED_STREAM`: nothing was processed (RFC 9113 §8.7).
    #[must_use]
    pub fn refuse(self) -> Self {
        self.step(Step::Http2(Http2Step::ResetStream(h2::Reason::REFUSED_STREAM)))
    }

    /// Ends the stream, over HTTP/2, with `INTERNAL_ERROR`.
    #[must_use]
    pub fn break_stream(self) -> Self {
        self.step(Step::Http2(Http2Step::ResetStream(h2::Reason::INTERNAL_ERROR)))
    }

    /// Ends the stream, over HTTP/2, with `NO_ERROR`: the answer is complete, the rest of the request is not wanted.
    #[must_use]
    pub fn stop_reading(self) -> Self {
        self.step(Step::Http2(Http2Step::ResetStream(h2::Reason::NO_ERROR)))
    }

    fn step(mut self, step: Step) -> Self {
        self.then.push(step);
        self
    }

    /// All steps in their order.
    pub(super) fn steps(self) -> impl ExactSizeIterator<Item = Step> {
        let mut steps = self.first;
        steps.extend(self.response.map(Step::Respond));
        steps.extend(self.then);
        steps.into_iter()
    }
}

impl Response {
    /// One with this status and body.
    pub(super) fn with(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: Vec::new(), says_length: true, body: Body::Bytes(body) }
    }

    /// Its fields, the length included if it says that. A response to `HEAD` promises its length, too.
    pub(super) fn fields(&self) -> Vec<(String, Vec<u8>)> {
        let mut fields = self.headers.clone();
        if self.says_length {
            let length = match &self.body {
                Body::Bytes(bytes) => bytes.len() as u64,
                Body::Pattern(pattern) => pattern.length(),
            };
            fields.push(("Content-Length".to_owned(), length.to_string().into_bytes()));
        }
        fields
    }

    /// Whether a body follows the head in an answer to this method.
    pub(super) fn has_body(&self, method: &str) -> bool {
        let empty = matches!(&self.body, Body::Bytes(bytes) if bytes.is_empty());
        method != "HEAD" && !empty
    }
}
