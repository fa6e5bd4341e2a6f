//! The Rust of the pages: every block stands in this file, where it is compiled, and run where it can be.

use std::error::Error;

use async_openai::config::OpenAIConfig;
use harness::{Answer, Proxq, Upstream, on_every_store};
use proxq_client::{Proxq as Middleware, ProxqClient};

use super::blocks;
use crate::client::install_provider;

const SOURCE: &str = include_str!("code.rs");

/// Without white space, which depends on how deep code stands.
fn squeezed(code: &str) -> String {
    code.split_whitespace().collect()
}

#[test]
fn every_block_stands_here() {
    let source = squeezed(SOURCE);
    for block in blocks("rust") {
        assert!(source.contains(&squeezed(&block.text)), "{} is not in code.rs:\n{}", block.place(), block.text);
    }
}

#[test]
fn what_names_a_server_is_compiled() {
    install_provider();
    // Never polled: the server is none.
    drop(async {
        let http = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
            .with(proxq_client::Proxq::new()) // the one line
            .build();
        let response = http.post("https://proxq.example.com/api/reports").body("2026").send().await?;
        Ok::<_, reqwest_middleware::Error>(response)
    });
    let openai = || {
        // before: let client = async_openai::Client::with_config(OpenAIConfig::new().with_api_key("sk-…"));
        let client = proxq_openai::client("https://proxq.example.com", OpenAIConfig::new().with_api_key("sk-…"))?;
        Ok::<_, Box<dyn Error>>(client)
    };
    assert!(openai().is_ok(), "an https URL");
}

/// Says how a call ended.
async fn call(http: reqwest_middleware::ClientWithMiddleware, url: String) {
    match http.get(url).send().await {
        Ok(response) => println!("{}", response.status()),
        Err(error) => match proxq_client::Error::find(&error) {
            Some(proxq_client::Error::JobFailed { id, error, .. }) => println!("job {id} failed: {error}"),
            Some(other) => println!("proxq: {other}"),
            None => println!("{error}"),
        },
    }
}

/// Submits a job and fetches its content.
async fn hold(proxq: String) -> Result<reqwest::Response, Box<dyn Error>> {
    use Middleware as Proxq;
    install_provider();
    let http = reqwest::Client::new();
    let client = ProxqClient::new(Proxq::builder().proxq_url(&proxq).build()?, http.clone());
    let job = client.submit(http.post(format!("{proxq}/reports")).body("2026").build()?).await?;
    let id = job.id(); // keep it; later, or elsewhere:
    let report = client.attach(id)?.content().await?;
    Ok(report)
}

on_every_store! {
    async fn a_job_is_held_as_it_is_shown(proxq: Proxq, upstream: Upstream) {
        upstream.answers(200, "the report");
        let report = hold(proxq.url()).await.unwrap();
        assert_eq!(report.text().await.unwrap(), "the report");
        assert_eq!(upstream.request().await.text(), "2026");
    }

    async fn an_error_is_taken_apart_as_it_is_shown(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::nothing().close());
        install_provider();
        let http = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(Middleware::new()).build();
        call(http, format!("{}/x", proxq.url())).await;
        assert_eq!(upstream.received().len(), 1);
    }
}
