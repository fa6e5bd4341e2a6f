//! An error and its causes in one line, for a job's status and for log lines.

use std::error::Error as StdError;
use std::io;

/// The error itself and what caused it, down to the first cause.
pub(crate) fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// An error and its causes in one line, each said once, joined by `: `.
#[must_use]
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut line = String::new();
    for cause in causes(error) {
        let text = in_words(cause);
        if text.is_empty() || line.ends_with(&text) || NOISE.contains(&text.as_str()) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line
}

/// A single cause, in words that help users.
fn in_words(cause: &(dyn StdError + 'static)) -> String {
    if let Some(code) = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
        // The operating system's own words end in «(os error 111)».
        let text = io::Error::from_raw_os_error(code).to_string();
        return text.split(" (os error").next().unwrap_or_default().to_lowercase();
    }
    if went_away(cause) {
        // The library calls it an error that is «not a result of an error».
        return "the upstream went away".to_owned();
    }
    match cause.to_string() {
        text if text == "dispatch task is gone" => "the connection ended".to_owned(),
        text => text,
    }
}

/// Whether the upstream closed the connection properly.
fn went_away(cause: &(dyn StdError + 'static)) -> bool {
    let went = |cause: &h2::Error| cause.is_remote() && cause.is_go_away();
    cause.downcast_ref().is_some_and(|cause| went(cause) && cause.reason() == Some(h2::Reason::NO_ERROR))
}

/// What the HTTP library says between the step and its cause.
const NOISE: [&str; 7] = [
    "client error (Connect)",
    "client error (SendRequest)",
    "client error (Canceled)",
    "tcp connect error",
    "connection error",
    "error reading a body from connection",
    "runtime dropped the dispatch task",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    #[test]
    fn every_cause_is_said_once_and_in_plain_words() {
        let error = StoreError::from_io(io::Error::from_raw_os_error(5));
        assert_eq!(chain(&error), "the store is unavailable: input/output error");
        let full = StoreError::from_io(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(chain(&full), "the store is full: no storage space");
        let same = io::Error::other(io::Error::other("again"));
        assert_eq!(chain(&same), "again");
    }
}
