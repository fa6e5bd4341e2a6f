//! What was submitted. Written once, never changed.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Method, Uri};

use super::fields::{BodyFields, HeaderField, body_of, header_fields, header_map};
use super::{Fields, Record, Secrets};
use crate::clock::Timestamp;
use crate::job::{CredentialHash, Delivery, JobId, JobRequest, Priority, TimeBounds};
use crate::sealing::Keyring;
use crate::store::StoreError;

/// A job's request without its secret headers, and where its body is.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// What is to be sent.
    pub(crate) request: JobRequest,
    /// What the body must be.
    pub(crate) body: BodyFields,
    /// Whether they were read from a record with a seal.
    is_sealed: bool,
}

impl Facts {
    /// The facts of a request that [`super::Secrets::take`] has been through.
    pub(crate) fn new(request: JobRequest, body: BodyFields) -> Self {
        Self { request, body, is_sealed: false }
    }

    /// Puts back the secret headers in this record, and gives their names.
    ///
    /// # Errors
    /// As [`Record::decode`]. Facts without a seal do not get what is sealed: somebody else may have written them, to have the
    /// secrets sent elsewhere.
    pub(crate) fn put_back(&mut self, secrets: Bytes, keys: &Keyring) -> Result<Vec<HeaderName>, StoreError> {
        let id = self.request.id;
        let secrets = Secrets::decode(id, secrets, keys)?;
        if secrets.is_sealed() != self.is_sealed {
            return Err(StoreError::CorruptJob { id, what: Secrets::NAME });
        }
        let names = secrets.names();
        secrets.put_back(&mut self.request);
        Ok(names)
    }

    /// What was asked for.
    pub(crate) fn asked(&self) -> Asked {
        Asked {
            method: self.request.method.clone(),
            path: self.request.path.clone(),
            query: self.request.target.query().map(ToOwned::to_owned),
            body_bytes: self.body.length(),
        }
    }
}

/// What the client of a submission asked for, as far as two of them under one id are compared: a client that sends its
/// request again sends all of it again. The upstream is not a part of it: its URL may have been changed meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    method: Method,
    path: String,
    query: Option<String>,
    body_bytes: u64,
}

/// The job is an HTTP request.
const KIND_HTTP: u32 = 0; // 1: a callback, 2: a schedule, when they come

/// What a store, its upkeep and a client that asks for the job's status work with. Durations are whole milliseconds, rounded up;
/// instants are milliseconds since the Unix epoch.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OpenFacts {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(string, tag = "3")]
    upstream: String,
    #[prost(string, tag = "4")]
    method: String,
    #[prost(message, optional, tag = "9")]
    body: Option<BodyFields>,
    #[prost(int64, tag = "10")]
    created_at: i64,
    #[prost(uint64, tag = "11")]
    timeout_ms: u64,
    #[prost(uint32, tag = "12")]
    delivery: u32,
    #[prost(bool, tag = "13")]
    idempotent: bool,
    #[prost(string, optional, tag = "14")]
    owner: Option<String>,
    #[prost(bytes = "bytes", tag = "15")]
    credential: Bytes,
    #[prost(uint64, tag = "19")]
    retention_ms: u64,
    #[prost(uint32, tag = "21")]
    priority: u32,
    #[prost(uint64, optional, tag = "28")]
    start_within_ms: Option<u64>,
    #[prost(uint64, optional, tag = "29")]
    deadline_ms: Option<u64>,
    #[prost(bytes = "bytes", optional, tag = "30")]
    resubmit_of: Option<Bytes>,
    // Reserved: 20 order key, 22 callback, 23 parent, 24 scheme, 25 trace context.
}

/// What the client sent, and who it is.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HiddenFacts {
    #[prost(string, tag = "5")]
    path: String,
    #[prost(bytes = "bytes", tag = "6")]
    target: Bytes,
    #[prost(message, repeated, tag = "7")]
    headers: Vec<HeaderField>,
    #[prost(message, repeated, tag = "8")]
    added_headers: Vec<HeaderField>,
    #[prost(bytes = "vec", optional, tag = "16")]
    idempotency_key: Option<Vec<u8>>,
    /// Four bytes or sixteen.
    #[prost(bytes = "bytes", tag = "17")]
    client: Bytes,
    #[prost(string, tag = "18")]
    request_id: String,
    #[prost(bytes = "bytes", optional, tag = "27")]
    body_sha256: Option<Bytes>,
    /// Of headers that the record does not have.
    #[prost(string, repeated, tag = "31")]
    secret_names: Vec<String>,
}

impl Record for Facts {
    const NAME: &'static str = "request";
    type Open = OpenFacts;
    type Hidden = HiddenFacts;

    fn to_fields(&self) -> (OpenFacts, HiddenFacts) {
        let request = &self.request;
        let open = OpenFacts {
            id: Bytes::copy_from_slice(request.id.as_bytes()),
            kind: KIND_HTTP,
            upstream: request.upstream.clone(),
            method: request.method.to_string(),
            body: Some(self.body),
            created_at: request.created_at.as_millis(),
            timeout_ms: whole_millis(request.timeout),
            delivery: delivery_number(request.delivery),
            idempotent: request.idempotent,
            owner: request.owner.clone(),
            credential: Bytes::copy_from_slice(&request.credential.0),
            retention_ms: whole_millis(request.retention),
            priority: priority_number(request.priority),
            start_within_ms: request.bounds.start_within.map(whole_millis),
            deadline_ms: request.bounds.deadline.map(whole_millis),
            resubmit_of: request.resubmit_of.map(|id| Bytes::copy_from_slice(id.as_bytes())),
        };
        let hidden = HiddenFacts {
            path: request.path.clone(),
            target: request.target.to_string().into(),
            headers: header_fields(&request.headers),
            added_headers: header_fields(&request.added_headers),
            idempotency_key: request.idempotency_key.clone(),
            client: address_bytes(request.client),
            request_id: request.request_id.clone(),
            body_sha256: request.body_sha256.map(|digest| Bytes::copy_from_slice(&digest)),
            secret_names: request.secret_names.iter().map(ToString::to_string).collect(),
        };
        (open, hidden)
    }

    fn from_fields(Fields { open, hidden, is_sealed }: Fields<Self>) -> Option<Self> {
        if open.kind != KIND_HTTP {
            return None;
        }
        let is_locked = hidden == HiddenFacts::default();
        let request = JobRequest {
            id: job_id(&open.id)?,
            upstream: open.upstream,
            method: Method::from_bytes(open.method.as_bytes()).ok()?,
            path: hidden.path,
            target: if is_locked { Uri::default() } else { Uri::from_maybe_shared(hidden.target).ok()? },
            headers: header_map(hidden.headers)?,
            added_headers: header_map(hidden.added_headers)?,
            created_at: Timestamp::from_millis(open.created_at),
            timeout: Duration::from_millis(open.timeout_ms),
            priority: priority(open.priority)?,
            delivery: delivery(open.delivery)?,
            idempotent: open.idempotent,
            owner: open.owner,
            credential: CredentialHash(open.credential.as_ref().try_into().ok()?),
            idempotency_key: hidden.idempotency_key,
            client: if is_locked { IpAddr::from([0; 4]) } else { address(&hidden.client)? },
            request_id: hidden.request_id,
            retention: Duration::from_millis(open.retention_ms),
            body_sha256: hidden.body_sha256.map(|digest| digest.as_ref().try_into()).transpose().ok()?,
            bounds: TimeBounds {
                start_within: open.start_within_ms.map(Duration::from_millis),
                deadline: open.deadline_ms.map(Duration::from_millis),
            },
            resubmit_of: match open.resubmit_of {
                None => None,
                Some(id) => Some(job_id(&id)?),
            },
            secret_names: hidden.secret_names.iter().map(|name| name.parse()).collect::<Result<_, _>>().ok()?,
        };
        Some(Self { request, body: body_of(open.body, is_sealed)?, is_sealed })
    }
}

fn job_id(bytes: &[u8]) -> Option<JobId> {
    JobId::from_bytes(bytes.try_into().ok()?).ok()
}

/// A span in whole milliseconds, rounded up.
pub(crate) fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn delivery_number(delivery: Delivery) -> u32 {
    match delivery {
        Delivery::Auto => 0,
        Delivery::AtLeastOnce => 1,
        Delivery::AtMostOnce => 2,
    }
}

fn delivery(number: u32) -> Option<Delivery> {
    match number {
        0 => Some(Delivery::Auto),
        1 => Some(Delivery::AtLeastOnce),
        2 => Some(Delivery::AtMostOnce),
        _ => None,
    }
}

/// Normal is 0, which a record does not write: jobs had no priority at first.
fn priority_number(priority: Priority) -> u32 {
    match priority {
        Priority::Normal => 0,
        Priority::High => 1,
        Priority::Low => 2,
    }
}

fn priority(number: u32) -> Option<Priority> {
    Priority::ALL.into_iter().find(|priority| priority_number(*priority) == number)
}

fn address_bytes(address: IpAddr) -> Bytes {
    match address {
        IpAddr::V4(address) => Bytes::copy_from_slice(&address.octets()),
        IpAddr::V6(address) => Bytes::copy_from_slice(&address.octets()),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
