//! How keys are named, and what is said where one is missing.

use std::fmt;

/// Names a key without telling anything of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(crate) u64);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Why a sealed value was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// This process does not have its key.
    UnknownKey(KeyId),
    /// It is not what was sealed, or not here.
    Broken,
}
