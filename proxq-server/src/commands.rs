//! The commands that ask a running server: `jobs`, `submit` and `top`. Comes in: flags. Goes out: what is printed, and how it
//! ended. They speak HTTP as any client or operator does, and know nothing of a server's insides but the JSON of its answers.

mod bulk;
mod connection;
mod content;
mod error;
mod jobs;
mod listing;
mod operators;
mod place;
mod printable;
mod progress;
mod request_body;
mod showing;
mod submission;
mod submit;
mod table;
mod terminal;
mod top;
mod waiting;

use crate::cli::{JobsCommand, Options, Submit, Top};
use crate::process;

pub use self::error::{CommandError, End};

/// Carries out `proxq jobs`.
///
/// # Errors
/// Where there is a mistake in what leads to the server, where it does not answer, and where it refuses.
pub fn jobs(command: &JobsCommand, options: &Options) -> Result<End, CommandError> {
    run(jobs::jobs(command, options))
}

/// Carries out `proxq submit`.
///
/// # Errors
/// Where there is a mistake in what leads to the server, where it does not answer, and where it refuses.
pub fn submit(submit: &Submit, options: &Options) -> Result<End, CommandError> {
    run(submit::submit(submit, options))
}

/// Carries out `proxq top`.
///
/// # Errors
/// Where there is a mistake in what leads to the server, and where it does not answer.
pub fn top(top: &Top, options: &Options) -> Result<End, CommandError> {
    run(top::top(top, options))
}

fn run(command: impl Future<Output = Result<End, CommandError>>) -> Result<End, CommandError> {
    let runtime = process::runtime().map_err(|source| CommandError::Threads { source })?;
    let ended = runtime.block_on(command);
    // What reads standard input or writes to a pipe that nobody reads would hold up the end.
    runtime.shutdown_background();
    ended
}
