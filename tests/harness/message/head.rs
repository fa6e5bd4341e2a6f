//! A head byte for byte, and how a body follows it.

/// The head of a request or a response, as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    raw: Vec<u8>,
    line: String,
    fields: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// Takes a head apart. `raw` ends with the empty line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(raw: Vec<u8>) -> Result<Self, String> {
        let text = raw.strip_suffix(b"\r\n\r\n").ok_or("no empty line at the end")?;
        let mut lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let line = lines.next().unwrap_or_default();
        let line = String::from_utf8(line.to_vec()).map_err(|_| "the first line is not UTF-8")?;
        let mut fields = Vec::new();
        for field in lines {
            let shown = String::from_utf8_lossy(field);
            let colon = field.iter().position(|byte| *byte == b':').ok_or(format!("no colon in {shown:?}"))?;
            let name = String::from_utf8(field[..colon].to_vec()).map_err(|_| format!("bad name in {shown:?}"))?;
            fields.push((name, field[colon + 1..].trim_ascii().to_vec()));
        }
        Ok(Self { raw, line, fields })
    }

    /// The head of an HTTP/2 request, as HTTP/1 would write it. `:scheme` and `:authority` are its first fields.
    pub(crate) fn of_http2(request: &http::request::Parts) -> Self {
        let uri = &request.uri;
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        let line = format!("{} {target} HTTP/2", request.method);
        let authority = uri.authority().map(|authority| (":authority", authority.as_str().as_bytes()));
        let pseudo = uri.scheme_str().map(|scheme| (":scheme", scheme.as_bytes())).into_iter().chain(authority);
        let regular = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let fields: Vec<_> = pseudo.chain(regular).map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        let lines = fields.iter().map(|(name, value)| [name.as_bytes(), b": ", value, b"\r\n"].concat());
        let raw = [line.as_bytes(), b"\r\n", &lines.collect::<Vec<_>>().concat(), b"\r\n"].concat();
        Self { raw, line, fields }
    }

    /// The bytes, the empty line included.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The request line or the status line.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The part of the first line with this number: of a request 0 is the method, 1 the target.
    pub fn word(&self, index: usize) -> &str {
        self.line.split(' ').nth(index).unwrap_or_default()
    }

    /// Every header in order: its name as it was spelled, and its value.
    pub fn fields(&self) -> &[(String, Vec<u8>)] {
        &self.fields
    }

    /// The names as they were spelled, in order.
    pub fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The bytes of every value of a header, in order.
    pub fn values_raw(&self, name: &str) -> Vec<&[u8]> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice()).collect()
    }

    /// Every value of a header, in order, as text.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.values_raw(name).into_iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The only value of a header; `None` where it is absent. A test that expects one must not overlook a second.
    pub fn value(&self, name: &str) -> Option<String> {
        let mut values = self.values(name);
        assert!(values.len() <= 1, "{name} is there {} times: {values:?}", values.len());
        values.pop()
    }

    /// Whether the header is there.
    pub fn has(&self, name: &str) -> bool {
        !self.values_raw(name).is_empty()
    }

    /// How a body follows this head, if one may.
    fn framing(&self) -> Result<Option<Framing>, String> {
        if let Some(codings) = self.values("transfer-encoding").last() {
            return if codings.eq_ignore_ascii_case("chunked") {
                Ok(Some(Framing::Chunked))
            } else {
                Err(format!("transfer coding {codings:?}"))
            };
        }
        let mut lengths = self.values("content-length");
        lengths.dedup();
        match lengths.as_slice() {
            [] => Ok(None),
            [length] => length.parse().map(|n| Some(Framing::Length(n))).map_err(|_| format!("length {length:?}")),
            _ => Err(format!("lengths {lengths:?}")),
        }
    }

    /// How the body of a request with this head follows.
    ///
    /// # Errors
    /// What is wrong with its framing.
    pub(crate) fn request_framing(&self) -> Result<Framing, String> {
        Ok(self.framing()?.unwrap_or(Framing::Length(0)))
    }

    /// How the body of a response with this head to a request with this method follows.
    pub(super) fn response_framing(&self, method: &str) -> Result<Framing, String> {
        let status = self.status()?;
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(Framing::Length(0));
        }
        Ok(self.framing()?.unwrap_or(Framing::UntilClose))
    }

    /// The status code of a response.
    pub(super) fn status(&self) -> Result<u16, String> {
        self.word(1).parse().map_err(|_| format!("status line {:?}", self.line))
    }
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// This many bytes.
    Length(u64),
    /// Up to the last chunk.
    Chunked,
    /// Up to the end of the connection.
    UntilClose,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_keeps_spelling_order_and_repetitions() {
        let raw = b"GET /a HTTP/1.1\r\nx-A: 1\r\nHost:h\r\nX-a: \xff \r\n\r\n".to_vec();
        let head = Head::parse(raw.clone()).unwrap();
        assert_eq!(head.raw(), raw);
        assert_eq!((head.word(0), head.word(1)), ("GET", "/a"));
        assert_eq!(head.names(), ["x-A", "Host", "X-a"]);
        assert_eq!(head.values_raw("X-A"), [b"1".as_slice(), b"\xff"]);
        assert!(Head::parse(b"GET / HTTP/1.1\r\nnonsense\r\n\r\n".to_vec()).is_err());
    }
}
