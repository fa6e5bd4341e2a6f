//! The facts of a job: what was submitted. They never change.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method, Uri};
use proxq_protocol::JobId;

use super::{Delivery, TimeBounds};
use crate::clock::Timestamp;

/// A keyed hash over the secrets of a submission: the same secrets give the same hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialHash(pub [u8; 32]);

/// How urgent a job is, in the order in which jobs are leased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Before all others.
    High,
    /// Before those of low priority.
    #[default]
    Normal,
    /// After all others, until it has waited for a while: then it counts as normal.
    Low,
}

impl Priority {
    /// All of them, in the order in which jobs are leased.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// The priority with this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.word() == word)
    }
}

/// The facts of a job.
#[derive(Clone, Debug)]
pub struct JobRequest {
    /// The job.
    pub id: JobId,
    /// Prefix of the upstream that it was submitted to; that upstream's settings apply as they are at each attempt.
    pub upstream: String,
    /// Method, sent as it came.
    pub method: Method,
    /// The submitted path as it came, without the query; for people. Empty where it is sealed with a key that this process does not
    /// have.
    pub path: String,
    /// The URL that is called: the upstream's URL, the rest of the path, and the query as it came.
    pub target: Uri,
    /// The client's headers that are forwarded.
    pub headers: HeaderMap,
    /// Headers that proxq adds, the same at every attempt: `X-Forwarded-*`, `Via`, a request id that was missing.
    pub added_headers: HeaderMap,
    /// When it was accepted, by the wall clock.
    pub created_at: Timestamp,
    /// Limit for one attempt's whole exchange.
    pub timeout: Duration,
    /// How urgent its client says it is.
    pub priority: Priority,
    /// What may be sent again.
    pub delivery: Delivery,
    /// Whether sending it twice is harmless: by its method, or because the upstream honours its `Idempotency-Key`.
    pub idempotent: bool,
    /// The access token's name, where the server asks for one.
    pub owner: Option<String>,
    /// Its owner: a hash of the credentials that the client sends with each request.
    pub credential: CredentialHash,
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<Vec<u8>>,
    /// The resulting client address.
    pub client: IpAddr,
    /// The request's id, for logs.
    pub request_id: String,
    /// How long the job and its response stay readable after its end.
    pub retention: Duration,
    /// Digest of a body in a blob, if responses are cached; computed while the body arrived. It is the body's SHA-256; that
    /// of a multipart body leaves the boundary out.
    pub body_sha256: Option<[u8; 32]>,
    /// How much time it has.
    pub bounds: TimeBounds,
    /// The job whose request it repeats, if an operator submitted that again.
    pub resubmit_of: Option<JobId>,
    /// The names of its secret headers, which a store keeps apart and forgets when the job ends. A store fills this in; it is empty
    /// for jobs that an earlier version submitted.
    pub secret_names: Vec<HeaderName>,
}

#[cfg(test)]
impl JobRequest {
    /// A plain request, for tests to vary.
    pub(crate) fn sample() -> Self {
        Self {
            id: JobId::new(),
            upstream: "/api".to_owned(),
            method: Method::POST,
            path: "/api/report".to_owned(),
            target: Uri::from_static("http://upstream:3000/report?year=2026"),
            headers: HeaderMap::new(),
            added_headers: HeaderMap::new(),
            created_at: Timestamp::from_millis(1_767_225_600_123),
            timeout: Duration::from_secs(30),
            priority: Priority::Normal,
            delivery: Delivery::Auto,
            idempotent: false,
            owner: None,
            credential: CredentialHash([7; 32]),
            idempotency_key: None,
            client: IpAddr::from([127, 0, 0, 1]),
            request_id: "a-request".to_owned(),
            retention: Duration::from_hours(1),
            body_sha256: None,
            bounds: TimeBounds::NONE,
            resubmit_of: None,
            secret_names: Vec::new(),
        }
    }
}
