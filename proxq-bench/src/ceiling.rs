//! Ceilings: what the parts that proxq is built on can do by themselves, measured in the same rounds.
//!
//! - [`redis_benchmark`]: Redis, with the very command that proxq sends;
//! - [`SqliteLoop`]: SQLite, with the embedded store's statements;
//! - [`BareServer`]: hyper, with nothing of proxq's added.

mod bare;
mod capture;
mod redis_benchmark;
mod sqlite_loop;

pub(crate) use bare::{Bare, BareServer, serve};
pub(crate) use capture::submit_command;
pub(crate) use redis_benchmark::{Access, RANDOM, redis_benchmark};
pub(crate) use sqlite_loop::SqliteLoop;
