//! A scripted OpenAI API, with which the examples run without a network or a key.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use embedded::{Problem, behind_proxq};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

/// How long the scripted API waits before each word.
const THINKING_TIME: Duration = Duration::from_millis(200);

/// The answer of the scripted API.
const WORDS: [&str; 4] = ["Hello ", "from ", "a ", "script."];

/// Runs a program with the URL of a proxq: the first argument, or with `--demo` a proxq in front of the scripted API.
pub(crate) async fn run(program: impl AsyncFnOnce(String) -> Result<(), Problem>) -> Result<(), Problem> {
    match std::env::args().nth(1) {
        Some(argument) if argument == "--demo" => behind_proxq(scripted_openai(), |_| {}, program).await,
        Some(url) => program(url).await,
        None => Err("say where proxq is, such as https://proxq.example.com, or --demo".into()),
    }
}

/// An API that always gives the same answer.
fn scripted_openai() -> Router {
    let image = json!({"created": 1, "data": [{"b64_json": "iVBORw0KGgo="}]});
    let embedding = json!({
        "object": "list", "model": "text-embedding-3-small", "usage": {"prompt_tokens": 2, "total_tokens": 2},
        "data": [{"index": 0, "object": "embedding", "embedding": [0.1, 0.2, 0.3]}],
    });
    let file = json!({
        "id": "file-1", "object": "file", "bytes": 26, "created_at": 1, "filename": "notes.txt", "purpose": "user_data",
        "status": "processed",
    });
    let transcript = json!({"text": WORDS.concat(), "usage": {"type": "duration", "seconds": 1.0}});
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/images/generations", post(|| async { Json(image) }))
        .route("/v1/embeddings", post(|| async { Json(embedding) }))
        .route("/v1/files", post(|| async { Json(file) }))
        .route("/v1/audio/speech", post(|| async { ([(header::CONTENT_TYPE, "audio/wav")], "RIFF of a script") }))
        .route("/v1/audio/transcriptions", post(|| async { Json(transcript) }))
        .fallback(|| async { (StatusCode::NOT_FOUND, Json(json!({"error": {"message": "not in the script"}}))) })
}

async fn chat(Json(request): Json<Value>) -> Response {
    if request["stream"] == true {
        let done = stream::iter([Ok(Event::default().data("[DONE]"))]);
        let words = stream::iter(WORDS).then(|word| async move {
            tokio::time::sleep(THINKING_TIME).await;
            Ok::<_, Infallible>(Event::default().data(completion("chat.completion.chunk", "delta", word).to_string()))
        });
        return Sse::new(words.chain(done)).into_response();
    }
    tokio::time::sleep(THINKING_TIME).await;
    Json(completion("chat.completion", "message", &WORDS.concat())).into_response()
}

fn completion(object: &str, kind: &str, content: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": object, "created": 1, "model": "scripted",
        "choices": [{"index": 0, kind: {"role": "assistant", "content": content}, "finish_reason": null}],
    })
}
