//! What was submitted, to be submitted again.

use http::HeaderName;
use http::header::AUTHORIZATION;

use super::*;
use crate::store::SubmittedRequest;

fn with_secret() -> NewJob {
    let mut job = job();
    job.request.headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
    job
}

async fn request_of(store: &dyn JobStore, id: JobId) -> SubmittedRequest {
    store.submitted(id).await.unwrap().expect("the job is there")
}

fn forgotten(request: &SubmittedRequest) -> Vec<HeaderName> {
    request.forgotten().cloned().collect()
}

pub(in super::super) async fn what_was_submitted_can_be_read_as_a_whole(backend: &mut impl Backend) {
    let original = JobId::new();
    let mut job = with_secret();
    job.request.resubmit_of = Some(original);
    let id = job.request.id;
    backend.store().submit(job.clone()).await.unwrap();
    for _ in 0..2 {
        let read = request_of(backend.store(), id).await;
        assert_eq!(read.request.headers, job.request.headers, "secret headers included");
        assert_eq!((read.request.target.clone(), &read.body), (job.request.target.clone(), &job.body));
        assert_eq!(read.request.resubmit_of, Some(original));
        assert_eq!(read.request.created_at, job.request.created_at);
        assert!(forgotten(&read).is_empty());
        backend.reopen().await;
    }
    assert_eq!(found(backend.store(), id).await.request.resubmit_of, Some(original));
    assert!(backend.store().submitted(JobId::new()).await.unwrap().is_none());
}

pub(in super::super) async fn the_names_of_forgotten_secrets_are_kept(backend: &mut impl Backend) {
    let store = backend.store();
    for (verdict, keeps_secrets) in [(Verdict::Complete(response(200, "ok")), false), (failure(), true)] {
        let job = with_secret();
        let id = job.request.id;
        store.submit(job.clone()).await.unwrap();
        let begun = leased(store).await;
        assert_eq!(begun.request.secret_names, [AUTHORIZATION]);
        store.settle(&begun.lease, verdict).await.unwrap();
        let read = request_of(store, id).await;
        assert_eq!(read.body, job.body, "the body is kept");
        assert_eq!(read.request.headers.contains_key(AUTHORIZATION), keeps_secrets);
        assert_eq!(forgotten(&read), if keeps_secrets { vec![] } else { vec![AUTHORIZATION] });
        let shown = found(store, id).await.request;
        assert_eq!(shown.secret_names, [AUTHORIZATION], "they can be told");
        assert!(!shown.headers.contains_key(AUTHORIZATION));
    }
    let id = submitted(store).await;
    assert!(found(store, id).await.request.secret_names.is_empty(), "it has none");
}

pub(in super::super) async fn a_blob_that_was_submitted_is_named(backend: &mut impl Backend) {
    let store = backend.store();
    let mut writer = store.new_blob(&queue()).await.unwrap();
    writer.write(vec![7; 300_000].into()).await.unwrap();
    let blob = writer.finish().await.unwrap();
    let job = NewJob { body: Body::Blob(blob), ..job() };
    let id = job.request.id;
    store.submit(job).await.unwrap();
    writer.keep();
    assert_eq!(request_of(store, id).await.body, Body::Blob(blob));
}
