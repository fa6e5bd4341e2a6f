//! An accepted request and its life, as every stage knows it. Data and pure rules; nothing here does I/O.

mod attempt;
mod bounds;
mod delivery;
mod request;
mod response;
mod state;

use std::fmt;

use bytes::Bytes;
pub use proxq_protocol::{JobId, JobStatus, Outcome};
use uuid::Uuid;

use crate::sealing::StreamSeal;

pub use self::attempt::{AttemptRecord, HISTORY_LIMIT, Progress, Reach};
pub(crate) use self::bounds::NOT_TRIED_AGAIN;
pub use self::bounds::{Overdue, TimeBounds, judge_overdue, keep_deadline};
pub use self::delivery::{
    AttemptEnd, Backoff, Delivery, RetryOn, RetryPolicy, Verdict, judge, judge_lost_lease, judge_response,
};
pub(crate) use self::delivery::{is_refusal, may_send_again};
pub use self::request::{CredentialHash, JobRequest, Priority};
pub use self::response::{ResponseHead, StoredResponse, ends_with_head};
pub use self::state::State;

/// The name of a queue: `[A-Za-z0-9._:-]+`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueName(String);

impl QueueName {
    /// Checks a name; `None` if it is empty or has other characters.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        (!name.is_empty() && name.bytes().all(allowed)).then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A stored body: a small one lies beside its job, a large one in a blob of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The bytes themselves.
    Inline(Bytes),
    /// Where the bytes are.
    Blob(BlobRef),
}

impl Body {
    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Blob(blob) => blob.length,
        }
    }

    /// How many of its bytes are in memory.
    pub(crate) fn bytes_in_memory(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::Blob(_) => 0,
        }
    }
}

/// A large body in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobRef {
    /// Its name in the store.
    pub id: Uuid,
    /// Its length in bytes.
    pub length: u64,
    /// CRC-32 (ISO-HDLC) of its bytes, sealed if they are.
    pub checksum: u32,
    /// How its bytes are sealed, if they are.
    pub seal: Option<StreamSeal>,
}

/// A job in its present state: what was asked for, and how far it has come.
#[derive(Clone, Debug)]
pub struct Job {
    /// What was submitted. Its secret headers are left out.
    pub request: JobRequest,
    /// Its place in the queue.
    pub state: State,
    /// What has been done about it.
    pub progress: Progress,
}
