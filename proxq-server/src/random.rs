//! Random bytes for keys, salts and tokens.

use ring::rand::{SecureRandom, SystemRandom};

/// Bytes of the operating system's generator.
pub(crate) fn random_bytes<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    SystemRandom::new().fill(&mut bytes).expect("the operating system's generator does not fail once it has begun");
    bytes
}
