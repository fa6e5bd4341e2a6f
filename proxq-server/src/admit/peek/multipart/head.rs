//! The head of a part of a form: gathered from pieces, then asked whose content follows.

use http::HeaderName;
use http::header::CONTENT_DISPOSITION;

use crate::multipart::{CRLF, Parametrized};

/// How much of a head is kept. As much as Node.js allows a whole request head; a field's name, a file's name and a media
/// type are far shorter.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// The head of the part that is being read.
#[derive(Debug, Default)]
pub(super) struct PartHead {
    /// Its lines, after the line break that ends the delimiter: so an empty head ends with an empty line as well.
    lines: Vec<u8>,
    /// Whether it is longer than what is kept: then `lines` is its end, and it announces nothing.
    is_too_long: bool,
}

impl PartHead {
    /// Forgets the part before.
    pub(super) fn begin(&mut self) {
        self.is_too_long = false;
        self.lines.clear();
        self.lines.extend_from_slice(CRLF);
    }

    /// Reads on; what follows the empty line at the end, if it was found.
    pub(super) fn read<'a>(&mut self, mut bytes: &'a [u8]) -> Option<&'a [u8]> {
        while !bytes.is_empty() {
            let (line, rest) = bytes.split_at(memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1));
            let mut kept = line;
            if self.is_too_long || self.lines.len() + line.len() > HEAD_BYTES_MAX {
                self.is_too_long = true;
                self.lines.drain(..self.lines.len().saturating_sub(HEAD_END.len()));
                kept = &line[line.len().saturating_sub(HEAD_END.len())..];
            }
            self.lines.extend_from_slice(kept);
            if self.lines.ends_with(HEAD_END) {
                return Some(rest);
            }
            bytes = rest;
        }
        None
    }

    /// Whether the part, whose head is complete, is the field `stream` and not a file. Lines that are no fields do not matter.
    pub(super) fn is_stream_field(&mut self) -> bool {
        if self.is_too_long {
            return false;
        }
        self.unfold();
        let mut dispositions = self.lines.split(|byte| *byte == b'\n').filter_map(|line| {
            let (name, value) = line.split_at(memchr::memchr(b':', line)?);
            let name = HeaderName::from_bytes(name.trim_ascii_end()).ok()?;
            (name == CONTENT_DISPOSITION).then(|| value[1..].trim_ascii_end())
        });
        let (disposition, another) = (dispositions.next(), dispositions.next());
        another.is_none()
            && disposition.and_then(Parametrized::parse).is_some_and(|disposition| {
                disposition.word.eq_ignore_ascii_case(b"form-data")
                    && disposition.get("name") == Some(b"stream")
                    && !disposition.parameters().any(|(name, _)| is_file_name(name))
            })
    }

    /// Joins lines with those that begin with white space and so continue them (RFC 5322 §2.2.3).
    fn unfold(&mut self) {
        let mut rest = self.lines.as_mut_slice();
        while let Some(at) = memchr::memmem::find(rest, CRLF) {
            if matches!(rest.get(at + CRLF.len()), Some(b' ' | b'\t')) {
                rest[at..at + CRLF.len()].fill(b' ');
            }
            rest = &mut rest[at + CRLF.len()..];
        }
    }
}

/// `filename`, and what RFC 5987 and RFC 2231 make of it: `filename*`, `filename*0`.
fn is_file_name(parameter: &[u8]) -> bool {
    let parameter = parameter.to_ascii_lowercase();
    parameter == b"filename" || parameter.starts_with(b"filename*")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether this head announces the field `stream`.
    fn announces(text: &str) -> bool {
        let mut head = PartHead::default();
        head.begin();
        let rest = head.read(text.as_bytes()).expect("a head ends with an empty line");
        assert_eq!(rest, b"", "{text:?}");
        head.is_stream_field()
    }

    #[test]
    fn the_field_stream_is_known_by_its_disposition() {
        for head in [
            "Content-Disposition: form-data; name=\"stream\"\r\n\r\n",
            "CONTENT-disposition:Form-Data;NAME=stream\r\nA:\r\n\r\n",
            "A: 1\r\n 2\r\nContent-Disposition:\r\n\tform-data;\r\n name=\"str\\eam\"; x=\"filename=f\"\r\n\r\n",
        ] {
            assert!(announces(head), "{head:?}");
        }
    }

    #[test]
    fn other_fields_and_files_are_not() {
        for disposition in [
            "form-data; name=\"Stream\"",
            "form-data; name=\"xstream\"",
            "form-data; name=\"stream\"; filename=\"a\"",
            "form-data; FileName*=UTF-8''a; name=\"stream\"",
            "form-data; name=\"stream\"; filename*0=a",
            "form-data; name=\"a; name=stream\"",
            "form-data; name*=UTF-8''stream",
            "form-data; name=stream; name=stream",
            "form-data; name=\"stream",
            "attachment; name=\"stream\"",
            "form-data",
            "",
        ] {
            assert!(!announces(&format!("Content-Disposition: {disposition}\r\n\r\n")), "{disposition}");
        }
        assert!(!announces("X-Content-Disposition: form-data; name=stream\r\n\r\n"));
        assert!(!announces("\r\n"), "a part may do without a head");
    }

    #[test]
    fn lines_that_are_no_fields_hide_none() {
        let field = "Content-Disposition: form-data; name=\"stream\"\r\n";
        for bad in ["no colon\r\n", "--b\r\n", " A: folded\r\n", "A : 1\r\n", ": 1\r\n", "A: 1\n", " \r\n"] {
            assert!(announces(&format!("{bad}{field}\r\n")), "{bad:?}");
        }
        assert!(announces("Content-Disposition : form-data; name=stream\r\n\r\n"));
        assert!(!announces(&format!("{field}{field}\r\n")), "which of the two counts is not known");
    }

    #[test]
    fn a_head_that_is_too_long_announces_nothing_and_is_not_kept() {
        let field = "Content-Disposition: form-data; name=\"stream\"\r\n";
        let long = |length: usize| format!("A: {}\r\n\r\n", "a".repeat(length - field.len() - "\r\nA: \r\n\r\n".len()));
        assert!(announces(&format!("{field}{}", long(HEAD_BYTES_MAX))));
        let too_long = format!("{field}{}", long(HEAD_BYTES_MAX + 1));
        assert!(!announces(&too_long));
        for size in [1, 7, 1000] {
            let mut head = PartHead::default();
            head.begin();
            let ends = too_long.as_bytes().chunks(size).filter(|piece| head.read(piece).is_some()).count();
            assert_eq!((ends, head.is_stream_field()), (1, false));
            assert!(head.lines.capacity() <= 2 * HEAD_BYTES_MAX);
        }
        let mut head = PartHead::default();
        head.begin();
        head.read(too_long.as_bytes());
        head.begin();
        head.read(format!("{field}\r\n").as_bytes());
        assert!(head.is_stream_field(), "the next part is told from it");
    }
}
