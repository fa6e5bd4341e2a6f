//! Tests of OpenAI's errors, which a caller gets as it does without proxq.

use async_openai::error::OpenAIError;
use harness::{Store, on_every_store};
use wiremock::ResponseTemplate;

use super::bench::{Alike, Bench};
use super::groups::{ask, ask_for_stream};
use super::scripted::error;

/// Asks a question that is answered by this.
async fn answered_by(bench: &Bench, answer: ResponseTemplate) -> Alike<String> {
    bench.alike_after(&[answer], async |client| Ok(ask(client).await?.id)).await
}

on_every_store! {
    async fn a_refused_request_is_an_api_error(store: Store) {
        let bench = Bench::start(store).await;
        for (status, code) in [(400, "context_length_exceeded"), (401, "invalid_api_key"), (404, "model_not_found")] {
            let refused = answered_by(&bench, error(status, "invalid_request_error", code)).await;
            assert_eq!(refused.requests.len(), 1, "a refusal is not repeated");
            let error = refused.refused();
            let OpenAIError::ApiError(error) = &error else { panic!("{error:?}") };
            assert_eq!((error.status_code.as_u16(), error.api_error.code.as_deref()), (status, Some(code)));
        }
    }

    async fn a_refused_stream_is_an_api_error(store: Store) {
        let bench = Bench::start(store).await;
        let refusal = error(401, "invalid_request_error", "invalid_api_key");
        let script = [refusal];
        let call = bench.alike_after(&script, async |client| ask_for_stream(client).await.map(|_stream| ()));
        let Alike { result, requests } = call.await;
        assert!(matches!(result, Err(OpenAIError::ApiError(_))), "{result:?}");
        assert_eq!(requests.len(), 1);
    }

    async fn what_is_not_json_is_told_so(store: Store) {
        let bench = Bench::start(store).await;
        for answer in [
            ResponseTemplate::new(200).set_body_string("{\"id\": \"chatcmpl-1\", "),
            ResponseTemplate::new(200),
            ResponseTemplate::new(400).set_body_string("<html>Bad Request</html>"),
        ] {
            let error = answered_by(&bench, answer).await.refused();
            assert!(matches!(error, OpenAIError::JSONDeserialize(..)), "{error:?}");
        }
    }

    async fn an_upstreams_answer_that_looks_like_proxqs_is_still_the_upstreams(store: Store) {
        let bench = Bench::start(store).await;
        let id = "550e8400-e29b-41d4-a716-446655440000";
        let accepted = ResponseTemplate::new(202).insert_header("X-Proxq-Source", "proxq").insert_header("X-Proxq-Job-Id", id);
        let error = answered_by(&bench, accepted.set_body_string(format!("{{\"jobId\":\"{id}\"}}"))).await.refused();
        assert!(matches!(error, OpenAIError::JSONDeserialize(..)), "{error:?}");
    }
}
