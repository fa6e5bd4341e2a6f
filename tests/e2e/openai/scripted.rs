//! An OpenAI of our own: one good answer for every endpoint, unless a test has scripted others.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

/// What a generated voice sounds like: bytes that are no text.
pub(super) const SPEECH: &[u8] = b"\xff\xfb\x90\x00 not text \x00\xfe";

/// A server that answers as OpenAI does.
pub(super) struct OpenAi {
    server: MockServer,
    script: Script,
}

/// What is answered before the good answers begin, in order.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<VecDeque<ResponseTemplate>>>);

impl OpenAi {
    pub(super) async fn start() -> Self {
        let (server, script) = (MockServer::start().await, Script::default());
        Mock::given(any()).respond_with(script.clone()).mount(&server).await;
        Self { server, script }
    }

    /// Scheme, host and port.
    pub(super) fn url(&self) -> String {
        self.server.uri()
    }

    /// Answers with these first, in place of what was scripted before.
    pub(super) fn answers_first(&self, script: &[ResponseTemplate]) {
        let mut rest = self.script.0.lock().unwrap_or_else(PoisonError::into_inner);
        *rest = script.iter().cloned().collect();
    }

    /// Every request since the last call of this function.
    pub(super) async fn take_requests(&self) -> Vec<Request> {
        let requests = self.server.received_requests().await.expect("recording is on unless switched off");
        // Forgets the mock, too.
        self.server.reset().await;
        Mock::given(any()).respond_with(self.script.clone()).mount(&self.server).await;
        requests
    }
}

impl Respond for Script {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let scripted = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        scripted.unwrap_or_else(|| good_answer(request))
    }
}

/// An error in OpenAI's form.
pub(super) fn error(status: u16, kind: &str, code: &str) -> ResponseTemplate {
    let error = json!({"message": format!("because of {code}"), "type": kind, "param": null, "code": code});
    ResponseTemplate::new(status).set_body_json(json!({"error": error}))
}

/// A stream of these events.
fn events(events: &[Value]) -> ResponseTemplate {
    let text: String =
        events.iter().map(|event| format!("data: {event}\n\n")).chain(["data: [DONE]\n\n".to_owned()]).collect();
    ResponseTemplate::new(200).set_body_raw(text, "text/event-stream")
}

fn good_answer(request: &Request) -> ResponseTemplate {
    let path = request.url.path().strip_prefix("/v1/").unwrap_or_default();
    let streams = asks_for_stream(request);
    let answer = match (request.method.as_str(), path) {
        ("POST", "chat/completions") if streams => return events(&[chunk("Hel"), chunk("lo")]),
        ("POST", "chat/completions") => chat_completion(),
        ("POST", "responses") | ("GET", "responses/resp_1") if streams => {
            return events(&[text_delta(1, "Hel"), text_delta(2, "lo")]);
        }
        ("POST", "responses") | ("GET", "responses/resp_1") => response(),
        ("POST", "embeddings") => embeddings(),
        ("POST", "images/generations" | "images/edits") => {
            json!({"created": 1, "data": [{"b64_json": "iVBORw0KGgo="}]})
        }
        ("POST", "audio/transcriptions") if streams => {
            return events(&[json!({"type": "transcript.text.delta", "delta": "hello"})]);
        }
        ("POST", "audio/transcriptions") => json!({"text": "hello", "usage": {"type": "duration", "seconds": 1.5}}),
        ("POST", "audio/speech") if streams => {
            return events(&[json!({"type": "speech.audio.delta", "audio": "UklGRg=="})]);
        }
        ("POST", "audio/speech") => return ResponseTemplate::new(200).set_body_raw(SPEECH, "audio/mpeg"),
        ("POST", "files") | ("GET", "files/file-1") => file(),
        ("GET", "files") => json!({"object": "list", "data": [file()], "has_more": false}),
        ("DELETE", "files/file-1") => json!({"id": "file-1", "object": "file", "deleted": true}),
        ("GET", "files/file-1/content") => {
            return ResponseTemplate::new(200).set_body_raw(SPEECH, "application/octet-stream");
        }
        ("GET", "models") => json!({"object": "list", "data": [model()]}),
        ("GET", "models/gpt-4o") => model(),
        ("POST", "moderations") => moderation(),
        ("POST", "batches" | "batches/batch_1/cancel") | ("GET", "batches/batch_1") => batch(),
        ("GET", "batches") => json!({"object": "list", "data": [batch()], "has_more": false}),
        ("POST", "vector_stores") | ("GET", "vector_stores/vs_1") => vector_store(),
        ("DELETE", "vector_stores/vs_1") => json!({"id": "vs_1", "object": "vector_store.deleted", "deleted": true}),
        _ => return error(404, "invalid_request_error", "unknown_url"),
    };
    ResponseTemplate::new(200).set_body_json(answer)
}

/// Whether the answer is to be a stream: the four ways in which the SDK says so.
fn asks_for_stream(request: &Request) -> bool {
    let body = String::from_utf8_lossy(&request.body);
    let in_form = body.contains("name=\"stream\"\r\n\r\ntrue");
    let in_query = request.url.query_pairs().any(|(name, value)| name == "stream" && value == "true");
    let json: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    in_form || in_query || json["stream"] == true || json["stream_format"] == "sse"
}

fn chat_completion() -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello – grüß dich"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    })
}

fn chunk(text: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}],
    })
}

fn response() -> Value {
    let text = json!({"type": "output_text", "text": "Hello", "annotations": []});
    let message =
        json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]});
    json!({
        "id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-4o", "status": "completed", "output": [message],
    })
}

fn text_delta(number: u64, delta: &str) -> Value {
    json!({
        "type": "response.output_text.delta", "sequence_number": number, "item_id": "msg_1", "output_index": 0,
        "content_index": 0, "delta": delta,
    })
}

fn embeddings() -> Value {
    let embedding = json!({"index": 0, "object": "embedding", "embedding": [0.25, -0.5, 1.0]});
    let usage = json!({"prompt_tokens": 1, "total_tokens": 1});
    json!({"object": "list", "model": "text-embedding-3-small", "data": [embedding], "usage": usage})
}

fn file() -> Value {
    json!({
        "id": "file-1", "object": "file", "bytes": 12, "created_at": 1, "filename": "lines.jsonl", "purpose": "batch",
        "status": "processed",
    })
}

fn model() -> Value {
    json!({"id": "gpt-4o", "object": "model", "created": 1, "owned_by": "openai"})
}

fn moderation() -> Value {
    let kinds = [
        "hate",
        "hate/threatening",
        "harassment",
        "harassment/threatening",
        "illicit",
        "illicit/violent",
        "self-harm",
        "self-harm/intent",
        "self-harm/instructions",
        "sexual",
        "sexual/minors",
        "violence",
        "violence/graphic",
    ];
    let each = |value: Value| kinds.iter().map(|&kind| (kind.to_owned(), value.clone())).collect::<Value>();
    let result = json!({
        "flagged": false, "categories": each(json!(false)), "category_scores": each(json!(0.125)),
        "category_applied_input_types": each(json!(["text"])),
    });
    json!({"id": "modr-1", "model": "omni-moderation-latest", "results": [result]})
}

fn batch() -> Value {
    json!({
        "id": "batch_1", "object": "batch", "endpoint": "/v1/embeddings", "input_file_id": "file-1",
        "completion_window": "24h", "status": "in_progress", "created_at": 1,
    })
}

fn vector_store() -> Value {
    let counts = json!({"in_progress": 0, "completed": 1, "failed": 0, "cancelled": 0, "total": 1});
    json!({
        "id": "vs_1", "object": "vector_store", "created_at": 1, "name": "notes", "usage_bytes": 12, "file_counts": counts,
        "status": "completed", "last_active_at": 1,
    })
}
