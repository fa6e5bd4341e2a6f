//! Tests against a server with the original API of the Go proxq: no `Location`, no waiting, no proposed ids.

use std::time::Duration;

use proxq_client::{Delivery, Error, Proxq as Middleware};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::with;

const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

/// An answer with the mark of proxq.
fn own(status: u16, body: Value) -> ResponseTemplate {
    ResponseTemplate::new(status).insert_header("X-Proxq-Source", "proxq").set_body_json(body)
}

async fn serve(server: &MockServer, verb: &str, at: &str, answer: ResponseTemplate, times: Option<u64>) {
    let mock = Mock::given(method(verb)).and(path(at)).respond_with(answer);
    match times {
        Some(times) => mock.up_to_n_times(times).mount(server).await,
        None => mock.mount(server).await,
    }
}

async fn original() -> MockServer {
    let server = MockServer::start().await;
    serve(&server, "POST", "/x", own(202, json!({ "jobId": ID })), None).await;
    server
}

fn job(part: &str) -> String {
    format!("/__jobs/{ID}{part}")
}

async fn asked(server: &MockServer) -> Vec<String> {
    let received = server.received_requests().await.expect("they are recorded");
    received.iter().map(|request| format!("{} {}", request.method, &request.url[url::Position::BeforePath..])).collect()
}

#[test]
fn jobs_of_the_go_server_are_polled_until_they_end() {
    harness::run(async {
        let server = original().await;
        serve(&server, "GET", &job(""), own(200, json!({"id": ID, "status": "queued"})), Some(2)).await;
        serve(&server, "GET", &job(""), own(200, json!({"id": ID, "status": "running"})), Some(2)).await;
        let completed = json!({"id": ID, "status": "completed", "completedAt": "2025-01-01T00:00:00Z"});
        serve(&server, "GET", &job(""), own(200, completed), None).await;
        serve(&server, "GET", &job("/content"), ResponseTemplate::new(404).set_body_string("an upstream's"), None)
            .await;
        let http = with(Middleware::builder());
        let target = format!("{}/x", server.uri());
        let response = http.post(&target).body("x").send().await.unwrap();
        assert!(matches!(response.extensions().get(), Some(Delivery::Job { id, .. }) if id.to_string() == ID));
        assert_eq!((response.status().as_u16(), response.url().as_str()), (404, target.as_str()));
        assert_eq!(response.text().await.unwrap(), "an upstream's");
        let status = format!("GET {}", job(""));
        let expected = [
            "POST /x".to_owned(),
            status.clone(),
            status.clone(),
            status.clone(),
            status.clone(),
            status,
            format!("GET {}", job("/content")),
        ];
        assert_eq!(asked(&server).await, expected, "no waits, and one submission");
    });
}

#[test]
fn failed_and_lost_jobs_of_the_go_server_are_errors() {
    harness::run(async {
        let server = original().await;
        let failed = json!({"id": ID, "status": "failed", "error": "forward request: dial tcp: connection refused"});
        serve(&server, "GET", &job(""), own(200, failed), Some(1)).await;
        serve(&server, "GET", &job(""), own(404, json!({})), None).await;
        let http = with(Middleware::builder());
        let target = format!("{}/x", server.uri());
        let error = http.post(&target).send().await.unwrap_err();
        assert!(
            matches!(Error::find(&error), Some(Error::JobFailed { error, outcome: None, .. }) if error.contains("dial tcp")),
            "{error:?}"
        );
        let error = http.post(&target).send().await.unwrap_err();
        assert!(matches!(Error::find(&error), Some(Error::JobLost { .. })), "{error:?}");
    });
}

#[test]
fn a_dropped_call_cancels_its_job() {
    harness::run(async {
        let server = original().await;
        serve(&server, "GET", &job(""), own(200, json!({"id": ID, "status": "running"})), None).await;
        serve(&server, "DELETE", &job(""), own(200, json!({"status": "cancelled"})), None).await;
        let http = with(Middleware::builder());
        let request = http.post(format!("{}/x", server.uri())).send();
        let dropped = tokio::time::timeout(Duration::from_millis(200), request).await;
        assert!(dropped.is_err(), "it was under way");
        let delete = format!("DELETE {}", job(""));
        harness::eventually("the job is cancelled", async || asked(&server).await.contains(&delete)).await;
    });
}

#[test]
fn the_go_servers_jobs_path_can_be_configured() {
    harness::run(async {
        let server = original().await;
        serve(&server, "GET", &format!("/q/jobs/{ID}"), own(200, json!({"id": ID, "status": "completed"})), None).await;
        serve(&server, "GET", &format!("/q/jobs/{ID}/content"), ResponseTemplate::new(200), None).await;
        let http = with(Middleware::builder().jobs_path("/q/jobs/"));
        assert_eq!(http.post(format!("{}/x", server.uri())).send().await.unwrap().status(), 200);
    });
}
