//! Other ways to set a client up: prefixes, Azure, configurations by trait object, an HTTP client of the caller's.

use async_openai::Client;
use async_openai::config::{AzureConfig, Config};
use async_openai::error::OpenAIError;
use harness::{Answer, Proxq, Received, Route, Store, Upstream, on_the_store};
use proxq_openai::{BuildError, Builder, proxq_client};

use super::bench::{config, http};
use super::groups::ask;

const COMPLETION: &str =
    r#"{"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": []}"#;

/// Asks once; gives what the upstream saw.
async fn asked<C: Config>(client: &Client<C>, upstream: &Upstream) -> Received {
    upstream.answers(200, COMPLETION);
    ask(client).await.expect("a completion");
    upstream.request().await
}

/// A proxq that leads to an upstream under this prefix.
async fn under(store: Store, prefix: &str, upstream: &Upstream) -> Proxq {
    Proxq::start(store.config().route(Route::new(prefix, &upstream.url()))).await
}

on_the_store! { Embedded:
    async fn a_prefix_is_part_of_the_base_url(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = under(store, "/openai", &upstream).await;
        for base in [format!("{}/openai", proxq.url()), format!("{}/openai/", proxq.url())] {
            let client = proxq_openai::client(&base, config("https://api.openai.com")).unwrap();
            let received = asked(&client, &upstream).await;
            assert_eq!(received.target(), "/v1/chat/completions");
            assert!(received.job_id().is_some(), "it was queued");
        }
    }

    async fn a_configuration_may_name_proxq_itself(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = under(store, "/", &upstream).await;
        let client = proxq_openai::client(proxq.url(), config(&proxq.url())).unwrap();
        assert_eq!(asked(&client, &upstream).await.target(), "/v1/chat/completions");
    }

    async fn azure_is_asked_in_its_own_way(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = under(store, "/", &upstream).await;
        let azure = AzureConfig::new()
            .with_api_base("https://resource.openai.azure.com")
            .with_deployment_id("gpt-4o")
            .with_api_version("2026-01-01")
            .with_api_key("azure-key");
        let client = Builder::new(proxq.url()).http_client(http().build().unwrap()).build(azure).unwrap();
        let received = asked(&client, &upstream).await;
        assert_eq!(received.target(), "/openai/deployments/gpt-4o/chat/completions?api-version=2026-01-01");
        assert_eq!(received.header("api-key").as_deref(), Some("azure-key"));
    }

    async fn a_configuration_may_be_chosen_at_run_time(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = under(store, "/", &upstream).await;
        let chosen: Box<dyn Config> = Box::new(config("https://api.openai.com"));
        let received = asked(&proxq_openai::client(proxq.url(), chosen).unwrap(), &upstream).await;
        assert_eq!(received.header("authorization").as_deref(), Some("Bearer sk-test"));
    }

    async fn the_callers_http_client_is_used(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = under(store, "/", &upstream).await;
        let http = http().user_agent("callers/1.0").build().unwrap();
        let client = Builder::new(proxq.url()).http_client(http).build(config("https://api.openai.com")).unwrap();
        assert_eq!(asked(&client, &upstream).await.header("user-agent").as_deref(), Some("callers/1.0"));
    }

    async fn retries_can_be_switched_off(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = under(store, "/", &upstream).await;
        upstream.always(Answer::status(503).body("overloaded"));
        let client = Builder::new(proxq.url()).max_retries(0).build(config("https://api.openai.com")).unwrap();
        let error = ask(&client).await.unwrap_err();
        assert!(matches!(&error, OpenAIError::ApiError(error) if error.status_code == 503), "{error:?}");
        assert_eq!(upstream.received().len(), 1);
    }
}

#[test]
fn a_client_that_cannot_work_is_not_built() {
    let openai = || config("https://api.openai.com");
    for base in ["proxq.example.com", "ftp://proxq.example.com", ""] {
        let error = proxq_openai::client(base, openai()).expect_err(base);
        assert!(matches!(error, BuildError::Proxq(proxq_client::BuildError::Url { .. })), "{error:?}");
    }
    let error = proxq_openai::client("http://localhost", config("api.openai.com")).expect_err("no URL");
    assert!(matches!(error, BuildError::Config { .. }), "{error:?}");
}
