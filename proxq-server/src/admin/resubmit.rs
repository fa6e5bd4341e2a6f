//! The request of an ended job as a new job.

use futures_util::TryStreamExt;
use http::header::HeaderName;

use super::api::store_problem;
use super::desk::Desk;
use crate::intake::{IdOrigin, NewSubmission, ReceivedBody};
use crate::job::{BlobRef, Body, JobId, JobRequest, QueueName, TimeBounds};
use crate::reply::Problem;
use crate::store::StoreError;

/// The upstream would take a new request with it for the old one.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

impl Desk {
    /// Submits the request of an ended job again. Gives the new job.
    pub(super) async fn resubmit(&self, id: JobId) -> Result<JobId, Problem> {
        let failed = |error: StoreError| store_problem(&error);
        let no_job = || Problem::no_job(id);
        let submitted = self.store.submitted(id).await.map_err(failed)?.ok_or_else(no_job)?;
        let job = self.store.get(id).await.map_err(failed)?.ok_or_else(no_job)?;
        if !job.state.status().is_final() {
            return Err(Problem::not_ended());
        }
        let forgotten: Vec<_> = submitted.forgotten().map(HeaderName::as_str).collect();
        if !forgotten.is_empty() {
            return Err(Problem::secrets_gone(&forgotten.join(", ")));
        }
        let new = self.request_of(submitted.request, id);
        let new_id = new.id;
        let body = self.copied(&self.queue_of(&job), submitted.body).await.map_err(failed)?;
        let submission =
            NewSubmission { request: new, body, delay: None, id_origin: IdOrigin::Server, claimant: None, held: None };
        self.submitter.submit(submission).await.map_err(Problem::from)?;
        Ok(new_id)
    }

    fn request_of(&self, submitted: JobRequest, id: JobId) -> JobRequest {
        let mut headers = submitted.headers;
        headers.remove(IDEMPOTENCY_KEY);
        JobRequest {
            id: JobId::new(),
            headers,
            created_at: self.clock.wall(),
            idempotent: submitted.method.is_idempotent()
                || (submitted.idempotent && submitted.idempotency_key.is_none()),
            idempotency_key: None,
            bounds: TimeBounds::NONE, // those of the first submission are over
            resubmit_of: Some(id),
            ..submitted
        }
    }

    /// A body that does not end with its job.
    async fn copied(&self, queue: &QueueName, body: Body) -> Result<ReceivedBody, StoreError> {
        match body {
            Body::Inline(bytes) => Ok(bytes.into()),
            Body::Blob(blob) => self.copied_blob(queue, &blob).await,
        }
    }

    async fn copied_blob(&self, queue: &QueueName, blob: &BlobRef) -> Result<ReceivedBody, StoreError> {
        let mut pieces = self.store.open_blob(blob).await?;
        let mut copy = self.store.new_blob(queue).await?;
        while let Some(piece) = pieces.try_next().await? {
            copy.write(piece).await?;
        }
        let reference = copy.finish().await?;
        Ok(ReceivedBody::in_blob(reference, copy))
    }
}
