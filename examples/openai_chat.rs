//! A question to OpenAI through proxq, first as a job and then as a stream.
//!
//! ```sh
//! cargo run --bin openai_chat -- --demo                                         # offline, with a scripted OpenAI
//! OPENAI_API_KEY=sk-… cargo run --bin openai_chat -- https://proxq.example.com  # with proxq's upstream https://api.openai.com
//! ```

mod demo;

use std::io::{Write, stdout};

use async_openai::config::OpenAIConfig;
use async_openai::types::chat::{ChatCompletionRequestUserMessage, CreateChatCompletionRequestArgs};
use embedded::Problem;
use futures_util::StreamExt;

#[tokio::main]
async fn main() -> Result<(), Problem> {
    demo::run(ask).await
}

async fn ask(proxq_url: String) -> Result<(), Problem> {
    // Without proxq, this would be async_openai::Client::with_config(OpenAIConfig::new()).
    let client = proxq_openai::client(proxq_url, OpenAIConfig::new())?;
    let question = ChatCompletionRequestUserMessage::from("Say hello in four words.");
    let request = CreateChatCompletionRequestArgs::default().model("gpt-4o").messages([question.into()]).build()?;

    let answer = client.chat().create(request.clone()).await?;
    println!("as a job:    {}", answer.choices[0].message.content.as_deref().unwrap_or_default());

    let mut chunks = client.chat().create_stream(request).await?;
    print!("as a stream: ");
    while let Some(chunk) = chunks.next().await {
        for choice in chunk?.choices {
            print!("{}", choice.delta.content.unwrap_or_default());
            stdout().flush()?;
        }
    }
    println!();
    Ok(())
}
