//! What an error of Redis means for the step that met it.

use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

use crate::store::StoreError;

/// Whether a command left this process before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It did not.
    No,
    /// It did, so it may have been done.
    Yes,
}

/// An answer that no script and no command of ours gives.
#[derive(Debug, thiserror::Error)]
#[error("unexpected answer to {command}")]
struct Unexpected {
    command: &'static str,
}

/// What a failed command means for its step.
pub(super) fn classify(error: RedisError, sent: Sent) -> StoreError {
    if is_full(&error) {
        return StoreError::Full { source: error.into() };
    }
    // What the server itself refuses it has not done: the first write of every script is one that it refuses.
    let refused = error.code().is_some();
    StoreError::Unavailable { may_be_done: sent == Sent::Yes && !refused, source: error.into() }
}

/// An answer of another shape than ours.
pub(super) fn unexpected(command: &'static str) -> StoreError {
    StoreError::Unavailable { may_be_done: true, source: Unexpected { command }.into() }
}

/// Whether there is no room: by `maxmemory`, or on the disk that Redis saves to.
fn is_full(error: &RedisError) -> bool {
    match error.code() {
        Some("OOM") => true,
        Some("MISCONF") => error.to_string().contains("No space left on device"),
        _ => false,
    }
}

/// Whether the scripts have to be loaded again.
pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Whether the server is well all the same: it only does not know a script yet, or does not allow a command.
pub(super) fn says_nothing_of_health(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoScript | ServerErrorKind::NoPerm))
}

/// Whether another connection may do better than the one on which this happened.
pub(super) fn spoils_connection(error: &RedisError) -> bool {
    // A server that became a replica or follows a lost master is no longer the one to ask.
    let moved_on = matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown));
    // A late answer is nobody's any more, and the network may be gone without a word.
    moved_on || error.is_io_error() || error.is_unrecoverable_error() || error.kind() == ErrorKind::Parse
}

/// The error inside an answer, if it is one.
pub(super) fn checked(value: Value) -> Result<Value, RedisError> {
    value.extract_error()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> StoreError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        classify(checked(value).unwrap_err(), Sent::Yes)
    }

    #[test]
    fn no_room_is_told_from_no_answer() {
        assert!(matches!(refused("OOM command not allowed when used memory > 'maxmemory'."), StoreError::Full { .. }));
        let disk = "MISCONF Errors writing to the AOF file: No space left on device";
        assert!(matches!(refused(disk), StoreError::Full { .. }));
    }

    #[test]
    fn what_redis_refuses_was_not_done() {
        for line in [
            "READONLY You can't write against a read only replica.",
            "LOADING Redis is loading the dataset in memory",
            "MISCONF Redis is configured to save RDB snapshots, but it is unable to persist on disk.",
            "CLUSTERDOWN The cluster is down",
            "NOAUTH Authentication required.",
            "NOPERM this user has no permissions",
            "BUSY Redis is busy running a script.",
        ] {
            assert!(matches!(refused(line), StoreError::Unavailable { may_be_done: false, .. }), "{line}");
        }
    }

    #[test]
    fn without_an_answer_it_is_unknown() {
        let lost = || RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(matches!(classify(lost(), Sent::Yes), StoreError::Unavailable { may_be_done: true, .. }));
        assert!(matches!(classify(lost(), Sent::No), StoreError::Unavailable { may_be_done: false, .. }));
        assert!(spoils_connection(&lost()));
    }
}
