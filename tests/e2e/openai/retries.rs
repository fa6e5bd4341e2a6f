//! Tests of the SDK's retries, which are the same through proxq as without it.

use std::collections::HashSet;
use std::time::Duration;

use async_openai::error::OpenAIError;
use harness::{Store, on_every_store};
use tokio::time::Instant;
use wiremock::{Request, ResponseTemplate};

use super::bench::{Alike, Bench};
use super::groups::{ask, ask_for_stream};
use super::scripted::error;

fn rate_limited() -> ResponseTemplate {
    error(429, "requests", "rate_limit_exceeded")
}

fn overloaded() -> ResponseTemplate {
    ResponseTemplate::new(503).set_body_string("overloaded")
}

/// Asks a question that is answered by these first. Gives how long each way took, too.
async fn answered_by(bench: &Bench, script: &[ResponseTemplate]) -> (Alike<String>, Vec<Duration>) {
    let times = std::sync::Mutex::new(Vec::new());
    let call = bench.alike_after(script, async |client| {
        let began = Instant::now();
        let result = ask(client).await;
        times.lock().unwrap().push(began.elapsed());
        Ok(result?.id)
    });
    let alike = call.await;
    (alike, times.into_inner().unwrap())
}

fn jobs(requests: &[Request]) -> HashSet<&str> {
    requests.iter().filter_map(|request| request.headers.get("x-proxq-job-id")?.to_str().ok()).collect()
}

on_every_store! {
    async fn a_rate_limit_is_waited_out(store: Store) {
        let bench = Bench::start(store).await;
        let (alike, times) = answered_by(&bench, &[rate_limited().insert_header("Retry-After", "1")]).await;
        assert_eq!(jobs(&alike.requests).len(), 2, "each time a new job");
        assert_eq!(alike.queued(), "chatcmpl-1");
        for took in times {
            assert!(took >= Duration::from_secs(1), "what the upstream asked for: {took:?}");
            assert!(took < Duration::from_secs(3), "and not much more: {took:?}");
        }
    }

    async fn a_server_error_is_tried_again(store: Store) {
        let bench = Bench::start(store).await;
        let internal = ResponseTemplate::new(500).set_body_string("oops");
        let (alike, times) = answered_by(&bench, &[internal, overloaded()]).await;
        assert_eq!(jobs(&alike.requests).len(), 3);
        assert_eq!(alike.queued(), "chatcmpl-1");
        for took in times {
            assert!(took >= Duration::from_millis(300), "0.1 s and 0.2 s: {took:?}");
        }
    }

    async fn the_last_of_four_answers_counts(store: Store) {
        let bench = Bench::start(store).await;
        let (alike, _) = answered_by(&bench, &[overloaded(), overloaded(), overloaded(), overloaded(), overloaded()]).await;
        assert_eq!(jobs(&alike.requests).len(), 4);
        let error = alike.refused();
        assert!(matches!(&error, OpenAIError::ApiError(error) if error.api_error.message == "overloaded"), "{error:?}");
        let (alike, _) = answered_by(&bench, &vec![rate_limited(); 5]).await;
        assert_eq!(jobs(&alike.requests).len(), 4);
        let error = alike.refused();
        assert!(matches!(&error, OpenAIError::ApiError(error) if error.status_code == 429), "{error:?}");
    }

    async fn an_exhausted_quota_is_not_tried_again(store: Store) {
        let bench = Bench::start(store).await;
        let (alike, _) = answered_by(&bench, &[error(429, "insufficient_quota", "insufficient_quota")]).await;
        assert_eq!(alike.requests.len(), 1);
        alike.refused();
        let (alike, _) = answered_by(&bench, &[ResponseTemplate::new(429).set_body_string("slow down")]).await;
        assert_eq!(alike.requests.len(), 1, "nor is what the SDK does not understand");
        alike.refused();
    }

    async fn a_stream_that_did_not_begin_is_tried_again(store: Store) {
        let bench = Bench::start(store).await;
        let script = [overloaded(), rate_limited()];
        let call = bench.alike_after(&script, async |client| ask_for_stream(client).await.map(|_stream| ()));
        let alike = call.await;
        assert_eq!(alike.requests.len(), 3);
        alike.bypassed();
    }
}
