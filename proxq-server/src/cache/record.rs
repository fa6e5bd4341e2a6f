//! The bytes in which a response is kept:
//!
//! ```text
//! version (1) · kept at (8) · age then (4) · lifetime from then on (8) · status (2) · reason phrase · number of fields (4) ·
//! fields · body · CRC-32 of the key and all before (4)
//! reason phrase: length of the phrase and 1 more (4) · phrase; or 0 (4) where it is the usual one
//! field: length of the name (4) · name · length of the value (4) · value
//! ```
//!
//! Numbers are little-endian; the instant is in milliseconds since the Unix epoch, the lifetime in milliseconds, the age in
//! seconds. Version and checksum have the same place in every version, so that a damaged record differs from a newer
//! one. The checksum covers the key, so that a record under a wrong key is noticed.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper::ext::ReasonPhrase;

use super::key::Key;
use super::policy::Freshness;
use crate::clock::Timestamp;
use crate::job::ResponseHead;

/// The version that this program writes, and the highest that it reads.
const VERSION: u8 = 2;

const CHECKSUM_BYTES: usize = size_of::<u32>();
const FIELD_BYTES: usize = 2 * size_of::<u32>();
const HEAD_BYTES: usize =
    size_of::<u8>() + size_of::<i64>() + size_of::<u32>() + size_of::<u64>() + size_of::<u16>() + 2 * size_of::<u32>();

/// A response that is kept, and for how long it may be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) at: Timestamp,
    pub(super) freshness: Freshness,
    pub(super) head: ResponseHead,
    pub(super) body: Bytes,
}

/// Why a record gives no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is not as it was written.
    Damaged,
    /// It was written by a later version of the program.
    Newer(u8),
}

/// A record while it is written, in a buffer of its final size, so that no buffer of the response itself is kept alive.
#[derive(Debug)]
pub(super) struct Writing(Vec<u8>);

impl Writing {
    /// Begins the record of a response with this head. The body, of this many bytes, is appended afterwards.
    pub(super) fn begin(at: Timestamp, freshness: Freshness, head: &ResponseHead, body_bytes: u64) -> Self {
        let field = |(name, value): (&HeaderName, &HeaderValue)| FIELD_BYTES + name.as_str().len() + value.len();
        let fields: usize = head.headers.iter().map(field).sum();
        let body_bytes = usize::try_from(body_bytes).expect("what is cached fits in memory");
        let reason = head.reason.as_ref().map(ReasonPhrase::as_bytes);
        let reason_bytes = reason.map_or(0, <[u8]>::len);
        let mut bytes = Vec::with_capacity(HEAD_BYTES + reason_bytes + fields + body_bytes + CHECKSUM_BYTES);
        bytes.put_u8(VERSION);
        bytes.put_i64_le(at.as_millis());
        bytes.put_u32_le(u32::try_from(freshness.age.as_secs()).unwrap_or(u32::MAX));
        bytes.put_u64_le(u64::try_from(freshness.lifetime.as_millis()).unwrap_or(u64::MAX));
        bytes.put_u16_le(head.status.as_u16());
        put_length(&mut bytes, reason.map_or(0, |reason| reason.len() + 1));
        bytes.put_slice(reason.unwrap_or_default());
        put_length(&mut bytes, head.headers.len());
        for (name, value) in &head.headers {
            put_length(&mut bytes, name.as_str().len());
            bytes.put_slice(name.as_str().as_bytes());
            put_length(&mut bytes, value.len());
            bytes.put_slice(value.as_bytes());
        }
        Self(bytes)
    }

    /// Appends a piece of the body.
    pub(super) fn append(&mut self, piece: &[u8]) {
        self.0.put_slice(piece);
    }

    /// The record.
    pub(super) fn finish(mut self, key: &Key) -> Bytes {
        let checksum = checksum(key, &self.0);
        self.0.put_u32_le(checksum);
        self.0.into()
    }
}

/// The response in the record that was found under a key. Copies nothing of it.
pub(super) fn open(key: &Key, mut record: Bytes) -> Result<Kept, Unreadable> {
    let (content, stored) = record.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Unreadable::Damaged)?;
    if checksum(key, content) != u32::from_le_bytes(*stored) {
        return Err(Unreadable::Damaged);
    }
    record.truncate(content.len());
    match record.try_get_u8() {
        Ok(VERSION) => response(record).ok_or(Unreadable::Damaged),
        Ok(version) => Err(Unreadable::Newer(version)), // older records are never found: their keys have another version
        Err(_) => Err(Unreadable::Damaged),
    }
}

fn response(mut record: Bytes) -> Option<Kept> {
    let at = Timestamp::from_millis(record.try_get_i64_le().ok()?);
    let age = Duration::from_secs(record.try_get_u32_le().ok()?.into());
    let lifetime = Duration::from_millis(record.try_get_u64_le().ok()?);
    let status = StatusCode::from_u16(record.try_get_u16_le().ok()?).ok()?;
    let reason_length = record.try_get_u32_le().ok()? as usize;
    let reason = match reason_length.checked_sub(1) {
        Some(length) => Some(ReasonPhrase::try_from(split_off(&mut record, length)?).ok()?),
        None => None,
    };
    let count = record.try_get_u32_le().ok()?;
    let mut headers = HeaderMap::new();
    for _ in 0..count {
        let name = HeaderName::from_bytes(&take(&mut record)?).ok()?;
        let value = HeaderValue::from_maybe_shared(take(&mut record)?).ok()?;
        headers.try_append(name, value).ok()?;
    }
    let freshness = Freshness { age, lifetime };
    Some(Kept { at, freshness, head: ResponseHead { status, reason, headers }, body: record })
}

/// The next part, without its length.
fn take(record: &mut Bytes) -> Option<Bytes> {
    let length = record.try_get_u32_le().ok()? as usize;
    split_off(record, length)
}

fn split_off(record: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= record.len()).then(|| record.split_to(length))
}

/// Heads are far below 4 GiB.
fn put_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.put_u32_le(u32::try_from(length).expect("a part of a head that was received"));
}

fn checksum(key: &Key, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(content);
    hasher.finalize()
}

#[cfg(test)]
mod tests;
