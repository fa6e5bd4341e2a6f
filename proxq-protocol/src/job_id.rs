//! The identifier of a job.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::{Uuid, Variant, Version};

/// A job's identifier: a random UUID (RFC 9562 version 4). Whoever knows the id can get the job's result.
///
/// It is written with hyphens in lower case. It is read with hyphens in either case, and in no other notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(Uuid);

impl JobId {
    /// Makes a new id from a cryptographically secure generator, which the operating system seeds.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default that differs at every call would surprise")]
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }

    /// The sixteen bytes of the id, for storage.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id with these bytes, which [`JobId::as_bytes`] gives.
    ///
    /// # Errors
    /// Fails if the bytes are not those of a version 4 UUID.
    pub fn from_bytes(bytes: [u8; 16]) -> Result<Self, ParseJobIdError> {
        let id = Uuid::from_bytes(bytes);
        let random = id.get_version() == Some(Version::Random) && id.get_variant() == Variant::RFC4122;
        if random { Ok(Self(id)) } else { Err(ParseJobIdError) }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for JobId {
    type Err = ParseJobIdError;

    fn from_str(text: &str) -> Result<Self, ParseJobIdError> {
        /// The length of `xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx`. The UUID crate also accepts braces and bare digits.
        const HYPHENATED_CHARS: usize = 36;
        if text.len() != HYPHENATED_CHARS {
            return Err(ParseJobIdError);
        }
        let id = Uuid::try_parse(text).map_err(|_| ParseJobIdError)?;
        Self::from_bytes(id.into_bytes())
    }
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The text or bytes are not those of a job id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version 4 UUID such as 550e8400-e29b-41d4-a716-446655440000")]
#[non_exhaustive]
pub struct ParseJobIdError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hyphenated_version_4_uuid_is_a_job_id() {
        for good in ["550e8400-e29b-41d4-a716-446655440000", "550E8400-E29B-41D4-A716-446655440000"] {
            assert_eq!(good.parse::<JobId>().unwrap().to_string(), good.to_lowercase());
        }
        for bad in [
            "",
            "550e8400e29b41d4a716446655440000",
            "{550e8400-e29b-41d4-a716-446655440000}",
            "550e8400-e29b-11d4-a716-446655440000",
            "550e8400-e29b-41d4-c716-446655440000",
            "550e8400-e29b-41d4-a716-44665544000g",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert_eq!(bad.parse::<JobId>(), Err(ParseJobIdError), "{bad}");
        }
    }

    #[test]
    fn a_fresh_id_survives_text_and_bytes() {
        let id = JobId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(JobId::from_bytes(*id.as_bytes()), Ok(id));
        assert_ne!(id, JobId::new());
    }
}
