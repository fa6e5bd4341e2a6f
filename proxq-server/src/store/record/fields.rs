//! Fields that several records share: headers, bodies, instants, enumerations.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use proxq_protocol::Outcome;
use uuid::Uuid;

use crate::job::{BlobRef, Body, Reach};

/// One header field. A name's fields keep their order.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct HeaderField {
    #[prost(bytes = "bytes", tag = "1")]
    name: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
    /// Not to be shown, not to be indexed by HTTP/2.
    #[prost(bool, tag = "3")]
    sensitive: bool,
}

pub(super) fn header_fields(headers: &HeaderMap) -> Vec<HeaderField> {
    // All names and values are parts of one buffer: buffers of their own would cost more than all else about a record.
    let bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let mut written = BytesMut::with_capacity(bytes);
    for (name, value) in headers {
        written.extend_from_slice(name.as_str().as_bytes());
        written.extend_from_slice(value.as_bytes());
    }
    let mut written = written.freeze();
    let field = |(name, value): (&HeaderName, &HeaderValue)| HeaderField {
        name: written.split_to(name.as_str().len()),
        value: written.split_to(value.len()),
        sensitive: value.is_sensitive(),
    };
    headers.iter().map(field).collect()
}

pub(super) fn header_map(fields: Vec<HeaderField>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(&field.name).ok()?;
        let mut value = HeaderValue::from_maybe_shared(field.value).ok()?;
        value.set_sensitive(field.sensitive);
        headers.try_append(name, value).ok()?;
    }
    Some(headers)
}

/// Where a body is, and what it must hash to. The bytes themselves are kept outside the record, as they are.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct BodyFields {
    #[prost(uint64, tag = "1")]
    length: u64,
    /// CRC-32 of the bytes.
    #[prost(fixed32, tag = "2")]
    checksum: u32,
    /// The two halves of the blob's name; absent where the bytes are beside the record.
    #[prost(fixed64, optional, tag = "3")]
    blob_high: Option<u64>,
    #[prost(fixed64, optional, tag = "4")]
    blob_low: Option<u64>,
    // 5: reserved for how the bytes are encrypted.
}

impl BodyFields {
    pub(super) fn of(body: &Body) -> Self {
        match body {
            Body::Inline(bytes) => {
                Self { length: bytes.len() as u64, checksum: crc32fast::hash(bytes), blob_high: None, blob_low: None }
            }
            Body::Blob(blob) => {
                let (high, low) = blob.id.as_u64_pair();
                Self { length: blob.length, checksum: blob.checksum, blob_high: Some(high), blob_low: Some(low) }
            }
        }
    }

    /// How long it is, in bytes.
    pub(super) fn length(self) -> u64 {
        self.length
    }

    /// The blob, if the body is one.
    pub(crate) fn blob(self) -> Option<BlobRef> {
        let id = Uuid::from_u64_pair(self.blob_high?, self.blob_low?);
        Some(BlobRef { id, length: self.length, checksum: self.checksum })
    }

    /// The body, given the bytes that are kept beside the record; `None` if they are not those that were stored.
    pub(crate) fn body(self, beside: Vec<u8>) -> Option<Body> {
        if let Some(blob) = self.blob() {
            return Some(Body::Blob(blob));
        }
        let intact = beside.len() as u64 == self.length && crc32fast::hash(&beside) == self.checksum;
        intact.then(|| Body::Inline(beside.into()))
    }
}

/// The bytes that are kept beside the record of a body.
pub(crate) fn beside(body: &Body) -> Bytes {
    match body {
        Body::Inline(bytes) => bytes.clone(),
        Body::Blob(_) => Bytes::new(),
    }
}

pub(super) fn reach_number(reach: Reach) -> u32 {
    match reach {
        Reach::NotSent => 1,
        Reach::Unknown => 2,
        Reach::Responded => 3,
    }
}

pub(super) fn reach(number: u32) -> Option<Reach> {
    match number {
        1 => Some(Reach::NotSent),
        2 => Some(Reach::Unknown),
        3 => Some(Reach::Responded),
        _ => None,
    }
}

pub(super) fn outcome_number(outcome: Outcome) -> u32 {
    match outcome {
        Outcome::Responded => 1,
        Outcome::NotSent => 2,
        Outcome::Indeterminate => 3,
    }
}

pub(super) fn outcome(number: u32) -> Option<Outcome> {
    match number {
        1 => Some(Outcome::Responded),
        2 => Some(Outcome::NotSent),
        3 => Some(Outcome::Indeterminate),
        _ => None,
    }
}
