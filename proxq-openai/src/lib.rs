//! The OpenAI SDK [`async_openai`] through proxq: every call becomes a durable job, streams go direct.
//!
//! ```no_run
//! use proxq_openai::async_openai::config::OpenAIConfig;
//! use proxq_openai::async_openai::types::chat::{ChatCompletionRequestUserMessage, CreateChatCompletionRequestArgs};
//!
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! // before: let client = async_openai::Client::with_config(OpenAIConfig::new().with_api_key("sk-…"));
//! let client = proxq_openai::client("https://proxq.example.com", OpenAIConfig::new().with_api_key("sk-…"))?;
//!
//! let question = ChatCompletionRequestUserMessage::from("Say hello.");
//! let request = CreateChatCompletionRequestArgs::default().model("gpt-4o").messages([question.into()]).build()?;
//! let answer = client.chat().create(request).await?;
//! # Ok(())
//! # }
//! ```
//!
//! What comes out is the SDK's own client, with its types, errors and retries. proxq's upstream is the origin of the API,
//! here `url: https://api.openai.com`: scheme, host and port of the SDK's URLs are exchanged for the base URL of proxq, and
//! what follows stays. A base URL may have a path, where the upstream has a `prefix`.
//!
//! - [`client`] is the one line; [`Builder`] is for an HTTP client of one's own and for the options of [`proxq_client`].
//! - [`proxq_error`] gets proxq's own failures out of an [`OpenAIError`].
//!
//! # What happens to a call
//!
//! | | |
//! |---|---|
//! | it asks for a stream | it goes direct; each event arrives when it is sent, dropping the stream ends the exchange |
//! | any other | becomes a job; the call waits for its result |
//! | the upstream answers `429` or `5xx` | the SDK's retries apply, each as a new job after the SDK's pause; an exhausted quota is not retried |
//! | the upstream could not be connected to | the same, since nothing was sent; in the end an [`OpenAIError::Reqwest`] with `is_connect`, as without proxq, in which [`proxq_error`] finds the job |
//! | it is unknown whether the upstream received it | [`JobFailed`](proxq_client::Error::JobFailed), and nothing is sent again |
//! | proxq refuses it | [`Refused`](proxq_client::Error::Refused); not retried |
//! | the connection to proxq fails or breaks | it is made again; the job stays the same one |
//! | its future is dropped | its job is cancelled |
//!
//! # Features
//!
//! The groups of the API are features of [`async_openai`], to be enabled on a dependency of one's own. **Never its `full` or
//! `byot`:** with `byot` the SDK does not ask for streams any more, in any crate of the program, and `create_stream` gives none.
//! TLS is that of reqwest: `rustls` (the default), `rustls-no-provider` or `native-tls`.

#![forbid(unsafe_code)]

mod builder;
mod calls;
mod error;
mod unconnected;

pub use async_openai;
use async_openai::Client;
use async_openai::config::Config;
#[cfg(doc)]
use async_openai::error::OpenAIError;
pub use proxq_client;

pub use crate::builder::{BuildError, Builder};
pub use crate::error::proxq_error;

/// The SDK's client, with its calls going through the proxq at this URL.
///
/// `base_url` may have a path, where proxq's upstream has a `prefix`. The rest of a URL is as `config` makes it.
///
/// ```
/// use proxq_openai::async_openai::config::{AzureConfig, OpenAIConfig};
///
/// let openai = proxq_openai::client("https://proxq.example.com", OpenAIConfig::new().with_api_key("sk-…"))?;
///
/// let azure = AzureConfig::new()
///     .with_api_base("https://my-resource.openai.azure.com")
///     .with_deployment_id("gpt-4o")
///     .with_api_version("2024-10-21")
///     .with_api_key("…");
/// let azure = proxq_openai::client("https://proxq.example.com/azure", azure)?;
/// # Ok::<(), proxq_openai::BuildError>(())
/// ```
///
/// # Errors
/// For a base URL that is none, a configuration without a URL, and where TLS cannot be set up.
pub fn client<C: Config>(base_url: impl Into<String>, config: C) -> Result<Client<C>, BuildError> {
    Builder::new(base_url).build(config)
}

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
