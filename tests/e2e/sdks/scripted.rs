//! An upstream that answers as OpenAI's and Anthropic's APIs do, by the path of the request: `/CLIENT/CASE/v1/…`.

use std::collections::HashMap;

use harness::{Answer, Gate, Received, Upstream};
use serde_json::{Value, json};

use super::calls::Call;

/// `maxResponseSize` of the servers under test. Only one answer is larger.
pub(super) const RESPONSE_BYTES_MAX: usize = 64 << 10;

/// An upstream, and what its answers wait for.
#[derive(Debug)]
pub(super) struct Scripted {
    pub(super) upstream: Upstream,
    /// Keeps back the answers to calls that take long.
    pub(super) slow: Gate,
}

impl Scripted {
    /// Starts one. `stream` keeps back everything but the first event of each stream.
    pub(super) async fn start(stream: &Gate) -> Self {
        let (upstream, slow) = (Upstream::start().await, Gate::new());
        let (slow_answers, streams) = (slow.clone(), stream.clone());
        let mut counts = HashMap::new();
        upstream.plan(move |head| {
            let target = head.word(1);
            let number = counts.entry(target.to_owned()).and_modify(|count| *count += 1).or_insert(1);
            let (case, endpoint) = parts(target);
            match case {
                "slow-again-500" if *number < 2 => error(500, "api_error").wait(&slow_answers),
                "slow" | "slow-async" | "slow-id" | "slow-list" | "unfollowed" => good(endpoint).wait(&slow_answers),
                "cancelled" => good(endpoint).wait(&Gate::new()),
                "400" => error(400, "invalid_request_error"),
                "401" => error(401, "authentication_error"),
                "429" => error(429, "rate_limit_error").header("Retry-After", "7"),
                "500" => error(500, "api_error"),
                "html" => Answer::status(502).header("Content-Type", "text/html").body("<h1>Bad Gateway</h1>"),
                "again-400" if *number < 3 => error(400, "invalid_request_error").header("X-Should-Retry", "true"),
                "again-429" if *number < 3 => error(429, "rate_limit_error").header("Retry-After-Ms", "10"),
                "again-500" if *number < 3 => error(500, "api_error").header("Retry-After-Ms", "10"),
                "broken" => Answer::nothing().reset(),
                "large" => json_answer(200, &json!({"id": "x".repeat(RESPONSE_BYTES_MAX)})),
                "stream" => events(endpoint, &streams),
                _ => good(endpoint),
            }
        });
        Self { upstream, slow }
    }

    /// The requests of a call so far.
    pub(super) fn requests_of(&self, call: &Call) -> Vec<Received> {
        self.upstream.received().into_iter().filter(|request| call.has(request.target())).collect()
    }
}

/// The case and the endpoint of a request.
fn parts(target: &str) -> (&str, &str) {
    let path = target.split('?').next().unwrap_or_default();
    let path = path.strip_prefix("/wait").unwrap_or(path);
    let mut parts = path.splitn(4, '/').skip(2);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

fn json_answer(status: u16, body: &Value) -> Answer {
    // OpenAI's and Anthropic's names of the same header.
    let answer = Answer::status(status).header("X-Request-Id", "req_1").header("Request-Id", "req_1");
    let answer = answer.header("Content-Type", "application/json").header("Content-Encoding", "gzip");
    answer.body(gzip(body.to_string().as_bytes()))
}

/// The bytes in gzip's format (RFC 1952), as the APIs send them. Not made smaller: that is not what is tested.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = bytes.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).expect("a block has at most so many bytes");
        file.push(u8::from(blocks.peek().is_none()));
        file.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
        file.extend(block);
    }
    let checksum = bytes.iter().fold(u32::MAX, |checksum, byte| {
        (0..8).fold(checksum ^ u32::from(*byte), |rest, _| (rest >> 1) ^ (0xedb8_8320 * (rest & 1)))
    });
    file.extend((!checksum).to_le_bytes());
    file.extend(u32::try_from(bytes.len()).expect("an answer is small").to_le_bytes());
    file
}

fn error(status: u16, kind: &str) -> Answer {
    let error = json!({"message": format!("because of {kind}"), "type": kind, "param": null, "code": kind});
    json_answer(status, &json!({"type": "error", "error": error}))
}

fn good(endpoint: &str) -> Answer {
    let usage = json!({"input_tokens": 1, "output_tokens": 2});
    match endpoint {
        "v1/audio/speech" | "v1/files/file_1/content" => {
            let sound: Vec<u8> = (0..=255).cycle().take(10_000).collect();
            Answer::status(200).header("Content-Type", "audio/mpeg").body(sound)
        }
        "v1/audio/transcriptions" => json_answer(200, &json!({"text": "Good morning."})),
        "v1/files" => {
            let file = json!({"id": "file_1", "type": "file", "filename": "a.wav", "mime_type": "audio/wav",
                "size_bytes": 10_240, "created_at": "2026-01-02T03:04:05Z", "downloadable": true});
            json_answer(200, &file)
        }
        "v1/models" => {
            let model = json!({"id": "m", "object": "model", "type": "model", "created": 1, "owned_by": "o",
                "display_name": "M", "created_at": "2026-01-02T03:04:05Z"});
            json_answer(
                200,
                &json!({"object": "list", "data": [model], "has_more": false, "first_id": "m", "last_id": "m"}),
            )
        }
        "v1/messages" => {
            let content = json!([{"type": "text", "text": "A queue — ein Gedächtnis."}]);
            json_answer(
                200,
                &json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content,
                    "stop_reason": "end_turn", "stop_sequence": null, "usage": usage}),
            )
        }
        _ => {
            let message = json!({"role": "assistant", "content": "A queue — ein Gedächtnis.", "refusal": null});
            let choice = json!({"index": 0, "finish_reason": "stop", "logprobs": null, "message": message});
            json_answer(
                200,
                &json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
                    "choices": [choice]}),
            )
        }
    }
}

/// A stream whose first event comes at once, and the others when the gate is open.
fn events(endpoint: &str, rest: &Gate) -> Answer {
    let events = if endpoint == "v1/messages" {
        let text = |text: &str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
        let events = [text("A"), text(" queue"), json!({"type": "message_stop"})];
        events.map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()))
    } else {
        let text = |text: &str| {
            let choice = json!({"index": 0, "delta": {"content": text}, "finish_reason": null});
            json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})
        };
        [text("A").to_string(), text(" queue").to_string(), "[DONE]".to_owned()]
            .map(|event| format!("data: {event}\n\n"))
    };
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let [first, second, third] = events.map(|event| chunk(&event));
    Answer::raw(format!("{head}{first}")).wait(rest).then(format!("{second}{third}0\r\n\r\n"))
}
