//! A look at a request's body, while it arrives: does it ask for a streamed answer?
//!
//! In: the request's header fields, then its body in pieces of any size. Out: [`Wanted`], as soon as it is certain. Pure:
//! builds no tree, and holds the same few bytes however long the body is. Left to others: when to ask (`admit`), and
//! where the body goes meanwhile (`intake`).
//!
//! A body that cannot be understood asks for nothing: queueing a request is always correct, if slow. Only the part that
//! decides has to be valid: clients send lone surrogates, `NaN` and byte order marks, and upstreams accept them.

use http::header::{self, HeaderMap};

use crate::list_items::list_items;

mod json;
mod multipart;

#[cfg(test)]
mod tests;

use json::JsonScanner;
use multipart::FormScanner;

/// The answer that a body asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A stream of events, of use only as it arrives.
    Stream,
    /// Explicitly no stream.
    Whole,
    /// The body does not say.
    Unsaid,
}

/// Reads a request's body as it arrives, until it is clear which answer it asks for.
///
/// A JSON object asks for a stream if its member `stream` is `true` or its `stream_format` is `"sse"`, and for none if its
/// `stream` is `false`; a form (`multipart/form-data`) asks for one if it has a field `stream` with the value `true`. How
/// the body is cut into pieces does not matter.
#[derive(Debug)]
pub(crate) struct BodyPeek {
    scanner: Scanner,
    /// How many more bytes of the body may be read.
    may_still_read: u64,
    wanted: Option<Wanted>,
}

#[derive(Debug)]
enum Scanner {
    Json(JsonScanner),
    Form(FormScanner),
}

impl BodyPeek {
    /// Reads at most the first `limit` bytes of the body that comes with these header fields.
    ///
    /// `None` where the body cannot tell: it is neither JSON nor a form, its form has no boundary, its type is
    /// given more than once, it is encoded, or the limit is 0.
    pub(crate) fn new(headers: &HeaderMap, limit: u64) -> Option<Self> {
        let encoded = list_items(headers, &header::CONTENT_ENCODING).any(|c| !c.eq_ignore_ascii_case(b"identity"));
        if encoded || limit == 0 {
            return None;
        }
        let mut types = headers.get_all(header::CONTENT_TYPE).iter();
        let content_type = types.next().filter(|_| types.next().is_none())?.as_bytes();
        let scanner = if is_json(content_type) {
            Scanner::Json(JsonScanner::default())
        } else {
            Scanner::Form(FormScanner::new(content_type)?)
        };
        Some(Self { scanner, may_still_read: limit, wanted: None })
    }

    /// Takes the next bytes of the body. `None` as long as more of them could tell; after that always the same.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<Wanted> {
        if self.wanted.is_none() {
            let length = usize::try_from(self.may_still_read).map_or(bytes.len(), |most| most.min(bytes.len()));
            let (read, beyond) = bytes.split_at(length);
            self.may_still_read -= read.len() as u64;
            self.wanted = match &mut self.scanner {
                Scanner::Json(json) => json.feed(read),
                Scanner::Form(form) => form.feed(read),
            };
            if self.wanted.is_none() && !beyond.is_empty() {
                self.wanted = Some(self.scanner.wanted_so_far());
            }
        }
        self.wanted
    }

    /// What the body asks for, now that it is complete.
    pub(crate) fn finish(self) -> Wanted {
        self.wanted.unwrap_or(Wanted::Unsaid) // it breaks off
    }
}

impl Scanner {
    /// What the beginning of a body asks for, when the rest will not be read.
    fn wanted_so_far(&self) -> Wanted {
        match self {
            Self::Json(json) => json.wanted_so_far(),
            Self::Form(_) => Wanted::Unsaid, // it would have said so before
        }
    }
}

/// `application/json` and every type with that suffix (RFC 6839 §3.1), whatever the parameters.
fn is_json(content_type: &[u8]) -> bool {
    const SUFFIX: &[u8] = b"+json";
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let has_suffix =
        || media_type.last_chunk().is_some_and(|end: &[u8; SUFFIX.len()]| end.eq_ignore_ascii_case(SUFFIX));
    media_type.eq_ignore_ascii_case(b"application/json") || (media_type.contains(&b'/') && has_suffix())
}
