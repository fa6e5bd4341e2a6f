//! What the proxq server and its clients must agree on, and nothing else: the names of the headers, the shape of a job
//! identifier, the JSON of the jobs API and Go's notation for durations.
//!
//! No HTTP library and no async runtime: a client in any style can depend on it.

mod duration;
pub mod header;
mod job_id;
mod job_view;

pub use duration::{DurationError, GoDuration};
pub use job_id::{JobId, ParseJobIdError};
pub use job_view::{Accepted, Cancelled, ErrorBody, ErrorCode, JobInfo, JobStatus, Outcome};
