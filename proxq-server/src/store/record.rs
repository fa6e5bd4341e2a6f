//! The bytes in which a job's parts are stored.
//!
//! Each part is a record of its own: the facts, the secret headers, the progress, the head of the response. A record is
//!
//! ```text
//! version (varint) · fields (protobuf) · CRC-32 of the part's name, the job's id and all before (4 bytes, little-endian)
//! ```
//!
//! Version and checksum stay where they are in every version, so that damage is told from novelty. The version grows
//! when a reader that ignores unknown fields would do wrong; a field that may be ignored is simply added. What an older
//! writer left out reads as its default. The checksum is bound to the job, so that a record that strays to another row
//! is found out.

mod facts;
mod fields;
mod progress;
mod response;
mod secrets;

use bytes::{BufMut, Bytes};
use prost::Message;

pub(crate) use self::facts::{Asked, Facts, whole_millis};
pub(crate) use self::fields::{BodyFields, beside};
pub(crate) use self::response::Head;
pub(crate) use self::secrets::Secrets;
use super::StoreError;
use crate::job::{JobId, Progress};

/// The version that this program writes, and the highest that it reads.
pub(crate) const VERSION: u32 = 1;

const CHECKSUM_BYTES: usize = size_of::<u32>();

/// A part of a job that is stored as a record.
pub(crate) trait Record: Sized {
    /// The part's name, for errors and the checksum.
    const NAME: &'static str;
    /// Its fields on the wire.
    type Fields: Message + Default;

    /// The fields of this part.
    fn to_fields(&self) -> Self::Fields;

    /// The part with these fields; `None` if no version of the program would have written them.
    fn from_fields(fields: Self::Fields) -> Option<Self>;

    /// The record of this part of the job `id`.
    fn encode(&self, id: JobId) -> Vec<u8> {
        seal(Self::NAME, id, VERSION, &self.to_fields())
    }

    /// Reads the record of this part of the job `id`.
    fn decode(id: JobId, record: Bytes) -> Result<Self, StoreError> {
        let corrupt = || StoreError::CorruptJob { id, what: Self::NAME };
        let (version, fields) = open(Self::NAME, id, record).ok_or_else(corrupt)?;
        if version > VERSION {
            return Err(StoreError::NewerRecord { id, version });
        }
        let fields = Self::Fields::decode(fields).map_err(|_| corrupt())?;
        Self::from_fields(fields).ok_or_else(corrupt)
    }
}

fn seal(name: &str, id: JobId, version: u32, fields: &impl Message) -> Vec<u8> {
    let mut record = Vec::with_capacity(1 + fields.encoded_len() + CHECKSUM_BYTES);
    prost::encoding::encode_varint(version.into(), &mut record);
    fields.encode_raw(&mut record);
    let checksum = checksum(name, id, &record);
    record.put_u32_le(checksum);
    record
}

/// Version and fields of an intact record.
fn open(name: &str, id: JobId, mut record: Bytes) -> Option<(u32, Bytes)> {
    let (content, stored) = record.split_last_chunk::<CHECKSUM_BYTES>()?;
    if checksum(name, id, content) != u32::from_le_bytes(*stored) {
        return None;
    }
    record.truncate(content.len());
    let version = prost::encoding::decode_varint(&mut record).ok()?;
    Some((u32::try_from(version).unwrap_or(u32::MAX), record))
}

fn checksum(name: &str, id: JobId, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(id.as_bytes());
    hasher.update(content);
    hasher.finalize()
}

/// Whether a later version of proxq wrote a record, by its first byte alone.
pub(crate) fn is_newer(first_byte: u8) -> bool {
    u32::from(first_byte) > VERSION // a varint's first byte is its value below 128, and 128 or more above
}

impl Record for Progress {
    const NAME: &'static str = "progress";
    type Fields = progress::ProgressFields;

    fn to_fields(&self) -> Self::Fields {
        progress::ProgressFields::of(self)
    }

    fn from_fields(fields: Self::Fields) -> Option<Self> {
        fields.into_progress()
    }
}

/// The record of a later version of proxq, for tests of who comes across one.
#[cfg(test)]
pub(crate) fn of_later_version<R: Record>(id: JobId, part: &R) -> Vec<u8> {
    seal(R::NAME, id, VERSION + 1, &part.to_fields())
}

#[cfg(test)]
mod tests;
