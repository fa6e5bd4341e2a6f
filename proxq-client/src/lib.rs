#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod address;
mod asking;
mod builder;
mod call;
mod cancel;
mod client;
mod error;
mod event;
mod job;
mod job_events;
mod options;
mod origins;
mod pace;
mod proxq;
mod redirect;
mod response;
mod route;
mod setup;
mod submission;
mod transport;
mod waiting;

pub use proxq_protocol::{JobId, JobInfo, JobStatus, Outcome};
pub use {reqwest, reqwest_middleware};

pub use crate::asking::error_for_refusal;
pub use crate::builder::{BuildError, Builder};
pub use crate::client::ProxqClient;
pub use crate::error::Error;
pub use crate::event::Event;
pub use crate::job::Job;
pub use crate::job_events::JobEvents;
pub use crate::options::ProxqOptions;
pub use crate::proxq::Proxq;
pub use crate::response::Delivery;
