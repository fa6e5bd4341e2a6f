//! `chunk.lua`, `drop.lua` and `sweep.lua`: write blobs, and remove those that no job refers to.

use std::time::Duration;

use uuid::Uuid;

use super::{Arguments, Call, Script, Scripts};
use crate::store::redis::answer::Answer;
use crate::store::{BATCH_LIMIT, StoreError};

/// How long a blob stays that no job refers to and nobody keeps: well within the hour that is promised.
const UNUSED_BLOB_TERM: Duration = Duration::from_mins(30);

/// Writes one chunk of a blob.
#[derive(Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) blob: Uuid,
    pub(crate) number: u64,
    pub(crate) bytes: &'a [u8],
}

impl Call for Chunk<'_> {
    type Output = ();

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.chunk
    }

    fn arguments(self) -> Arguments {
        Arguments::new().shown(self.blob).shown(self.number).with(self.bytes).millis(UNUSED_BLOB_TERM)
    }

    fn output(answer: Answer) -> Result<(), StoreError> {
        answer.number().map(drop)
    }
}

/// Removes a blob, unless a job has come to refer to it.
#[derive(Debug)]
pub(crate) struct DropBlob {
    pub(crate) blob: Uuid,
}

impl Call for DropBlob {
    type Output = ();

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.drop
    }

    fn arguments(self) -> Arguments {
        Arguments::new().shown(self.blob)
    }

    fn output(answer: Answer) -> Result<(), StoreError> {
        answer.number().map(drop)
    }
}

/// Removes blobs whose term is over, at most a batch of them.
#[derive(Debug)]
pub(crate) struct Sweep<'a> {
    /// Blobs of which the caller begins the term anew first.
    pub(crate) keep: &'a [Uuid],
}

impl Call for Sweep<'_> {
    type Output = ();

    const REPEATABLE: bool = true;

    fn script(scripts: &Scripts) -> &Script {
        &scripts.sweep
    }

    fn arguments(self) -> Arguments {
        Arguments::new().shown(BATCH_LIMIT).millis(UNUSED_BLOB_TERM).each(self.keep)
    }

    fn output(answer: Answer) -> Result<(), StoreError> {
        answer.number().map(drop)
    }
}
