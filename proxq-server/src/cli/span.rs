//! Durations of flags.

use std::time::Duration;

use proxq_protocol::GoDuration;

/// Reads a duration.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let span = text.parse::<GoDuration>().map_err(|error| error.to_string())?;
    span.to_std().ok_or_else(|| "it is negative".to_owned())
}
