//! Looks for the field `stream` in a form (`multipart/form-data`: RFC 7578, RFC 2046 §5.1).
//!
//! In: the form in pieces. Out: [`Wanted`], at the delimiter that ends a field `stream` with the value `true`, else at
//! the end. A line that merely begins like a delimiter is content.

use super::Wanted;
use super::parameter::Parametrized;

mod head;

use head::PartHead;

/// RFC 2046 §5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;
const CRLF: &[u8] = b"\r\n";
const DASHES: &[u8] = b"--";
const VALUE: &[u8] = b"true";

/// Reads a form.
#[derive(Debug)]
pub(super) struct FormScanner {
    /// `CRLF "--" boundary`: the line break before a delimiter belongs to it.
    delimiter: Box<[u8]>,
    place: Place,
    /// What the content must still be followed by to be [`VALUE`]; `None` if it cannot be, or its part is another field.
    missing: Option<&'static [u8]>,
    head: PartHead,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Content of a part, or the preamble.
    Content {
        /// How much of a delimiter the bytes before look like.
        matched: usize,
        /// How much of that is the line break before the content, and not content if this turns out to be no delimiter.
        outside: usize,
    },
    /// What follows a boundary and makes it a delimiter.
    Boundary(Tail),
    /// A part's head.
    Head,
}

/// What has followed a boundary.
#[derive(Clone, Copy, Debug)]
enum Tail {
    Nothing,
    Dash,
    Padding,
    Cr,
}

/// What a byte behind a boundary means.
enum Meaning {
    Undecided(Tail),
    Delimiter,
    LastDelimiter,
    Content,
}

impl FormScanner {
    /// For a body of this type. `None` if it is no form, or has no boundary that can be used.
    pub(super) fn new(content_type: &[u8]) -> Option<Self> {
        let content_type = Parametrized::parse(content_type)?;
        if !content_type.word.eq_ignore_ascii_case(b"multipart/form-data") {
            return None;
        }
        let boundary = content_type.get("boundary").filter(|boundary| is_boundary(boundary))?;
        let delimiter = [CRLF, DASHES, boundary].concat().into_boxed_slice();
        Some(Self { delimiter, place: Place::content(), missing: None, head: PartHead::default() })
    }

    /// Reads on. `None` as long as the field may still come.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Option<Wanted> {
        while let Some((byte, after)) = bytes.split_first() {
            bytes = match self.place {
                Place::Content { matched, outside } => self.read_content(matched, outside, bytes),
                Place::Head => self.read_head(bytes),
                Place::Boundary(tail) => match tail.meaning(*byte) {
                    Meaning::Undecided(tail) => {
                        self.place = Place::Boundary(tail);
                        after
                    }
                    Meaning::Content => {
                        // Longer than `true`; the byte itself may begin the true delimiter.
                        self.missing = None;
                        self.place = Place::Content { matched: 0, outside: 0 };
                        bytes
                    }
                    Meaning::Delimiter | Meaning::LastDelimiter if self.missing.is_some_and(<[u8]>::is_empty) => {
                        return Some(Wanted::Stream);
                    }
                    Meaning::LastDelimiter => return Some(Wanted::Unsaid),
                    Meaning::Delimiter => {
                        self.head.begin();
                        self.place = Place::Head;
                        after
                    }
                },
            };
        }
        None
    }

    /// Takes content, or what looks like a delimiter so far. What it leaves is to be read next.
    fn read_content<'a>(&mut self, matched: usize, outside: usize, bytes: &'a [u8]) -> &'a [u8] {
        if matched == 0 {
            let (content, rest) = bytes.split_at(memchr::memchr(b'\r', bytes).unwrap_or(bytes.len()));
            self.missing = self.missing.and_then(|missing| missing.strip_prefix(content));
            self.place = Place::Content { matched: usize::from(!rest.is_empty()), outside: 0 };
            return rest.get(1..).unwrap_or_default();
        }
        let same = self.delimiter[matched..].iter().zip(bytes).take_while(|(wanted, byte)| wanted == byte).count();
        let (matched, rest) = (matched + same, &bytes[same..]);
        self.place = if matched == self.delimiter.len() {
            Place::Boundary(Tail::Nothing)
        } else if rest.is_empty() {
            Place::Content { matched, outside }
        } else {
            // A delimiter's only CR is its first byte: no other can have begun within what looked like one.
            let content = &self.delimiter[outside..matched];
            self.missing = self.missing.and_then(|missing| missing.strip_prefix(content));
            Place::Content { matched: 0, outside: 0 }
        };
        rest
    }

    /// Takes a piece of a part's head.
    fn read_head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(rest) = self.head.read(bytes) else { return &[] };
        self.missing = self.head.is_stream_field().then_some(VALUE);
        self.place = Place::content();
        rest
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

/// `boundary` of RFC 2046 §5.1.1.
fn is_boundary(text: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    (1..=BOUNDARY_BYTES_MAX).contains(&text.len()) && text.iter().all(is_allowed) && !text.ends_with(b" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a form with boundary `b` asks for, the same for pieces of every size.
    fn wanted(form: &str) -> Option<Wanted> {
        let read = |size: usize| {
            let mut scanner = FormScanner::new(b"multipart/form-data; boundary=b").unwrap();
            form.as_bytes().chunks(size).find_map(|piece| scanner.feed(piece))
        };
        let whole = read(form.len());
        for size in 1..form.len().min(40) {
            assert_eq!(read(size), whole, "{form:?} in pieces of {size}");
        }
        whole
    }

    const FIELD: &str = "Content-Disposition: form-data; name=\"stream\"";

    #[test]
    fn a_field_stream_with_the_value_true_is_found_at_the_delimiter_behind_it() {
        for form in [
            format!("--b\r\n{FIELD}\r\n\r\ntrue\r\n--b--"),
            format!("--b\r\n{FIELD}\r\n\r\ntrue\r\n--b\r\n"),
            format!("--b\r\n{FIELD}\r\n\r\ntrue\r\n--b \t \r\nwhatever"),
            format!("preamble\r\n--bx\r\n--b \t\r\n{FIELD}\r\n\r\ntrue\r\n--b--epilogue"),
            format!("\r\n--b\r\n\r\nno head\r\n--b\r\n{FIELD}\r\n\r\ntrue\r\n--b--"),
            format!("--b\r\n{FIELD}\r\n\r\n--b\r\n{FIELD}\r\n\r\nfalse\r\n--b\r\n{FIELD}\r\n\r\ntrue\r\n--b--"),
            "--b\r\nA: 1\r\nCONTENT-disposition:Form-Data;\r\n\tNAME=stream\r\nB:\r\n\r\ntrue\r\n--b--".to_owned(),
        ] {
            assert_eq!(wanted(&form), Some(Wanted::Stream), "{form:?}");
        }
    }

    #[test]
    fn other_values_ask_for_nothing() {
        let form = |content: &str| format!("--b\r\n{FIELD}\r\n\r\n{content}\r\n--b--\r\n");
        for content in [
            "",
            "True",
            "true ",
            " true",
            "tru",
            "truetrue",
            "true\r\n",
            "\r\ntrue",
            "true\r",
            "true\n",
            "\"true\"",
            "true\r\n--bx",
            "true\r\n--b x",
            "true\r\n--b-x",
            "true\r\n--b\r",
            "true\r\n-",
            "-true",
            "--true",
            "--b true",
        ] {
            assert_eq!(wanted(&form(content)), Some(Wanted::Unsaid), "{content:?}");
        }
    }

    #[test]
    fn what_looks_like_a_field_inside_a_file_is_content() {
        let inner = format!("--bx\r\n{FIELD}\r\n\r\ntrue\r\n--bx--\r\n\r\r\n-\n--b\r\n{FIELD}\r\n\r\ntrue");
        let file = "Content-Disposition: form-data; name=f; filename=f";
        let form = |tail: &str| format!("--b\r\n{file}\r\n\r\n{inner}\r\n--b{tail}");
        assert_eq!(wanted(&form("--")), Some(Wanted::Unsaid));
        assert_eq!(wanted(&form(&format!("\r\n{FIELD}\r\n\r\ntrue\r\n--b--"))), Some(Wanted::Stream));
    }

    #[test]
    fn a_form_that_breaks_off_is_undecided() {
        let form = format!("--b\r\n{FIELD}\r\n\r\ntrue\r\n--b");
        for end in 1..=form.len() {
            assert_eq!(wanted(&form[..end]), None);
        }
        for tail in ["-", " ", "\r"] {
            assert_eq!(wanted(&format!("{form}{tail}")), None);
        }
    }

    #[test]
    fn a_malformed_part_head_hides_no_other_part() {
        let endless = "a".repeat(1 << 15);
        for head in ["no colon", "B\u{fc}\u{7f}: 1", &endless] {
            let form = format!("--b\r\n{head}\r\n\r\n\r\n--b\r\n{FIELD}\r\n\r\ntrue\r\n--b--");
            assert_eq!(wanted(&form), Some(Wanted::Stream), "{head:?}");
        }
    }

    #[test]
    fn a_boundary_is_what_rfc_2046_allows() {
        let longest = "b".repeat(BOUNDARY_BYTES_MAX);
        for good in ["x", "\"x\"", "----WebKitFormBoundary7MA4YWxkTrZu0gW", "\"a b'()+_,-./:=?\"", "a=b", &longest] {
            assert!(FormScanner::new(format!("Multipart/Form-Data; boundary={good}").as_bytes()).is_some(), "{good}");
        }
        for bad in ["", "\"\"", "\"a \"", "\"a;b\"", "a*b", "\"a", "a; boundary=b", &format!("{longest}b")] {
            assert!(FormScanner::new(format!("multipart/form-data; boundary={bad}").as_bytes()).is_none(), "{bad}");
        }
        for other in ["multipart/form-data", "multipart/mixed; boundary=b", "text/plain; boundary=b", ""] {
            assert!(FormScanner::new(other.as_bytes()).is_none(), "{other}");
        }
    }
}
