//! Encryption at rest: the keys that an operator gives, and what is sealed with them before it reaches a store.
//!
//! Every value has a key of its own, derived from a configured key and a random salt (HKDF-SHA256, RFC 5869), so no nonce is ever
//! used twice under one key. AES-256-GCM seals it, bound to its context: the job and the part of it that the value is. What is
//! moved to another job or another part, or cut, cannot be opened.

mod chunks;
mod key_id;
mod keyring;
mod text;

pub(crate) use self::chunks::{CHUNK_BYTES, ChunkCipher, TAG_BYTES};
pub use self::key_id::KeyId;
pub(crate) use self::key_id::Unopened;
pub use self::keyring::StreamSeal;
pub(crate) use self::keyring::{Keyring, key_of};
pub(crate) use self::text::{open_text, seal_text, text_key};
