//! A span under way, and what spans say.

use http::{HeaderMap, Method, StatusCode, Uri};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanContext, Status};
use opentelemetry_sdk::trace::Span;

use super::context;
use crate::default_port::default_port;

/// As much of a path as a span has, in bytes: clients choose it, and spans wait in memory.
const PATH_BYTES_MAX: usize = 1024;

/// A span under way. It ends when it is dropped; until it is known how it ended, that means that it was given up.
#[derive(Debug)]
pub(crate) struct ActiveSpan {
    /// Boxed, so that whoever has no span has little room for one.
    span: Box<Span>,
    /// Whether it belongs to the trace of the span that caused it.
    is_child: bool,
    is_judged: bool,
}

impl ActiveSpan {
    pub(super) fn new(span: Span, is_child: bool) -> Self {
        Self { span: Box::new(span), is_child, is_judged: false }
    }

    pub(super) fn context(&self) -> &SpanContext {
        self.span.span_context()
    }

    /// Has a request carry this span.
    pub(crate) fn send_on(&self, headers: &mut HeaderMap) {
        context::send_on(self.context(), self.is_child, headers);
    }

    /// It has done what it was for.
    pub(crate) fn succeeded(&mut self) {
        self.is_judged = true;
    }

    /// There is a response, whatever its status.
    pub(crate) fn responded(&mut self, status: StatusCode) {
        self.is_judged = true;
        self.say("http.response.status_code", i64::from(status.as_u16()));
        if status.is_client_error() || status.is_server_error() {
            self.span.set_attribute(KeyValue::new("error.type", status.as_str().to_owned()));
            self.span.set_status(Status::error(""));
        }
    }

    /// It failed; `error` is one of a few words.
    pub(crate) fn failed(&mut self, error: &'static str) {
        self.is_judged = true;
        self.say("error.type", error);
        self.span.set_status(Status::error(""));
    }

    /// Adds an attribute.
    pub(crate) fn say(&mut self, name: &'static str, value: impl Into<opentelemetry::Value>) {
        self.span.set_attribute(KeyValue::new(name, value));
    }
}

impl Drop for ActiveSpan {
    fn drop(&mut self) {
        if !self.is_judged {
            self.failed("cancelled");
        }
    }
}

/// What the span of a request to an upstream says of it (semantic conventions of HTTP clients). The URL lacks its query.
pub(super) fn of_client(method: &Method, target: &Uri) -> Vec<KeyValue> {
    let host = target.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = target.port_u16().unwrap_or_else(|| default_port(target.scheme()));
    let origin = crate::forward::target::origin(target);
    vec![
        KeyValue::new("http.request.method", method_word(method)),
        KeyValue::new("server.address", host.to_owned()),
        KeyValue::new("server.port", i64::from(port)),
        KeyValue::new("url.full", format!("{origin}{}", of_path(target.path()))),
    ]
}

/// A path as spans have it.
pub(super) fn of_path(path: &str) -> String {
    let ends = path.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = ends.take_while(|end| *end <= PATH_BYTES_MAX).last().unwrap_or(0);
    path[..end].to_owned()
}

/// A method as spans have it: one of those that are known.
pub(super) fn method_word(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}
