//! The head of a part of a form: gathered from pieces, then asked whose content follows.

use http::HeaderName;
use http::header::CONTENT_DISPOSITION;

use super::super::parameter::Parametrized;
use super::{CRLF, Malformed};

/// How long a head may be. As much as Node.js allows a whole request head; a field's name, a file's name and a media type
/// are far shorter.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The head of the part that is being read.
#[derive(Debug, Default)]
pub(super) struct PartHead {
    /// Its lines, after the line break that ends the delimiter: so an empty head ends with an empty line as well.
    lines: Vec<u8>,
}

impl PartHead {
    /// Forgets the part before.
    pub(super) fn begin(&mut self) {
        self.lines.clear();
        self.lines.extend_from_slice(CRLF);
    }

    /// Reads on; what follows the empty line at the end, if it was found.
    pub(super) fn read<'a>(&mut self, mut bytes: &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
        while !bytes.is_empty() {
            let (line, rest) = bytes.split_at(memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1));
            if self.lines.len() + line.len() > HEAD_BYTES_MAX {
                return Err(Malformed);
            }
            self.lines.extend_from_slice(line);
            if self.lines.ends_with(b"\r\n\r\n") {
                return Ok(Some(rest));
            }
            bytes = rest;
        }
        Ok(None)
    }

    /// Whether the part, whose head is complete, is the field `stream` and not a file.
    pub(super) fn is_stream_field(&mut self) -> Result<bool, Malformed> {
        self.unfold();
        let lines = self.lines.get(CRLF.len()..self.lines.len().saturating_sub(CRLF.len())).unwrap_or_default();
        let mut disposition = None;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(CRLF).ok_or(Malformed)?;
            let colon = memchr::memchr(b':', line).ok_or(Malformed)?;
            let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| Malformed)?;
            if name == CONTENT_DISPOSITION && disposition.replace(&line[colon + 1..]).is_some() {
                return Err(Malformed);
            }
        }
        Ok(disposition.and_then(Parametrized::parse).is_some_and(|disposition| {
            disposition.word.eq_ignore_ascii_case(b"form-data")
                && disposition.get("name") == Some(b"stream")
                && !disposition.names().any(is_file_name)
        }))
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

    /// Whether this head announces the field `stream`; `None` if it is malformed.
    fn announces(text: &str) -> Option<bool> {
        let mut head = PartHead::default();
        head.begin();
        let rest = head.read(text.as_bytes()).ok()?.expect("a head ends with an empty line");
        assert_eq!(rest, b"", "{text:?}");
        head.is_stream_field().ok()
    }

    #[test]
    fn the_field_stream_is_known_by_its_disposition() {
        for head in [
            "Content-Disposition: form-data; name=\"stream\"\r\n\r\n",
            "CONTENT-disposition:Form-Data;NAME=stream\r\nA:\r\n\r\n",
            "A: 1\r\n 2\r\nContent-Disposition:\r\n\tform-data;\r\n name=\"str\\eam\"; x=\"filename=f\"\r\n\r\n",
        ] {
            assert_eq!(announces(head), Some(true), "{head:?}");
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
            assert_eq!(announces(&format!("Content-Disposition: {disposition}\r\n\r\n")), Some(false), "{disposition}");
        }
        assert_eq!(announces("X-Content-Disposition: form-data; name=stream\r\n\r\n"), Some(false));
        assert_eq!(announces("\r\n"), Some(false), "a part may do without a head");
    }

    #[test]
    fn a_head_of_anything_but_fields_is_malformed() {
        let field = "Content-Disposition: form-data; name=\"stream\"\r\n";
        for bad in ["no colon\r\n", "--b\r\n", " A: folded\r\n", "A : 1\r\n", ": 1\r\n", "A: 1\n", " \r\n", field] {
            assert_eq!(announces(&format!("{bad}{field}\r\n")), None, "{bad:?}");
        }
    }

    #[test]
    fn a_head_that_is_too_long_is_malformed_before_its_end() {
        let long = |length: usize| format!("A: {}\r\n\r\n", "a".repeat(length - "\r\nA: \r\n\r\n".len()));
        assert_eq!(announces(&long(HEAD_BYTES_MAX)), Some(false));
        let mut head = PartHead::default();
        head.begin();
        let too_long = long(HEAD_BYTES_MAX + 1);
        assert!(too_long.as_bytes().chunks(7).any(|piece| head.read(piece).is_err()));
        assert!(head.lines.len() <= HEAD_BYTES_MAX);
    }
}
