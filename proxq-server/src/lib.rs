//! proxq turns any HTTP request into a durable job.

pub mod cli;
pub mod clock;
pub mod config;
pub mod job;
mod path;
pub mod store;
pub mod trust;
