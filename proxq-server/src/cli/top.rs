//! Flags of `proxq top`.

use std::time::Duration;

use clap::Args;

use super::place::AtOperators;
use super::span::span;

/// The shortest pause between two looks: each asks the store for its counts.
const INTERVAL_MIN: Duration = Duration::from_millis(200);

/// Watch the running server: its queues, its rates, its instances.
///
/// On a terminal the view is kept up to date until Ctrl-C; elsewhere it is printed once.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Top {
    /// How often to look.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = interval)]
    pub interval: Duration,

    /// Print the view once.
    #[arg(long)]
    pub once: bool,

    /// Where the server is.
    #[command(flatten)]
    pub at: AtOperators,
}

fn interval(text: &str) -> Result<Duration, String> {
    span(text).and_then(
        |span| {
            if span < INTERVAL_MIN { Err(format!("it is less than {INTERVAL_MIN:?}")) } else { Ok(span) }
        },
    )
}
