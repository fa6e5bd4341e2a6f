//! What an error of Redis means for the step that met it.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, Value};

use crate::store::StoreError;

/// Whether a command left this process before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It did not.
    No,
    /// It did, so it may have been done.
    Yes,
}

/// Why there is no connection, as far as an operator has to do different things about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoConnection {
    /// The server does not know the user, or the password is not the user's, or there should be one.
    Login,
    /// No agreement on encryption: about certificates, most often.
    Tls,
    /// Nobody answers, or nobody who may be asked.
    Unreachable,
}

/// Why a try to connect failed.
pub(super) fn no_connection(error: &RedisError) -> NoConnection {
    if error.kind() == ErrorKind::AuthenticationFailed || is_refused_login(error) {
        NoConnection::Login
    } else if is_tls(error) {
        NoConnection::Tls
    } else {
        NoConnection::Unreachable
    }
}

/// Whether the server wants a login, or another one.
pub(super) fn is_refused_login(error: &RedisError) -> bool {
    matches!(code(error), Some("NOAUTH" | "WRONGPASS"))
}

/// Whether the library for TLS gave the error. It lies inside one of I/O, which is no cause of it in Rust's sense.
fn is_tls(error: &RedisError) -> bool {
    let shared = error.source().and_then(|source| source.downcast_ref::<Arc<dyn StdError + Send + Sync>>());
    let of_io = shared.and_then(|shared| shared.downcast_ref::<io::Error>());
    let inside = of_io.and_then(io::Error::get_ref);
    inside.and_then(|inside| inside.downcast_ref::<rustls::Error>()).is_some()
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

/// The word by which the server says what is wrong; none where it did not answer.
///
/// It is the first word of the answer, unless that is the general `ERR`. Then the word may follow: some proxies in front of
/// Redis put `ERR` before every error, and up to Redis 6.2 so does a script before that of a command inside it.
fn code(error: &RedisError) -> Option<&str> {
    let code = error.code()?;
    let inside = error.detail().filter(|_| code == "ERR").map(|detail| without_place(detail).trim_start_matches('-'));
    let word = inside.and_then(|inside| inside.split_whitespace().next());
    Some(word.filter(|word| word.bytes().all(|byte| byte.is_ascii_uppercase())).unwrap_or(code))
}

/// What a script failed with, without the place where it did:
/// `Error running script (call to f_8b6ed8): @user_script:2: @user_script: 2: -OOM command not allowed`.
fn without_place(mut detail: &str) -> &str {
    if let Some((_, rest)) = detail.strip_prefix("Error running script").and_then(|rest| rest.split_once("): ")) {
        detail = rest;
    }
    while let Some(rest) = detail.strip_prefix("@user_script:").or_else(|| detail.strip_prefix("user_script:")) {
        detail = rest.trim_start_matches(|char: char| char.is_ascii_digit() || char == ' ' || char == ':');
    }
    detail
}

/// Whether there is no room: by `maxmemory`, or on the disk that Redis saves to.
fn is_full(error: &RedisError) -> bool {
    match code(error) {
        Some("OOM") => true,
        Some("MISCONF") => error.to_string().contains("No space left on device"),
        _ => false,
    }
}

/// Whether the scripts have to be loaded again.
pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    code(error) == Some("NOSCRIPT")
}

/// Whether something under a key is of another kind than it should be.
pub(super) fn is_wrong_type(error: &StoreError) -> bool {
    let StoreError::Unavailable { source, .. } = error else { return false };
    source.downcast_ref::<RedisError>().and_then(code) == Some("WRONGTYPE")
}

/// Whether the server is well all the same: it only does not know a script yet, does not allow a command, or has something
/// of another kind under the key.
pub(super) fn says_nothing_of_health(error: &RedisError) -> bool {
    matches!(code(error), Some("NOSCRIPT" | "NOPERM" | "WRONGTYPE"))
}

/// Whether another connection may do better than the one on which this happened.
pub(super) fn spoils_connection(error: &RedisError) -> bool {
    // A server that became a replica or follows a lost master is no longer the one to ask.
    let moved_on = matches!(code(error), Some("READONLY" | "MASTERDOWN"));
    // A late answer is nobody's any more, and the network may be gone without a word.
    moved_on || error.is_io_error() || error.is_unrecoverable_error() || error.kind() == ErrorKind::Parse
}

/// Whether the connection was lost and there is no answer: what was asked may have been done.
pub(super) fn lost_answer(error: &RedisError) -> bool {
    error.code().is_none() && spoils_connection(error)
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
        let old = "ERR Error running script (call to f_8b6ed8): @user_script:2: @user_script: 2: -OOM command not allowed when \
                   used memory > 'maxmemory'.";
        assert!(matches!(refused(old), StoreError::Full { .. }));
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
    fn a_closed_door_is_told_from_an_empty_house() {
        let answered = |line: &str| {
            let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
            no_connection(&checked(value).unwrap_err())
        };
        assert_eq!(answered("NOAUTH Authentication required."), NoConnection::Login);
        assert_eq!(answered("WRONGPASS invalid username-password pair or user is disabled."), NoConnection::Login);
        assert_eq!(no_connection(&(ErrorKind::AuthenticationFailed, "no").into()), NoConnection::Login);
        assert_eq!(answered("LOADING Redis is loading the dataset in memory"), NoConnection::Unreachable);
        let tls = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError);
        assert_eq!(no_connection(&tls.into()), NoConnection::Tls);
        assert_eq!(no_connection(&io::Error::from(io::ErrorKind::ConnectionRefused).into()), NoConnection::Unreachable);
    }

    #[test]
    fn without_an_answer_it_is_unknown() {
        let lost = || RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(matches!(classify(lost(), Sent::Yes), StoreError::Unavailable { may_be_done: true, .. }));
        assert!(matches!(classify(lost(), Sent::No), StoreError::Unavailable { may_be_done: false, .. }));
        assert!(spoils_connection(&lost()) && lost_answer(&lost()));
    }

    fn answered(line: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        checked(value).unwrap_err()
    }

    /// An error as Redis 7 says it, as a proxy in front of Redis does, and as scripts do up to Redis 6.2.
    fn wordings(error: &str) -> [String; 5] {
        let script = "ERR Error running script (call to f_8b6ed8)";
        [
            error.to_owned(),
            format!("ERR {error}"),
            format!("{error} script: 8b6ed8, on @user_script:13."),
            format!("{script}: @user_script:13: {error}"),
            format!("{script}: @user_script:2: @user_script: 2: -{error}"),
        ]
    }

    #[test]
    fn an_error_means_the_same_in_every_wording() {
        for (error, word) in [
            ("READONLY You can't write against a read only replica.", "READONLY"),
            ("LOADING Redis is loading the dataset in memory", "LOADING"),
            ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "MASTERDOWN"),
            ("CLUSTERDOWN The cluster is down", "CLUSTERDOWN"),
            ("TRYAGAIN Multiple keys request during rehashing of slot", "TRYAGAIN"),
            ("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS"),
            ("BUSY Redis is busy running a script.", "BUSY"),
            ("OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
            ("MISCONF Errors writing to the AOF file: No space left on device", "MISCONF"),
            ("NOPERM this user has no permissions to run the 'lpush' command", "NOPERM"),
            ("NOAUTH Authentication required.", "NOAUTH"),
            ("NOSCRIPT No matching script. Please use EVAL.", "NOSCRIPT"),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", "WRONGTYPE"),
        ] {
            for wording in wordings(error) {
                let error = answered(&wording);
                assert_eq!(code(&error), Some(word), "{wording}");
                assert_eq!(is_full(&error), matches!(word, "OOM" | "MISCONF"), "{wording}");
                assert_eq!(spoils_connection(&error), matches!(word, "READONLY" | "MASTERDOWN"), "{wording}");
                assert_eq!(is_refused_login(&error), word == "NOAUTH", "{wording}");
                assert_eq!(is_unknown_script(&error), word == "NOSCRIPT", "{wording}");
                assert_eq!(
                    says_nothing_of_health(&error),
                    matches!(word, "NOSCRIPT" | "NOPERM" | "WRONGTYPE"),
                    "{wording}"
                );
                assert!(!lost_answer(&error), "it is an answer: {wording}");
            }
        }
        for line in ["ERR max number of clients reached", "ERR unknown command 'EVALSHA'", "ERR", "ERR  "] {
            assert_eq!(code(&answered(line)), Some("ERR"), "{line}");
        }
    }
}
