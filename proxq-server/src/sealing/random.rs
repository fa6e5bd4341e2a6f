//! Random bytes for keys and salts.

use ring::rand::{SecureRandom, SystemRandom};

/// Bytes of the operating system's generator.
pub(super) fn random<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    SystemRandom::new().fill(&mut bytes).expect("the operating system's generator does not fail once it has begun");
    bytes
}
