//! Calls for files, embeddings, images and audio to OpenAI through proxq. Each call is a job.
//!
//! ```sh
//! cargo run --bin openai_everything -- --demo                                         # offline, with a scripted OpenAI
//! OPENAI_API_KEY=sk-… cargo run --bin openai_everything -- https://proxq.example.com  # this costs a little
//! ```

mod demo;

use std::time::Duration;

use async_openai::config::OpenAIConfig;
use async_openai::types::audio::{
    AudioInput, CreateSpeechRequest, CreateTranscriptionRequestArgs, SpeechModel, SpeechResponseFormat,
};
use async_openai::types::embeddings::CreateEmbeddingRequestArgs;
use async_openai::types::files::{CreateFileRequestArgs, FileInput, FilePurpose};
use async_openai::types::images::CreateImageRequestArgs;
use embedded::Problem;
use proxq_openai::Builder;
use proxq_openai::proxq_client::Proxq;

/// The longest that one call may take.
const PATIENCE: Duration = Duration::from_mins(5);

#[tokio::main]
async fn main() -> Result<(), Problem> {
    demo::run(call_everything).await
}

async fn call_everything(proxq_url: String) -> Result<(), Problem> {
    let client = Builder::new(proxq_url).proxq(Proxq::builder().max_wait(PATIENCE)).build(OpenAIConfig::new())?;

    let notes = FileInput::from_vec_u8("notes.txt".to_owned(), b"What is to be remembered.\n".to_vec());
    let upload = CreateFileRequestArgs::default().file(notes).purpose(FilePurpose::UserData).build()?;
    let file = client.files().create(upload).await?;
    println!("a file:        {}", file.id);

    let text = CreateEmbeddingRequestArgs::default().model("text-embedding-3-small").input("a text").build()?;
    let embeddings = client.embeddings().create(text).await?;
    println!("an embedding:  {} dimensions", embeddings.data[0].embedding.len());

    let picture = CreateImageRequestArgs::default().prompt("a queue of boxes").build()?;
    let images = client.images().generate(picture).await?;
    println!("an image:      {}", images.data.len());

    let text = CreateSpeechRequest {
        input: "Hello from a script.".to_owned(),
        model: SpeechModel::Other("gpt-4o-mini-tts".to_owned()),
        response_format: Some(SpeechResponseFormat::Wav),
        ..CreateSpeechRequest::default()
    };
    let sound = client.audio().speech().create(text).await?.bytes;
    println!("a voice:       {} bytes", sound.len());

    let recording = AudioInput::from_bytes("hello.wav".to_owned(), sound);
    let recording = CreateTranscriptionRequestArgs::default().file(recording).model("gpt-4o-transcribe").build()?;
    let transcript = client.audio().transcription().create(recording).await?;
    println!("what it says:  {}", transcript.text);
    Ok(())
}
