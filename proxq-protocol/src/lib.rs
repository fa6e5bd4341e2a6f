#![doc = include_str!("../README.md")]

pub mod credential;
mod duration;
pub mod header;
mod job_id;
mod job_view;

pub use duration::{DurationError, GoDuration};
pub use job_id::{JobId, ParseJobIdError};
pub use job_view::{Accepted, Cancelled, ErrorBody, ErrorCode, JobInfo, JobStatus, Outcome, SdkError, Waiting};
