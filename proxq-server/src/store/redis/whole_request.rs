//! A job's request with all that belongs to it: the secret headers that are still there, and the body.

use bytes::Bytes;
use http::HeaderName;

use super::envelope::{REQUEST, body_in};
use super::foreign::{self, Unusable};
use super::message::{StoredTask, TaskMessage};
use super::shared::Shared;
use crate::job::{Body, JobId, JobRequest};
use crate::store::record::{Facts, Record, unopened};
use crate::store::{StoreError, SubmittedRequest};

/// What is to be sent.
#[derive(Debug)]
pub(super) struct WholeRequest {
    pub(super) request: JobRequest,
    pub(super) body: Body,
    /// The headers that are to be forgotten, and are there.
    pub(super) secrets: Vec<HeaderName>,
    /// The upstream; `None` for a task that asynq's client put there.
    pub(super) upstream: Option<String>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotUsable {
    #[error(transparent)]
    Foreign(#[from] Unusable),
    #[error(transparent)]
    Damaged(#[from] StoreError),
}

/// The request with these facts, or the one in the message.
pub(super) fn whole_request(
    shared: &Shared,
    id: JobId,
    facts: Option<Facts>,
    message: &TaskMessage,
    secrets: Option<Bytes>,
) -> Result<WholeRequest, NotUsable> {
    let Some(mut facts) = facts else {
        let (mut request, body) = foreign::request(message, shared.clock.wall(), shared)?;
        let mut secrets = shared.settings.get().secret_headers.names().to_vec();
        secrets.retain(|name| request.headers.contains_key(name));
        request.secret_names.clone_from(&secrets);
        return Ok(WholeRequest { request, body, secrets, upstream: None });
    };
    let secrets = secrets.map(|secrets| facts.put_back(secrets, &shared.keys)).transpose()?.unwrap_or_default();
    let corrupt = || StoreError::CorruptJob { id, what: "body" };
    let beside = if facts.body.blob().is_some() {
        Vec::new()
    } else if message.kind == REQUEST {
        body_in(&message.payload).ok_or_else(corrupt)?
    } else {
        message.payload.to_vec()
    };
    let body = facts.body.body(beside, &shared.keys).map_err(|error| unopened(id, "body", error))?;
    let upstream = Some(facts.request.upstream.clone());
    Ok(WholeRequest { request: facts.request, body, secrets, upstream })
}

/// What was submitted as this job; `None` for what is no job of proxq's.
pub(super) async fn submitted(shared: &Shared, id: JobId) -> Result<Option<SubmittedRequest>, StoreError> {
    let corrupt = |what| StoreError::CorruptJob { id, what };
    let Some((_, values)) = shared.find(id, &["x_facts", "msg", "x_secrets"]).await? else { return Ok(None) };
    let [facts, message, secrets]: [Option<Bytes>; 3] =
        values.try_into().map_err(|_| super::error::unexpected("HMGET"))?;
    let facts = facts.map(|record| Facts::decode(id, record, &shared.keys)).transpose()?;
    let message = StoredTask::decode(message.unwrap_or_default()).map_err(|_| corrupt("message"))?;
    match whole_request(shared, id, facts, &message.known, secrets) {
        Ok(WholeRequest { request, body, .. }) => Ok(Some(SubmittedRequest { request, body })),
        Err(NotUsable::Foreign(Unusable::NoHandler { .. })) => Ok(None),
        Err(NotUsable::Foreign(Unusable::NoRequest { .. })) => Err(corrupt("request")),
        Err(NotUsable::Damaged(error)) => Err(error),
    }
}
