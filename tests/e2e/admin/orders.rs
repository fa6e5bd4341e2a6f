//! What is ordered for one job, or for a queue.

use harness::{Answer, Pattern, Received, Store, Upstream, eventually, on_every_store, post};
use proxq_protocol::{JobStatus, Waiting};
use serde_json::json;

use super::{act, plain, read, start};

on_every_store! {
    async fn a_paused_queue_begins_nothing_until_it_is_resumed(store: Store) {
        let upstream = Upstream::start().await;
        let (mut proxq, operators) = start(store, &upstream).await;
        let paused = act(&operators, "/api/v1/queues/default/pause", json!({})).await.json();
        assert_eq!(paused, json!({"paused": true, "changed": true}));
        assert_eq!(act(&operators, "/api/v1/queues/default/pause", json!({})).await.json()["changed"], false);
        let job = proxq.submit(plain()).await;
        eventually("it says why it waits", async || proxq.status(&job).await.waiting == Some(Waiting::Paused)).await;
        // It outlives the process.
        proxq.stop().await;
        proxq.start_again().await;
        let operators = proxq.operators().await;
        assert_eq!(read(&operators, "/api/v1/queues/default").await["paused"], true);
        assert_eq!(upstream.received().len(), 0);
        let resumed = act(&operators, "/api/v1/queues/default/resume", json!({})).await.json();
        assert_eq!(resumed, json!({"paused": false, "changed": true}));
        assert_eq!(proxq.settled(&job).await.status, JobStatus::Completed);
    }

    async fn a_failed_job_is_retried_if_its_operator_accepts_that_it_may_be_sent_twice(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::nothing().close());
        upstream.answers(200, "now");
        let (proxq, operators) = start(store, &upstream).await;
        let job = proxq.submit(plain()).await;
        assert_eq!(proxq.settled(&job).await.status, JobStatus::Failed);
        let retry = format!("/api/v1/jobs/{}/retry", job.id);
        act(&operators, &retry, json!({})).await.refused(409, "MAY_DUPLICATE");
        let done = act(&operators, &retry, json!({"mayDuplicate": true})).await;
        assert_eq!(done.json(), json!({"id": job.id.to_string(), "status": "queued"}), "{done}");
        assert_eq!(proxq.settled(&job).await.status, JobStatus::Completed);
        act(&operators, &retry, json!({})).await.refused(409, "NOT_FAILED");
    }

    async fn a_job_is_cancelled(store: Store) {
        let upstream = Upstream::start().await;
        let (proxq, operators) = start(store, &upstream).await;
        let job = proxq.submit(plain().header("X-Proxq-Delay", "1h")).await;
        let cancel = format!("/api/v1/jobs/{}/cancel", job.id);
        assert_eq!(act(&operators, &cancel, json!({})).await.json()["status"], "cancelled");
        act(&operators, &cancel, json!({})).await.refused(404, "NOT_FOUND");
    }

    async fn an_ended_job_is_submitted_again_with_its_body(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(200, "yes");
        let (proxq, operators) = start(store, &upstream).await;
        let large = Pattern::new(7, 600 * 1024);
        for request in [post("/a?q=1").header("X-Note", "n").body("small"), post("/b").pattern(large)] {
            let key = format!("once {}", upstream.received().len());
            let job = proxq.submit(request.header("Idempotency-Key", key)).await;
            proxq.settled(&job).await;
            let sent = upstream.received().len();
            let done = act(&operators, &format!("/api/v1/jobs/{}/resubmit", job.id), json!({})).await;
            assert_eq!(done.status, 200, "{done}");
            let new = done.json()["id"].as_str().unwrap().to_owned();
            assert_ne!(new, job.id.to_string());
            let again = |received: &[Received]| received.get(sent).is_some_and(|again| again.complete);
            eventually("it was sent again", async || again(&upstream.received())).await;
            let received = upstream.received();
            let (first, again) = (&received[sent - 1], &received[sent]);
            assert_eq!((first.target(), &first.digest), (again.target(), &again.digest));
            assert_eq!(again.header("idempotency-key"), None, "it is a request of its own");
            let detail = read(&operators, &format!("/api/v1/jobs/{new}")).await;
            assert_eq!(detail["resubmitOf"], job.id.to_string());
        }
    }

    async fn a_job_whose_secrets_are_gone_is_not_submitted_again(store: Store) {
        let upstream = Upstream::start().await;
        let (proxq, operators) = start(store, &upstream).await;
        let job = proxq.submit(plain().header("Authorization", "Bearer hush")).await;
        proxq.settled(&job).await;
        let refused = act(&operators, &format!("/api/v1/jobs/{}/resubmit", job.id), json!({})).await;
        refused.refused(409, "SECRETS_GONE");
        assert!(refused.detail().contains("authorization"), "{refused}");
        let waiting = proxq.submit(plain().header("X-Proxq-Delay", "1h")).await;
        act(&operators, &format!("/api/v1/jobs/{}/resubmit", waiting.id), json!({})).await.refused(409, "NOT_ENDED");
        assert_eq!(upstream.received().len(), 1);
    }
}
