//! What a store promises of sealed jobs. Needs a backend that opens with other keys.

use std::sync::Arc;

use futures_util::TryStreamExt;

use super::*;
use crate::pacing::{PerCredential, QueueLimits};
use crate::sealing::Keyring;
use crate::store::locked::LOOK_AGAIN_AFTER;
use crate::store::{Content, StoreError};

/// A backend whose keys can be exchanged.
#[async_trait]
pub(in crate::store) trait Rekeyed: Backend {
    /// Stops the store in order and starts it again with these keys.
    async fn reopen_with(&mut self, keys: &Arc<Keyring>);
}

/// A backend whose store seals, whenever it is opened.
pub(in crate::store) struct Sealed<B>(pub(in crate::store) B);

impl<B: Rekeyed> Sealed<B> {
    /// Has a backend seal from now on.
    pub(in crate::store) async fn new(mut backend: B) -> Self {
        backend.reopen_with(&own_keys()).await;
        Self(backend)
    }
}

/// The keys of [`Sealed`].
pub(in crate::store) fn own_keys() -> Arc<Keyring> {
    Arc::new(Keyring::of(&["a key"]))
}

#[async_trait]
impl<B: Rekeyed> Backend for Sealed<B> {
    fn store(&self) -> &dyn JobStore {
        self.0.store()
    }

    fn grain(&self) -> Duration {
        self.0.grain()
    }

    async fn advance(&self, span: Duration) {
        self.0.advance(span).await;
    }

    async fn set_wall(&self, wall: Timestamp) {
        self.0.set_wall(wall).await;
    }

    async fn reopen(&mut self) {
        self.0.reopen_with(&own_keys()).await;
    }
}

/// A job whose request is a secret from its path to its body.
pub(in crate::store) fn secret_job() -> NewJob {
    let mut job = job();
    job.request.path = "/api/hush-path".to_owned();
    job.request.target = "http://api:3000/hush-path?hush-query".parse().unwrap();
    job.request.headers.insert("x-name", HeaderValue::from_static("hush-header"));
    job.request.headers.insert("authorization", HeaderValue::from_static("Bearer hush-credential"));
    job.request.idempotency_key = Some(b"hush-idempotency".to_vec());
    job.request.request_id = "hush-request-id".to_owned();
    job.body = Body::Inline("hush-body".into());
    job
}

/// What of such jobs must not be found where they are stored: why they failed is among it.
pub(in crate::store) const SECRETS: [&str; 2] = ["hush-", "broke"];

/// Jobs in every state, with a body in a blob among them.
pub(in crate::store) async fn jobs_of_all_kinds(store: &dyn JobStore) {
    for verdict in [
        Some(Verdict::Complete(response(200, "hush-response"))),
        Some(retry_after(Duration::from_hours(1))),
        Some(failure()),
        None,
    ] {
        let mut writer = store.new_blob(&queue()).await.unwrap();
        writer.write(Bytes::from_static(b"hush-large-body")).await.unwrap();
        let large = NewJob { body: Body::Blob(writer.finish().await.unwrap()), ..secret_job() };
        for job in [large, secret_job()] {
            store.submit(job).await.unwrap();
            let LeasedJob { lease, .. } = leased(store).await;
            if let Some(verdict) = &verdict {
                store.settle(&lease, verdict.clone()).await.unwrap();
            }
        }
        writer.keep();
    }
}

async fn content(store: &dyn JobStore, id: JobId) -> Result<String, StoreError> {
    match store.response(id).await? {
        Content::Ready(StoredResponse { body: Body::Inline(bytes), .. }) => {
            Ok(String::from_utf8(bytes.into()).unwrap())
        }
        Content::Ready(StoredResponse { body: Body::Blob(blob), .. }) => {
            let bytes: Vec<Bytes> = store.open_blob(&blob).await?.try_collect().await?;
            Ok(String::from_utf8(bytes.concat()).unwrap())
        }
        other @ (Content::Unknown | Content::NotReady | Content::Failed { .. }) => panic!("{other:?}"),
    }
}

/// A completed job with a body in a blob or beside its records.
async fn completed(store: &dyn JobStore, in_blob: bool) -> JobId {
    let LeasedJob { lease, .. } = {
        store.submit(secret_job()).await.unwrap();
        leased(store).await
    };
    let mut response = response(200, "hush-response");
    if in_blob {
        let mut writer = store.new_blob(&queue()).await.unwrap();
        writer.write("hush-response".into()).await.unwrap();
        response.body = Body::Blob(writer.finish().await.unwrap());
        store.settle(&lease, Verdict::Complete(response)).await.unwrap();
        writer.keep();
    } else {
        store.settle(&lease, Verdict::Complete(response)).await.unwrap();
    }
    lease.id
}

pub(in crate::store) async fn jobs_of_a_former_key_are_read_and_done(backend: &mut dyn Rekeyed) {
    backend.reopen_with(&Arc::new(Keyring::of(&["old"]))).await;
    let key = backend.store().deployment().await.unwrap().credential_key;
    let done = [completed(backend.store(), false).await, completed(backend.store(), true).await];
    let failed = {
        backend.store().submit(secret_job()).await.unwrap();
        let LeasedJob { lease, .. } = leased(backend.store()).await;
        backend.store().settle(&lease, failure()).await.unwrap();
        lease.id
    };
    let why = found(backend.store(), failed).await.progress.last_error;
    backend.store().submit(secret_job()).await.unwrap();

    backend.reopen_with(&Arc::new(Keyring::of(&["new", "old"]))).await;
    assert_eq!(backend.store().deployment().await.unwrap().credential_key, key, "jobs keep their owners");
    for id in done {
        assert_eq!(content(backend.store(), id).await.unwrap(), "hush-response");
        assert_eq!(found(backend.store(), id).await.request.path, "/api/hush-path");
    }
    assert_eq!(found(backend.store(), failed).await.progress.last_error, why);
    let LeasedJob { lease, request, body, .. } = leased(backend.store()).await;
    assert_eq!(request.headers["authorization"], "Bearer hush-credential");
    assert_eq!(body, Body::Inline("hush-body".into()));
    backend.store().settle(&lease, Verdict::Complete(response(200, "by the new key"))).await.unwrap();
    assert_eq!(content(backend.store(), lease.id).await.unwrap(), "by the new key");
}

pub(in crate::store) async fn without_its_key_a_job_waits_and_says_what_is_open(backend: &mut dyn Rekeyed) {
    let (right, wrong) = (Arc::new(Keyring::of(&["right"])), Arc::new(Keyring::of(&["wrong"])));
    let missing = right.sealing_id().unwrap();
    backend.reopen_with(&right).await;
    let done = [completed(backend.store(), false).await, completed(backend.store(), true).await];
    let job = secret_job();
    let waiting = job.request.id;
    backend.store().submit(job).await.unwrap();

    backend.reopen_with(&wrong).await;
    for id in done {
        let job = found(backend.store(), id).await;
        assert_eq!((job.state, job.request.method, job.request.path.as_str()), (State::Completed, Method::POST, ""));
        let refused = content(backend.store(), id).await;
        assert!(matches!(refused, Err(StoreError::KeyUnknown { key, .. }) if key == missing), "{refused:?}");
    }
    backend.store().ready().await.unwrap();
    assert_eq!(lease_ids(backend.store(), 10).await, [], "nobody works on it");
    let job = found(backend.store(), waiting).await;
    assert_eq!((job.state, job.progress.attempts, job.progress.started_at), (State::Scheduled, 0, None));
    let ready = backend.store().ready().await;
    assert!(matches!(ready, Err(StoreError::KeyMissing { key }) if key == missing), "{ready:?}");
    // It is looked at again and again, and never in the way of others.
    let other = submitted(backend.store()).await;
    backend.advance(LOOK_AGAIN_AFTER * 2).await;
    backend.store().upkeep().await.unwrap();
    let LeasedJob { lease, .. } = leased(backend.store()).await;
    assert_eq!(lease.id, other);
    backend.store().settle(&lease, Verdict::Complete(response(200, "other"))).await.unwrap();
    assert_eq!(found(backend.store(), waiting).await.state, State::Scheduled);

    backend.reopen_with(&Arc::new(Keyring::of(&["wrong", "right"]))).await;
    backend.advance(LOOK_AGAIN_AFTER * 2).await;
    backend.store().upkeep().await.unwrap();
    let LeasedJob { lease, body, progress, .. } = leased(backend.store()).await;
    assert_eq!((lease.id, body, progress.attempts), (waiting, Body::Inline("hush-body".into()), 1));
    backend.store().ready().await.unwrap();
    for id in done {
        assert_eq!(content(backend.store(), id).await.unwrap(), "hush-response");
    }
}

/// A key in place of the one that cannot be opened would make the jobs nobody's.
pub(in crate::store) async fn without_its_key_the_deployment_keeps_its_secrets(backend: &mut dyn Rekeyed) {
    let (right, wrong) = (Arc::new(Keyring::of(&["right"])), Arc::new(Keyring::of(&["wrong"])));
    backend.reopen_with(&right).await;
    let before = backend.store().deployment().await.unwrap();
    assert_eq!(before.missing_key, None);
    for keys in [wrong.clone(), Arc::default(), wrong.clone()] {
        backend.reopen_with(&keys).await;
        let meanwhile = backend.store().deployment().await.unwrap();
        assert_eq!(meanwhile.missing_key, right.sealing_id(), "{keys:?}");
        assert_ne!(meanwhile.credential_key, before.credential_key);
        assert_eq!(meanwhile.via_name, before.via_name);
    }
    for keys in [Arc::new(Keyring::of(&["wrong", "right"])), wrong, right] {
        backend.reopen_with(&keys).await;
        let after = backend.store().deployment().await.unwrap();
        assert_eq!((after.credential_key, after.missing_key), (before.credential_key, None), "{keys:?}");
    }
}

pub(in crate::store) async fn without_its_key_a_job_takes_nothing_of_a_limit(backend: &mut dyn Rekeyed) {
    let of_each = PerCredential { rate: Some("1/m".parse().unwrap()), concurrency: None };
    for limits in [at_rate("1/m"), QueueLimits { per_credential: of_each, ..NONE }] {
        backend.reopen_with(&Arc::new(Keyring::of(&["right"]))).await;
        let mut waiting = Vec::new();
        for _ in 0..20 {
            let job = NewJob { queue: limited(), ..secret_job() };
            waiting.push(job.request.id);
            backend.store().submit(job).await.unwrap();
        }
        backend.reopen_with(&Arc::new(Keyring::of(&["wrong"]))).await;
        // They come up again and again.
        for _ in 0..3 {
            let other = NewJob { queue: limited(), ..job() };
            backend.store().submit(other.clone()).await.unwrap();
            let leases: Vec<_> =
                asked(backend.store(), 10, limits).await.jobs.into_iter().map(|job| job.lease).collect();
            assert_eq!(leases.iter().map(|lease| lease.id).collect::<Vec<_>>(), [other.request.id], "{limits:?}");
            backend.store().settle(&leases[0], Verdict::Complete(response(200, "ok"))).await.unwrap();
            for id in &waiting {
                assert_eq!(state_of(backend.store(), *id).await, Some(State::Scheduled));
            }
            backend.advance(LOOK_AGAIN_AFTER * 2).await;
            backend.store().upkeep().await.unwrap();
        }
        for id in waiting {
            assert!(backend.store().cancel(id).await.unwrap());
        }
    }
}

/// That a locked job can be cancelled is its owner's way out.
pub(in crate::store) async fn without_its_key_a_job_can_be_cancelled(backend: &mut dyn Rekeyed) {
    backend.reopen_with(&Arc::new(Keyring::of(&["right"]))).await;
    let done = completed(backend.store(), true).await;
    let job = secret_job();
    let waiting = job.request.id;
    backend.store().submit(job).await.unwrap();
    backend.reopen_with(&Arc::new(Keyring::of(&["wrong"]))).await;
    assert_eq!(lease_ids(backend.store(), 10).await, []);
    for id in [done, waiting] {
        assert!(backend.store().cancel(id).await.unwrap());
        assert!(backend.store().get(id).await.unwrap().is_none());
    }
}

pub(in crate::store) async fn jobs_of_before_are_read_after_sealing_began_and_ended(backend: &mut dyn Rekeyed) {
    let before = completed(backend.store(), true).await;
    let key = backend.store().deployment().await.unwrap().credential_key;
    let keys = Arc::new(Keyring::of(&["one"]));
    backend.reopen_with(&keys).await;
    assert_eq!(content(backend.store(), before).await.unwrap(), "hush-response");
    let sealed = completed(backend.store(), true).await;
    assert_eq!(backend.store().deployment().await.unwrap().credential_key, key);
    // Only former keys: nothing new is sealed, and what was is read.
    backend.reopen_with(&Arc::new(Keyring::new(None, &[b"one".to_vec()]))).await;
    assert_eq!(content(backend.store(), sealed).await.unwrap(), "hush-response");
    assert_eq!(backend.store().deployment().await.unwrap().credential_key, key);
}
