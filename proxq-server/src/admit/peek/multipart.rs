//! Looks for the field `stream` in a form (`multipart/form-data`: RFC 7578, RFC 2046 §5.1).
//!
//! In: the form in pieces. Out: [`Wanted`], at the delimiter that ends a field `stream` with the value `true`, else at
//! the end. A line that merely begins like a delimiter is content.

use super::Wanted;
use crate::multipart::{Delimiters, Parametrized, Piece, boundary};

mod head;

use head::PartHead;

const VALUE: &[u8] = b"true";

/// Reads a form.
#[derive(Debug)]
pub(super) struct FormScanner {
    delimiters: Delimiters,
    /// The rest of [`VALUE`] that the content still lacks; `None` if the content differs or belongs to another field.
    missing: Option<&'static [u8]>,
    head: PartHead,
    in_head: bool,
}

impl FormScanner {
    /// For a body of this type. `None` if it is no form, or has no boundary that can be used.
    pub(super) fn new(content_type: &[u8]) -> Option<Self> {
        let content_type = Parametrized::parse(content_type)?;
        if !content_type.word.eq_ignore_ascii_case(b"multipart/form-data") {
            return None;
        }
        let delimiters = Delimiters::new(boundary(&content_type)?);
        Some(Self { delimiters, missing: None, head: PartHead::default(), in_head: false })
    }

    /// Reads on. `None` as long as the field may still come.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Option<Wanted> {
        loop {
            if self.in_head {
                bytes = self.head.read(bytes)?;
                self.in_head = false;
                self.missing = self.head.is_stream_field().then_some(VALUE);
            }
            let (piece, rest) = self.delimiters.read(bytes)?;
            bytes = rest;
            match piece {
                Piece::Content(content) => {
                    self.missing = self.missing.and_then(|missing| missing.strip_prefix(content));
                }
                Piece::Boundary(_) | Piece::Tail(_) => {}
                Piece::NoDelimiter => self.missing = None, // longer than `true`
                Piece::Delimiter(_) | Piece::LastDelimiter(_) if self.missing.is_some_and(<[u8]>::is_empty) => {
                    return Some(Wanted::Stream);
                }
                Piece::LastDelimiter(_) => return Some(Wanted::Unsaid),
                Piece::Delimiter(_) => {
                    self.head.begin();
                    self.in_head = true;
                }
            }
        }
    }
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
        let longest = "b".repeat(70);
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
