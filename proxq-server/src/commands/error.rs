//! How a command ends.

use std::io;
use std::path::PathBuf;

use http::StatusCode;
use proxq_protocol::{ErrorCode, JobId};

use crate::config::ConfigErrors;
use crate::tls::TlsFileError;

/// How a command ended that could be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// All was done.
    Done,
    /// A part was refused; it has been said which.
    Refused,
    /// A job ended without a response.
    JobFailed,
    /// There is no such job.
    NoSuchJob,
    /// The upstream's response is an error.
    ErrorStatus,
    /// The time that was given is over.
    TimeOver,
    /// The user ended it.
    Interrupted,
}

/// Why a command could not be carried out. What a server said is in it as it may be shown on a terminal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The configuration that leads to the server has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// Flags or variables have a mistake.
    #[error("{0}")]
    Usage(String),
    /// A file that a flag names cannot be read.
    #[error("read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file with a certificate or a key cannot be used.
    #[error("prepare to speak TLS")]
    Tls(#[from] TlsFileError),
    /// The operating system gives no threads.
    #[error("start threads")]
    Threads {
        /// What it said.
        source: io::Error,
    },
    /// What was to be printed or kept could not be written.
    #[error("write {what}")]
    Write {
        /// What was written.
        what: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Nothing could be connected to.
    #[error("connect to {origin} ({hint})")]
    NoServer {
        /// The server's URL.
        origin: String,
        /// What would be right.
        hint: &'static str,
        /// What the connector said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A connection ended, or took too long.
    #[error("ask {origin}")]
    Broken {
        /// The server's URL.
        origin: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server refuses.
    #[error("{origin} refuses: {detail}")]
    Refused {
        /// The server's URL.
        origin: String,
        /// Its status code.
        status: StatusCode,
        /// What it says went wrong, for programs.
        code: ErrorCode,
        /// The same for people.
        detail: String,
    },
    /// What answers is none of what was expected.
    #[error("{origin} is not {expected}: it answers {what}")]
    Stranger {
        /// The server's URL.
        origin: String,
        /// What should be there.
        expected: &'static str,
        /// What it answered.
        what: String,
    },
    /// A submission was sent and its answer did not come.
    #[error("the request was sent, but not answered; if proxq has accepted it, its job is {id}")]
    Unanswered {
        /// The job's id, if there is a job.
        id: JobId,
        /// What went wrong.
        source: Box<Self>,
    },
    /// The server went away while its job was waited for.
    #[error("proxq has job {id}, but does not answer any more")]
    Lost {
        /// The job.
        id: JobId,
        /// What went wrong.
        source: Box<Self>,
    },
}

impl CommandError {
    /// Whether the user has to change flags, variables or the configuration.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Usage(_) | Self::Read { .. } | Self::Tls(_))
    }

    /// Whether the server may answer a moment later.
    pub(super) fn is_passing(&self) -> bool {
        let is_away = matches!(self, Self::NoServer { .. } | Self::Broken { .. });
        is_away || matches!(self, Self::Refused { status, .. } if *status == StatusCode::SERVICE_UNAVAILABLE)
    }

    /// Whether the server says that there is no such thing.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: ErrorCode::NotFound, .. })
    }
}
