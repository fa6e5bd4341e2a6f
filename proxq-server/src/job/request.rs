//! What was submitted: the facts of a job, which never change.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, Method, Uri};
use proxq_protocol::JobId;

use super::Delivery;
use crate::clock::Timestamp;

/// A keyed hash over everything secret in a submission: who holds the same secrets has the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CredentialHash(pub [u8; 32]);

/// The facts of a job.
#[derive(Clone, Debug)]
pub struct JobRequest {
    /// The job.
    pub id: JobId,
    /// Prefix of the upstream that it was submitted to; that upstream's settings apply as they are at each attempt.
    pub upstream: String,
    /// Method, sent as it came.
    pub method: Method,
    /// The submitted path as it came, without the query; for people.
    pub path: String,
    /// What is called: the upstream's URL, the path that is left and the query as it came.
    pub target: Uri,
    /// The client's headers that are forwarded.
    pub headers: HeaderMap,
    /// Headers that proxq adds, the same at every attempt: `X-Forwarded-*`, `Via`, a request id that was missing.
    pub added_headers: HeaderMap,
    /// When it was accepted, by the wall clock.
    pub created_at: Timestamp,
    /// Limit for one attempt's whole exchange.
    pub timeout: Duration,
    /// What may be sent again.
    pub delivery: Delivery,
    /// Whether sending it twice is harmless: by its method, or because the upstream honours its `Idempotency-Key`.
    pub idempotent: bool,
    /// The access token's name, where the server asks for one.
    pub owner: Option<String>,
    /// Who submitted it.
    pub credential: CredentialHash,
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<Vec<u8>>,
    /// The resulting client address.
    pub client: IpAddr,
    /// The request's id, for logs.
    pub request_id: String,
    /// How long the job and its response stay readable after its end.
    pub retention: Duration,
}
