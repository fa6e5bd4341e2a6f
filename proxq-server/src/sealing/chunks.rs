//! A body sealed in chunks, so that neither side has it in memory as a whole.
//!
//! Each chunk is sealed by itself. Its nonce has its number and whether it is the last (the STREAM construction of Hoang,
//! Reyhanitabar, Rogaway and Vizár, 2015), so chunks cannot be exchanged, and a body that was cut has no last chunk.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::key_id::Unopened;
use crate::random::random_bytes;

/// How many bytes of a body are sealed at once; the last chunk may have fewer. Part of the format.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;
/// How much longer a chunk is when it is sealed.
pub(crate) const TAG_BYTES: usize = 16;

/// Seals and opens the chunks of one body.
pub(crate) struct ChunkCipher(LessSafeKey);

impl fmt::Debug for ChunkCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkCipher")
    }
}

impl ChunkCipher {
    pub(super) fn new(key: LessSafeKey) -> Self {
        Self(key)
    }

    /// One with a key that nobody keeps.
    pub(crate) fn ephemeral() -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &random_bytes::<32>()).expect("AES-256 has keys of 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Seals the chunk with this number in place, and appends its tag. No number is given twice.
    pub(crate) fn seal(&self, number: u64, is_last: bool, chunk: &mut Vec<u8>) {
        self.0
            .seal_in_place_append_tag(nonce(number, is_last), Aad::empty(), chunk)
            .expect("a chunk is shorter than what AES-GCM allows");
    }

    /// Opens the chunk with this number in place.
    pub(crate) fn open(&self, number: u64, is_last: bool, chunk: &mut Vec<u8>) -> Result<(), Unopened> {
        let opened = self.0.open_in_place(nonce(number, is_last), Aad::empty(), chunk);
        let length = opened.map_err(|_| Unopened::Broken)?.len();
        chunk.truncate(length);
        Ok(())
    }
}

fn nonce(number: u64, is_last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[3] = is_last.into();
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(cipher: &ChunkCipher, number: u64, is_last: bool) -> Vec<u8> {
        let mut chunk = format!("chunk {number}").into_bytes();
        cipher.seal(number, is_last, &mut chunk);
        chunk
    }

    #[test]
    fn a_chunk_opens_in_its_place_alone() {
        let cipher = ChunkCipher::ephemeral();
        let mut first = sealed(&cipher, 0, false);
        assert_eq!(first.len(), "chunk 0".len() + TAG_BYTES);
        for (number, is_last) in [(1, false), (0, true), (u64::MAX, false)] {
            assert_eq!(cipher.open(number, is_last, &mut first.clone()), Err(Unopened::Broken), "{number} {is_last}");
        }
        assert_eq!(ChunkCipher::ephemeral().open(0, false, &mut first.clone()), Err(Unopened::Broken));
        assert_eq!(cipher.open(0, false, &mut first[1..].to_vec()), Err(Unopened::Broken));
        assert_eq!(cipher.open(0, false, &mut Vec::new()), Err(Unopened::Broken));
        cipher.open(0, false, &mut first).unwrap();
        assert_eq!(first, b"chunk 0");
    }
}
