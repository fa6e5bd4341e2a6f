//! An error and its causes in one line, as a job shows it and as a log line has it.

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
        // The operating system's own words end in «(os error 111)», which tells users nothing.
        let text = match cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            Some(code) => {
                let text = io::Error::from_raw_os_error(code).to_string();
                text.split(" (os error").next().unwrap_or_default().to_lowercase()
            }
            None => cause.to_string(),
        };
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

/// What the HTTP library says between the step and its cause.
const NOISE: [&str; 6] = [
    "client error (Connect)",
    "client error (SendRequest)",
    "client error (Canceled)",
    "tcp connect error",
    "connection error",
    "error reading a body from connection",
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
