//! Tests of the explicit API, whose callers hold their jobs.

use harness::{Answer, Gate, Proxq, Route, Store, Upstream, on_every_store, on_the_store};
use proxq_client::{Error, JobStatus, Outcome, Proxq as Middleware, ProxqClient};

use super::{plain, url};

fn jobs(proxq: &harness::Client) -> ProxqClient {
    ProxqClient::new(Middleware::builder().proxq_url(url(proxq, "")).build().expect("good settings"), plain())
}

on_every_store! {
    async fn a_job_can_be_submitted_watched_and_fetched(proxq: Proxq, upstream: Upstream) {
        let gate = Gate::new();
        upstream.always(Answer::status(201).body("made").wait(&gate));
        let client = jobs(&proxq);
        let request = plain().post(url(&proxq, "/x?stream=true")).body("x").build().unwrap();
        let job = client.submit(request).await.unwrap();
        upstream.arrivals(1).await;
        assert_eq!(upstream.received()[0].job_id(), Some(job.id()));
        let mut events = job.events().await.unwrap();
        let now = events.next().await.unwrap().unwrap();
        assert_eq!((now.id, now.status), (job.id(), JobStatus::Running));
        assert_eq!(job.status().await.unwrap().status, JobStatus::Running);
        gate.open();
        assert_eq!(job.wait().await.unwrap().status, JobStatus::Completed);
        assert_eq!(events.next().await.unwrap().unwrap().status, JobStatus::Completed);
        assert_eq!(events.next().await.unwrap(), None);
        // Elsewhere, with nothing but the id.
        let content = jobs(&proxq).attach(job.id()).unwrap().content().await.unwrap();
        assert_eq!((content.status().as_u16(), content.text().await.unwrap().as_str()), (201, "made"));
        job.cancel().await.unwrap();
        for gone in [job.cancel().await, job.retry().await, job.status().await.map(drop), job.content().await.map(drop)] {
            assert!(matches!(gone, Err(Error::JobLost { id }) if id == job.id()), "{gone:?}");
        }
    }

    async fn a_failed_job_can_be_run_again(proxq: Proxq, upstream: Upstream) {
        upstream.once(Answer::nothing().reset());
        upstream.answers(200, "second");
        let client = jobs(&proxq);
        let job = client.submit(plain().post(url(&proxq, "/x")).body("x").build().unwrap()).await.unwrap();
        let ended = job.wait().await.unwrap();
        assert_eq!((ended.status, ended.outcome), (JobStatus::Failed, Some(Outcome::Indeterminate)));
        assert!(matches!(job.content().await, Err(Error::JobFailed { .. })));
        let refused = job.retry().await;
        assert!(matches!(&refused, Err(Error::Refused { code, .. }) if code == "MAY_DUPLICATE"), "{refused:?}");
        job.retry_may_duplicate().await.unwrap();
        assert_eq!(job.content().await.unwrap().text().await.unwrap(), "second");
        let refused = job.retry().await;
        assert!(matches!(&refused, Err(Error::Refused { code, .. }) if code == "NOT_FAILED"), "{refused:?}");
    }
}

on_the_store! { Embedded:
    async fn a_response_that_was_not_queued_gives_no_job(store: Store) {
        let upstream = Upstream::start().await;
        let filtered = Route::new("/direct", &upstream.url()).set("pathFilter.mode", "blacklist");
        let config = store.config().route(filtered.set("pathFilter.patterns", vec![".*"])).route(Route::new("/queued", &upstream.url()));
        let proxq = Proxq::start(config).await;
        let submit = async |path: &str| jobs(&proxq).submit(plain().get(url(&proxq, path)).build().unwrap()).await;
        let refused = submit("/nowhere").await;
        assert!(matches!(&refused, Err(Error::Refused { code, .. }) if code == "NO_UPSTREAM"), "{refused:?}");
        let direct = submit("/direct").await;
        assert!(matches!(&direct, Err(Error::Protocol { detail, .. }) if detail.contains("200")), "{direct:?}");
        submit("/queued").await.unwrap();
    }
}
