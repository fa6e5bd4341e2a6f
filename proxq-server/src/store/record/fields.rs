//! Fields that several records share: headers, bodies, instants, enumerations.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use proxq_protocol::Outcome;
use uuid::Uuid;

use crate::job::{BlobRef, Body, Reach};
use crate::sealing::{KeyId, Keyring, StreamSeal, TAG_BYTES, Unopened};

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

/// The headers of these fields; `None` if they are none, or more names than a map can hold.
pub(super) fn header_map(fields: Vec<HeaderField>) -> Option<HeaderMap> {
    // More fields than a map has room for may still have few names.
    let mut headers = HeaderMap::try_with_capacity(fields.len()).unwrap_or_default();
    for field in fields {
        let name = HeaderName::from_bytes(&field.name).ok()?;
        let mut value = HeaderValue::from_maybe_shared(field.value).ok()?;
        value.set_sensitive(field.sensitive);
        headers.try_append(name, value).ok()?;
    }
    Some(headers)
}

/// The body that a record names. One without a seal names none that has one: bodies are bound to their jobs by the seals of
/// records.
pub(super) fn body_of(body: Option<BodyFields>, record_is_sealed: bool) -> Option<BodyFields> {
    body.filter(|body| record_is_sealed || body.seal_key.is_none())
}

/// Where a body is, and what it must hash to. The bytes themselves are kept outside the record, as they are or sealed.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct BodyFields {
    /// Of the body itself, in bytes.
    #[prost(uint64, tag = "1")]
    length: u64,
    /// CRC-32 of the bytes that are stored.
    #[prost(fixed32, tag = "2")]
    checksum: u32,
    /// The two halves of the blob's name; absent where the bytes are beside the record.
    #[prost(fixed64, optional, tag = "3")]
    blob_high: Option<u64>,
    #[prost(fixed64, optional, tag = "4")]
    blob_low: Option<u64>,
    /// Where the bytes are sealed: the id of the key, and the two halves of the salt.
    #[prost(fixed64, optional, tag = "5")]
    seal_key: Option<u64>,
    #[prost(fixed64, tag = "6")]
    salt_high: u64,
    #[prost(fixed64, tag = "7")]
    salt_low: u64,
}

impl BodyFields {
    /// The fields of a body, and the bytes to keep beside them.
    pub(crate) fn of(body: &Body, keys: &Keyring) -> (Self, Bytes) {
        match body {
            Body::Inline(bytes) => match keys.new_stream() {
                None => (Self::new(bytes.len() as u64, crc32fast::hash(bytes), None), bytes.clone()),
                Some((seal, cipher)) => {
                    let mut sealed = Vec::with_capacity(bytes.len() + TAG_BYTES);
                    sealed.extend_from_slice(bytes);
                    cipher.seal(0, true, &mut sealed);
                    (Self::new(bytes.len() as u64, crc32fast::hash(&sealed), Some(seal)), sealed.into())
                }
            },
            Body::Blob(blob) => {
                let (high, low) = blob.id.as_u64_pair();
                let fields = Self::new(blob.length, blob.checksum, blob.seal);
                (Self { blob_high: Some(high), blob_low: Some(low), ..fields }, Bytes::new())
            }
        }
    }

    fn new(length: u64, checksum: u32, seal: Option<StreamSeal>) -> Self {
        let (salt_high, salt_low) = Uuid::from_u128(seal.map_or(0, |seal| seal.salt)).as_u64_pair();
        let seal_key = seal.map(|seal| seal.key.0);
        Self { length, checksum, blob_high: None, blob_low: None, seal_key, salt_high, salt_low }
    }

    /// How long it is, in bytes.
    pub(super) fn length(self) -> u64 {
        self.length
    }

    /// How the stored bytes are sealed, if they are.
    pub(crate) fn seal(self) -> Option<StreamSeal> {
        let salt = Uuid::from_u64_pair(self.salt_high, self.salt_low).as_u128();
        self.seal_key.map(|key| StreamSeal { key: KeyId(key), salt })
    }

    /// The blob, if the body is one.
    pub(crate) fn blob(self) -> Option<BlobRef> {
        let id = Uuid::from_u64_pair(self.blob_high?, self.blob_low?);
        Some(BlobRef { id, length: self.length, checksum: self.checksum, seal: self.seal() })
    }

    /// The body, given the bytes that are kept beside the record.
    pub(crate) fn body(self, mut beside: Vec<u8>, keys: &Keyring) -> Result<Body, Unopened> {
        if let Some(blob) = self.blob() {
            return Ok(Body::Blob(blob));
        }
        if crc32fast::hash(&beside) != self.checksum {
            return Err(Unopened::Broken);
        }
        if let Some(seal) = self.seal() {
            keys.stream(seal)?.open(0, true, &mut beside)?;
        }
        if beside.len() as u64 == self.length { Ok(Body::Inline(beside.into())) } else { Err(Unopened::Broken) }
    }

    /// Whether these are the bytes that were kept beside the record.
    pub(crate) fn is_intact(self, beside: &[u8]) -> bool {
        let sealed_longer = if self.seal_key.is_some() { TAG_BYTES as u64 } else { 0 };
        beside.len() as u64 == self.length + sealed_longer && crc32fast::hash(beside) == self.checksum
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_with_many_values_are_read_and_those_with_too_many_names_are_refused() {
        let field = |name: String| HeaderField { name: name.into(), value: Bytes::from("v"), sensitive: false };
        let values = (0..40_000).map(|_| field("x-same".to_owned())).collect();
        let read = header_map(values).unwrap();
        assert_eq!((read.keys_len(), read.len()), (1, 40_000));
        assert_eq!(header_fields(&read).len(), 40_000);
        let names = (0..40_000).map(|number| field(format!("x-{number}"))).collect();
        assert!(header_map(names).is_none());
    }
}
