//! A request and what its upstream answers, made from a seed.

use harness::{Answer, Request, request};

use super::random::Random;

/// Up to which length proxq keeps bodies in memory here.
pub(super) const INLINE_BYTES: usize = 4096;

/// Lengths of bodies: around that, and well above.
const LENGTHS: [usize; 10] = [0, 0, 1, 5, 700, INLINE_BYTES - 1, INLINE_BYTES, INLINE_BYTES + 1, 20_000, 150_000];

/// Those without a body come often, since they are the ones with rules of their own.
const STATUSES: [usize; 45] = [
    200, 200, 200, 200, 205, 204, 204, 204, 304, 304, 304, 404, 500, 201, 202, 203, 206, 226, 299, 300, 301, 302, 303,
    307, 308, 400, 401, 403, 409, 410, 418, 422, 425, 429, 451, 500, 501, 502, 503, 504, 507, 511, 599, 600, 999,
];

/// Names of requests' fields. Some are the hop's own, some are about the way here.
const REQUEST_NAMES: [&str; 28] = [
    "X-Dup",
    "X-Dup",
    "X-Dup",
    "X-Bytes",
    "X-Other",
    "Accept",
    "Accept-Language",
    "Accept-Encoding",
    "Content-Type",
    "Content-Encoding",
    "Content-Language",
    "User-Agent",
    "Cookie",
    "Authorization",
    "X-Api-Key",
    "Range",
    "If-None-Match",
    "Cache-Control",
    "Origin",
    "Referer",
    "Date",
    "X-Request-ID",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Port",
    "Forwarded",
    "Prefer",
    "Keep-Alive",
];

/// Names of answers' fields.
const ANSWER_NAMES: [&str; 28] = [
    "X-Dup",
    "X-Dup",
    "X-Dup",
    "X-Bytes",
    "X-Other",
    "Set-Cookie",
    "Set-Cookie",
    "Content-Type",
    "Content-Encoding",
    "Content-Language",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Last-Modified",
    "Cache-Control",
    "Vary",
    "Age",
    "Location",
    "Link",
    "Server",
    "Via",
    "WWW-Authenticate",
    "Retry-After",
    "X-Request-ID",
    "X-Cache-Status",
    "Preference-Applied",
    "X-Proxq-Anything",
    "Keep-Alive",
];

/// A field: its name as it is spelled, and its value.
pub(super) type Field = (String, Vec<u8>);

/// Fields for people.
pub(super) fn lines(fields: &[Field]) -> String {
    let lines: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {}\n", value.escape_ascii())).collect();
    lines.concat()
}

/// A request, and what the upstream answers to it.
pub(super) struct Case {
    pub(super) method: &'static str,
    pub(super) target: String,
    fields: Vec<Field>,
    body: Option<Vec<u8>>,
    answer_head: Vec<u8>,
    answer_body: Vec<u8>,
    closes: bool,
    pub(super) answer_is_dated: bool,
}

impl Case {
    pub(super) fn new(seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let method =
            random.one_of(&["GET", "GET", "HEAD", "POST", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "M-SEARCH"]);
        let has_body = random.percent(match method {
            "POST" | "PUT" | "PATCH" => 95,
            "HEAD" => 5,
            _ => 20,
        });
        let length = random.number_of(&LENGTHS);
        let count = random.number_of(&[0, 2, 5, 9, 25]);
        let fields = fields(random, &REQUEST_NAMES, count);
        let (answer_head, answer_body, closes, answer_is_dated) = answer(random, method);
        Self {
            method,
            target: target(random),
            fields,
            body: has_body.then(|| if random.percent(30) { json(length) } else { random.bytes(length) }),
            answer_head,
            answer_body,
            closes,
            answer_is_dated,
        }
    }

    /// The request, as a client sends it.
    pub(super) fn request(&self) -> Request {
        let plain = request(self.method, &self.target);
        let request = self.fields.iter().fold(plain, |request, (name, value)| request.header(name, value));
        match &self.body {
            Some(body) => request.body(body.clone()),
            None => request,
        }
    }

    /// What the upstream does with it.
    pub(super) fn answer(&self) -> Answer {
        let answer = Answer::raw([&self.answer_head[..], &self.answer_body].concat());
        if self.closes { answer.close() } else { answer }
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        let fields = lines(&self.fields);
        let length = self.body.as_ref().map(Vec::len);
        format!(
            "{} {}\n{fields}body: {length:?} bytes\n\nthe upstream answers\n{}{} bytes as they are framed, and {}",
            self.method,
            self.target,
            self.answer_head.escape_ascii().to_string().replace("\\r\\n", "\n"),
            self.answer_body.len(),
            if self.closes { "closes" } else { "keeps the connection" },
        )
    }
}

/// A path and often a query, with whatever may stand there unencoded, and what must not be decoded.
fn target(random: &mut Random) -> String {
    const PIECES: [&str; 26] = [
        "a",
        "/",
        "//",
        "/./",
        "%20",
        "%2F",
        "%2f",
        "%5C",
        "%01",
        "%ff",
        "%zz",
        "%",
        ";x=1",
        ":",
        "@",
        "!$&'()*+,=",
        "~",
        "|",
        "\"",
        "{}",
        "[]",
        "^",
        "\\",
        "é",
        "a.b",
        "-_",
    ];
    let mut text = "/".to_owned();
    for _ in 0..random.below(8) {
        text.push_str(random.one_of(&PIECES));
    }
    if random.percent(60) {
        text.push('?');
        for _ in 0..random.below(8) {
            // The HTTP library takes no bare quote here, and says so with a bare 400.
            text.push_str(&random.one_of(&PIECES).replace('"', "%22"));
            text.push_str(random.one_of(&["", "=", "&", "?", "/..", "+"]));
        }
    }
    text
}

/// A document that asks for no stream, so long or a little longer.
fn json(length: usize) -> Vec<u8> {
    format!(r#"{{"deep":{{"stream":true}},"text":"{}","stream":false}}"#, "x".repeat(length)).into_bytes()
}

/// So many fields in any order and spelling, some of them of one connection only.
fn fields(random: &mut Random, names: &[&str], count: usize) -> Vec<Field> {
    let mut fields = Vec::new();
    for _ in 0..count {
        let name = random.one_of(names);
        let is_json = name == "Content-Type" && random.percent(60);
        let value = if is_json { b"application/json".to_vec() } else { value(random) };
        fields.push((respelled(random, name), value));
    }
    if random.percent(25) {
        for (name, value) in [("Connection", "X-Hop, keep-alive"), ("X-Hop", "1"), ("X-Hop", "2")] {
            let place = random.below(fields.len() + 1);
            fields.insert(place, (respelled(random, name), value.into()));
        }
    }
    fields
}

fn respelled(random: &mut Random, name: &str) -> String {
    let flip = |letter: char| {
        if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() }
    };
    name.chars().map(|letter| if random.percent(10) { flip(letter) } else { letter }).collect()
}

/// A value: ordinary, empty, of bytes that are no text, or with what could be taken for several.
fn value(random: &mut Random) -> Vec<u8> {
    match random.below(6) {
        0 => Vec::new(),
        1 => {
            let mut bytes: Vec<u8> = random.bytes(30).into_iter().map(|byte| byte | 0x80).collect();
            bytes.push(b'.');
            bytes
        }
        2 => b"a, \"b,c\" ,,d; e=\"f\\\"\"".to_vec(),
        3 => b"with  two spaces and a\ttab".to_vec(),
        4 => vec![b'l'; random.number_of(&[300, 1000])],
        _ => format!("v{}", random.below(1000)).into_bytes(),
    }
}

/// Head and framed body of an answer, whether the connection ends it, and whether it has a date.
fn answer(random: &mut Random, method: &str) -> (Vec<u8>, Vec<u8>, bool, bool) {
    let status = random.number_of(&STATUSES);
    let count = random.number_of(&[0, 2, 5, 9, 25, 150]);
    let mut fields = fields(random, &ANSWER_NAMES, count);
    let is_dated = random.percent(80);
    if is_dated {
        let place = random.below(fields.len() + 1);
        fields.insert(place, (respelled(random, "Date"), b"Tue, 15 Nov 1994 08:12:31 GMT".to_vec()));
    }
    let length = random.number_of(&LENGTHS);
    let body = random.bytes(length);
    let bodiless = method == "HEAD" || status == 204 || status == 304;
    // A length may be told of a body that does not come, but not with 204 (RFC 9110 §8.6), for which some tell 0.
    let (framing, framed, closes) = match (random.below(4), status) {
        (0, 204) => (Some(("Content-Length", "0".to_owned())), body, false),
        (0 | 1, _) if status != 204 => (Some(("Content-Length", length.to_string())), body, false),
        (2, _) if status != 204 => {
            (Some(("Transfer-Encoding", respelled(random, "chunked"))), chunks(random, &body), false)
        }
        _ => (None, body, !bodiless),
    };
    if let Some((name, value)) = framing {
        let place = random.below(fields.len() + 1);
        fields.insert(place, (respelled(random, name), value.into_bytes()));
    }
    let version = if closes && random.percent(30) { "HTTP/1.0" } else { "HTTP/1.1" };
    let interim = if random.percent(10) { "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" } else { "" };
    let mut head = format!("{interim}{version} {status} Scripted\r\n").into_bytes();
    for (name, value) in &fields {
        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    (head, if bodiless { Vec::new() } else { framed }, closes, is_dated)
}

fn chunks(random: &mut Random, body: &[u8]) -> Vec<u8> {
    let mut framed = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(1 + random.below(9000)));
        framed.extend([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        rest = after;
    }
    framed.extend(b"0\r\n\r\n");
    framed
}
