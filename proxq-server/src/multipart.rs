//! A scanner for multipart bodies (RFC 2046 §5.1) that arrive in pieces: it finds their delimiters, and computes a
//! [`mod@digest`] without the boundary. It holds the same few bytes, however long a body is.

mod digest;
mod parameter;

pub(crate) use self::digest::{BodyDigest, digest, without_boundary};
pub(crate) use self::parameter::Parametrized;

/// RFC 2046 §5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;
pub(crate) const CRLF: &[u8] = b"\r\n";
const DASHES: &[u8] = b"--";

/// The boundary that a content type names. `None` if it names none that can be used.
pub(crate) fn boundary<'a>(content_type: &'a Parametrized<'_>) -> Option<&'a [u8]> {
    content_type.get("boundary").filter(|boundary| is_boundary(boundary))
}

/// `boundary` of RFC 2046 §5.1.1.
fn is_boundary(text: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    (1..=BOUNDARY_BYTES_MAX).contains(&text.len()) && text.iter().all(is_allowed) && !text.ends_with(b" ")
}

/// Finds the delimiters of a body. A line that only begins like one is content.
#[derive(Debug)]
pub(crate) struct Delimiters {
    /// `CRLF "--" boundary`: the line break before a delimiter belongs to it.
    delimiter: Box<[u8]>,
    place: Place,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Content of a part, or the preamble.
    Content {
        /// How much of a delimiter the bytes before look like.
        matched: usize,
        /// How much of that is the line break before the content, and not content, if this is not a delimiter.
        outside: usize,
    },
    /// What follows a boundary and makes it a delimiter.
    Tail(Tail),
}

/// What has followed a boundary.
#[derive(Clone, Copy, Debug)]
enum Tail {
    Nothing,
    Dash,
    Padding,
    Cr,
}

/// A piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Content.
    Content(&'a [u8]),
    /// A boundary at the beginning of a line. This text is content if no delimiter comes of it.
    Boundary(&'a [u8]),
    /// A byte behind the boundary, likewise.
    Tail(u8),
    /// The boundary and its tail are content.
    NoDelimiter,
    /// The boundary, its tail and this byte are a delimiter, behind which a part begins.
    Delimiter(u8),
    /// The boundary, its tail and this byte are the last delimiter. What follows is of no meaning.
    LastDelimiter(u8),
}

/// What a byte behind a boundary means.
enum Meaning {
    Undecided(Tail),
    Delimiter,
    LastDelimiter,
    Content,
}

impl Delimiters {
    /// Of a body with this boundary.
    pub(crate) fn new(boundary: &[u8]) -> Self {
        Self { delimiter: [CRLF, DASHES, boundary].concat().into_boxed_slice(), place: Place::content() }
    }

    /// The next piece, and the bytes behind it. `None` where more bytes are needed.
    pub(crate) fn read<'a, 'b: 'a>(&'a mut self, mut bytes: &'b [u8]) -> Option<(Piece<'a>, &'b [u8])> {
        loop {
            let (byte, after) = bytes.split_first()?;
            match self.place {
                Place::Tail(tail) => {
                    let (place, piece, after) = match tail.meaning(*byte) {
                        Meaning::Undecided(tail) => (Place::Tail(tail), Piece::Tail(*byte), after),
                        Meaning::Delimiter => (Place::content(), Piece::Delimiter(*byte), after),
                        Meaning::LastDelimiter => (Place::content(), Piece::LastDelimiter(*byte), after),
                        // The byte itself may begin the real delimiter.
                        Meaning::Content => (Place::Content { matched: 0, outside: 0 }, Piece::NoDelimiter, bytes),
                    };
                    self.place = place;
                    return Some((piece, after));
                }
                Place::Content { matched: 0, .. } if *byte == CRLF[0] => {
                    self.place = Place::Content { matched: 1, outside: 0 };
                    bytes = after;
                }
                Place::Content { matched: 0, .. } => {
                    let (content, rest) = bytes.split_at(memchr::memchr(CRLF[0], bytes).unwrap_or(bytes.len()));
                    return Some((Piece::Content(content), rest));
                }
                Place::Content { matched, outside } => {
                    let wanted = &self.delimiter[matched..];
                    let same = wanted.iter().zip(bytes).take_while(|(wanted, byte)| wanted == byte).count();
                    let (matched, rest) = (matched + same, &bytes[same..]);
                    if matched == self.delimiter.len() {
                        self.place = Place::Tail(Tail::Nothing);
                        return Some((Piece::Boundary(&self.delimiter[outside..]), rest));
                    }
                    if rest.is_empty() {
                        self.place = Place::Content { matched, outside };
                        return None;
                    }
                    // A delimiter's only CR is its first byte: no other can have begun within what looked like one.
                    self.place = Place::Content { matched: 0, outside: 0 };
                    if matched > outside {
                        return Some((Piece::Content(&self.delimiter[outside..matched]), rest));
                    }
                    bytes = rest;
                }
            }
        }
    }

    /// The bytes at the end of the body that look like the beginning of a delimiter and are content.
    pub(crate) fn rest(&self) -> &[u8] {
        match self.place {
            Place::Content { matched, outside } => self.delimiter.get(outside..matched).unwrap_or_default(),
            Place::Tail(_) => &[],
        }
    }
}

impl Place {
    /// The beginning of the body or of a part's content, where a delimiter may follow without a line break of its own.
    fn content() -> Self {
        Self::Content { matched: CRLF.len(), outside: CRLF.len() }
    }
}

impl Tail {
    /// A delimiter ends with a line break, maybe after white space, the last one with two dashes.
    fn meaning(self, byte: u8) -> Meaning {
        match (self, byte) {
            (Self::Nothing, b'-') => Meaning::Undecided(Self::Dash),
            (Self::Dash, b'-') => Meaning::LastDelimiter,
            (Self::Nothing | Self::Padding, b' ' | b'\t') => Meaning::Undecided(Self::Padding),
            (Self::Nothing | Self::Padding, b'\r') => Meaning::Undecided(Self::Cr),
            (Self::Cr, b'\n') => Meaning::Delimiter,
            _ => Meaning::Content,
        }
    }
}
