//! Tasks that Go's proxq has enqueued and that are taken over: in every state, with their leases and their results.

use prost::Message;

use super::super::message::TaskMessage;
use super::layout::{START_SECONDS, key};
use super::*;
use crate::job::{Body, JobId, Outcome, Reach, State, Verdict};
use crate::store::contract::{found, leased, response, state_of};
use crate::store::{Content, JobOrder, Requeued};

/// A task as Go's proxq enqueues it.
pub(super) fn go_message(id: JobId) -> TaskMessage {
    let payload = r#"{"request":{"method":"POST","url":"http://api:3000/v1/run?x=1","headers":{"Authorization":["Bearer go"],"Connection":["keep-alive"],"Content-Type":["application/json"],"X-Forwarded-For":["10.0.0.1"]},"body":"eyJoZWxsbyI6Im8ifQ==","clientIp":"203.0.113.7","proto":"https"},"retryDelay":30000000000}"#;
    TaskMessage {
        kind: "proxy:request".to_owned(),
        payload: payload.into(),
        id: id.to_string(),
        queue: "default".to_owned(),
        retry: 3,
        timeout: 300,
        retention: 3600,
        ..TaskMessage::default()
    }
}

const GO_RESULT: &str =
    r#"{"statusCode":418,"headers":{"Connection":["close"],"Set-Cookie":["a=1","b=2"]},"body":"aGk="}"#;

impl InRedis {
    /// Writes a task's hash as Go would, with these fields besides.
    pub(super) async fn go_task(&self, message: &TaskMessage, state: &str, fields: &[(&str, &str)]) {
        let mut connection = self.server.connection();
        let mut command = redis::cmd("HSET");
        command.arg(key(&format!("t:{}", message.id))).arg("msg").arg(message.encode_to_vec()).arg("state").arg(state);
        for field in fields {
            command.arg(field);
        }
        let _added: i64 = command.query_async(&mut connection).await.unwrap();
        let _added: i64 = self.server.run(&["SADD", "asynq:queues", "default"]).await;
    }

    pub(super) async fn go_place(&self, state: &str, id: JobId, score: i64) {
        let _added: i64 = if matches!(state, "pending" | "active") {
            self.server.run(&["LPUSH", &key(state), &id.to_string()]).await
        } else {
            self.server.run(&["ZADD", &key(state), &score.to_string(), &id.to_string()]).await
        };
    }
}

#[tokio::test]
async fn a_pending_task_of_go_is_run_as_a_job() {
    let redis = in_redis().await;
    let id = JobId::new();
    redis.go_task(&go_message(id), "pending", &[("pending_since", "1767225599000000000")]).await;
    redis.go_place("pending", id, 0).await;
    let shown = found(&redis.store, id).await;
    assert_eq!((shown.state, shown.request.path.as_str()), (State::Pending, "/v1/run"));
    assert!(!shown.request.headers.contains_key("authorization"), "a status needs no secrets");

    let job = leased(&redis.store).await;
    assert_eq!(job.body, Body::Inline(r#"{"hello":"o"}"#.into()));
    let request = job.request;
    assert_eq!(
        (request.upstream.as_str(), request.target.to_string().as_str()),
        ("/api", "http://api:3000/v1/run?x=1")
    );
    assert_eq!((request.timeout, request.retention), (Duration::from_mins(5), Duration::from_hours(1)));
    assert_eq!(request.headers["authorization"], "Bearer go");
    assert!(!request.headers.contains_key("connection") && !request.headers.contains_key("x-forwarded-for"));
    assert_eq!(request.added_headers["x-forwarded-for"], "203.0.113.7");
    assert_eq!(request.added_headers["x-forwarded-proto"], "https");
    assert_eq!(found(&redis.store, id).await.progress.attempts, 1);

    redis.store.settle(&job.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    let Content::Ready(stored) = redis.store.response(id).await.unwrap() else { panic!("no response") };
    assert_eq!(stored, response(200, "ok"));
    assert!(!redis.hash(id).await["msg"].windows(9).any(|part| part == b"Bearer go"));
    redis.advance(RETENTION).await;
    assert_eq!(redis.store.upkeep().await.unwrap().expired, 1);
}

#[tokio::test]
async fn tasks_of_go_are_found_in_every_state() {
    let redis = in_redis().await;
    let [scheduled, resting, completed, archived] = [(); 4].map(|()| JobId::new());
    redis.go_task(&go_message(scheduled), "scheduled", &[]).await;
    redis.go_place("scheduled", scheduled, START_SECONDS + 60).await;
    let retried = TaskMessage { retried: 1, error_msg: "EOF".to_owned(), last_failed_at: 5, ..go_message(resting) };
    redis.go_task(&retried, "retry", &[]).await;
    redis.go_place("retry", resting, START_SECONDS + 60).await;
    let done = TaskMessage { completed_at: START_SECONDS - 10, ..go_message(completed) };
    redis.go_task(&done, "completed", &[("result", GO_RESULT)]).await;
    redis.go_place("completed", completed, START_SECONDS + 3590).await;
    let failed = TaskMessage { retried: 3, error_msg: "EOF".to_owned(), last_failed_at: 5, ..go_message(archived) };
    redis.go_task(&failed, "archived", &[]).await;
    redis.go_place("archived", archived, START_SECONDS - 5).await;

    let store = &redis.store;
    assert_eq!(found(store, scheduled).await.progress.due_at.unwrap().as_millis(), (START_SECONDS + 60) * 1000);
    let progress = found(store, resting).await.progress;
    assert_eq!((progress.attempts, progress.retried, progress.last_error.as_deref()), (1, 1, Some("EOF")));
    let progress = found(store, completed).await.progress;
    assert_eq!(progress.ended_at.unwrap().as_millis(), (START_SECONDS - 10) * 1000);
    assert!(found(store, completed).await.request.created_at <= progress.ended_at.unwrap());
    let Content::Ready(stored) = store.response(completed).await.unwrap() else { panic!("no response") };
    assert_eq!((stored.head.status.as_u16(), &stored.body), (418, &Body::Inline("hi".into())));
    assert_eq!(stored.head.headers.get_all("set-cookie").iter().count(), 2);
    assert!(!stored.head.headers.contains_key("connection"), "of another connection than the client's");
    assert_eq!(found(store, archived).await.progress.outcome, Some(Outcome::Indeterminate));
    let Content::Failed { error } = store.response(archived).await.unwrap() else { panic!("not failed") };
    assert_eq!(error, "EOF");
    for (state, id) in [
        (State::Scheduled, scheduled),
        (State::Retry, resting),
        (State::Completed, completed),
        (State::Archived, archived),
    ] {
        let page = store.list(&queue(), state, JobOrder::OldestFirst, None, 10).await.unwrap();
        assert_eq!(page.jobs.iter().map(|job| job.request.id).collect::<Vec<_>>(), [id], "{state:?}");
        assert_eq!(store.stats(&queue()).await.unwrap().count(state), 1);
    }

    redis.advance(Duration::from_mins(1)).await;
    assert_eq!(store.upkeep().await.unwrap().woken, 2);
    assert_eq!(store.lease(&queue(), 10).await.unwrap().len(), 2);
    assert_eq!(store.retry_failed(archived, true).await.unwrap(), Requeued::Queued);
    assert_eq!(leased(store).await.lease.id, archived);
    redis.advance(Duration::from_hours(1)).await;
    store.upkeep().await.unwrap();
    assert_eq!(state_of(store, completed).await, None, "cleaned up in its time");
}

#[tokio::test]
async fn a_lease_of_go_is_left_to_go_for_as_long_as_go_would_leave_it() {
    let redis = in_redis().await;
    let id = JobId::new();
    let put = TaskMessage {
        payload: br#"{"request":{"method":"PUT","url":"http://api:3000/x"}}"#[..].into(),
        ..go_message(id)
    };
    redis.go_task(&put, "active", &[]).await;
    redis.go_place("active", id, 0).await;
    redis.go_place("lease", id, START_SECONDS).await;
    redis.advance(Duration::from_secs(30)).await;
    assert_eq!(redis.store.upkeep().await.unwrap().reclaimed, 0);
    redis.advance(Duration::from_millis(1)).await;
    assert_eq!(redis.store.upkeep().await.unwrap().reclaimed, 1);
    let job = leased(&redis.store).await;
    assert_eq!((job.lease.id, job.progress.lease_losses, job.progress.retried), (id, 1, 0));
    assert_eq!(job.progress.history[0].reach, Reach::Unknown);
}
