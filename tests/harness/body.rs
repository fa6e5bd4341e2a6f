//! Large bodies: made on the fly from a seed, compared by length and hash.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Bytes that look random, are the same for the same seed, and need not be held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    seed: u64,
    length: u64,
}

impl Pattern {
    /// `length` bytes of the sequence that `seed` begins.
    pub fn new(seed: u64, length: u64) -> Self {
        Self { seed, length }
    }

    /// How many bytes there are.
    pub fn length(self) -> u64 {
        self.length
    }

    /// The bytes, in chunks of at most 64 KiB.
    pub fn chunks(self) -> impl Iterator<Item = Vec<u8>> {
        const CHUNK_BYTES: u64 = 64 << 10;
        let mut state = self.seed ^ 0x9e37_79b9_7f4a_7c15;
        let mut left = self.length;
        std::iter::from_fn(move || {
            let length = usize::try_from(left.min(CHUNK_BYTES)).expect("64 KiB at most");
            left -= length as u64;
            let mut chunk = Vec::with_capacity(length + 8);
            while chunk.len() < length {
                // xorshift64*: fast, and no two seeds of a test meet in a few GiB
                state ^= state >> 12;
                state ^= state << 25;
                state ^= state >> 27;
                chunk.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
            }
            chunk.truncate(length);
            (length > 0).then_some(chunk)
        })
    }

    /// All of it at once.
    pub fn bytes(self) -> Vec<u8> {
        self.chunks().flatten().collect()
    }

    /// Its length and hash.
    pub fn digest(self) -> Digest {
        let mut digest = Digest::default();
        self.chunks().for_each(|chunk| digest.update(&chunk));
        digest
    }
}

/// Length and hash of some bytes, which may be compared where the bytes are too many to hold.
#[derive(Clone, Default)]
pub struct Digest {
    length: u64,
    hash: Sha256,
}

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = Self::default();
        digest.update(bytes);
        digest
    }

    /// Adds more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.hash.update(bytes);
    }

    /// How many bytes there were.
    pub fn length(&self) -> u64 {
        self.length
    }

    fn hash(&self) -> String {
        self.hash.clone().finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && self.hash.clone().finalize() == other.hash.clone().finalize()
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, sha256 {}", self.length, self.hash())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_differ_by_seed_and_length() {
        let pattern = Pattern::new(7, 200_001);
        let bytes = pattern.bytes();
        assert_eq!(bytes.len(), 200_001);
        assert_eq!(pattern.digest(), Digest::of(&bytes));
        assert_ne!(pattern.digest(), Pattern::new(8, 200_001).digest());
        assert_ne!(pattern.digest(), Pattern::new(7, 200_000).digest());
        assert_eq!(Pattern::new(1, 0).bytes(), b"");
    }
}
