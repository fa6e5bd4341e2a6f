//! Every group of the API that the SDK has and the README names.

use std::fs;

use async_openai::Client;
use async_openai::config::Config;
use async_openai::error::OpenAIError;
use async_openai::types::audio::{
    AudioInput, CreateSpeechRequest, CreateTranscriptionRequest, CreateTranscriptionRequestArgs, SpeechModel,
};
use async_openai::types::batches::{BatchEndpoint, BatchRequest};
use async_openai::types::chat::{
    ChatCompletionRequestUserMessage, CreateChatCompletionRequest, CreateChatCompletionRequestArgs,
    CreateChatCompletionResponse, CreateChatCompletionStreamResponse,
};
use async_openai::types::embeddings::CreateEmbeddingRequest;
use async_openai::types::files::{CreateFileRequest, FileInput, FilePurpose};
use async_openai::types::images::{CreateImageEditRequest, CreateImageRequest, ImageInput};
use async_openai::types::moderations::CreateModerationRequest;
use async_openai::types::responses::CreateResponse;
use async_openai::types::stream::StreamResponse;
use async_openai::types::vectorstores::CreateVectorStoreRequest;
use bytes::Bytes;
use futures_util::TryStreamExt;
use harness::{Store, on_every_store};

use super::bench::Bench;
use super::scripted::SPEECH;

/// The pieces of an answer.
pub(super) type Chunks = StreamResponse<CreateChatCompletionStreamResponse>;

/// A question to a model.
fn question() -> CreateChatCompletionRequest {
    let message = ChatCompletionRequestUserMessage::from("Say hello.");
    CreateChatCompletionRequestArgs::default().model("gpt-4o").messages([message.into()]).build().expect("complete")
}

/// Asks it.
pub(super) async fn ask<C: Config>(client: &Client<C>) -> Result<CreateChatCompletionResponse, OpenAIError> {
    client.chat().create(question()).await
}

/// Asks it for a stream of the answer.
pub(super) async fn ask_for_stream<C: Config>(client: &Client<C>) -> Result<Chunks, OpenAIError> {
    client.chat().create_stream(question()).await
}

fn recording() -> CreateTranscriptionRequest {
    let file = AudioInput::from_vec_u8("hello.wav".to_owned(), b"RIFF\x00\xff\r\n--".to_vec());
    CreateTranscriptionRequestArgs::default().file(file).model("whisper-1").build().expect("complete")
}

fn speech() -> CreateSpeechRequest {
    CreateSpeechRequest {
        input: "Hello".to_owned(),
        model: SpeechModel::Other("gpt-4o-mini-tts".to_owned()),
        ..Default::default()
    }
}

fn text_response() -> CreateResponse {
    CreateResponse { model: Some("gpt-4o".to_owned()), input: "Say hello.".into(), ..Default::default() }
}

on_every_store! {
    async fn chat(store: Store) {
        let bench = Bench::start(store).await;
        let completion = bench.alike(ask).await.queued();
        assert_eq!(completion.choices[0].message.content.as_deref(), Some("Hello – grüß dich"));
        let streamed = bench.alike(async |client| ask_for_stream(client).await?.try_collect::<Vec<_>>().await);
        let text: String = streamed.await.bypassed().into_iter().filter_map(|event| event.choices[0].delta.content.clone()).collect();
        assert_eq!(text, "Hello");
    }

    async fn responses(store: Store) {
        let bench = Bench::start(store).await;
        let response = bench.alike(async |client| client.responses().create(text_response()).await).await.queued();
        assert_eq!(response.output_text().as_deref(), Some("Hello"));
        bench.alike(async |client| client.responses().retrieve("resp_1").await).await.queued();
        let streamed = bench.alike(async |client| {
            client.responses().create_stream(text_response()).await?.try_collect::<Vec<_>>().await
        });
        assert_eq!(streamed.await.bypassed().len(), 2);
        let streamed = bench.alike(async |client| {
            client.responses().retrieve_stream("resp_1").await?.try_collect::<Vec<_>>().await
        });
        assert_eq!(streamed.await.bypassed().len(), 2);
    }

    async fn embeddings(store: Store) {
        let bench = Bench::start(store).await;
        let request = CreateEmbeddingRequest { model: "text-embedding-3-small".to_owned(), input: "text".into(), ..Default::default() };
        let given = bench.alike(async |client| client.embeddings().create(request.clone()).await).await.queued();
        assert_eq!(given.data[0].embedding, [0.25, -0.5, 1.0]);
    }

    async fn images(store: Store) {
        let bench = Bench::start(store).await;
        let request = CreateImageRequest { prompt: "a cat".to_owned(), ..Default::default() };
        let made = bench.alike(async |client| client.images().generate(request.clone()).await).await.queued();
        assert_eq!(made.data.len(), 1);
        let image = ImageInput::from_bytes("cat.png".to_owned(), Bytes::from_static(b"\x89PNG\r\n\x1a\n"));
        let request = CreateImageEditRequest { image: image.into(), prompt: "a dog".to_owned(), ..Default::default() };
        bench.alike(async |client| client.images().edit(request.clone()).await).await.queued();
    }

    async fn audio(store: Store) {
        let bench = Bench::start(store).await;
        let heard = bench.alike(async |client| client.audio().transcription().create(recording()).await).await.queued();
        assert_eq!(heard.text, "hello");
        let spoken = bench.alike(async |client| Ok(client.audio().speech().create(speech()).await?.bytes)).await.queued();
        assert_eq!(spoken, SPEECH);
        let heard = bench.alike(async |client| {
            client.audio().transcription().create_stream(recording()).await?.try_collect::<Vec<_>>().await
        });
        assert_eq!(heard.await.bypassed().len(), 1);
        let spoken = bench.alike(async |client| {
            client.audio().speech().create_stream(speech()).await?.try_collect::<Vec<_>>().await
        });
        assert_eq!(spoken.await.bypassed().len(), 1);
    }

    async fn files(store: Store) {
        let bench = Bench::start(store).await;
        let lines = "{\"custom_id\":\"1\"}\n";
        let file = FileInput::from_vec_u8("lines.jsonl".to_owned(), lines.into());
        let request = CreateFileRequest { file, purpose: FilePurpose::Batch, expires_after: None };
        let made = bench.alike(async |client| client.files().create(request.clone()).await).await.queued();
        assert_eq!(made.id, "file-1");
        // The SDK does not say how long a file on disk is.
        let path = bench.proxq.folder().join("lines.jsonl");
        fs::write(&path, lines).unwrap();
        let request = CreateFileRequest { file: path.into(), purpose: FilePurpose::Batch, expires_after: None };
        bench.alike(async |client| client.files().create(request.clone()).await).await.bypassed();
        bench.alike(async |client| client.files().list().await).await.queued();
        bench.alike(async |client| client.files().retrieve("file-1").await).await.queued();
        let content = bench.alike(async |client| client.files().content("file-1").await).await.queued();
        assert_eq!(content, SPEECH);
        assert!(bench.alike(async |client| client.files().delete("file-1").await).await.queued().deleted);
    }

    async fn models(store: Store) {
        let bench = Bench::start(store).await;
        assert_eq!(bench.alike(async |client| client.models().list().await).await.queued().data.len(), 1);
        assert_eq!(bench.alike(async |client| client.models().retrieve("gpt-4o").await).await.queued().id, "gpt-4o");
    }

    async fn moderations(store: Store) {
        let bench = Bench::start(store).await;
        let request = CreateModerationRequest { input: "hello".into(), model: None };
        let judged = bench.alike(async |client| client.moderations().create(request.clone()).await).await.queued();
        assert!(!judged.results[0].flagged);
    }

    async fn batches(store: Store) {
        let bench = Bench::start(store).await;
        let request =
            BatchRequest { input_file_id: "file-1".to_owned(), endpoint: BatchEndpoint::V1Embeddings, ..Default::default() };
        let made = bench.alike(async |client| client.batches().create(request.clone()).await).await.queued();
        assert_eq!(made.id, "batch_1");
        bench.alike(async |client| client.batches().list().await).await.queued();
        bench.alike(async |client| client.batches().retrieve("batch_1").await).await.queued();
        bench.alike(async |client| client.batches().cancel("batch_1").await).await.queued();
    }

    async fn vector_stores(store: Store) {
        let bench = Bench::start(store).await;
        let request = CreateVectorStoreRequest { name: Some("notes".to_owned()), ..Default::default() };
        let made = bench.alike(async |client| client.vector_stores().create(request.clone()).await).await.queued();
        assert_eq!(made.file_counts.total, 1);
        bench.alike(async |client| client.vector_stores().retrieve("vs_1").await).await.queued();
        assert!(bench.alike(async |client| client.vector_stores().delete("vs_1").await).await.queued().deleted);
    }
}
