//! The digest by which request bodies are compared. It leaves out the boundary of a multipart body, which clients choose
//! anew for each try.

use std::borrow::Cow;

use http::header::{CONTENT_TYPE, HeaderMap};
use sha2::{Digest, Sha256};

use super::{CRLF, Delimiters, Parametrized, Piece, boundary};

/// The digest of a body in memory that comes with these header fields.
pub(crate) fn digest(headers: &HeaderMap, body: &[u8]) -> [u8; 32] {
    let mut digest = BodyDigest::new(headers);
    digest.update(body);
    digest.finish()
}

/// The digest of a body that arrives in pieces of any size: its SHA-256. For a multipart body with its last delimiter, it is
/// the same with every boundary.
#[derive(Debug)]
pub(crate) struct BodyDigest(Kind);

#[derive(Debug)]
enum Kind {
    Plain(Sha256),
    Multipart(Box<Multipart>),
}

impl BodyDigest {
    /// Of the body that comes with these fields.
    pub(crate) fn new(headers: &HeaderMap) -> Self {
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        let content_type = types.next().filter(|_| types.next().is_none());
        let content_type = content_type.and_then(|value| multipart(value.as_bytes()));
        Self(match content_type.as_ref().and_then(boundary) {
            Some(boundary) => Kind::Multipart(Box::new(Multipart::new(boundary))),
            None => Kind::Plain(Sha256::new()),
        })
    }

    /// Takes the next bytes of the body.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Kind::Plain(hash) => hash.update(bytes),
            Kind::Multipart(multipart) => multipart.update(bytes),
        }
    }

    /// The digest, now that the body is complete.
    pub(crate) fn finish(self) -> [u8; 32] {
        match self.0 {
            Kind::Plain(hash) => hash.finalize().into(),
            Kind::Multipart(multipart) => multipart.finish(),
        }
    }
}

/// A `Content-Type` for comparison: without the boundary of a multipart type.
pub(crate) fn without_boundary(content_type: &[u8]) -> Cow<'_, [u8]> {
    let parsed = multipart(content_type).filter(|parsed| boundary(parsed).is_some());
    let Some(parsed) = parsed else { return Cow::Borrowed(content_type) };
    let mut text = parsed.word.to_vec();
    for (name, value) in parsed.parameters() {
        text.extend_from_slice(b"; ");
        text.extend_from_slice(name);
        if !name.eq_ignore_ascii_case(b"boundary") {
            text.extend_from_slice(b"=\"");
            for byte in value {
                if matches!(byte, b'"' | b'\\') {
                    text.push(b'\\');
                }
                text.push(*byte);
            }
            text.push(b'"');
        }
    }
    Cow::Owned(text)
}

fn multipart(content_type: &[u8]) -> Option<Parametrized<'_>> {
    const TYPE: &[u8] = b"multipart/";
    let is_multipart = content_type.get(..TYPE.len()).is_some_and(|start| start.eq_ignore_ascii_case(TYPE));
    Parametrized::parse(content_type).filter(|_| is_multipart)
}

/// The content between two boundaries is hashed, then the list of hashes. The rest of a boundary's line belongs to the
/// content behind it, so that only the boundary is left out.
#[derive(Debug)]
struct Multipart {
    delimiters: Delimiters,
    boundary: Box<[u8]>,
    all: Sha256,
    section: Sha256,
    undecided: Option<Undecided>,
    is_complete: bool,
}

/// What becomes of what follows a boundary.
#[derive(Debug)]
struct Undecided {
    /// The section, if the boundary is content of it.
    section: Sha256,
    /// The next section, if it is a delimiter.
    next: Sha256,
}

impl Multipart {
    fn new(boundary: &[u8]) -> Self {
        Self {
            delimiters: Delimiters::new(boundary),
            boundary: boundary.into(),
            all: Sha256::new(),
            section: Sha256::new(),
            undecided: None,
            is_complete: false,
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !self.is_complete {
            let Some((piece, rest)) = self.delimiters.read(bytes) else { return };
            bytes = rest;
            match piece {
                Piece::Content(content) => self.section.update(content),
                Piece::Boundary(text) => {
                    // Whether the delimiter has a line break of its own.
                    let next = Sha256::new().chain_update([u8::from(text.starts_with(CRLF))]);
                    self.undecided = Some(Undecided { section: self.section.clone().chain_update(text), next });
                }
                Piece::Tail(byte) => {
                    if let Some(undecided) = &mut self.undecided {
                        undecided.section.update([byte]);
                        undecided.next.update([byte]);
                    }
                }
                Piece::NoDelimiter => self.take_as_content(),
                Piece::Delimiter(byte) => self.take_as_delimiter(byte),
                Piece::LastDelimiter(byte) => {
                    self.take_as_delimiter(byte);
                    self.is_complete = true;
                }
            }
        }
        self.section.update(bytes);
    }

    fn take_as_content(&mut self) {
        if let Some(undecided) = self.undecided.take() {
            self.section = undecided.section;
        }
    }

    fn take_as_delimiter(&mut self, last_byte: u8) {
        if let Some(undecided) = self.undecided.take() {
            let section = std::mem::replace(&mut self.section, undecided.next.chain_update([last_byte]));
            self.all.update(section.finalize());
        }
    }

    fn finish(mut self) -> [u8; 32] {
        self.take_as_content();
        self.section.update(self.delimiters.rest());
        let all = self.all.chain_update(self.section.finalize()).finalize();
        let hash = Sha256::new().chain_update([u8::from(self.is_complete)]).chain_update(all);
        // A body without its last delimiter is malformed and compared byte for byte.
        let hash = if self.is_complete { hash } else { hash.chain_update(&self.boundary) };
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn typed(content_type: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap())])
    }

    fn of(boundary: &str, body: &[u8]) -> [u8; 32] {
        digest(&typed(&format!("multipart/form-data; boundary={boundary}")), body)
    }

    fn form(boundary: &str, parts: &[&str]) -> Vec<u8> {
        let parts = parts.iter().map(|part| format!("--{boundary}\r\n{part}\r\n"));
        parts.chain([format!("--{boundary}--\r\n")]).collect::<String>().into_bytes()
    }

    #[test]
    fn a_body_that_is_not_multipart_has_its_sha_256() {
        let body = form("b", &["A: 1\r\n\r\nx"]);
        for headers in [
            HeaderMap::new(),
            typed("application/json; boundary=b"),
            typed("multipart/form-data"),
            typed("multipart/form-data; boundary=\"a;b\""),
            typed("multipart/form-data; boundary=b; boundary=b"),
        ] {
            assert_eq!(digest(&headers, &body), <[u8; 32]>::from(Sha256::digest(&body)), "{headers:?}");
        }
    }

    #[test]
    fn the_boundary_does_not_count_and_everything_else_does() {
        let parts = ["Content-Disposition: form-data; name=a\r\n\r\none", "B: 2\r\n\r\n\r\n-- two\r\n--x\r\n"];
        let one = of("b", &form("b", &parts));
        assert_eq!(one, of("another", &form("another", &parts)));
        assert_eq!(one, digest(&typed("Multipart/Mixed; x=\"y\"; BOUNDARY=\"c d\""), &form("c d", &parts)));
        let reversed = [parts[1], parts[0]];
        for other in [
            form("b", &parts[..1]),
            form("b", &reversed),
            form("b", &["Content-Disposition: form-data; name=b\r\n\r\none", parts[1]]),
            form("b", &["Content-Disposition: form-data; name=a\r\n\r\nonE", parts[1]]),
            [b"preamble\r\n", &form("b", &parts)[..]].concat(),
            [b"\r\n", &form("b", &parts)[..]].concat(),
            [&form("b", &parts)[..], b"epilogue"].concat(),
            String::from_utf8(form("b", &parts)).unwrap().replacen("--b\r\n", "--b \r\n", 1).into_bytes(),
        ] {
            assert_ne!(one, of("b", &other), "{}", other.escape_ascii());
        }
    }

    #[test]
    fn the_text_of_another_boundary_is_content() {
        let holds = |boundary: &str, other: &str| {
            let part = format!("A: 1\r\n\r\n--{other}\r\nx\r\n--{other}--");
            of(boundary, &form(boundary, &[&part]))
        };
        assert_eq!(holds("b", "x"), holds("another", "x"));
        assert_ne!(holds("b", "another"), holds("another", "b"));
        assert_ne!(holds("b", "x"), holds("b", "y"));
        assert_ne!(holds("b", "bb"), holds("another", "anotherb"), "it only begins like a delimiter");
    }

    #[test]
    fn a_body_without_its_last_delimiter_is_compared_as_it_is() {
        for end in ["", "--", "\r\n--B", "\r\n--B\r\n", "\r\n--B \t", "\r\n--B-", "\r\n--Bx--"] {
            let body = |boundary: &str| format!("--{boundary}\r\nA: 1\r\n\r\nx{}", end.replace('B', boundary));
            assert_ne!(of("b", body("b").as_bytes()), of("c", body("c").as_bytes()), "{end:?}");
            assert_eq!(of("b", body("b").as_bytes()), of("b", body("b").as_bytes()), "{end:?}");
        }
    }

    #[test]
    fn a_type_loses_its_boundary_and_nothing_else() {
        for (content_type, compared) in [
            ("multipart/form-data; boundary=b", "multipart/form-data; boundary"),
            ("multipart/form-data;Boundary=\"b c\" ;x=\"a\\\"b\"", "multipart/form-data; Boundary; x=\"a\\\"b\""),
            ("multipart/form-data", "multipart/form-data"),
            ("multipart/form-data; boundary=b; boundary=c", "multipart/form-data; boundary=b; boundary=c"),
            ("text/plain; boundary=b", "text/plain; boundary=b"),
            ("", ""),
        ] {
            assert_eq!(without_boundary(content_type.as_bytes()), compared.as_bytes(), "{content_type}");
        }
    }

    /// Bodies of what matters to delimiters, in a notation in which `B` is the boundary.
    fn body() -> impl Strategy<Value = String> {
        let fragments =
            vec!["\r\n--B", "--B", "\r\n", "\r", "\n", "--", "-", " ", "a", "B", "\r\n--B--", "\r\n--B\r\n"];
        prop::collection::vec(prop::sample::select(fragments), 0..8).prop_map(|fragments| fragments.concat())
    }

    fn with(body: &str, boundary: &str) -> Vec<u8> {
        body.replace('B', boundary).into_bytes()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn digests_of_one_boundary_agree_exactly_where_bodies_do(one in body(), other in body()) {
            let (one, other) = (with(&one, "b"), with(&other, "b"));
            prop_assert_eq!(of("b", &one) == of("b", &other), one == other);
        }

        #[test]
        fn another_boundary_makes_no_other_body(
            parts in prop::collection::vec(
                prop::collection::vec(prop::sample::select(vec!["\r\n--", "\r\n", "\r", "\n", "--", " ", "a"]), 0..8),
                0..4,
            ),
        ) {
            let parts: Vec<_> = parts.into_iter().map(|fragments| fragments.concat()).collect();
            let parts: Vec<_> = parts.iter().map(String::as_str).collect();
            prop_assert_eq!(of("b", &form("b", &parts)), of("'-,", &form("'-,", &parts)));
        }

        #[test]
        fn pieces_never_matter(body in body(), sizes in prop::collection::vec(1usize..6, 1..5)) {
            let body = with(&body, "b");
            let mut digest = BodyDigest::new(&typed("multipart/related; boundary=b"));
            let mut rest = &body[..];
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at(rest.len().min(*size));
                digest.update(piece);
                rest = after;
            }
            prop_assert_eq!(digest.finish(), of("b", &body));
        }
    }
}
