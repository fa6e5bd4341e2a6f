//! The bytes in which a job's parts are stored.
//!
//! Each part is a record of its own: the facts, the secret headers, the progress, the head of the response. A record is
//!
//! ```text
//! 1 · fields (protobuf) · CRC-32 of the part's name, the job's id and all before (4 bytes, little-endian)
//! 2 · length of the open fields · open fields · hidden fields, sealed · the same CRC-32
//! ```
//!
//! where numbers are varints, and the first is the version. Records of version 2 are written where there is a key to seal with.
//! The open fields are what a store works with; the seal covers them, too, so none of them can be changed.
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
pub(crate) use self::fields::BodyFields;
pub(crate) use self::response::Head;
pub(crate) use self::secrets::Secrets;
use super::StoreError;
use crate::job::{JobId, Progress};
use crate::sealing::{KeyId, Keyring, Unopened, key_of, open_text, seal_text};

/// The version of records all of whose fields are open.
const PLAIN: u32 = 1;
/// The version of records with hidden fields.
const SEALED: u32 = 2;
/// The highest version that this program reads.
pub(crate) const VERSION: u32 = SEALED;

const CHECKSUM_BYTES: usize = size_of::<u32>();

/// A part of a job that is stored as a record.
pub(crate) trait Record: Sized {
    /// The part's name, for errors, the checksum and the seal.
    const NAME: &'static str;
    /// What a store works with. Never sealed.
    type Open: Message + Default;
    /// All other fields, with tags of their own.
    type Hidden: Message + Default;

    /// The fields of this part.
    fn to_fields(&self) -> (Self::Open, Self::Hidden);

    /// The part with these fields, of a record with a seal or without one; `None` if no version of the program would have written
    /// them. Hidden fields of which this process does not have the key have their defaults.
    fn from_fields(fields: Fields<Self>) -> Option<Self>;

    /// The record of this part of the job `id`.
    fn encode(&self, id: JobId, keys: &Keyring) -> Vec<u8> {
        encode_as(self, id, keys, if keys.seals() { SEALED } else { PLAIN })
    }

    /// Reads the record of this part of the job `id`.
    fn decode(id: JobId, record: Bytes, keys: &Keyring) -> Result<Self, StoreError> {
        let corrupt = || StoreError::CorruptJob { id, what: Self::NAME };
        match decode_fields::<Self>(id, record, keys)? {
            (_, Some(key)) => Err(StoreError::KeyUnknown { id, key }),
            (fields, None) => Self::from_fields(fields).ok_or_else(corrupt),
        }
    }

    /// The same, as far as it can be read without a key that this process does not have.
    fn decode_open(id: JobId, record: Bytes, keys: &Keyring) -> Result<Self, StoreError> {
        let (fields, _missing) = decode_fields::<Self>(id, record, keys)?;
        Self::from_fields(fields).ok_or(StoreError::CorruptJob { id, what: Self::NAME })
    }
}

/// Room for what stands around the fields: the version, a length, the checksum, and what a seal adds.
const AROUND_BYTES: usize = 64;

fn encode_as<R: Record>(part: &R, id: JobId, keys: &Keyring, version: u32) -> Vec<u8> {
    let (open, hidden) = part.to_fields();
    let (open_bytes, hidden_bytes) = (open.encoded_len(), hidden.encoded_len());
    let mut record = Vec::with_capacity(AROUND_BYTES + open_bytes + hidden_bytes);
    prost::encoding::encode_varint(version.into(), &mut record);
    if version == PLAIN {
        open.encode_raw(&mut record);
        hidden.encode_raw(&mut record);
    } else {
        prost::encoding::encode_varint(open_bytes as u64, &mut record);
        let begin = record.len();
        open.encode_raw(&mut record);
        let context = [R::NAME.as_bytes(), id.as_bytes(), &record[begin..]];
        record.extend(keys.seal(&context, &hidden.encode_to_vec()).unwrap_or_default());
    }
    let checksum = checksum(R::NAME, id, &record);
    record.put_u32_le(checksum);
    record
}

/// The fields of a record.
#[derive(Debug)]
pub(crate) struct Fields<R: Record> {
    open: R::Open,
    hidden: R::Hidden,
    is_sealed: bool,
}

/// The fields of a record, and the key that is missing, if one is.
fn decode_fields<R: Record>(
    id: JobId,
    record: Bytes,
    keys: &Keyring,
) -> Result<(Fields<R>, Option<KeyId>), StoreError> {
    let corrupt = || StoreError::CorruptJob { id, what: R::NAME };
    let (version, mut fields) = intact(R::NAME, id, record).ok_or_else(corrupt)?;
    match version {
        PLAIN => {
            let open = R::Open::decode(fields.clone()).map_err(|_| corrupt())?;
            let hidden = R::Hidden::decode(fields).map_err(|_| corrupt())?;
            Ok((Fields { open, hidden, is_sealed: false }, None))
        }
        SEALED => {
            let length =
                prost::encoding::decode_varint(&mut fields).ok().and_then(|length| usize::try_from(length).ok());
            let length = length.filter(|length| *length <= fields.len()).ok_or_else(corrupt)?;
            let open = fields.split_to(length);
            let (hidden, missing) = match keys.open(&[R::NAME.as_bytes(), id.as_bytes(), &open], fields.into()) {
                Ok(hidden) => (R::Hidden::decode(hidden).map_err(|_| corrupt())?, None),
                Err(Unopened::UnknownKey(key)) => (R::Hidden::default(), Some(key)),
                Err(Unopened::Broken) => return Err(corrupt()),
            };
            let open = R::Open::decode(open).map_err(|_| corrupt())?;
            Ok((Fields { open, hidden, is_sealed: true }, missing))
        }
        0 | 3.. => Err(StoreError::NewerRecord { id, version }),
    }
}

/// The key of the hidden fields of a record; `None` if it has none, or is damaged.
pub(crate) fn sealed_with(name: &str, id: JobId, record: Bytes) -> Option<KeyId> {
    let (version, mut fields) = intact(name, id, record)?;
    let length = prost::encoding::decode_varint(&mut fields).ok().filter(|_| version == SEALED)?;
    key_of(fields.get(usize::try_from(length).ok()?..)?)
}

/// Version and content of an intact record.
fn intact(name: &str, id: JobId, mut record: Bytes) -> Option<(u32, Bytes)> {
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

/// Nothing of it is hidden: the error has been sealed already, as a text.
impl Record for Progress {
    const NAME: &'static str = "progress";
    type Open = progress::ProgressFields;
    type Hidden = NoFields;

    fn to_fields(&self) -> (Self::Open, NoFields) {
        (progress::ProgressFields::of(self), NoFields {})
    }

    fn from_fields(fields: Fields<Self>) -> Option<Self> {
        fields.open.into_progress()
    }
}

/// The record of how far a job has come. Its error was sealed before, if errors are.
pub(crate) fn encode_progress(id: JobId, progress: &Progress) -> Vec<u8> {
    encode_as(progress, id, &Keyring::default(), PLAIN)
}

/// Reads such a record.
pub(crate) fn decode_progress(id: JobId, record: Bytes) -> Result<Progress, StoreError> {
    Progress::decode(id, record, &Keyring::default())
}

/// What it means that a part of a job was not opened.
pub(crate) fn unopened(id: JobId, what: &'static str, error: Unopened) -> StoreError {
    match error {
        Unopened::UnknownKey(key) => StoreError::KeyUnknown { id, key },
        Unopened::Broken => StoreError::CorruptJob { id, what },
    }
}

/// No fields.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct NoFields {}

/// Why a job failed, as it is stored. Others may append to it.
pub(crate) fn sealed_error(id: JobId, keys: &Keyring, error: String) -> String {
    seal_text(keys, &error_context(&id), error)
}

/// Why a job failed, by what is stored of it.
pub(crate) fn opened_error(id: JobId, keys: &Keyring, stored: String) -> String {
    open_text(keys, &error_context(&id), stored)
}

/// The progress of a job with its error as it was before it was sealed.
pub(crate) fn with_opened_error(id: JobId, keys: &Keyring, progress: Progress) -> Progress {
    let last_error = progress.last_error.map(|stored| opened_error(id, keys, stored));
    Progress { last_error, ..progress }
}

fn error_context(id: &JobId) -> [&[u8]; 2] {
    [b"error", id.as_bytes()]
}

/// The record of a later version of proxq, for tests of who comes across one.
#[cfg(test)]
pub(crate) fn of_later_version<R: Record>(id: JobId, part: &R) -> Vec<u8> {
    encode_as(part, id, &Keyring::of(&["later"]), SEALED + 1)
}

#[cfg(test)]
mod tests;
