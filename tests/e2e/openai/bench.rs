//! The same SDK call made directly and through proxq, compared in what it gives and in what OpenAI sees of it.

use std::fmt::Debug;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use harness::{Proxq, Route, Store};
use wiremock::{Request, ResponseTemplate};

use super::scripted::OpenAi;
use crate::client::install_provider;

/// An OpenAI, a proxq in front of it, and a client of each.
pub(super) struct Bench {
    pub(super) openai: OpenAi,
    pub(super) proxq: Proxq,
    pub(super) direct: Client<OpenAIConfig>,
    pub(super) queued: Client<OpenAIConfig>,
}

/// What became of a call. It was the same both ways.
pub(super) struct Alike<T> {
    /// What the call through proxq gave.
    pub(super) result: Result<T, OpenAIError>,
    /// What OpenAI saw of it.
    pub(super) requests: Vec<Request>,
}

impl Bench {
    pub(super) async fn start(store: Store) -> Self {
        let openai = OpenAi::start().await;
        let proxq = Proxq::start(store.config().route(Route::new("/", &openai.url()))).await;
        let config = config(&openai.url());
        let queued = proxq_openai::client(proxq.url(), config.clone()).expect("a good URL");
        Self { openai, proxq, direct: Client::with_config(config), queued }
    }

    /// Makes a call both ways, each time with these answers before the good ones, and compares.
    pub(super) async fn alike_after<T: Debug>(
        &self,
        script: &[ResponseTemplate],
        call: impl AsyncFn(&Client<OpenAIConfig>) -> Result<T, OpenAIError>,
    ) -> Alike<T> {
        self.openai.answers_first(script);
        let expected = call(&self.direct).await;
        let expected_requests = self.openai.take_requests().await;
        self.openai.answers_first(script);
        let result = call(&self.queued).await;
        let requests = self.openai.take_requests().await;
        assert_eq!(format!("{result:?}"), format!("{expected:?}"), "what the call gives");
        let seen = |requests: &[Request]| requests.iter().map(as_sent).collect::<Vec<_>>();
        assert_eq!(seen(&requests), seen(&expected_requests), "what OpenAI sees of it");
        Alike { result, requests }
    }

    /// The same with good answers only.
    pub(super) async fn alike<T: Debug>(
        &self,
        call: impl AsyncFn(&Client<OpenAIConfig>) -> Result<T, OpenAIError>,
    ) -> Alike<T> {
        self.alike_after(&[], call).await
    }
}

impl<T> Alike<T> {
    /// The value, of a call that was made as jobs.
    pub(super) fn queued(self) -> T {
        self.went(true).expect("the call succeeds")
    }

    /// The value, of a call that bypassed the queue.
    pub(super) fn bypassed(self) -> T {
        self.went(false).expect("the call succeeds")
    }

    /// The error, of a call that was made as jobs.
    pub(super) fn refused(self) -> OpenAIError {
        self.went(true).err().expect("the call fails")
    }

    fn went(self, as_jobs: bool) -> Result<T, OpenAIError> {
        assert!(!self.requests.is_empty(), "OpenAI was asked");
        for request in &self.requests {
            assert_eq!(request.headers.contains_key("x-proxq-job-id"), as_jobs, "made as a job: {request:?}");
        }
        self.result
    }
}

/// What a client of an OpenAI at this origin is told.
pub(super) fn config(origin: &str) -> OpenAIConfig {
    install_provider();
    let config =
        OpenAIConfig::new().with_api_base(format!("{origin}/v1")).with_api_key("sk-test").with_org_id("org-test");
    config.with_header("X-Of-The-Caller", "kept").expect("a good header")
}

/// An HTTP client of the caller's.
pub(super) fn http() -> reqwest::ClientBuilder {
    install_provider();
    reqwest::Client::builder()
}

/// A request as it was sent, without what names the way that it came and without the random part of a form.
fn as_sent(request: &Request) -> String {
    const OF_THE_WAY: [&str; 8] = [
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
        "x-proxq-job-id",
        "x-proxq-attempt",
    ];
    let mut fields: Vec<_> = request.headers.iter().filter(|(name, _)| !OF_THE_WAY.contains(&name.as_str())).collect();
    fields.sort_by_key(|(name, _)| name.as_str());
    let body = String::from_utf8_lossy(&request.body);
    let sent = format!("{} {}\n{fields:?}\n{body}", request.method, request.url);
    let content_type = request.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match content_type.split_once("boundary=") {
        Some((_, boundary)) => sent.replace(boundary, "boundary"),
        None => sent,
    }
}
