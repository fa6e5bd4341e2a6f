//! A request as an upstream received it.

use proxq_protocol::{JobId, header};

use crate::body::Digest;
use crate::message::Head;

/// A request as an upstream received it.
#[derive(Clone, Debug)]
pub struct Received {
    /// The head, byte for byte.
    pub head: Head,
    /// The body, without its transfer coding; for a very large one only its beginning.
    pub body: Vec<u8>,
    /// Length and hash of the whole body.
    pub digest: Digest,
    /// Whether all of the body came.
    pub complete: bool,
    /// Whether the sender went away before it had the whole answer.
    pub abandoned: bool,
    /// The number of the connection that it came on, from 0.
    pub connection: usize,
}

impl Received {
    /// The method.
    pub fn method(&self) -> &str {
        self.head.word(0)
    }

    /// The request target: path and query.
    pub fn target(&self) -> &str {
        self.head.word(1)
    }

    /// The value of a header that is there at most once.
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.value(name)
    }

    /// Every value of a header, in order.
    pub fn headers(&self, name: &str) -> Vec<String> {
        self.head.values(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The job that it is an attempt of.
    pub fn job_id(&self) -> Option<JobId> {
        self.header(header::JOB_ID).and_then(|id| id.parse().ok())
    }

    /// The attempt's number.
    pub fn attempt(&self) -> Option<u32> {
        self.header(header::ATTEMPT).and_then(|number| number.parse().ok())
    }
}
